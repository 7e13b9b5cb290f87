//! The seed file against a database.

use std::sync::Arc;

use http::StatusCode;

use super::super::error::StartError;
use super::super::{Identity, seed};
use super::{SEED, Service};

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
