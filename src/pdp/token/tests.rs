//! Tokens from the inside: what each part accepts, and that hostile bytes get nothing out of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::jws::CompactJws;
use super::key::KeySet;
use super::profile::{
    AcceptedTypes, ActingPolicy, ClaimNames, ClaimPath, IssuerPolicy, KeyIdPolicy, PolicyFingerprint, RequiredClaims, SourceId,
    TenantRolePolicy,
};
use super::verify::{self, VerifiedToken};
use crate::pdp::decision::Reason;
use crate::pdp::permission::PermissionSyntax;
use crate::pdp::time::UnixTime;

mod cache;
mod cookbook;
mod hostile;
mod jws;
mod key;
mod profile;
mod vectors;

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

/// One Ed25519 key for all tests: it is quick, and its signatures are deterministic.
fn signing_key() -> &'static Ed25519KeyPair {
    static KEY: OnceLock<Ed25519KeyPair> = OnceLock::new();
    KEY.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
}

fn jwk() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": URL_SAFE_NO_PAD.encode(signing_key().public_key()) })
}

fn keys() -> KeySet {
    KeySet::parse(json!({ "keys": [jwk()] }).to_string().as_bytes(), &[Algorithm::EdDsa]).unwrap()
}

fn policy() -> IssuerPolicy {
    let at = |name: &str| Some(ClaimPath(vec![name.into()]));
    IssuerPolicy {
        name: "manager".into(),
        issuer: "https://id.example.com".into(),
        audiences: vec!["blog".into()],
        algorithms: vec![Algorithm::EdDsa],
        types: AcceptedTypes::AccessTokens,
        key_id: KeyIdPolicy::Required,
        required: RequiredClaims::default(),
        leeway: Duration::from_secs(10),
        max_lifetime: None,
        max_token_bytes: 8192,
        wildcards: false,
        tenants: None,
        claims: ClaimNames {
            tenant: at("tenant_id"),
            permissions: at("permissions"),
            roles: at("roles"),
            role: None,
            session: at("sid"),
            realm: at("scope"),
            services: at("services"),
            tenant_roles: at("tenant_roles"),
            attributes: vec![("department".into(), ClaimPath(vec!["department".into()]))],
        },
        syntax: Arc::new(PermissionSyntax::parse("service:resource.action").unwrap()),
        keys: SourceId(1),
        revocations: Box::default(),
        status_lists: Vec::new(),
        acting: ActingPolicy::Role,
        tenant_roles: TenantRolePolicy::default(),
        fingerprint: PolicyFingerprint(1),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "aud": ["blog"], "sub": "alice", "iat": 1_799_999_940, "exp": 1_800_000_300, "jti": "t1", "sid": "s1",
        "tenant_id": "acme", "scope": "tenant", "roles": ["editor"], "permissions": ["blog:posts.read"], "services": { "blog": { "enabled": true } },
    })
}

/// Signs what it is given, whatever that is.
fn sign(header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(signing_key().sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn token(claims: &Value) -> String {
    sign(br#"{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}"#, claims.to_string().as_bytes())
}

fn verify_with(policy: &IssuerPolicy, keys: &KeySet, token: &str) -> Result<VerifiedToken, Reason> {
    let jws = CompactJws::parse(token).map_err(|_| Reason::TokenMalformed)?;
    verify::verify(&jws, policy, keys)
}

fn verify(token: &str) -> Result<VerifiedToken, Reason> {
    verify_with(&policy(), &keys(), token)
}

#[test]
fn a_good_token_says_what_its_claims_say() {
    let verified = verify(&token(&claims())).unwrap();
    let claims = verified.claims();
    assert_eq!((&*claims.issuer, &*claims.subject), ("manager", "alice"));
    assert_eq!(
        (claims.expires, claims.issued_at, claims.not_before),
        (UnixTime::from_seconds(1_800_000_300), Some(UnixTime::from_seconds(1_799_999_940)), None)
    );
    assert_eq!((claims.token_id.as_deref(), claims.session.as_deref(), claims.client_id.as_deref()), (Some("t1"), Some("s1"), None));
    assert_eq!(claims.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!((&*claims.roles_text, &*claims.permissions_text, claims.odd_permissions), ("editor", "blog:posts.read", 0));
    assert_eq!(claims.services, ["blog"].map(Box::from));
    assert_eq!((verified.key_id(), verified.policy()), (Some("k1"), PolicyFingerprint(1)));
    assert!(verified.key_is_in(&keys()) && !verified.key_is_in(&KeySet::default()));
}

#[test]
fn lists_are_bounded_and_one_more_fails_the_token() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        verify(&token(&claims)).map(|_| ())
    };
    let list = |count: usize, unit: &str| Value::Array(vec![json!(unit); count]);
    let services = |count: usize| Value::Object((0..count).map(|n| (format!("s{n}"), json!({ "enabled": true }))).collect());
    assert_eq!(with("roles", list(1024, "r")), Ok(()));
    assert_eq!(with("roles", list(1025, "r")), Err(Reason::ClaimsInvalid));
    assert_eq!(with("permissions", list(1024, "p")), Ok(()));
    assert_eq!(with("permissions", list(1025, "p")), Err(Reason::ClaimsInvalid));
    assert_eq!(with("aud", list(1024, "blog")), Ok(()));
    assert_eq!(with("aud", list(1025, "blog")), Err(Reason::ClaimsInvalid));
    assert_eq!(with("services", services(1024)), Ok(()));
    assert_eq!(with("services", services(1025)), Err(Reason::ClaimsInvalid));
}

#[test]
fn an_id_token_cannot_hide_behind_an_odd_token_use() {
    for token_use in [json!("id"), json!("refresh"), json!("Access"), json!(["access"]), json!(null), json!(1)] {
        let mut claims = claims();
        claims["token_use"] = token_use.clone();
        let token = sign(br#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#, claims.to_string().as_bytes());
        assert_eq!(verify(&token).map(|_| ()), Err(Reason::TypeNotAllowed), "{token_use}");
    }
}
