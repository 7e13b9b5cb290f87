//! Listing and ending sessions.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{Grant, START, Service, undated_entries, user};

async fn list(service: &Service, grant: &Grant, query: &str) -> Vec<Value> {
    let answer = service.get(&format!("/v1/sessions{query}")).bearer(&grant.access).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["sessions"].as_array().unwrap().clone()
}

async fn end(service: &Service, grant: &Grant, session: &str) -> StatusCode {
    service.delete(&format!("/v1/sessions/{session}")).bearer(&grant.access).send().await.status
}

#[tokio::test]
async fn endpoints_need_a_good_token() {
    let service = Service::start().await;
    let calls = || [service.get("/v1/me"), service.get("/v1/sessions"), service.post("/v1/logout"), service.delete("/v1/sessions/x")];
    for call in calls() {
        let answer = call.send().await;
        answer.expect_error(401, "invalid_token");
        // RFC 6750 section 3.1: no error code when there was no credential.
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer realm=\"portcullis-identity\"");
    }
    for call in calls() {
        let answer = call.bearer("a.b.c").send().await;
        answer.expect_error(401, "invalid_token");
        assert!(answer.header(header::WWW_AUTHENTICATE).ends_with("error=\"invalid_token\""));
    }
    let grant = service.login("bob", Some("acme")).await;
    let twice = service.get("/v1/me").bearer(&grant.access).bearer(&grant.access).send().await;
    twice.expect_error(401, "invalid_token");
}

#[tokio::test]
async fn me_tells_what_the_token_says() {
    let service = Service::start().await;
    let grant = service.login("alice", Some("acme")).await;
    let me = service.get("/v1/me").bearer(&grant.access).send().await.json();
    let expected = json!({
        "sub": "alice", "tenant_id": "acme", "scope": "tenant", "session_id": grant.session,
        "roles": ["admin"], "permissions": ["blog:posts.read"], "services": {"blog": {"enabled": true}},
    });
    assert_eq!(me, expected);
}

#[tokio::test]
async fn session_is_listed_with_its_metadata() {
    let service = Service::start().await;
    let body = json!({"email": "bob@example.com", "password": "bob-pw", "tenant": "acme", "device": "laptop"});
    let answer = service.post("/v1/login").header(header::USER_AGENT, "test/1").json(&body).send().await;
    let grant = Grant::of(&answer);
    service.advance(50);
    let grant = Grant::of(&service.refresh(&grant.refresh).await);
    let expected = json!({
        "id": grant.session, "user": "bob", "tenant": "acme", "device": "laptop", "ip": "127.0.0.1",
        "user_agent": "test/1", "created_at": START, "last_active": START + 50, "revoked": false,
    });
    assert_eq!(list(&service, &grant, "").await, [expected]);
}

#[tokio::test]
async fn own_sessions_are_those_of_this_tenant_newest_first() {
    let service = Service::start().await;
    let first = service.login("alice", Some("acme")).await;
    service.advance(1);
    let second = service.login("alice", Some("acme")).await;
    let elsewhere = service.login("alice", Some("globex")).await;
    service.login("bob", Some("acme")).await;

    let ids: Vec<Value> = list(&service, &first, "").await.iter().map(|session| session["id"].clone()).collect();
    assert_eq!(ids, [json!(second.session), json!(first.session)]);
    assert_eq!(list(&service, &elsewhere, "").await.len(), 1);
}

#[tokio::test]
async fn logout_ends_the_own_session_and_publishes_it() {
    let service = Service::start().await;
    let grant = service.login("bob", Some("acme")).await;
    let other = service.login("bob", Some("acme")).await;
    let logout = || service.post("/v1/logout").bearer(&grant.access).send();
    assert_eq!(logout().await.status, StatusCode::NO_CONTENT);
    logout().await.expect_error(401, "invalid_token");
    service.refresh(&grant.refresh).await.expect_error(401, "invalid_grant");
    let feed = service.get("/v1/revocations").send().await.json();
    let entry = json!({"type": "sid", "id": grant.session, "expires": START + 900 + 300});
    assert_eq!(undated_entries(&feed), json!([entry]));

    let revoked: Vec<(Value, Value)> =
        list(&service, &other, "").await.iter().map(|session| (session["id"].clone(), session["revoked"].clone())).collect();
    assert_eq!(revoked, [(json!(other.session), json!(false)), (json!(grant.session), json!(true))]);
}

#[tokio::test]
async fn user_ends_own_sessions_and_no_others() {
    let service = Service::start().await;
    let here = service.login("bob", Some("acme")).await;
    let there = service.login("bob", Some("acme")).await;
    let alice = service.login("alice", Some("acme")).await;

    assert_eq!(end(&service, &here, &there.session).await, StatusCode::NO_CONTENT);
    assert_eq!(service.try_token(&there.access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(end(&service, &here, &alice.session).await, StatusCode::NOT_FOUND);
    assert_eq!(service.try_token(&alice.access).await, StatusCode::OK);
    for missing in ["missing", "%ff", "%00"] {
        assert_eq!(end(&service, &here, missing).await, StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn ending_a_session_twice_publishes_it_once() {
    let service = Service::start().await;
    let here = service.login("bob", Some("acme")).await;
    let there = service.login("bob", Some("acme")).await;
    for _ in 0..2 {
        assert_eq!(end(&service, &here, &there.session).await, StatusCode::NO_CONTENT);
    }
    let feed = service.get("/v1/revocations").send().await.json();
    assert_eq!(feed["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn admin_lists_and_ends_sessions_of_the_own_tenant() {
    let service = Service::start().await;
    let alice = service.login("alice", Some("acme")).await;
    let bob = service.login("bob", Some("acme")).await;
    let listed = list(&service, &alice, "?user=bob").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], json!(bob.session));
    assert_eq!(end(&service, &alice, &bob.session).await, StatusCode::NO_CONTENT);
    assert_eq!(service.try_token(&bob.access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn other_users_sessions_are_for_admins_alone() {
    let service = Service::start().await;
    let bob = service.login("bob", Some("acme")).await;
    assert_eq!(list(&service, &bob, "?user=bob").await.len(), 1);
    let denied = service.get("/v1/sessions?user=alice").bearer(&bob.access).send().await;
    denied.expect_error(403, "access_denied");
    let unknown = service.get("/v1/sessions?user=nobody").bearer(&bob.access).send().await;
    assert_eq!(denied.body, unknown.body);
}

#[tokio::test]
async fn nothing_crosses_tenants() {
    let service = Service::start().await;
    let eve = service.login("eve", Some("globex")).await;
    let bob = service.login("bob", Some("acme")).await;
    let alice_in_acme = service.login("alice", Some("acme")).await;
    let alice_in_globex = service.login("alice", Some("globex")).await;
    let root = service.login("root", None).await;

    assert!(list(&service, &eve, "?user=bob").await.is_empty());
    assert_eq!(list(&service, &eve, "?user=alice").await.len(), 1);
    for (caller, target) in [(&eve, &bob), (&eve, &alice_in_acme), (&eve, &root), (&root, &bob), (&alice_in_globex, &alice_in_acme)] {
        assert_eq!(end(&service, caller, &target.session).await, StatusCode::NOT_FOUND);
        assert_eq!(service.try_token(&target.access).await, StatusCode::OK);
    }
    // An admin elsewhere is no admin here.
    let denied = service.get("/v1/sessions?user=eve").bearer(&alice_in_globex.access).send().await;
    denied.expect_error(403, "access_denied");
}

#[tokio::test]
async fn oldest_session_ends_when_there_are_too_many() {
    let member = json!([{"tenant": "acme"}, {"tenant": "globex"}]);
    let service = Service::seeded(&json!({
        "max_sessions": 2,
        "tenants": [{"id": "acme", "name": "Acme"}, {"id": "globex", "name": "Globex"}],
        "users": [user("bob", member.clone()), user("carol", member)],
    }))
    .await;
    let elsewhere = service.login("bob", Some("globex")).await;
    let other = service.login("carol", Some("acme")).await;
    let first = service.login("bob", Some("acme")).await;
    let second = service.login("bob", Some("acme")).await;
    assert!(service.revoked().await.is_empty());
    // One that has ended does not count.
    assert_eq!(end(&service, &second, &second.session).await, StatusCode::NO_CONTENT);
    let third = service.login("bob", Some("acme")).await;
    assert_eq!(service.try_token(&first.access).await, StatusCode::OK);

    let fourth = service.login("bob", Some("acme")).await;
    service.refresh(&first.refresh).await.expect_error(401, "invalid_grant");
    let entry = |grant: &Grant| ("sid".to_owned(), grant.session.clone());
    assert_eq!(service.revoked().await, [entry(&second), entry(&first)]);
    assert_eq!(service.try_token(&first.access).await, StatusCode::UNAUTHORIZED);
    for open in [&third, &fourth, &elsewhere, &other] {
        assert_eq!(service.try_token(&open.access).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn refused_logins_end_no_session() {
    let service = Service::seeded(&json!({"max_sessions": 1, "users": [user("root", json!([{"tenant": null}]))]})).await;
    let open = service.login("root", None).await;
    service.try_login("root", Some("acme")).await.expect_error(403, "access_denied");
    let wrong = json!({"email": "root@example.com", "password": "wrong"});
    service.post("/v1/login").json(&wrong).send().await.expect_error(401, "invalid_grant");
    assert_eq!(service.try_token(&open.access).await, StatusCode::OK);
}

#[tokio::test]
async fn seed_says_which_roles_are_admins() {
    let service = Service::seeded(&json!({
        "admin_roles": ["HR", "OWNER"],
        "tenants": [{"id": "acme", "name": "Acme"}],
        "users": [
            user("alice", json!([{"tenant": "acme", "roles": ["OWNER"]}])),
            user("bob", json!([{"tenant": "acme", "roles": ["admin", {"role": "HR", "department": "d1"}]}])),
        ],
    }))
    .await;
    let alice = service.login("alice", Some("acme")).await;
    let bob = service.login("bob", Some("acme")).await;
    assert_eq!(list(&service, &alice, "?user=bob").await.len(), 1);
    // Neither a role that is none of them, nor one of them within a boundary.
    service.get("/v1/sessions?user=alice").bearer(&bob.access).send().await.expect_error(403, "access_denied");
    assert_eq!(end(&service, &bob, &alice.session).await, StatusCode::NOT_FOUND);
    assert_eq!(end(&service, &alice, &bob.session).await, StatusCode::NO_CONTENT);
}
