//! Acting for another.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Grant, START, Service, part, user};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// root may act for anybody, alice for those of acme; bob may not, and neither may dave, who has the role in one department.
async fn service() -> Service {
    let support = json!({"role": "SUPER_ADMIN", "department": "d1"});
    let mut seed = json!({
        "impersonators": ["SUPER_ADMIN"],
        "access_ttl": {"CAREFUL": "1m"},
        "tenants": [
            {"id": "acme", "name": "Acme", "services": {"blog": {"enabled": true}}},
            {"id": "globex", "name": "Globex"},
        ],
        "users": [
            user("root", json!([{"tenant": null, "roles": ["SUPER_ADMIN", {"role": "AUDITOR", "department": "d1"}]}])),
            user("alice", json!([{"tenant": "acme", "roles": ["SUPER_ADMIN"]}, {"tenant": "globex", "roles": ["USER"]}])),
            user("bob", json!([
                {"tenant": "acme", "roles": ["EMPLOYEE"], "permissions": ["p"], "attributes": {"department": "d1"}},
                {"tenant": "globex", "roles": ["CAREFUL"]},
                {"tenant": null, "roles": ["USER"]},
            ])),
            user("dave", json!([{"tenant": "acme", "roles": [support]}])),
        ],
        "clients": [{"id": "robot", "secret": "robot-secret", "tenant": null, "roles": ["SUPER_ADMIN"]}],
    });
    seed["users"][0]["totp"] = json!("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    Service::seeded(&seed).await
}

async fn exchange(service: &Service, actor: &str, subject: &str, tenant: Option<&str>) -> Answer {
    let body = json!({"grant_type": EXCHANGE, "subject": subject, "tenant": tenant});
    service.post("/v1/token").bearer(actor).json(&body).send().await
}

async fn act(service: &Service, actor: &str, subject: &str, tenant: Option<&str>) -> String {
    let answer = exchange(service, actor, subject, tenant).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn token_has_the_rights_of_the_subject_and_names_both() {
    let service = service().await;
    let code = super::super::totp::TotpSecret::try_from("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned()).unwrap().code_at(START);
    let login = json!({"email": "root@example.com", "password": "root-pw", "otp": code});
    let root = Grant::of(&service.post("/v1/login").json(&login).send().await);
    service.advance(100);
    let answer = exchange(&service, &root.access, "bob", Some("acme")).await;
    let mut body = answer.json();
    let token = body.as_object_mut().unwrap().remove("access_token").unwrap();
    let expected = json!({
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer", "expires_in": 800, "session_id": root.session,
    });
    assert_eq!(body, expected);

    let mut claims = part(token.as_str().unwrap(), 1);
    claims.as_object_mut().unwrap().remove("jti").unwrap();
    let expected = json!({
        "iss": "https://id.example.com", "sub": "bob", "aud": ["demo"],
        "iat": START + 100, "nbf": START + 100, "exp": START + 900, "sid": root.session,
        "tenant_id": "acme", "scope": "tenant", "roles": ["EMPLOYEE"], "permissions": ["p"],
        "attributes": {"department": "d1"}, "services": {"blog": {"enabled": true}},
        "auth_time": START, "amr": ["pwd", "otp"],
        // The role within a boundary is left out: as a bare name it would say too much.
        "act": {"sub": "root", "roles": ["SUPER_ADMIN"]},
    });
    assert_eq!(claims, expected);
    let me = service.get("/v1/me").bearer(token.as_str().unwrap()).send().await.json();
    assert_eq!((&me["sub"], &me["act"]["sub"]), (&json!("bob"), &json!("root")));
}

#[tokio::test]
async fn only_holders_of_the_role_act_for_others() {
    let service = service().await;
    let bob = service.login("bob", Some("acme")).await;
    let dave = service.login("dave", Some("acme")).await;
    for actor in [&bob, &dave] {
        exchange(&service, &actor.access, "alice", Some("acme")).await.expect_error(403, "access_denied");
    }
    let denied = exchange(&service, &bob.access, "nobody", Some("acme")).await;
    assert_eq!(denied.body, exchange(&service, &bob.access, "alice", Some("acme")).await.body);
    let robot = service.token(&json!({"grant_type": "client_credentials", "client_id": "robot", "client_secret": "robot-secret"})).await;
    let robot = robot.json()["access_token"].as_str().unwrap().to_owned();
    exchange(&service, &robot, "bob", Some("acme")).await.expect_error(403, "access_denied");
}

#[tokio::test]
async fn actor_in_a_tenant_stays_in_it() {
    let service = service().await;
    let alice = service.login("alice", Some("acme")).await;
    act(&service, &alice.access, "bob", Some("acme")).await;
    let denied = exchange(&service, &alice.access, "bob", Some("globex")).await;
    denied.expect_error(403, "access_denied");
    assert_eq!(exchange(&service, &alice.access, "bob", None).await.body, denied.body);
    assert_eq!(exchange(&service, &alice.access, "bob", Some("missing")).await.body, denied.body);
    // The role in one tenant is none in another.
    let elsewhere = service.login("alice", Some("globex")).await;
    exchange(&service, &elsewhere.access, "bob", Some("globex")).await.expect_error(403, "access_denied");
}

#[tokio::test]
async fn actor_of_the_platform_acts_where_the_subject_is() {
    let service = service().await;
    let root = service.login("root", None).await;
    let platform = part(&act(&service, &root.access, "bob", None).await, 1);
    assert_eq!((&platform["scope"], &platform["tenant_id"]), (&json!("system"), &Value::Null));
    for (subject, tenant) in [("bob", "missing"), ("dave", "globex"), ("nobody", "acme")] {
        exchange(&service, &root.access, subject, Some(tenant)).await.expect_error(403, "access_denied");
    }
    exchange(&service, &root.access, "root", None).await.expect_error(400, "invalid_request");
}

#[tokio::test]
async fn there_are_no_chains() {
    let service = service().await;
    let root = service.login("root", None).await;
    let as_alice = act(&service, &root.access, "alice", Some("acme")).await;
    exchange(&service, &as_alice, "bob", Some("acme")).await.expect_error(403, "access_denied");
}

#[tokio::test]
async fn actor_must_show_a_good_token_and_name_somebody() {
    let service = service().await;
    let body = json!({"grant_type": EXCHANGE, "subject": "bob", "tenant": "acme"});
    service.token(&body).await.expect_error(401, "invalid_token");
    exchange(&service, "a.b.c", "bob", Some("acme")).await.expect_error(401, "invalid_token");
    let root = service.login("root", None).await;
    for bad in [
        json!({"grant_type": EXCHANGE, "tenant": "acme"}),
        json!({"grant_type": EXCHANGE, "subject": "a b", "tenant": "acme"}),
        json!({"grant_type": EXCHANGE, "subject": "bob", "tenant": ""}),
        json!({"grant_type": EXCHANGE, "subject": "bob", "refresh_token": "x"}),
        json!({"grant_type": EXCHANGE, "subject": "bob", "actor_token": "x"}),
    ] {
        service.post("/v1/token").bearer(&root.access).json(&bad).send().await.expect_error(400, "invalid_request");
    }
    service.post("/v1/logout").bearer(&root.access).send().await;
    exchange(&service, &root.access, "bob", Some("acme")).await.expect_error(401, "invalid_token");
}

#[tokio::test]
async fn lifetime_is_at_most_what_the_actors_token_has_left() {
    let service = service().await;
    let root = service.login("root", None).await;
    service.advance(890);
    assert_eq!(exchange(&service, &root.access, "bob", Some("acme")).await.json()["expires_in"], 10);
    let fresh = service.login("root", None).await;
    assert_eq!(exchange(&service, &fresh.access, "bob", Some("globex")).await.json()["expires_in"], 60);
}

#[tokio::test]
async fn end_of_the_actors_session_ends_it() {
    let service = service().await;
    let root = service.login("root", None).await;
    let as_bob = act(&service, &root.access, "bob", Some("acme")).await;
    let bob = service.login("bob", Some("acme")).await;
    assert_eq!(service.try_token(&as_bob).await, StatusCode::OK);
    // It is not bob's login, so bob's way out is not its way out.
    service.post("/v1/logout").bearer(&as_bob).send().await.expect_error(403, "access_denied");
    service.post("/v1/logout").bearer(&root.access).send().await;
    assert_eq!(service.try_token(&as_bob).await, StatusCode::UNAUTHORIZED);
    assert_eq!(service.revoked().await, [("sid".to_owned(), root.session)]);
    assert_eq!(service.try_token(&bob.access).await, StatusCode::OK);
}

#[tokio::test]
async fn revoked_actor_is_revoked_under_the_other_name_too() {
    for (actor, tenant, revocation) in [
        ("root", None, json!({"type": "sub", "id": "root"})),
        ("root", None, json!({"type": "sub", "id": "root", "before": START + 1})),
        ("alice", Some("acme"), json!({"type": "sub", "id": "alice"})),
    ] {
        let service = service().await;
        let grant = service.login(actor, tenant).await;
        let idle = service.login(actor, tenant).await;
        let as_bob = act(&service, &grant.access, "bob", Some("acme")).await;
        service.post("/v1/admin/revocations").operator().json(&revocation).send().await;
        assert_eq!(service.try_token(&as_bob).await, StatusCode::UNAUTHORIZED, "{revocation}");
        // Verifiers know of it by the session; a session without such tokens needs no entry.
        let published = service.revoked().await;
        assert!(published.contains(&("sid".to_owned(), grant.session.clone())), "{revocation}: {published:?}");
        assert!(!published.contains(&("sid".to_owned(), idle.session.clone())), "{revocation}: {published:?}");
    }
}

#[tokio::test]
async fn session_that_acted_long_ago_needs_no_entry() {
    let service = service().await;
    let root = service.login("root", None).await;
    act(&service, &root.access, "bob", Some("acme")).await;
    service.advance(900);
    let revocation = json!({"type": "sub", "id": "root"});
    service.post("/v1/admin/revocations").operator().json(&revocation).send().await;
    assert_eq!(service.revoked().await, [("sub".to_owned(), "root".to_owned())]);
}

#[tokio::test]
async fn revoked_subject_is_nobody_to_act_for() {
    let service = service().await;
    let root = service.login("root", None).await;
    let as_bob = act(&service, &root.access, "bob", Some("acme")).await;
    service.post("/v1/admin/revocations").operator().json(&json!({"type": "sub", "id": "bob"})).send().await;
    assert_eq!(service.try_token(&as_bob).await, StatusCode::UNAUTHORIZED);
    exchange(&service, &root.access, "bob", Some("acme")).await.expect_error(403, "access_denied");
    assert_eq!(service.try_token(&root.access).await, StatusCode::OK);
}
