//! What services ask.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::super::settings::{ApiSecret, ServiceAccess};
use super::{Service, Setup, user};

fn seed() -> Value {
    let sales = json!([{"role": "SALES", "department": "d1"}, {"role": "SALES", "department": "d2"}, "EMPLOYEE"]);
    json!({
        "tenants": [
            {"id": "acme", "name": "Acme", "roles": {"lead": ["blog:posts.*"], "intern": []}},
            {"id": "globex", "name": "Globex"},
        ],
        "users": [
            user("bob", json!([
                {"tenant": "acme", "roles": ["EMPLOYEE"], "attributes": {"department": "d1"}},
                {"tenant": null, "roles": ["USER"]},
            ])),
            user("carol", json!([{"tenant": "acme", "roles": sales}])),
            user("dave", json!([{"tenant": "acme", "roles": [{"role": "EMPLOYEE", "department": "d2"}]}])),
        ],
        "clients": [{"id": "robot", "secret": "robot-secret", "tenant": "acme", "roles": ["EMPLOYEE"]}],
    })
}

const PATHS: [&str; 2] = ["/v1/directory/bob?tenant=acme", "/v1/roles"];

async fn with(service_access: ServiceAccess) -> Service {
    Setup { service_access, seed: seed().to_string(), ..Setup::default() }.start().await
}

#[tokio::test]
async fn entry_says_who_somebody_is_in_one_tenant() {
    let service = with(ServiceAccess::Open).await;
    for (path, expected) in [
        ("bob?tenant=acme", json!({"user": "bob", "tenant": "acme", "roles": ["EMPLOYEE"], "attributes": {"department": "d1"}})),
        ("bob", json!({"user": "bob", "tenant": null, "roles": ["USER"], "attributes": {}})),
        ("carol?tenant=acme", json!({"user": "carol", "tenant": "acme", "roles": ["SALES", "EMPLOYEE"], "attributes": {}})),
        ("dave?tenant=acme", json!({"user": "dave", "tenant": "acme", "roles": ["EMPLOYEE"], "attributes": {"department": "d2"}})),
    ] {
        let answer = service.get(&format!("/v1/directory/{path}")).send().await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected));
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    }
}

#[tokio::test]
async fn who_is_not_there_is_not_found() {
    let service = with(ServiceAccess::Open).await;
    for path in
        ["nobody?tenant=acme", "bob?tenant=globex", "bob?tenant=missing", "bob?tenant=", "carol", "robot?tenant=acme", "%ff", "a%00b"]
    {
        service.get(&format!("/v1/directory/{path}")).send().await.expect_error(404, "not_found");
    }
    for path in ["bob?tenent=acme", "bob?tenant=acme&tenant=globex"] {
        service.get(&format!("/v1/directory/{path}")).send().await.expect_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn roles_of_tenants_are_listed_with_an_entity_tag() {
    let service = with(ServiceAccess::Open).await;
    let answer = service.get("/v1/roles").send().await;
    assert_eq!(answer.json(), json!({"tenants": {"acme": {"lead": ["blog:posts.*"], "intern": []}}}));
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache");
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    let tag = answer.header(header::ETAG).to_owned();
    let again = |tag: &str| service.get("/v1/roles").header(header::IF_NONE_MATCH, tag).send();
    let unchanged = again(&tag).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(unchanged.header(header::ETAG), tag);
    assert_eq!(again("\"other\"").await.status, StatusCode::OK);

    let tenant = json!({"id": "initech", "name": "Initech", "roles": {"boss": ["x:*"]}, "owner": {"id": "bob", "roles": ["boss"]}});
    assert_eq!(service.post("/v1/admin/tenants").operator().json(&tenant).send().await.status, StatusCode::CREATED);
    let changed = again(&tag).await;
    assert_eq!(changed.json()["tenants"]["initech"], json!({"boss": ["x:*"]}));
    assert_ne!(changed.header(header::ETAG), tag);
}

#[tokio::test]
async fn secret_opens_directory_and_roles_where_one_is_set() {
    let service = with(ServiceAccess::WithSecret(ApiSecret::new("service token", "service-secret").unwrap())).await;
    let bob = service.login("bob", Some("acme")).await;
    for path in PATHS {
        let missing = service.get(path).send().await;
        missing.expect_error(401, "invalid_token");
        assert!(missing.headers.contains_key(header::WWW_AUTHENTICATE));
        for wrong in ["service-secre", "SERVICE-SECRET", super::ADMIN_TOKEN, bob.access.as_str()] {
            service.get(path).bearer(wrong).send().await.expect_error(401, "invalid_token");
        }
        service.get(path).bearer("service-secret").bearer("service-secret").send().await.expect_error(401, "invalid_token");
        assert_eq!(service.get(path).bearer("service-secret").send().await.status, StatusCode::OK);
    }
    // Who may not ask does not learn who exists.
    service.get("/v1/directory/nobody?tenant=acme").send().await.expect_error(401, "invalid_token");
    service.get("/v1/admin/keys").bearer("service-secret").send().await.expect_error(401, "invalid_token");
}

#[tokio::test]
async fn without_a_secret_others_than_this_machine_are_refused() {
    let service = with(ServiceAccess::Refused).await;
    for path in PATHS {
        service.get(path).send().await.expect_error(403, "access_denied");
        service.get(path).bearer("x").send().await.expect_error(403, "access_denied");
    }
}
