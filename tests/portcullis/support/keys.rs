//! Signing keys, made once per process, and the JWK sets that publish them.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// A key with a name, which is also its `kid` unless a JWK set says otherwise.
pub struct SigningKey {
    pub name: &'static str,
    private: Private,
}

enum Private {
    Rsa(RsaKeyPair),
    EcP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// All keys that there are: `rsa-a`, `rsa-b`, `rsa-c` (2048 bits), `ec-a` (P-256) and `ed-a` (Ed25519).
pub fn all() -> &'static [SigningKey] {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let rsa = |name| SigningKey { name, private: Private::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("RSA key")) };
        let ec = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("EC key");
        let ed = Ed25519KeyPair::generate().expect("Ed25519 key");
        vec![
            rsa("rsa-a"),
            rsa("rsa-b"),
            rsa("rsa-c"),
            SigningKey { name: "ec-a", private: Private::EcP256(ec) },
            SigningKey { name: "ed-a", private: Private::Ed25519(ed) },
        ]
    })
}

/// The key of this name.
pub fn named(name: &str) -> Result<&'static SigningKey, String> {
    all().iter().find(|key| key.name == name).ok_or_else(|| {
        let names: Vec<&str> = all().iter().map(|key| key.name).collect();
        format!("there is no signing key '{name}'; the keys are {}", names.join(", "))
    })
}

impl SigningKey {
    /// The algorithm that the key is used with unless a token says otherwise.
    pub fn default_algorithm(&self) -> &'static str {
        match self.private {
            Private::Rsa(_) => "RS256",
            Private::EcP256(_) => "ES256",
            Private::Ed25519(_) => "EdDSA",
        }
    }

    /// Signs with `alg`.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let rsa = |pair: &RsaKeyPair, encoding: &'static dyn RsaEncoding| {
            let mut bytes = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut bytes).expect("an RSA signature");
            bytes
        };
        Ok(match (&self.private, algorithm) {
            (Private::Rsa(pair), "RS256") => rsa(pair, &signature::RSA_PKCS1_SHA256),
            (Private::Rsa(pair), "RS384") => rsa(pair, &signature::RSA_PKCS1_SHA384),
            (Private::Rsa(pair), "RS512") => rsa(pair, &signature::RSA_PKCS1_SHA512),
            (Private::Rsa(pair), "PS256") => rsa(pair, &signature::RSA_PSS_SHA256),
            (Private::EcP256(pair), "ES256") => pair.sign(&SystemRandom::new(), message).expect("an ECDSA signature").as_ref().to_vec(),
            (Private::Ed25519(pair), "EdDSA") => pair.sign(message).as_ref().to_vec(),
            _ => return Err(format!("the key '{}' cannot sign with '{algorithm}'", self.name)),
        })
    }

    /// The public key as a JWK with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Map<String, Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let material = match &self.private {
            Private::Rsa(pair) => {
                let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": encode(modulus), "e": encode(exponent) })
            }
            Private::EcP256(pair) => {
                // An uncompressed point (SEC 1 section 2.3.3): 4, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Private::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) }),
        };
        let mut jwk = json!({ "kid": self.name, "alg": self.default_algorithm(), "use": "sig" }).as_object().unwrap().clone();
        jwk.extend(material.as_object().unwrap().clone());
        jwk
    }

    /// The public key in a form that somebody might take for an HMAC secret: `pem`, `der` or `n`.
    pub fn public_as_secret(&self, form: &str) -> Result<Vec<u8>, String> {
        let Private::Rsa(pair) = &self.private else { return Err(format!("'{}' is no RSA key", self.name)) };
        let der = pair.public_key().as_der().expect("a DER encoding");
        Ok(match form {
            "der" => der.as_ref().to_vec(),
            "pem" => {
                let base64 = STANDARD.encode(der.as_ref());
                let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
                format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")).into_bytes()
            }
            "n" => rsa_numbers(pair.public_key().as_ref()).0.to_vec(),
            other => return Err(format!("'{other}' is none of pem, der, n")),
        })
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1), without leading zeros.
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let (sequence, _) = der_value(der, 0x30);
    let (modulus, rest) = der_value(sequence, 0x02);
    let (exponent, _) = der_value(rest, 0x02);
    let strip = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    (&modulus[strip(modulus)..], &exponent[strip(exponent)..])
}

/// The contents of a DER value, and what follows it.
fn der_value(der: &[u8], tag: u8) -> (&[u8], &[u8]) {
    assert_eq!(der[0], tag, "another DER tag was expected");
    let (length, start) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            (der[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + count)
        }
    };
    (&der[start..start + length], &der[start + length..])
}

/// A JWK set with these keys as they are.
pub fn key_set<'k>(keys: impl IntoIterator<Item = &'k SigningKey>) -> Value {
    json!({ "keys": keys.into_iter().map(|key| Value::Object(key.jwk())).collect::<Vec<_>>() })
}
