//! Logging in and refreshing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{Grant, START, Service, part};

#[tokio::test]
async fn login_issues_a_token_with_every_claim() {
    let service = Service::start().await;
    let answer = service.try_login("alice", Some("acme")).await;
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let grant = Grant::of(&answer);
    assert_eq!(URL_SAFE_NO_PAD.decode(&grant.refresh).unwrap().len(), 32);

    let kid = service.identity.keys.current().signing().kid.clone();
    let expected_header = json!({"alg": "RS256", "kid": kid, "typ": "at+jwt"});
    assert_eq!(part(&grant.access, 0), expected_header);
    let mut claims = part(&grant.access, 1);
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().unwrap().len(), 32);
    let expected = json!({
        "iss": "https://id.example.com", "sub": "alice", "aud": ["demo"],
        "iat": START, "nbf": START, "exp": START + 900, "sid": grant.session,
        "tenant_id": "acme", "scope": "tenant", "roles": ["admin"], "permissions": ["blog:posts.read"],
        "services": {"blog": {"enabled": true}}, "auth_time": START, "amr": ["pwd"],
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn rights_differ_from_tenant_to_tenant() {
    let service = Service::start().await;
    let acme = part(&service.login("alice", Some("acme")).await.access, 1);
    let globex = part(&service.login("alice", Some("globex")).await.access, 1);
    assert_eq!((&acme["roles"], &globex["roles"]), (&json!(["admin"]), &json!(["viewer"])));
    assert_eq!(globex["services"], json!({}));
}

#[tokio::test]
async fn platform_user_has_no_tenant() {
    let service = Service::start().await;
    let claims = part(&service.login("root", None).await.access, 1);
    assert_eq!((&claims["tenant_id"], &claims["scope"]), (&Value::Null, &json!("system")));
}

#[tokio::test]
async fn wrong_password_and_unknown_address_get_the_same_answer() {
    let service = Service::start().await;
    let mut answers = Vec::new();
    for (email, password) in
        [("alice@example.com", "wrong"), ("alice@example.com", ""), ("nobody@example.com", "alice-pw"), ("not an address", "x")]
    {
        let body = json!({"email": email, "password": password, "tenant": "acme"});
        let answer = service.post("/v1/login").json(&body).send().await;
        answer.expect_error(401, "invalid_grant");
        answers.push(answer.body);
    }
    let body = json!({"email": "alice@example.com", "password": "x".repeat(2000), "tenant": "acme"});
    answers.push(service.post("/v1/login").json(&body).send().await.body);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[tokio::test]
async fn address_is_compared_without_regard_to_case() {
    let service = Service::start().await;
    let body = json!({"email": "ALICE@Example.com", "password": "alice-pw", "tenant": "acme"});
    assert_eq!(service.post("/v1/login").json(&body).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn login_without_a_membership_is_denied_whether_the_tenant_exists_or_not() {
    let service = Service::start().await;
    let other = service.try_login("bob", Some("globex")).await;
    other.expect_error(403, "access_denied");
    let missing = service.try_login("bob", Some("missing")).await;
    assert_eq!(other.body, missing.body);
    service.try_login("bob", None).await.expect_error(403, "access_denied");
    service.try_login("root", Some("acme")).await.expect_error(403, "access_denied");
}

#[tokio::test]
async fn access_ttl_may_be_shortened_and_stays_short() {
    let service = Service::start().await;
    let login = |ttl: Value| {
        let body = json!({"email": "bob@example.com", "password": "bob-pw", "tenant": "acme", "access_ttl": ttl});
        service.post("/v1/login").json(&body).send()
    };
    assert_eq!(login(json!(100_000)).await.json()["expires_in"], 900);
    for bad in [json!(0), json!(-1), json!(1.5), json!("60")] {
        login(bad).await.expect_error(400, "invalid_request");
    }
    let short = login(json!(60)).await;
    assert_eq!(short.json()["expires_in"], 60);
    let short = Grant::of(&short);
    assert_eq!(service.refresh(&short.refresh).await.json()["expires_in"], 60);
    service.advance(59);
    assert_eq!(service.try_token(&short.access).await, StatusCode::OK);
    service.advance(1);
    assert_eq!(service.try_token(&short.access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn device_name_is_bounded() {
    let service = Service::start().await;
    for (device, status) in [
        (json!("laptop"), StatusCode::OK),
        (json!(null), StatusCode::OK),
        (json!(""), StatusCode::BAD_REQUEST),
        (json!("a\nb"), StatusCode::BAD_REQUEST),
        (json!("x".repeat(129)), StatusCode::BAD_REQUEST),
    ] {
        let body = json!({"email": "bob@example.com", "password": "bob-pw", "tenant": "acme", "device": device});
        assert_eq!(service.post("/v1/login").json(&body).send().await.status, status, "{device}");
    }
}

#[tokio::test]
async fn refresh_rotates_and_keeps_the_session() {
    let service = Service::start().await;
    let first = service.login("alice", Some("acme")).await;
    service.advance(100);
    let second = Grant::of(&service.refresh(&first.refresh).await);
    assert_eq!(second.session, first.session);
    assert_ne!(second.refresh, first.refresh);
    assert_ne!(second.access, first.access);
    let claims = part(&second.access, 1);
    assert_eq!((&claims["iat"], &claims["auth_time"]), (&json!(START + 100), &json!(START)));
    for token in [&first.access, &second.access] {
        assert_eq!(service.try_token(token).await, StatusCode::OK);
    }
    Grant::of(&service.refresh(&second.refresh).await);
}

#[tokio::test]
async fn reuse_of_a_refresh_token_ends_the_whole_session() {
    let service = Service::start().await;
    let first = service.login("alice", Some("acme")).await;
    let other = service.login("alice", Some("acme")).await;
    let second = Grant::of(&service.refresh(&first.refresh).await);
    service.refresh(&first.refresh).await.expect_error(401, "invalid_grant");
    service.refresh(&second.refresh).await.expect_error(401, "invalid_grant");
    assert_eq!(service.try_token(&second.access).await, StatusCode::UNAUTHORIZED);
    let feed = service.get("/v1/revocations").send().await.json();
    assert_eq!((&feed["entries"][0]["type"], &feed["entries"][0]["id"]), (&json!("sid"), &json!(first.session)));
    assert_eq!(feed["entries"].as_array().unwrap().len(), 1);
    assert_eq!(service.try_token(&other.access).await, StatusCode::OK);
}

#[tokio::test]
async fn refresh_token_used_twice_at_once_wins_at_most_once() {
    let service = Service::start().await;
    let grant = service.login("alice", Some("acme")).await;
    let (a, b) = tokio::join!(service.refresh(&grant.refresh), service.refresh(&grant.refresh));
    let won = [a.status, b.status].iter().filter(|status| status.is_success()).count();
    assert_eq!(won, 1);
    assert_eq!(service.try_token(&grant.access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn unknown_expired_and_malformed_refresh_tokens_are_refused_alike() {
    let service = Service::start().await;
    let grant = service.login("alice", Some("acme")).await;
    let unknown = service.refresh("unknown").await;
    unknown.expect_error(401, "invalid_grant");
    service.advance(86_400);
    assert_eq!(service.refresh(&grant.refresh).await.body, unknown.body);
    service.refresh("").await.expect_error(401, "invalid_grant");
    service.post("/v1/token").json(&json!({})).send().await.expect_error(400, "invalid_request");
}

#[tokio::test]
async fn refresh_tokens_are_not_in_the_database() {
    let service = Service::start().await;
    let grant = service.login("alice", Some("acme")).await;
    let stored = service.identity.store.dump().await;
    assert!(stored.contains(&grant.session));
    for secret in [grant.refresh.as_str(), "alice-pw"] {
        assert!(!stored.contains(secret));
    }
}
