//! What verifiers fetch, and key rotation.

use http::{StatusCode, header};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{Answer, Service};

async fn rotate(service: &Service) -> String {
    let answer = service.post("/v1/admin/keys/rotate").operator().send().await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()["kid"].as_str().unwrap().to_owned()
}

fn kids(jwks: &Answer) -> Vec<String> {
    let body = jwks.json();
    let keys = body["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn published_key_verifies_an_issued_token() {
    let service = Service::start().await;
    let grant = service.login("alice", Some("acme")).await;
    let jwks = service.get("/.well-known/jwks.json").send().await;
    assert_eq!(jwks.header(header::CONTENT_TYPE), "application/jwk-set+json");
    assert_eq!(jwks.header(header::CACHE_CONTROL), "max-age=60");
    let set: JwkSet = serde_json::from_slice(&jwks.body).unwrap();
    let kid = jsonwebtoken::decode_header(&grant.access).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&["https://id.example.com"]);
    validation.set_audience(&["demo"]);
    // The test's own time is not the wall clock's.
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(&grant.access, &key, &validation).unwrap();
}

#[tokio::test]
async fn unchanged_keys_are_not_sent_again() {
    let service = Service::start().await;
    let get = |tag: &str| service.get("/.well-known/jwks.json").header(header::IF_NONE_MATCH, tag).send();
    let tag = service.get("/.well-known/jwks.json").send().await.header(header::ETAG).to_owned();
    let unchanged = get(&tag).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header(header::ETAG), tag);
    assert_eq!(get("\"other\"").await.status, StatusCode::OK);
    rotate(&service).await;
    assert_eq!(get(&tag).await.status, StatusCode::OK);
}

#[tokio::test]
async fn metadata_names_issuer_and_keys() {
    let service = Service::start().await;
    let metadata = service.get("/.well-known/openid-configuration").send().await.json();
    assert_eq!(metadata["issuer"], "https://id.example.com");
    assert_eq!(metadata["jwks_uri"], "https://id.example.com/.well-known/jwks.json");
}

#[tokio::test]
async fn rotation_signs_with_the_new_key_and_keeps_the_old_one() {
    let service = Service::start().await;
    let old = service.login("bob", Some("acme")).await;
    let old_kid = jsonwebtoken::decode_header(&old.access).unwrap().kid.unwrap();
    let new_kid = rotate(&service).await;
    let new = service.login("bob", Some("acme")).await;
    assert_eq!(jsonwebtoken::decode_header(&new.access).unwrap().kid.unwrap(), new_kid);
    let jwks = service.get("/.well-known/jwks.json").send().await;
    assert_eq!(kids(&jwks), [new_kid.clone(), old_kid.clone()]);
    for token in [&old.access, &new.access] {
        assert_eq!(service.try_token(token).await, StatusCode::OK);
    }
    let listed = service.get("/v1/admin/keys").operator().send().await.json();
    let signing: Vec<(&Value, &Value)> = listed["keys"].as_array().unwrap().iter().map(|key| (&key["kid"], &key["signing"])).collect();
    assert_eq!(signing, [(&json!(new_kid), &json!(true)), (&json!(old_kid), &json!(false))]);
}

#[tokio::test]
async fn removed_key_is_gone_with_its_tokens() {
    let service = Service::start().await;
    let old = service.login("bob", Some("acme")).await;
    let old_kid = jsonwebtoken::decode_header(&old.access).unwrap().kid.unwrap();
    let new_kid = rotate(&service).await;
    let new = service.login("bob", Some("acme")).await;
    let remove = |kid: &str| service.delete(&format!("/v1/admin/keys/{kid}")).operator().send();

    remove(&new_kid).await.expect_error(409, "conflict");
    assert_eq!(remove(&old_kid).await.status, StatusCode::NO_CONTENT);
    remove(&old_kid).await.expect_error(404, "not_found");
    assert_eq!(kids(&service.get("/.well-known/jwks.json").send().await), [new_kid]);
    assert_eq!(service.try_token(&old.access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(service.try_token(&new.access).await, StatusCode::OK);
    // The session itself goes on with the new key.
    assert_eq!(service.refresh(&old.refresh).await.status, StatusCode::OK);
}
