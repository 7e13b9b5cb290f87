//! What tokens say about rights: bounded roles, attributes, custom roles, lifetimes.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Grant, Service, part, user};

/// bob is a lead, and sales in one department.
fn seed(rules: &[(&str, Value)]) -> Value {
    let sales = json!({"role": "sales", "department": "d1"});
    let mut seed = json!({
        "tenants": [
            {"id": "acme", "name": "Acme", "roles": {"lead": ["blog:posts.read", "blog:posts.update"], "unused": ["x"]}},
            {"id": "globex", "name": "Globex", "roles": {"lead": ["chatbot:slots.read"]}},
        ],
        "users": [
            user("bob", json!([
                {"tenant": "acme", "roles": ["lead", sales, "editor"], "permissions": ["own"], "attributes": {"department": "d1", "grade": "7"}},
                {"tenant": "globex", "roles": ["lead"]},
            ])),
            user("carol", json!([{"tenant": "acme", "roles": ["editor"]}])),
        ],
    });
    for (name, value) in rules {
        seed[*name] = value.clone();
    }
    seed
}

async fn claims(service: &Service, tenant: &str) -> Value {
    part(&service.login("bob", Some(tenant)).await.access, 1)
}

#[tokio::test]
async fn token_carries_bounded_roles_attributes_and_what_custom_roles_stand_for() {
    let service = Service::seeded(&seed(&[])).await;
    let acme = claims(&service, "acme").await;
    assert_eq!(acme["roles"], json!(["lead", {"role": "sales", "department": "d1"}, "editor"]));
    assert_eq!(acme["permissions"], json!(["own"]));
    assert_eq!(acme["attributes"], json!({"department": "d1", "grade": "7"}));
    assert_eq!(acme["custom_roles"], json!({"lead": ["blog:posts.read", "blog:posts.update"]}));

    let globex = claims(&service, "globex").await;
    assert_eq!(globex["custom_roles"], json!({"lead": ["chatbot:slots.read"]}));
    assert!(globex.get("attributes").is_none());
    let carol = part(&service.login("carol", Some("acme")).await.access, 1);
    assert!(carol.get("custom_roles").is_none());
}

#[tokio::test]
async fn expanded_roles_are_permissions_and_no_custom_roles() {
    let rules = [("roles", json!({"editor": ["blog:posts.read", "blog:posts.delete"], "sales": ["crm:*"]})), ("expand_roles", json!(true))];
    let service = Service::seeded(&seed(&rules)).await;
    let acme = claims(&service, "acme").await;
    assert_eq!(acme["permissions"], json!(["own", "blog:posts.read", "blog:posts.update", "blog:posts.delete"]));
    assert_eq!(acme["roles"], json!(["lead", {"role": "sales", "department": "d1"}, "editor"]));
    assert!(acme.get("custom_roles").is_none());
    assert_eq!(claims(&service, "globex").await["permissions"], json!(["chatbot:slots.read"]));
}

#[tokio::test]
async fn me_shows_bounded_roles_and_attributes() {
    let service = Service::seeded(&seed(&[])).await;
    let grant = service.login("bob", Some("acme")).await;
    let me = service.get("/v1/me").bearer(&grant.access).send().await.json();
    let expected = json!({
        "sub": "bob", "tenant_id": "acme", "scope": "tenant", "session_id": grant.session,
        "roles": ["lead", {"role": "sales", "department": "d1"}, "editor"], "permissions": ["own"], "services": {},
        "attributes": {"department": "d1", "grade": "7"},
        "custom_roles": {"lead": ["blog:posts.read", "blog:posts.update"]},
    });
    assert_eq!(me, expected);
}

#[tokio::test]
async fn lifetime_is_the_shortest_of_the_roles_and_the_default() {
    let ttl = |roles: Value| [("access_ttl", roles)];
    for (roles, expected) in [
        (json!({"lead": "5m", "editor": "2m"}), 120),
        (json!({"lead": "5m", "sales": "30s"}), 30),
        (json!({"lead": "1h"}), 900),
        (json!({"unused": "1s"}), 900),
    ] {
        let service = Service::seeded(&seed(&ttl(roles.clone()))).await;
        let answer = service.try_login("bob", Some("acme")).await;
        assert_eq!(answer.json()["expires_in"], expected, "{roles}");
        let claims = part(&Grant::of(&answer).access, 1);
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), expected, "{roles}");
        // A refresh follows the same rule.
        let refreshed = service.refresh(&Grant::of(&answer).refresh).await;
        assert_eq!(refreshed.json()["expires_in"], expected, "{roles}");
    }
}

#[tokio::test]
async fn client_may_ask_for_less_than_its_roles_allow_and_not_for_more() {
    let service = Service::seeded(&seed(&[("access_ttl", json!({"lead": "5m"}))])).await;
    for (asked, expected) in [(60, 60), (600, 300)] {
        let body = json!({"email": "bob@example.com", "password": "bob-pw", "tenant": "acme", "access_ttl": asked});
        let answer = service.post("/v1/login").json(&body).send().await;
        assert_eq!((answer.status, &answer.json()["expires_in"]), (StatusCode::OK, &json!(expected)));
    }
}

#[tokio::test]
async fn operator_creates_a_tenant_with_roles_of_its_own() {
    let rules = [("roles", json!({"editor": ["blog:posts.read"]})), ("expand_roles", json!(true))];
    let service = Service::seeded(&seed(&rules)).await;
    let create = |roles: Value, owner: Value| {
        let body =
            json!({"id": "initech", "name": "Initech", "roles": roles, "owner": {"id": "bob", "roles": owner, "attributes": {"x": "1"}}});
        service.post("/v1/admin/tenants").operator().json(&body).send()
    };
    create(json!({"editor": ["*"]}), json!(["editor"])).await.expect_error(400, "invalid_request");
    create(json!({"boss": ["a b"]}), json!(["boss"])).await.expect_error(400, "invalid_request");
    assert_eq!(create(json!({"boss": ["blog:*"]}), json!(["boss"])).await.status, StatusCode::CREATED);
    let claims = claims(&service, "initech").await;
    assert_eq!((&claims["permissions"], &claims["attributes"]), (&json!(["blog:*"]), &json!({"x": "1"})));
}
