//! The operator API.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{START, Service};

const ENDPOINTS: [(Method, &str); 7] = [
    (Method::GET, "/v1/admin/keys"),
    (Method::POST, "/v1/admin/keys/rotate"),
    (Method::DELETE, "/v1/admin/keys/x"),
    (Method::POST, "/v1/admin/revocations"),
    (Method::POST, "/v1/admin/tenants"),
    (Method::GET, "/v1/admin/tenants"),
    (Method::GET, "/v1/admin/missing"),
];

async fn create(service: &Service, body: &Value) -> super::Answer {
    service.post("/v1/admin/tenants").operator().json(body).send().await
}

#[tokio::test]
async fn missing_and_wrong_tokens_are_refused_everywhere() {
    let service = Service::start().await;
    let admin_user = service.login("root", None).await;
    for (method, path) in ENDPOINTS {
        let call = || service.request(method.clone(), path);
        let missing = call().send().await;
        missing.expect_error(401, "invalid_token");
        assert!(missing.headers.contains_key(header::WWW_AUTHENTICATE));
        for wrong in ["operator-secre", "OPERATOR-SECRET", admin_user.access.as_str()] {
            call().bearer(wrong).send().await.expect_error(401, "invalid_token");
        }
    }
    let keys = service.get("/v1/admin/keys").operator().send().await;
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1);
    service.get("/v1/admin/missing").operator().send().await.expect_error(404, "not_found");
    service.get("/v1/admin/tenants").operator().send().await.expect_error(405, "invalid_request");
}

#[tokio::test]
async fn operator_api_does_not_exist_without_a_configured_token() {
    let service = Service::start_with(None).await;
    let nothing = service.get("/v1/nothing").send().await;
    for (method, path) in ENDPOINTS {
        for call in [
            service.request(method.clone(), path),
            service.request(method.clone(), path).operator(),
            service.request(method.clone(), path).bearer(""),
        ] {
            let answer = call.send().await;
            answer.expect_error(404, "not_found");
            assert_eq!(answer.body, nothing.body);
        }
    }
}

#[tokio::test]
async fn operator_token_is_no_access_token() {
    let service = Service::start().await;
    service.get("/v1/me").operator().send().await.expect_error(401, "invalid_token");
}

#[tokio::test]
async fn malformed_revocations_are_refused() {
    let service = Service::start().await;
    for bad in [
        json!({}),
        json!({"type": "user", "id": "a"}),
        json!({"type": "jti"}),
        json!({"type": "jti", "id": ""}),
        json!({"type": "jti", "id": "a\n"}),
        json!({"type": "jti", "id": "x".repeat(513)}),
        json!({"type": "jti", "id": "a", "before": START}),
        json!({"type": "sub", "id": "a", "before": -1}),
        json!({"type": "sub", "id": "a", "before": 1.5}),
        json!({"type": "sub", "id": "a", "before": i64::MAX}),
        json!({"type": "sub", "id": "a", "befor": START}),
    ] {
        let answer = service.post("/v1/admin/revocations").operator().json(&bad).send().await;
        answer.expect_error(400, "invalid_request");
    }
    assert_eq!(service.get("/v1/revocations").send().await.json()["entries"], json!([]));
}

#[tokio::test]
async fn signing_key_cannot_be_revoked_but_an_older_one_can() {
    let service = Service::start().await;
    let grant = service.login("bob", Some("acme")).await;
    let kid = service.identity.keys.current().signing().kid.clone();
    let revoke = || {
        let body = json!({"type": "kid", "id": kid});
        service.post("/v1/admin/revocations").operator().json(&body).send()
    };
    revoke().await.expect_error(409, "conflict");
    service.post("/v1/admin/keys/rotate").operator().send().await;
    assert_eq!(revoke().await.status, StatusCode::CREATED);
    assert_eq!(service.try_token(&grant.access).await, StatusCode::UNAUTHORIZED);
    let next = super::Grant::of(&service.refresh(&grant.refresh).await);
    assert_eq!(service.try_token(&next.access).await, StatusCode::OK);
}

#[tokio::test]
async fn tenant_is_created_with_a_new_owner() {
    let service = Service::start().await;
    let answer = create(
        &service,
        &json!({"id": "initech", "name": "Initech", "services": {"blog": {"enabled": true}}, "owner": {
            "id": "bill", "email": "Bill@example.com", "password": "bill-pw", "roles": ["owner"], "permissions": ["*"]}}),
    )
    .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.json(), json!({"id": "initech", "owner": "bill"}));
    let grant = service.login("bill", Some("initech")).await;
    let me = service.get("/v1/me").bearer(&grant.access).send().await.json();
    assert_eq!((&me["roles"], &me["permissions"]), (&json!(["owner"]), &json!(["*"])));
    assert_eq!(me["services"], json!({"blog": {"enabled": true}}));
}

#[tokio::test]
async fn tenant_is_created_with_an_existing_owner() {
    let service = Service::start().await;
    let body = json!({"id": "initech", "name": "Initech", "owner": {"id": "bob", "roles": ["owner"]}});
    assert_eq!(create(&service, &body).await.status, StatusCode::CREATED);
    service.login("bob", Some("initech")).await;
    service.login("bob", Some("acme")).await;
    create(&service, &body).await.expect_error(409, "conflict");
}

#[tokio::test]
async fn failing_owner_leaves_no_tenant() {
    let service = Service::start().await;
    let before = service.identity.store.dump().await;
    let owner = |owner: Value| json!({"id": "initech", "name": "Initech", "owner": owner});
    for (body, status, code) in [
        // There is no such user, and nothing to make one from.
        (owner(json!({"id": "nobody", "roles": ["owner"]})), 400, "invalid_request"),
        (owner(json!({"id": "new", "email": "new@x", "roles": ["owner"]})), 400, "invalid_request"),
        (owner(json!({"id": "new", "password": "p", "roles": ["owner"]})), 400, "invalid_request"),
        // Another user's address, also in another spelling.
        (owner(json!({"id": "new", "email": "ALICE@example.com", "password": "p", "roles": ["owner"]})), 409, "conflict"),
        // An existing user's password cannot be set this way, nor the user be named by another address.
        (owner(json!({"id": "bob", "email": "bob@example.com", "password": "p", "roles": ["owner"]})), 409, "conflict"),
        (owner(json!({"id": "bob", "email": "alice@example.com", "roles": ["owner"]})), 409, "conflict"),
        // Nobody could do anything.
        (owner(json!({"id": "bob"})), 400, "invalid_request"),
        (owner(json!({"id": "bob", "roles": ["a,b"]})), 400, "invalid_request"),
        (json!({"id": "a/b", "name": "x", "owner": {"id": "bob", "roles": ["owner"]}}), 400, "invalid_request"),
        (json!({"id": "initech", "name": "Initech"}), 400, "invalid_request"),
    ] {
        create(&service, &body).await.expect_error(status, code);
        assert_eq!(service.identity.store.dump().await, before, "{body}");
    }
}
