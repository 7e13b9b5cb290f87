//! Status lists from the inside: the arrays of the draft, and tokens that lie in every way.

use std::io::Write;
use std::sync::OnceLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use super::statuses::{EncodingError, MAX_BYTES, Width};
use super::verify::StatusListRules;
use super::*;
use crate::pdp::decision::Reason;
use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::key::KeySet;
use crate::pdp::token::profile::KeyIdPolicy;

mod array;
mod token;

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
const URI: &str = "https://id.example.com/statuslists/1";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// The public keys of these seeds, each under the id `k` and its seed.
fn keys(seeds: &[u8]) -> KeySet {
    let jwk = |seed: &u8| json!({ "kty": "OKP", "crv": "Ed25519", "kid": format!("k{seed}"), "x": URL_SAFE_NO_PAD.encode(pair(*seed).public_key()) });
    let document = json!({ "keys": seeds.iter().map(jwk).collect::<Vec<_>>() });
    KeySet::parse(document.to_string().as_bytes(), &[Algorithm::EdDsa]).unwrap()
}

fn rules() -> StatusListRules {
    StatusListRules {
        uri: URI.into(),
        issuer: "https://id.example.com".into(),
        audiences: vec!["blog".into()],
        algorithms: vec![Algorithm::EdDsa],
        key_id: KeyIdPolicy::Required,
        leeway: Duration::from_secs(10),
    }
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lst(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(zlib(bytes))
}

/// The claims of a good list: of its 16 statuses of one bit, the odd ones from 9 up to 15 are INVALID.
fn claims() -> Value {
    json!({ "sub": URI, "iss": "https://id.example.com", "iat": 1_799_999_990, "exp": 1_800_000_600, "ttl": 60, "status_list": { "bits": 1, "lst": lst(&[0, 0b1010_1010]) } })
}

fn sign_with(seed: u8, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(pair(seed).sign(input.as_bytes())))
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "k1", "typ": "statuslist+jwt" })
}

fn sign(claims: &Value) -> String {
    sign_with(1, &header(), claims)
}

fn verify(text: &str) -> Result<StatusList, ListRefused> {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    rules().verify(text, KEYS.get_or_init(|| keys(&[1])), NOW)
}
