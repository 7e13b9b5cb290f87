//! Tokens that are in date now, signed by the test's own keys: what the stub of an identity service would issue.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::clock;
use portcullis::policy_test::token::{Tampering, TokenSpec};
use serde_json::{Value, json};

use crate::support::mint_text;

/// `iss` of every token of the tests, whoever signs it: the sidecar only compares it.
pub const ISSUER: &str = "http://identity.test";

/// `iss` of the second issuer of the tests' policy, which the tests sign for themselves.
pub const SECOND_ISSUER: &str = "http://second.test";

/// The second issuer's key.
pub const SECOND_KEY: &str = "rsa-b";

/// Now, in seconds since the epoch.
pub fn now() -> i64 {
    clock::now().as_seconds()
}

/// A token of alice, a viewer in acme, with these claims besides or instead. Each one has a `jti` and a `sid` of its own.
pub fn mint(claims: Value) -> String {
    mint_text(&spec(claims))
}

/// The same, signed by another key.
pub fn mint_with_key(key: &str, claims: Value) -> String {
    let mut spec = spec(claims);
    spec.key = key.into();
    mint_text(&spec)
}

/// The same from the second issuer.
pub fn mint_second(mut claims: Value) -> String {
    claims["iss"] = SECOND_ISSUER.into();
    mint_with_key(SECOND_KEY, claims)
}

/// A token of the second issuer, one bit of whose signature is wrong.
pub fn forge(mut claims: Value) -> String {
    claims["iss"] = SECOND_ISSUER.into();
    let mut spec = spec(claims);
    spec.key = SECOND_KEY.into();
    spec.tampering = vec![Tampering::Flip(1000)];
    mint_text(&spec)
}

fn spec(claims: Value) -> TokenSpec {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = now();
    let usual = json!({
        "iss": ISSUER, "aud": ["demo"], "sub": "alice", "iat": now, "nbf": now, "exp": now + 900,
        "jti": format!("token-{number}"), "sid": format!("session-{number}"),
        "tenant_id": "acme", "scope": "tenant", "roles": ["viewer"], "permissions": [],
        "services": { "blog": { "enabled": true } },
    });
    let mut spec = TokenSpec::with_claims(usual);
    spec.claims.extend(claims.as_object().expect("claims").clone());
    spec
}
