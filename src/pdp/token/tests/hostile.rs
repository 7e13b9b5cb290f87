//! Whatever anybody sends.

use proptest::prelude::*;

use super::*;

/// Texts that come closer to a token than random ones do.
fn token_like() -> impl Strategy<Value = String> {
    let json = prop_oneof![
        Just("{}".to_string()),
        Just(r#"{"alg":"EdDSA","kid":"k1"}"#.to_string()),
        "\\{(\"(alg|kid|typ|iss|aud|exp|sub|crit)\":(\"[a-zA-Z0-9]{0,6}\"|[0-9]{1,20}|null|\\[\\]|\\{\\}),?){0,6}\\}",
        ".{0,40}",
    ];
    let segment = prop_oneof![4 => json.prop_map(|json| URL_SAFE_NO_PAD.encode(json)), 1 => "[A-Za-z0-9_=.-]{0,40}"];
    proptest::collection::vec(segment, 0..6).prop_map(|segments| segments.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_text_is_answered_without_a_panic_and_never_accepted(text in prop_oneof![".{0,200}", token_like()]) {
        prop_assert!(verify(&text).is_err(), "{}", text);
    }

    #[test]
    fn any_signed_claims_are_answered_without_a_panic(
        name in "(iss|aud|sub|exp|nbf|iat|jti|sid|tenant_id|scope|roles|permissions|services|cnf|client_id)",
        value in prop_oneof![
            Just(json!(null)), any::<bool>().prop_map(|v| json!(v)), any::<f64>().prop_map(|v| json!(v)), any::<i64>().prop_map(|v| json!(v)),
            ".{0,300}".prop_map(|v| json!(v)), proptest::collection::vec(".{0,20}", 0..5).prop_map(|v| json!(v)),
            proptest::collection::btree_map(".{0,5}", any::<bool>(), 0..4).prop_map(|v| json!(v)),
        ],
    ) {
        let mut claims = claims();
        claims[&name] = value;
        if let Ok(verified) = verify(&token(&claims)) {
            // Whatever is let through is safe to write into a header.
            let claims = verified.claims();
            for text in [&*claims.subject, &*claims.roles_text, &*claims.permissions_text, claims.session.as_deref().unwrap_or_default()] {
                prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{:?}", text);
            }
            prop_assert!(claims.expires <= UnixTime::MAX);
        }
    }

    #[test]
    fn a_token_with_one_byte_changed_is_never_accepted(position in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
        let good = token(&claims());
        let at = position.index(good.len());
        let mut changed = good.clone().into_bytes();
        changed[at] = byte;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert_eq!(verify(&changed).is_ok(), changed == good, "{}", changed);
    }

    #[test]
    fn a_token_with_bytes_cut_out_or_put_in_is_never_accepted(
        position in any::<prop::sample::Index>(), cut in 0_usize..4, inserted in "[A-Za-z0-9_.=-]{0,4}",
    ) {
        let good = token(&claims());
        let start = position.index(good.len());
        let end = (start + cut).min(good.len());
        let changed = format!("{}{inserted}{}", &good[..start], &good[end..]);
        prop_assert_eq!(verify(&changed).is_ok(), changed == good, "{}", changed);
    }

    #[test]
    fn segments_of_two_tokens_never_mix(subject in "[a-z]{1,8}") {
        let mut other = claims();
        other["sub"] = json!(format!("other-{subject}"));
        let (left, right) = (token(&claims()), token(&other));
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split('.').collect(), right.split('.').collect());
        prop_assert_eq!(verify(&[left[0], right[1], left[2]].join(".")).map(|_| ()), Err(Reason::SignatureInvalid));
        prop_assert_eq!(verify(&[left[0], left[1], right[2]].join(".")).map(|_| ()), Err(Reason::SignatureInvalid));
    }
}

#[test]
fn every_bit_of_a_signature_counts() {
    let good = token(&claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for bit in 0..signature.len() * 8 {
        let mut changed = signature.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let changed = format!("{input}.{}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(verify(&changed).map(|_| ()), Err(Reason::SignatureInvalid), "bit {bit}");
    }
}
