//! The seed file against a database.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::super::clock::Clock;
use super::super::error::StartError;
use super::super::store::Database;
use super::super::{Identity, seed};
use super::{SEED, Service, Setup, part, settings, user};

/// Applies a seed file with this content.
pub async fn apply(identity: &Arc<Identity>, text: &str) -> Result<(), StartError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    seed::apply(identity, file.path()).await
}

#[tokio::test]
async fn seed_again_changes_nothing() {
    let service = Service::start().await;
    let before = service.identity.store.dump().await;
    let changed = SEED.replace("bob-pw", "other-pw").replace("Acme", "Other").replace("viewer", "owner");
    apply(&service.identity, &changed).await.unwrap();
    assert_eq!(service.identity.store.dump().await, before);
    assert_eq!(service.try_login("bob", Some("acme")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn seed_adds_what_is_missing() {
    let service = Service::start().await;
    let more = r#"{"tenants":[{"id":"initech","name":"Initech"}],"users":[
        {"id":"bob","email":"bob@example.com","password":"other","memberships":[{"tenant":"initech"}]},
        {"id":"bill","email":"bill@example.com","password":"bill-pw","memberships":[{"tenant":"acme"}]}]}"#;
    apply(&service.identity, more).await.unwrap();
    for (user, tenant) in [("bob", "initech"), ("bob", "acme"), ("bill", "acme")] {
        service.login(user, Some(tenant)).await;
    }
}

#[tokio::test]
async fn seed_is_applied_whole_or_not_at_all() {
    let service = Service::start().await;
    let before = service.identity.store.dump().await;
    let orphan = r#"{"tenants":[{"id":"initech","name":"Initech"}],"users":[
        {"id":"bill","email":"bill@x","password":"p","memberships":[{"tenant":"initech"},{"tenant":"missing"}]}]}"#;
    let error = apply(&service.identity, orphan).await.unwrap_err().to_string();
    assert!(error.contains("user \"bill\" is a member of tenant \"missing\""), "{error}");
    assert_eq!(service.identity.store.dump().await, before);

    let taken = r#"{"tenants":[{"id":"initech","name":"Initech"}],"users":[
        {"id":"bill","email":"bob@example.com","password":"p"}]}"#;
    let error = apply(&service.identity, taken).await.unwrap_err().to_string();
    assert!(error.contains("email"), "{error}");
    assert_eq!(service.identity.store.dump().await, before);
}

#[tokio::test]
async fn unreadable_seed_is_named() {
    let service = Service::start().await;
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.json");
    for path in [missing.as_path(), directory.path()] {
        let error = seed::apply(&service.identity, path).await.unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    std::fs::write(&missing, [0xff, 0xfe]).unwrap();
    assert!(seed::apply(&service.identity, &missing).await.is_err());
}

#[tokio::test]
async fn clients_need_a_tenant_and_a_name_of_their_own() {
    let service = Service::start().await;
    let client = |id: &str, tenant: &str| json!({"id": id, "secret": "s", "tenant": tenant});
    let before = service.identity.store.dump().await;
    let rules = service.identity.rules();
    for (seed, expected) in [
        (json!({"clients": [client("new", "missing")]}), "client \"new\" is one of tenant \"missing\""),
        (json!({"clients": [client("new", "acme"), client("bob", "acme")]}), "\"bob\" is the identifier of a user and of a client"),
    ] {
        let mut seed = seed;
        seed["max_sessions"] = json!(1);
        let error = apply(&service.identity, &seed.to_string()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(service.identity.store.dump().await, before);
        assert_eq!(service.identity.rules(), rules);
    }
    apply(&service.identity, &json!({"clients": [client("reporting", "acme")]}).to_string()).await.unwrap();
    let error = apply(&service.identity, &json!({"users": [user("reporting", json!([]))]}).to_string()).await.unwrap_err().to_string();
    assert!(error.contains("\"reporting\" is the identifier of a user and of a client"), "{error}");

    let owner = json!({"id": "reporting", "email": "r@example.com", "password": "p", "roles": ["owner"]});
    let tenant = json!({"id": "initech", "name": "Initech", "owner": owner});
    service.post("/v1/admin/tenants").operator().json(&tenant).send().await.expect_error(409, "conflict");
}

#[tokio::test]
async fn rules_are_those_of_the_last_seed_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::File(directory.path().join("identity.db"));
    let start = |seed: String| Setup { database: database.clone(), seed, ..Setup::default() }.start();
    let seed = |rules: serde_json::Value| {
        let mut seed: serde_json::Value = serde_json::from_str(SEED).unwrap();
        seed.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        seed.to_string()
    };
    let rules = json!({"roles": {"viewer": ["blog:posts.read"]}, "expand_roles": true, "max_sessions": 2, "access_ttl": {"x": "90s"},
                       "impersonators": ["x"], "admin_roles": []});
    let first = start(seed(rules)).await;
    let kept = first.identity.rules();
    drop(first);
    let again = Identity::open(&database, settings(), Clock::System).await.unwrap();
    assert_eq!(again.rules(), kept);
    drop(again);

    let changed = start(seed(json!({"roles": {"viewer": ["blog:posts.write"]}, "expand_roles": true}))).await;
    let claims = part(&changed.login("bob", Some("acme")).await.access, 1);
    assert_eq!(claims["permissions"], json!(["blog:posts.write"]));
    assert_eq!(changed.identity.rules().max_sessions, None);
}
