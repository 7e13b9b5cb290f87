//! What both benchmarks work on: one issuer with an RSA-2048 key, tokens of it, routes, and requests that fit both.
#![allow(dead_code, reason = "each benchmark uses its part")]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::pdp::time::UnixTime;
use serde_json::{Value, json};

/// `iss` of every token.
const ISSUER: &str = "https://id.example.com";
/// `aud` of every token.
const AUDIENCE: &str = "api.example.com";
/// `kid` of the one key that the configuration trusts.
const KEY_ID: &str = "2026-11";
/// How long tokens live, in seconds.
const LIFETIME: i64 = 3600;
/// How many permissions a token carries.
const PERMISSIONS: usize = 20;

/// Somebody who signs tokens.
pub struct Signer {
    key: KeyPair,
}

impl Signer {
    /// With a new key. Two signers use the same `kid`: the one whose set is not published is a forger.
    pub fn generate() -> Self {
        Self { key: KeyPair::generate(KeySize::Rsa2048).expect("an RSA key") }
    }

    /// The JWK set (RFC 7517) with the public key.
    pub fn jwks(&self) -> String {
        let public = self.key.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        }] })
        .to_string()
    }

    /// The public key as `SubjectPublicKeyInfo`.
    pub fn public_key_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().expect("a public key");
        der.as_ref().to_vec()
    }

    /// Signs claims (RFC 7515 section 3.1).
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": KEY_ID });
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).expect("a signature");
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        token
    }
}

/// A set of routes `/api/{service}/tenants/{tenant}/{resource}/{id}`, and tokens and requests for them.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// How many routes there are.
    pub routes: usize,
    /// The time at which tokens are issued.
    pub now: UnixTime,
}

impl Workload {
    fn resource(&self, route: usize) -> (String, String) {
        let services = self.routes.isqrt();
        (format!("svc{}", route % services), format!("res{}", route / services))
    }

    fn permission(&self, route: usize, action: &str) -> String {
        let (service, resource) = self.resource(route);
        format!("{service}:{resource}.{action}")
    }

    /// The configuration without listeners. `jwks` and `revocations` are what stands under these keys.
    pub fn configuration(&self, jwks: &str, revocations: Option<&str>) -> String {
        let mut yaml = format!("issuers:\n  id:\n    issuer: {ISSUER}\n    audiences: [{AUDIENCE}]\n    jwks: {jwks}\n");
        if let Some(revocations) = revocations {
            yaml += &format!("    revocations: {revocations}\n");
        }
        yaml += "    claims: { tenant: tenant_id, permissions: permissions, roles: roles }\n";
        yaml += "permissions: { syntax: \"service:resource.action\" }\n";
        yaml += "roles: { editor: { permissions: [\"drafts:*\"] }, member: { permissions: [] } }\n";
        yaml += "routes:\n";
        for route in 0..self.routes {
            let (service, resource) = self.resource(route);
            yaml += &format!(
                "  - path: /api/{service}/tenants/{{tenant}}/{resource}/{{id}}\n    tenant: {{ path: tenant }}\n    methods: {{ GET: {{ permission: \"{}\" }}, POST: {{ permission: \"{}\" }} }}\n",
                self.permission(route, "read"),
                self.permission(route, "write"),
            );
        }
        yaml
    }

    /// The routes that a holder may read, out of all; half as many as permissions, since the holder may write there too.
    fn granted(&self, holder: usize) -> impl Iterator<Item = usize> + use<> {
        let routes = self.routes;
        (0..PERMISSIONS / 2).map(move |n| (holder * 7 + n) % routes)
    }

    fn tenant(holder: usize) -> String {
        format!("tenant-{:03}", holder % 100)
    }

    /// The claims of a holder's token, about 1.2 KB when it is signed. `jti` and `sid` are unique per holder.
    pub fn claims(&self, holder: usize) -> Value {
        let permissions: Vec<String> =
            self.granted(holder).flat_map(|route| [self.permission(route, "read"), self.permission(route, "write")]).collect();
        let issued = self.now.as_seconds() - 60;
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{holder:08}"), "iat": issued, "exp": issued + LIFETIME,
            "jti": format!("0193f3a2-7c1e-7000-8000-{holder:012x}"), "sid": format!("0193f3a2-7c1e-7000-9000-{holder:012x}"),
            "tenant_id": Self::tenant(holder), "roles": ["member", "editor"], "permissions": permissions,
        })
    }

    /// A request that the holder of this token may make.
    pub fn request(&self, holder: usize, token: &str) -> Request {
        let route = self.granted(holder).nth(holder % (PERMISSIONS / 2)).expect("a granted route");
        Request::new(self, route, &Self::tenant(holder), holder, token)
    }

    /// One for which the holder's token has no permission.
    pub fn request_without_permission(&self, holder: usize, token: &str) -> Request {
        let route =
            (0..self.routes).find(|route| !self.granted(holder).any(|granted| granted == *route)).expect("a route that is not granted");
        Request::new(self, route, &Self::tenant(holder), holder, token)
    }

    /// One into the next tenant.
    pub fn request_across_tenants(&self, holder: usize, token: &str) -> Request {
        let route = self.granted(holder).next().expect("a granted route");
        Request::new(self, route, &Self::tenant(holder + 1), holder, token)
    }
}

/// A request as Envoy sees it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// `:authority`.
    pub authority: &'static str,
    /// All headers, with the pseudo-headers that Envoy passes on among them.
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    fn new(workload: &Workload, route: usize, tenant: &str, number: usize, token: &str) -> Self {
        let (service, resource) = workload.resource(route);
        let path = format!("/api/{service}/tenants/{tenant}/{resource}/{number:08x}");
        let headers = vec![
            (":authority", AUDIENCE.to_string()),
            (":method", "GET".to_string()),
            (":path", path.clone()),
            (":scheme", "https".to_string()),
            ("accept", "application/json".to_string()),
            ("accept-encoding", "gzip".to_string()),
            ("authorization", format!("Bearer {token}")),
            ("traceparent", format!("00-4bf92f3577b34da6{number:016x}-00f067aa{number:08x}-01")),
            ("user-agent", "okhttp/4.12.0".to_string()),
            ("x-forwarded-for", "10.1.2.3".to_string()),
            ("x-forwarded-proto", "https".to_string()),
            ("x-request-id", format!("6b1f2c1e-63a1-4b58-9d15-{number:012x}")),
        ];
        Self { method: "GET", path, authority: AUDIENCE, headers }
    }
}
