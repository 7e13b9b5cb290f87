//! Verification keys from a JWK set (RFC 7517).

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use jsonwebtoken::DecodingKey;

use super::MAX_JSON_DEPTH;
use super::algorithm::{Algorithm, KeyFamily};
use crate::pdp::json::{self, Json, Object};

/// The most keys of a set that are looked at.
const MAX_KEYS: usize = 256;
/// The longest key id, in bytes.
const MAX_KEY_ID: usize = 256;

/// Identifies a key by its material and the algorithms that it may be used with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Which key of a set made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    key_id: Option<Box<str>>,
    thumbprint: Thumbprint,
}

impl Signer {
    /// `kid`, if the key has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether this very key is in the set, under the same id.
    #[must_use]
    pub fn is_in(&self, keys: &KeySet) -> bool {
        keys.still_has(self.key_id.as_deref(), self.thumbprint)
    }
}

/// A public key that signatures are verified with.
#[derive(Clone)]
pub struct VerificationKey {
    key_id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    thumbprint: Thumbprint,
    decoding: DecodingKey,
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("kid", &self.key_id).field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl VerificationKey {
    /// `kid`, if the key has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What the key is recognized by.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The key as what signed something.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer { key_id: self.key_id.clone(), thumbprint: self.thumbprint }
    }

    /// Whether key and configuration both allow the algorithm.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether this key made the signature (still base64url) over these bytes with this algorithm.
    #[must_use]
    pub fn verifies(&self, signing_input: &[u8], signature: &str, algorithm: Algorithm) -> bool {
        self.allows(algorithm)
            && jsonwebtoken::crypto::verify(signature, signing_input, &self.decoding, algorithm.to_jsonwebtoken()).unwrap_or(false)
    }
}

/// Why a key of a set is not used. A bad key is skipped and counted; it does not sink the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkippedKey {
    /// `kty` or `crv` is none that we know, `oct` included.
    UnknownType,
    /// A member is missing or has the wrong shape.
    Malformed,
    /// `use` or `key_ops` says that it is not for verifying signatures.
    NotForSignatures,
    /// RSA below 2048 or above 8192 bits, or an even or tiny exponent.
    WeakOrOdd,
    /// Neither its `alg` nor its type fits an algorithm that the issuer's configuration lists.
    AlgorithmNotAllowed,
    /// Another key of the set has the same `kid`: both are out.
    DuplicateKeyId,
    /// The set has more keys than are looked at.
    TooMany,
}

impl SkippedKey {
    /// The cause as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::Malformed => "malformed",
            Self::NotForSignatures => "not_for_signatures",
            Self::WeakOrOdd => "weak_or_odd",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::DuplicateKeyId => "duplicate_kid",
            Self::TooMany => "too_many",
        }
    }
}

/// The document is not a JWK set at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKeySet;

impl fmt::Display for NotAKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the document is not a JWK set: a JSON object without duplicate members and with an array \"keys\" (RFC 7517 section 5)",
        )
    }
}

/// The keys of one issuer, as of one fetch.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    by_id: HashMap<Box<str>, VerificationKey, RandomState>,
    without_id: Vec<VerificationKey>,
    skipped: Vec<SkippedKey>,
}

/// Why no key was found for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// The set has no key of this id, or, for a token without `kid`, not exactly one that fits.
    Unknown,
    /// The key is there and does not allow the algorithm.
    AlgorithmNotAllowed,
}

impl KeySet {
    /// Reads a JWK set and keeps the keys that an issuer with these algorithms can use.
    ///
    /// # Errors
    /// When the document is no JWK set. An empty set is one, and is obeyed.
    pub fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, NotAKeySet> {
        let document = json::parse_object(document, MAX_JSON_DEPTH).map_err(|_| NotAKeySet)?;
        let Some(Json::Array(keys)) = document.get("keys") else { return Err(NotAKeySet) };
        let mut set = Self::default();
        let mut disqualified: HashSet<Box<str>> = HashSet::new();
        for (index, key) in keys.iter().enumerate() {
            if index == MAX_KEYS {
                set.skipped.push(SkippedKey::TooMany);
                break;
            }
            let key = match parse_key(key, allowed) {
                Ok(key) => key,
                Err(cause) => {
                    set.skipped.push(cause);
                    continue;
                }
            };
            match key.key_id.clone() {
                None => set.without_id.push(key),
                Some(id) if disqualified.contains(&id) => set.skipped.push(SkippedKey::DuplicateKeyId),
                Some(id) => {
                    if set.by_id.remove(&id).is_some() {
                        set.skipped.extend([SkippedKey::DuplicateKeyId; 2]);
                        disqualified.insert(id);
                    } else {
                        set.by_id.insert(id, key);
                    }
                }
            }
        }
        Ok(set)
    }

    /// Finds the key for a token. Without `kid` there must be exactly one key that fits the algorithm.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn select(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<&VerificationKey, NoKey> {
        if let Some(id) = key_id {
            let key = self.by_id.get(id).ok_or(NoKey::Unknown)?;
            return if key.allows(algorithm) { Ok(key) } else { Err(NoKey::AlgorithmNotAllowed) };
        }
        let mut fitting = self.keys().filter(|key| key.allows(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(NoKey::Unknown),
        }
    }

    /// Whether this very key is still in the set, under the same id.
    #[must_use]
    pub fn still_has(&self, key_id: Option<&str>, thumbprint: Thumbprint) -> bool {
        match key_id {
            Some(id) => self.by_id.get(id).is_some_and(|key| key.thumbprint == thumbprint),
            None => self.without_id.iter().any(|key| key.thumbprint == thumbprint),
        }
    }

    /// All usable keys.
    pub fn keys(&self) -> impl Iterator<Item = &VerificationKey> {
        self.by_id.values().chain(&self.without_id)
    }

    /// What was skipped, and why.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

fn parse_key(key: &Json, allowed: &[Algorithm]) -> Result<VerificationKey, SkippedKey> {
    let Json::Object(key) = key else { return Err(SkippedKey::Malformed) };
    let kty = text(key, "kty")?.ok_or(SkippedKey::Malformed)?;
    let curve = text(key, "crv")?;
    let family = match (kty, curve) {
        ("RSA", _) => KeyFamily::Rsa,
        ("EC", Some("P-256")) => KeyFamily::EcP256,
        ("OKP", Some("Ed25519")) => KeyFamily::Ed25519,
        _ => return Err(SkippedKey::UnknownType),
    };
    check_purpose(key)?;
    let own = text(key, "alg")?;
    let algorithms: Vec<Algorithm> =
        allowed.iter().copied().filter(|a| a.family() == family && own.is_none_or(|own| own == a.as_str())).collect();
    if algorithms.is_empty() {
        return Err(SkippedKey::AlgorithmNotAllowed);
    }
    let key_id = match text(key, "kid")? {
        Some(id) if id.is_empty() || id.len() > MAX_KEY_ID => return Err(SkippedKey::Malformed),
        id => id.map(Box::from),
    };
    let mut material = digest::Context::new(&digest::SHA256);
    for algorithm in &algorithms {
        material.update(algorithm.as_str().as_bytes());
        material.update(b"\0");
    }
    let decoding = match family {
        KeyFamily::Rsa => {
            let (modulus, exponent) = (bytes(key, "n")?, bytes(key, "e")?);
            check_rsa(&modulus, &exponent)?;
            material.update(&modulus);
            material.update(&exponent);
            DecodingKey::from_rsa_raw_components(&modulus, &exponent)
        }
        KeyFamily::EcP256 => {
            let (x, y) = (bytes(key, "x")?, bytes(key, "y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err(SkippedKey::Malformed);
            }
            material.update(&x);
            material.update(&y);
            DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(&x), &URL_SAFE_NO_PAD.encode(&y)).map_err(|_| SkippedKey::Malformed)?
        }
        KeyFamily::Ed25519 => {
            let x = bytes(key, "x")?;
            if x.len() != 32 {
                return Err(SkippedKey::Malformed);
            }
            material.update(&x);
            DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(&x)).map_err(|_| SkippedKey::Malformed)?
        }
    };
    let mut thumbprint = [0; 32];
    thumbprint.copy_from_slice(material.finish().as_ref());
    Ok(VerificationKey { key_id, algorithms, thumbprint: Thumbprint(thumbprint), decoding })
}

/// RFC 7517 sections 4.2 and 4.3.
fn check_purpose(key: &Object) -> Result<(), SkippedKey> {
    if text(key, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(SkippedKey::NotForSignatures);
    }
    match key.get("key_ops") {
        None => Ok(()),
        Some(Json::Array(operations)) => {
            let verify = |operation: &Json| matches!(operation, Json::String(name) if &**name == "verify");
            if operations.iter().any(verify) { Ok(()) } else { Err(SkippedKey::NotForSignatures) }
        }
        Some(_) => Err(SkippedKey::Malformed),
    }
}

/// Both numbers are big-endian without leading zeros.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), SkippedKey> {
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) || exponent.len() > 4 {
        return Err(SkippedKey::WeakOrOdd);
    }
    let exponent = exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if exponent < 65_537 || exponent % 2 == 0 {
        return Err(SkippedKey::WeakOrOdd);
    }
    Ok(())
}

fn text<'k>(key: &'k Object, name: &str) -> Result<Option<&'k str>, SkippedKey> {
    match key.get(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(SkippedKey::Malformed),
    }
}

/// A `Base64urlUInt` or octet sequence, without leading zeros where it is a number of another length than its type's.
fn bytes(key: &Object, name: &str) -> Result<Vec<u8>, SkippedKey> {
    let encoded = text(key, name)?.ok_or(SkippedKey::Malformed)?;
    let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| SkippedKey::Malformed)?;
    if matches!(name, "n" | "e") {
        let zeros = decoded.iter().take_while(|byte| **byte == 0).count();
        return Ok(decoded.get(zeros..).unwrap_or_default().to_vec());
    }
    Ok(decoded)
}
