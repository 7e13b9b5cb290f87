//! Signing keys, made when they are first used, and the JWK sets that publish them.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::pdp::token::algorithm::{Algorithm, KeyFamily};

/// A key with a name, which is also its `kid` unless a JWK set says otherwise.
pub struct SigningKey {
    /// Its name.
    pub name: &'static str,
    kind: Kind,
    /// Making an RSA key takes longer than everything else that a run does, so a key that nobody uses is never made.
    private: OnceLock<Result<Private, String>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Rsa,
    EcP256,
    Ed25519,
}

enum Private {
    Rsa(RsaKeyPair),
    EcP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// All keys that there are: 2048 bits, P-256, Ed25519.
static KEYS: [SigningKey; 5] = [
    SigningKey::new("rsa-a", Kind::Rsa),
    SigningKey::new("rsa-b", Kind::Rsa),
    SigningKey::new("rsa-c", Kind::Rsa),
    SigningKey::new("ec-a", Kind::EcP256),
    SigningKey::new("ed-a", Kind::Ed25519),
];

/// The key of this name.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<&'static SigningKey, String> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        format!("there is no signing key '{name}'; the keys are {}", names.join(", "))
    })
}

/// The key that an issuer has unless a case says otherwise, and what it signs with: the first of its algorithms, but RS256 if that
/// is one of them.
#[must_use]
pub fn usual(algorithms: &[Algorithm]) -> (&'static str, &'static str) {
    let first = if algorithms.contains(&Algorithm::Rs256) { None } else { algorithms.first() };
    let algorithm = first.copied().unwrap_or(Algorithm::Rs256);
    let name = match algorithm.family() {
        KeyFamily::Rsa => "rsa-a",
        KeyFamily::EcP256 => "ec-a",
        KeyFamily::Ed25519 => "ed-a",
    };
    (name, algorithm.as_str())
}

/// A JWK set with the keys of these names as they are.
///
/// # Errors
/// When there is no such key, or it cannot be made.
pub fn key_set(names: &[&str]) -> Result<Value, String> {
    let jwks = names.iter().map(|name| Ok(Value::Object(named(name)?.jwk()?)));
    Ok(serde_json::json!({ "keys": jwks.collect::<Result<Vec<_>, String>>()? }))
}

impl SigningKey {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, private: OnceLock::new() }
    }

    fn private(&self) -> Result<&Private, String> {
        let make = || match self.kind {
            Kind::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).map(Private::Rsa),
            Kind::EcP256 => EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map(Private::EcP256),
            Kind::Ed25519 => Ed25519KeyPair::generate().map(Private::Ed25519),
        };
        self.private.get_or_init(|| make().map_err(|_| format!("the key '{}' cannot be made", self.name))).as_ref().map_err(Clone::clone)
    }

    /// The algorithm that the key is used with unless a token says otherwise.
    #[must_use]
    pub const fn default_algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Rsa => "RS256",
            Kind::EcP256 => "ES256",
            Kind::Ed25519 => "EdDSA",
        }
    }

    /// Signs with `alg`.
    ///
    /// # Errors
    /// When the key is of another kind.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let failed = || format!("the key '{}' cannot sign with '{algorithm}'", self.name);
        let rsa = |pair: &RsaKeyPair, encoding: &'static dyn RsaEncoding| {
            let mut bytes = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut bytes).map(|()| bytes).map_err(|_| failed())
        };
        match (self.private()?, algorithm) {
            (Private::Rsa(pair), "RS256") => rsa(pair, &signature::RSA_PKCS1_SHA256),
            (Private::Rsa(pair), "RS384") => rsa(pair, &signature::RSA_PKCS1_SHA384),
            (Private::Rsa(pair), "RS512") => rsa(pair, &signature::RSA_PKCS1_SHA512),
            (Private::Rsa(pair), "PS256") => rsa(pair, &signature::RSA_PSS_SHA256),
            (Private::EcP256(pair), "ES256") => {
                pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(|_| failed())
            }
            (Private::Ed25519(pair), "EdDSA") => Ok(pair.sign(message).as_ref().to_vec()),
            _ => Err(failed()),
        }
    }

    /// The public key as a JWK with `kid`, `alg` and `use`.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn jwk(&self) -> Result<Map<String, Value>, String> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut members = vec![("kid", self.name.to_string()), ("alg", self.default_algorithm().to_string()), ("use", "sig".to_string())];
        match self.private()? {
            Private::Rsa(pair) => {
                let key = pair.public_key();
                let (modulus, exponent) = (key.modulus(), key.exponent());
                let (n, e) = (encode(modulus.big_endian_without_leading_zero()), encode(exponent.big_endian_without_leading_zero()));
                members.extend([("kty", "RSA".to_string()), ("n", n), ("e", e)]);
            }
            Private::EcP256(pair) => {
                // An uncompressed point (SEC 1 section 2.3.3): 4, x, y.
                let point = pair.public_key().as_ref().strip_prefix(&[4]).and_then(|point| point.split_at_checked(32));
                let (x, y) = point.ok_or_else(|| format!("the key '{}' is no uncompressed point", self.name))?;
                members.extend([("kty", "EC".to_string()), ("crv", "P-256".to_string()), ("x", encode(x)), ("y", encode(y))]);
            }
            Private::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                members.extend([("kty", "OKP".to_string()), ("crv", "Ed25519".to_string()), ("x", x)]);
            }
        }
        Ok(members.into_iter().map(|(name, value)| (name.to_string(), Value::String(value))).collect())
    }

    /// The public key in a form that somebody might take for an HMAC secret: `pem`, `der` or `n`.
    ///
    /// # Errors
    /// When it is no RSA key, or there is no such form.
    pub fn public_as_secret(&self, form: &str) -> Result<Vec<u8>, String> {
        let Private::Rsa(pair) = self.private()? else { return Err(format!("'{}' is no RSA key", self.name)) };
        let key = pair.public_key();
        let der = key.as_der().map_err(|_| format!("the key '{}' cannot be encoded", self.name))?;
        match form {
            "der" => Ok(der.as_ref().to_vec()),
            "pem" => Ok(pem(der.as_ref())),
            "n" => Ok(key.modulus().big_endian_without_leading_zero().to_vec()),
            other => Err(format!("'{other}' is none of pem, der, n")),
        }
    }
}

fn pem(der: &[u8]) -> Vec<u8> {
    let base64 = STANDARD.encode(der);
    let mut text = b"-----BEGIN PUBLIC KEY-----\n".to_vec();
    for line in base64.as_bytes().chunks(64) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(b"-----END PUBLIC KEY-----\n");
    text
}
