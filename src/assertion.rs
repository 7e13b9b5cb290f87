//! Assertions towards the service behind: a short-lived JWT that says what was decided, signed with a key of this process.
//!
//! A service that checks it needs to trust nobody on the way, and not that the headers beside it are ours. The public key is on the
//! admin listener (`/.well-known/jwks.json`). The private one is made at start and never leaves the process, so after a restart
//! there is another one, under another `kid`.

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::pdp::decision::Decision;
use crate::pdp::obligation::AssertionRule;
use crate::pdp::request::AccessRequest;
use crate::pdp::time::UnixTime;

/// `typ` of an assertion, which no access token has (RFC 8725 section 3.11).
pub const TYPE: &str = "portcullis-assertion+jwt";

/// The key of this process.
#[derive(Debug)]
pub struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    /// The encoded JOSE header: the same for all assertions.
    header: String,
    jwk: Value,
}

/// Cryptography failed, which it tells no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningError;

impl std::fmt::Display for SigningError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an assertion could not be signed")
    }
}

impl Signer {
    /// Makes a key (ES256).
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, SigningError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SigningError)?;
        // An uncompressed point (SEC 1 section 2.3.3): 4, x, y.
        let (x, y) = pair.public_key().as_ref().split_first().and_then(|(_, point)| point.split_at_checked(32)).ok_or(SigningError)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 section 3.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, thumbprint.as_bytes()));
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256", "kid": kid, "typ": TYPE }).to_string());
        let jwk = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y });
        Ok(Self { pair, random: SystemRandom::new(), header, jwk })
    }

    /// The public key as a JWK set (RFC 7517 section 5).
    #[must_use]
    pub fn key_set(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// Signs what was decided; `None` if it is about nobody in particular.
    ///
    /// # Errors
    /// When cryptography fails.
    pub fn sign(
        &self,
        rule: &AssertionRule,
        decision_id: &str,
        decision: &Decision,
        request: &AccessRequest<'_>,
        now: UnixTime,
    ) -> Result<Option<String>, SigningError> {
        let Some(principal) = &decision.principal else { return Ok(None) };
        let claims = principal.token().claims();
        let mut payload = Map::new();
        let always = json!({
            "iss": rule.issuer,
            "aud": rule.audience,
            "sub": claims.subject,
            "iat": now.as_seconds(),
            "exp": now.plus(rule.ttl).as_seconds(),
            "jti": decision_id,
            "tenant": principal.tenant().map(|tenant| tenant.as_str()),
            "token_issuer": &*claims.issuer,
            "route": decision.route.as_deref(),
            "method": request.method,
            // Another request than the one that was judged is not what this is about. The query is not part of what is judged.
            "path": request.target.split('?').next(),
        });
        if let Value::Object(always) = always {
            payload.extend(always);
        }
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                payload.insert(name.into(), value.into());
            }
        };
        add("sid", claims.session.as_deref());
        add("client_id", claims.client_id.as_deref());
        add("roles", Some(&claims.roles_text));
        add("permissions", Some(&claims.permissions_text));
        add("scope", decision.scope.as_deref());
        if let Some(actor) = &claims.actor {
            payload.insert("act".into(), json!({ "sub": actor.subject }));
        }
        let input = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(Value::Object(payload).to_string()));
        let signature = self.pair.sign(&self.random, input.as_bytes()).map_err(|_| SigningError)?;
        Ok(Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
