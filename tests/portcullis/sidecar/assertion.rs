//! The assertion towards the service behind, as that service would check it.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::token;

const HEADER: &str = "x-portcullis-assertion";

fn with_assertion(text: String) -> String {
    edit(
        &text,
        "challenge_realm: tests\n",
        "challenge_realm: tests\nassertion: { issuer: https://blog.test/portcullis, audience: blog, ttl: 30s }\n",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_can_trust_the_signature_alone() {
    let lab = Lab::with_policy(with_assertion).await;
    let bearer = format!("Bearer {}", token::mint(json!({ "sid": "s1", "permissions": ["blog:posts.read"] })));
    let target = format!("{POST}?draft=1");
    let verdict = lab.sidecar.ask(&Ask::get(&target).header("authorization", &bearer).header(HEADER, "forged")).await;
    let assertion = verdict.header(HEADER).expect("an assertion");
    assert_ne!(assertion, "forged");

    let keys: JwkSet = serde_json::from_value(lab.sidecar.get("/.well-known/jwks.json").await.json()).expect("a JWK set");
    let header = jsonwebtoken::decode_header(assertion).expect("a header");
    assert_eq!((header.typ.as_deref(), header.alg), (Some("portcullis-assertion+jwt"), Algorithm::ES256));
    let key = keys.find(header.kid.as_deref().expect("a kid")).expect("the key");
    let key = DecodingKey::from_jwk(key).expect("a usable key");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.set_issuer(&["https://blog.test/portcullis"]);
    validation.set_audience(&["blog"]);
    let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation).expect("a good signature").claims;
    for (name, value) in [
        ("sub", json!("alice")),
        ("tenant", json!("acme")),
        ("sid", json!("s1")),
        ("roles", json!("viewer")),
        ("permissions", json!("blog:posts.read")),
        ("route", json!("post")),
        ("method", json!("GET")),
        ("path", json!(POST)),
        ("token_issuer", json!("main")),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let lifetime = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
    assert_eq!(lifetime, 30);
    let again = lab.sidecar.ask(&Ask::get(POST).header("authorization", &bearer)).await;
    assert_ne!(again.header(HEADER), Some(assertion), "each one is about one request");

    // It is no access token.
    let stolen = format!("Bearer {assertion}");
    assert_eq!(lab.sidecar.ask(&Ask::get(POST).header("authorization", &stolen)).await.reason, "issuer_unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn about_nobody_there_is_none_and_a_clients_own_is_taken_away() {
    let lab = Lab::with_policy(with_assertion).await;
    for path in ["/blog/health", "/blog/feed"] {
        let verdict = lab.sidecar.ask(&Ask::get(path).header(HEADER, "forged")).await;
        assert!(verdict.passes && verdict.header(HEADER).is_none());
        assert!(verdict.removed.iter().any(|name| name == HEADER), "{path}");
    }
    let refused = lab.sidecar.ask(&Ask::get(POST)).await;
    assert!(!refused.passes && refused.header(HEADER).is_none());
}
