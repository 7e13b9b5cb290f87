//! Services with tokens of their own.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, START, Service, part, user};

async fn service() -> Service {
    Service::seeded(&json!({
        "access_ttl": {"short": "2m"},
        "tenants": [{"id": "acme", "name": "Acme", "services": {"blog": {"enabled": true}}, "roles": {"lead": ["x:y"]}}],
        "users": [user("alice", json!([{"tenant": "acme", "roles": ["admin"]}]))],
        "clients": [
            {"id": "reporting", "secret": "reporting-secret", "tenant": "acme", "roles": ["lead", "admin"], "permissions": ["blog:posts.read"]},
            {"id": "billing", "secret": "billing-secret", "tenant": null, "roles": ["short"], "permissions": ["*"]},
        ],
    }))
    .await
}

fn body(id: &str, secret: &str) -> Value {
    json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret})
}

async fn token(service: &Service, id: &str) -> Answer {
    let answer = service.token(&body(id, &format!("{id}-secret"))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

fn access(answer: &Answer) -> String {
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn client_gets_a_token_for_itself_and_nothing_else() {
    let service = service().await;
    let answer = token(&service, "reporting").await;
    let members: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["access_token", "expires_in", "token_type"]);
    let mut claims = part(&access(&answer), 1);
    claims.as_object_mut().unwrap().remove("jti").unwrap();
    let expected = json!({
        "iss": "https://id.example.com", "sub": "reporting", "client_id": "reporting", "aud": ["demo"],
        "iat": START, "nbf": START, "exp": START + 900, "tenant_id": "acme", "scope": "tenant",
        "roles": ["lead", "admin"], "permissions": ["blog:posts.read"], "custom_roles": {"lead": ["x:y"]},
        "services": {"blog": {"enabled": true}},
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn client_of_the_platform_has_no_tenant_and_the_lifetime_of_its_roles() {
    let service = service().await;
    let answer = token(&service, "billing").await;
    let claims = part(&access(&answer), 1);
    assert_eq!((&claims["tenant_id"], &claims["scope"]), (&Value::Null, &json!("system")));
    assert_eq!(answer.json()["expires_in"], 120);
}

#[tokio::test]
async fn wrong_secret_unknown_client_and_user_get_the_same_answer() {
    let service = service().await;
    let wrong = service.token(&body("reporting", "wrong")).await;
    wrong.expect_error(401, "invalid_client");
    for (id, secret) in [("nobody", "reporting-secret"), ("reporting", ""), ("billing", "reporting-secret"), ("alice", "alice-pw")] {
        assert_eq!(service.token(&body(id, secret)).await.body, wrong.body, "{id}");
    }
    assert_eq!(service.token(&body("reporting", &"x".repeat(2000))).await.body, wrong.body);
    let login = json!({"email": "reporting", "password": "reporting-secret"});
    service.post("/v1/login").json(&login).send().await.expect_error(401, "invalid_grant");
}

#[tokio::test]
async fn secrets_are_not_in_the_database() {
    let service = service().await;
    assert!(!service.identity.store.dump().await.contains("reporting-secret"));
}

#[tokio::test]
async fn revoked_client_has_no_good_token_and_gets_no_other() {
    for revocation in
        [json!({"type": "client", "id": "reporting"}), json!({"type": "sub", "id": "reporting"}), json!({"type": "tenant", "id": "acme"})]
    {
        let service = service().await;
        let before = access(&token(&service, "reporting").await);
        assert_eq!(service.try_token(&before).await, StatusCode::OK);
        service.post("/v1/admin/revocations").operator().json(&revocation).send().await;
        assert_eq!(service.try_token(&before).await, StatusCode::UNAUTHORIZED, "{revocation}");
        service.token(&body("reporting", "reporting-secret")).await.expect_error(401, "invalid_client");
        assert_eq!(service.try_token(&access(&token(&service, "billing").await)).await, StatusCode::OK, "{revocation}");
    }
}

#[tokio::test]
async fn client_revoked_up_to_a_time_gets_tokens_after_it() {
    let service = service().await;
    let before = access(&token(&service, "reporting").await);
    let revocation = json!({"type": "client", "id": "reporting", "before": START + 1});
    service.post("/v1/admin/revocations").operator().json(&revocation).send().await;
    service.advance(1);
    let after = access(&token(&service, "reporting").await);
    assert_eq!(service.try_token(&before).await, StatusCode::UNAUTHORIZED);
    assert_eq!(service.try_token(&after).await, StatusCode::OK);
}

#[tokio::test]
async fn client_has_no_session() {
    let service = service().await;
    let client = access(&token(&service, "reporting").await);
    let alice = service.login("alice", Some("acme")).await;
    let me = service.get("/v1/me").bearer(&client).send().await.json();
    assert_eq!((&me["client_id"], &me["session_id"]), (&json!("reporting"), &Value::Null));
    service.post("/v1/logout").bearer(&client).send().await.expect_error(403, "access_denied");
    // A client's role 'admin' is one of the services behind, not of people's sessions.
    service.get("/v1/sessions?user=alice").bearer(&client).send().await.expect_error(403, "access_denied");
    service.delete(&format!("/v1/sessions/{}", alice.session)).bearer(&client).send().await.expect_error(404, "not_found");
}

#[tokio::test]
async fn kinds_of_token_request_do_not_mix() {
    let service = service().await;
    let secret = "reporting-secret";
    for bad in [
        json!({"grant_type": "client_credentials"}),
        json!({"grant_type": "client_credentials", "client_id": "reporting"}),
        json!({"grant_type": "client_credentials", "client_id": "reporting", "client_secret": secret, "refresh_token": "x"}),
        json!({"client_id": "reporting", "client_secret": secret}),
        json!({"grant_type": "refresh_token"}),
        json!({"grant_type": "refresh_token", "refresh_token": "x", "tenant": "acme"}),
        json!({"grant_type": "client_credentials", "client_id": "reporting", "client_secret": secret, "scope": "x"}),
    ] {
        service.token(&bad).await.expect_error(400, "invalid_request");
    }
    service.token(&json!({"grant_type": "password", "refresh_token": "x"})).await.expect_error(400, "unsupported_grant_type");
    let alice = service.login("alice", Some("acme")).await;
    let refreshed = service.token(&json!({"grant_type": "refresh_token", "refresh_token": alice.refresh})).await;
    assert_eq!(refreshed.status, StatusCode::OK);
}
