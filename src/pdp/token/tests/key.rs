use proptest::prelude::*;

use super::*;
use crate::pdp::token::key::{NoKey, NotAKeySet, SkippedKey};

const ALL: &[Algorithm] = &Algorithm::ALL;

fn set(keys: Value, allowed: &[Algorithm]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), allowed).unwrap()
}

/// A number of so many bits: the highest and the lowest are set.
fn number(bits: usize) -> String {
    let mut bytes = vec![0x55; bits.div_ceil(8)];
    bytes[0] = 1 << ((bits - 1) % 8);
    *bytes.last_mut().unwrap() |= 1;
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(members: Value) -> Value {
    let mut key = json!({ "kty": "RSA", "kid": "r", "n": number(2048), "e": "AQAB" });
    for (name, value) in members.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

/// What becomes of one RSA key with these members.
fn fate(members: Value) -> Result<(), SkippedKey> {
    let set = set(json!([rsa(members)]), &[Algorithm::Rs256]);
    match (set.keys().count(), set.skipped()) {
        (1, []) => Ok(()),
        (0, [cause]) => Err(*cause),
        other => panic!("a key is used or skipped, and not {other:?}"),
    }
}

#[test]
fn a_document_that_is_no_key_set_is_refused_whole() {
    for document in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        br#"{"keys":null}"#,
        br#"{"keys":{}}"#,
        br#"{"keys":"x"}"#,
        br#"{"keys":[]} x"#,
        br#"{"keys":[],"keys":[]}"#,
        br#"{"keys":[{"kty":"RSA","kty":"RSA"}]}"#,
        br#"{"Keys":[]}"#,
        b"<html></html>",
        b"\xef\xbb\xbf{\"keys\":[]}",
        b"{\"keys\":[\"\xff\"]}",
    ] {
        assert_eq!(KeySet::parse(document, ALL).map(|_| ()), Err(NotAKeySet), "{}", String::from_utf8_lossy(document));
    }
    assert_eq!(KeySet::parse(br#"{"keys":[],"other":1}"#, ALL).unwrap().keys().count(), 0);
}

#[test]
fn rsa_keys_are_of_2048_to_8192_bits() {
    for bits in [2048, 2049, 3072, 4096, 8191, 8192] {
        assert_eq!(fate(json!({ "n": number(bits) })), Ok(()), "{bits}");
    }
    for bits in [1, 8, 512, 1024, 2040, 2047, 8193, 16_384] {
        assert_eq!(fate(json!({ "n": number(bits) })), Err(SkippedKey::WeakOrOdd), "{bits}");
    }
    let padded = URL_SAFE_NO_PAD.encode([&[0_u8; 100][..], &[0xff; 128]].concat());
    assert_eq!(fate(json!({ "n": padded })), Err(SkippedKey::WeakOrOdd), "leading zeros are no bits");
    assert_eq!(fate(json!({ "n": "" })), Err(SkippedKey::WeakOrOdd));
}

#[test]
fn exponents_are_odd_and_not_tiny() {
    let exponent = |bytes: &[u8]| fate(json!({ "e": URL_SAFE_NO_PAD.encode(bytes) }));
    for good in [&[1, 0, 1][..], &[0, 1, 0, 1], &[1, 0, 3], &[0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(exponent(good), Ok(()), "{good:?}");
    }
    for bad in [&[][..], &[0], &[1], &[3], &[17], &[0xff, 0xff], &[1, 0, 0], &[1, 0, 2], &[1, 0, 0, 0, 1]] {
        assert_eq!(exponent(bad), Err(SkippedKey::WeakOrOdd), "{bad:?}");
    }
}

#[test]
fn members_have_their_types() {
    for (member, values) in [
        ("kty", vec![json!(null), json!(1), json!(["RSA"])]),
        ("n", vec![json!(null), json!(1), json!("*"), json!("AQ=="), json!("A B")]),
        ("e", vec![json!(null), json!(65_537), json!("AQAB=")]),
        ("kid", vec![json!(null), json!(1), json!(""), json!("k".repeat(257))]),
        ("alg", vec![json!(null), json!(1), json!(["RS256"])]),
        ("use", vec![json!(null), json!(1)]),
        ("key_ops", vec![json!(null), json!("verify"), json!({})]),
    ] {
        for value in values {
            assert_eq!(fate(json!({ member: value })), Err(SkippedKey::Malformed), "{member}: {value}");
        }
    }
    assert_eq!(fate(json!({ "kid": "k".repeat(256), "x": { "y": [null] } })), Ok(()));
}

#[test]
fn keys_are_for_verifying_signatures() {
    assert_eq!(fate(json!({ "use": "sig" })), Ok(()));
    assert_eq!(fate(json!({ "key_ops": ["verify"] })), Ok(()));
    assert_eq!(fate(json!({ "key_ops": ["sign", "verify"] })), Ok(()));
    for members in [
        json!({ "use": "enc" }),
        json!({ "use": "Sig" }),
        json!({ "use": "" }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": ["Verify"] }),
        json!({ "key_ops": [1] }),
        json!({ "use": "sig", "key_ops": ["encrypt"] }),
        json!({ "use": "enc", "key_ops": ["verify"] }),
    ] {
        assert_eq!(fate(members.clone()), Err(SkippedKey::NotForSignatures), "{members}");
    }
}

#[test]
fn unknown_types_are_ignored_and_symmetric_keys_are_among_them() {
    for (kty, curve) in [
        ("oct", None),
        ("rsa", None),
        ("AKP", None),
        ("EC", None),
        ("EC", Some("P-384")),
        ("EC", Some("secp256k1")),
        ("OKP", Some("X25519")),
        ("OKP", Some("Ed448")),
    ] {
        let mut key = json!({ "kty": kty, "kid": "k", "k": "AAAA", "x": number(256), "y": number(256), "n": number(2048), "e": "AQAB" });
        if let Some(curve) = curve {
            key["crv"] = json!(curve);
        }
        assert_eq!(set(json!([key]), ALL).skipped(), [SkippedKey::UnknownType], "{kty} {curve:?}");
    }
}

#[test]
fn coordinates_have_their_length() {
    let ec = |x: &str, y: &str| set(json!([{ "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y }]), ALL).skipped().first().copied();
    assert_eq!(ec(&number(256), &number(256)), None);
    assert_eq!(ec(&number(248), &number(256)), Some(SkippedKey::Malformed));
    assert_eq!(ec(&number(256), &number(264)), Some(SkippedKey::Malformed));
    let ed = |x: &str| set(json!([{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }]), ALL).skipped().first().copied();
    assert_eq!(ed(&number(256)), None);
    assert_eq!(ed(&number(248)), Some(SkippedKey::Malformed));
    assert_eq!(ed(""), Some(SkippedKey::Malformed));
}

#[test]
fn the_algorithm_comes_from_key_and_configuration() {
    let allowed = |members: Value, allowed: &[Algorithm]| -> Vec<Algorithm> {
        let set = set(json!([rsa(members)]), allowed);
        set.keys().flat_map(|key| ALL.iter().copied().filter(|algorithm| key.allows(*algorithm)).collect::<Vec<_>>()).collect()
    };
    use Algorithm::{EdDsa, Es256, Ps256, Rs256, Rs512};
    assert_eq!(allowed(json!({}), &[Rs256]), [Rs256]);
    assert_eq!(allowed(json!({}), &[Rs256, Ps256, Es256]), [Rs256, Ps256]);
    assert_eq!(allowed(json!({ "alg": "PS256" }), &[Rs256, Ps256]), [Ps256]);
    assert_eq!(allowed(json!({ "alg": "RS256" }), &[Rs512, Rs256]), [Rs256]);
    for none in ["ES256", "none", "HS256", "rs256", "RSA-OAEP", ""] {
        assert_eq!(fate(json!({ "alg": none })), Err(SkippedKey::AlgorithmNotAllowed), "{none}");
    }
    assert_eq!(set(json!([rsa(json!({}))]), &[Es256, EdDsa]).skipped(), [SkippedKey::AlgorithmNotAllowed]);
}

#[test]
fn a_bad_key_does_not_sink_the_set() {
    let set = set(json!([1, null, {}, rsa(json!({ "n": "*" })), rsa(json!({ "kid": "good" })), { "kty": "oct", "k": "x" }]), ALL);
    assert_eq!(set.keys().map(|key| key.key_id()).collect::<Vec<_>>(), [Some("good")]);
    use SkippedKey::{Malformed, UnknownType};
    assert_eq!(set.skipped(), [Malformed, Malformed, Malformed, Malformed, UnknownType]);
}

#[test]
fn two_keys_of_one_id_disqualify_each_other_and_all_that_follow() {
    let key = |id: &str, n: usize| rsa(json!({ "kid": id, "n": number(n) }));
    let keys = set(json!([key("a", 2048), key("b", 2048), key("a", 2049)]), ALL);
    assert_eq!(keys.keys().map(|key| key.key_id()).collect::<Vec<_>>(), [Some("b")]);
    assert_eq!(keys.skipped(), [SkippedKey::DuplicateKeyId; 2]);
    let keys = set(json!([key("a", 2048), key("a", 2049), key("a", 2050)]), ALL);
    assert_eq!((keys.keys().count(), keys.skipped()), (0, &[SkippedKey::DuplicateKeyId; 3][..]));
    let keys = set(json!([key("a", 2048), key("a", 2049), key("a", 2050), key("a", 2048)]), ALL);
    assert_eq!((keys.keys().count(), keys.skipped()), (0, &[SkippedKey::DuplicateKeyId; 4][..]));
    let keys = set(json!([key("a", 2048), rsa(json!({ "kid": "a", "use": "enc" }))]), ALL);
    assert_eq!(keys.keys().count(), 1, "a key that is of no use is no second key");
    assert_eq!(set(json!([key("a", 2048), key("A", 2048)]), ALL).keys().count(), 2);
}

#[test]
fn only_so_many_keys_are_looked_at() {
    let keys: Vec<Value> = (0..300).map(|n| rsa(json!({ "kid": format!("k{n}") }))).collect();
    let set = set(json!(keys), ALL);
    assert_eq!((set.keys().count(), set.skipped()), (256, &[SkippedKey::TooMany][..]));
    assert!(set.select(Some("k255"), Algorithm::Rs256).is_ok() && set.select(Some("k256"), Algorithm::Rs256).is_err());
}

#[test]
fn a_key_is_selected_by_its_id_or_by_being_the_only_one() {
    let no_id = json!({ "kty": "RSA", "n": number(2048), "e": "AQAB" });
    let one = set(json!([rsa(json!({}))]), &[Algorithm::Rs256]);
    assert!(one.select(Some("r"), Algorithm::Rs256).is_ok());
    assert!(one.select(None, Algorithm::Rs256).is_ok());
    assert_eq!(one.select(Some("s"), Algorithm::Rs256).unwrap_err(), NoKey::Unknown);
    assert_eq!(one.select(Some("R"), Algorithm::Rs256).unwrap_err(), NoKey::Unknown);
    assert_eq!(one.select(Some("r"), Algorithm::Ps256).unwrap_err(), NoKey::AlgorithmNotAllowed);
    assert_eq!(one.select(None, Algorithm::Ps256).unwrap_err(), NoKey::Unknown);

    let two = set(json!([no_id, rsa(json!({}))]), &[Algorithm::Rs256]);
    assert_eq!(two.select(None, Algorithm::Rs256).unwrap_err(), NoKey::Unknown, "two keys fit");
    let without = set(json!([no_id]), &[Algorithm::Rs256]);
    assert!(without.select(None, Algorithm::Rs256).is_ok());
    assert_eq!(without.select(Some("r"), Algorithm::Rs256).unwrap_err(), NoKey::Unknown);
    let kinds = set(json!([rsa(json!({})), jwk()]), &[Algorithm::Rs256, Algorithm::EdDsa]);
    assert_eq!(kinds.select(None, Algorithm::EdDsa).unwrap().key_id(), Some("k1"), "one of them fits");
}

#[test]
fn a_key_is_recognized_by_its_material_and_its_algorithms() {
    let print = |members: Value, allowed: &[Algorithm]| set(json!([rsa(members)]), allowed).keys().next().unwrap().thumbprint();
    let base = print(json!({}), &[Algorithm::Rs256]);
    assert_eq!(print(json!({ "kid": "other", "use": "sig", "x5t": "x" }), &[Algorithm::Rs256]), base);
    assert_ne!(print(json!({ "n": number(2049) }), &[Algorithm::Rs256]), base);
    assert_ne!(print(json!({ "e": "AQAD" }), &[Algorithm::Rs256]), base);
    assert_ne!(print(json!({}), &[Algorithm::Ps256]), base);
    let keys = set(json!([rsa(json!({}))]), &[Algorithm::Rs256]);
    assert!(keys.still_has(Some("r"), base) && !keys.still_has(Some("s"), base) && !keys.still_has(None, base));
    assert!(!set(json!([rsa(json!({ "n": number(2049) }))]), &[Algorithm::Rs256]).still_has(Some("r"), base));
}

#[test]
fn a_key_shows_neither_itself_nor_more_than_its_name() {
    let shown = format!("{:?}", set(json!([rsa(json!({}))]), ALL));
    assert!(shown.contains("\"r\"") && !shown.contains(&number(2048)), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = KeySet::parse(&bytes, ALL);
    }

    #[test]
    fn any_members_are_answered_without_a_panic(
        kty in "(RSA|EC|OKP|oct)", curve in "(P-256|Ed25519|)", n in "[A-Za-z0-9_=-]{0,400}", e in "[A-Za-z0-9_-]{0,8}", kid in ".{0,8}",
    ) {
        let key = json!({ "kty": kty, "crv": curve, "n": n, "e": e, "x": n, "y": n, "kid": kid });
        let set = set(json!([key.clone(), key]), ALL);
        for key in set.keys() {
            prop_assert!(!key.verifies(b"x", "AAAA", Algorithm::Rs256));
            prop_assert!(!key.verifies(b"x", &"A".repeat(86), Algorithm::Es256));
        }
    }
}
