//! The examples of RFC 7520 section 4, "JSON Web Signature Examples", as `cookbook.json` has them: the public parts of the keys, what
//! is signed, and every serialization that the section prints.
//!
//! They all sign a sentence and no JSON object, so the parser refuses each of them as a whole. What would have become of them
//! otherwise is shown for their parts.

use aws_lc_rs::{hmac, signature};

use super::vectors::{check, is_no_key_of_ours, is_not_supported, p521_verifies, verifies};
use super::*;

fn example(section: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("cookbook.json")).unwrap();
    all.into_iter().find(|example| example["section"] == section).expect("an example")
}

/// A key of an example, and what it signed: the algorithm, the bytes, the signature.
fn signed(example: &Value, index: usize) -> (&Value, &str, &str, &str) {
    let part = |name: &str| example["signatures"][index][name].as_str().unwrap();
    (&example["keys"][index], part("alg"), part("input"), part("signature"))
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// What a library says that knows HS256.
fn mac_verifies(jwk: &Value, input: &str, mac: &str) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &decode(jwk["k"].as_str().unwrap()));
    hmac::verify(&key, input.as_bytes(), &decode(mac)).unwrap();
}

#[test]
fn rs256_of_section_4_1() {
    let example = example("4.1");
    let (jwk, algorithm, input, signature) = signed(&example, 0);
    assert_eq!(algorithm, "RS256");
    check(jwk, Algorithm::Rs256, input, signature);
    for other in [Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256] {
        assert!(!verifies(jwk, other, input, signature), "{other}");
    }
}

#[test]
fn ps384_of_section_4_2_is_genuine_and_not_supported() {
    let example = example("4.2");
    let (jwk, algorithm, input, signature) = signed(&example, 0);
    let text = |name: &str| decode(jwk[name].as_str().unwrap());
    let key = signature::RsaPublicKeyComponents { n: text("n"), e: text("e") };
    key.verify(&signature::RSA_PSS_2048_8192_SHA384, input.as_bytes(), &decode(signature)).unwrap();

    is_not_supported(algorithm);
    for other in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256] {
        assert!(!verifies(jwk, other, input, signature), "{other}");
    }
}

#[test]
fn es512_of_section_4_3_is_genuine_and_not_supported() {
    let example = example("4.3");
    let (jwk, algorithm, input, signature) = signed(&example, 0);
    p521_verifies(jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap(), input, signature);
    is_not_supported(algorithm);
    is_no_key_of_ours(jwk);
}

#[test]
fn hs256_of_section_4_4_is_genuine_and_not_supported() {
    let example = example("4.4");
    let (jwk, algorithm, input, signature) = signed(&example, 0);
    mac_verifies(jwk, input, signature);
    is_not_supported(algorithm);
    is_no_key_of_ours(jwk);
}

#[test]
fn detached_content_of_section_4_5_is_no_token() {
    let example = example("4.5");
    let (jwk, _, input, signature) = signed(&example, 0);
    mac_verifies(jwk, input, signature);
    let compact = example["compact"].as_str().unwrap();
    assert!(compact.contains(".."), "the payload travels elsewhere");
    assert!(CompactJws::parse(compact).is_err());
}

#[test]
fn other_serializations_of_sections_4_5_to_4_8_are_no_tokens() {
    for section in ["4.5", "4.6", "4.7", "4.8"] {
        let example = example(section);
        for form in ["json", "flattened"] {
            if section == "4.8" && form == "flattened" {
                // It has three signatures, which the flattened form has no room for.
                continue;
            }
            let text = example[form].to_string();
            assert!(text.starts_with('{'), "{section} {form}");
            assert!(CompactJws::parse(&text).is_err(), "{section} {form}");
            // Nor does any of it pass as a segment of one.
            assert!(CompactJws::parse(&format!("{}.{}.", URL_SAFE_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode("{}"))).is_err());
        }
    }
}

#[test]
fn each_signature_of_section_4_8_counts_for_itself() {
    let example = example("4.8");
    let (jwk, _, input, signature) = signed(&example, 0);
    check(jwk, Algorithm::Rs256, input, signature);
    let (jwk, _, input, signature) = signed(&example, 1);
    p521_verifies(jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap(), input, signature);
    is_no_key_of_ours(jwk);
    let (jwk, _, input, signature) = signed(&example, 2);
    mac_verifies(jwk, input, signature);
    is_no_key_of_ours(jwk);
}

#[test]
fn no_example_is_a_token_as_a_whole() {
    for section in ["4.1", "4.2", "4.3", "4.4", "4.5"] {
        let example = example(section);
        let token = example["compact"].as_str().unwrap();
        assert!(CompactJws::parse(token).is_err(), "{section}: the payload is a sentence");
        // It is the payload alone that keeps the parser from going on: with an object in its place it does.
        let parts: Vec<&str> = token.split('.').collect();
        let with_object = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode("{}"), parts[2]);
        let jws = CompactJws::parse(&with_object).unwrap();
        assert_eq!(&*jws.header.algorithm, example["signatures"][0]["alg"].as_str().unwrap());
    }
}
