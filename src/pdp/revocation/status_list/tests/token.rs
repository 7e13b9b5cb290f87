//! The token that the array comes in.

use super::*;

/// What becomes of a good list with this claim changed; `null` takes it away.
fn with(name: &str, value: Value) -> Result<StatusList, ListRefused> {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    verify(&sign(&claims))
}

#[test]
fn a_good_list_says_who_is_revoked() {
    let list = verify(&sign(&claims())).unwrap();
    assert_eq!(
        (list.issued_at, list.expires, list.ttl),
        (UnixTime::from_seconds(1_799_999_990), Some(UnixTime::from_seconds(1_800_000_600)), Some(Duration::from_secs(60)),)
    );
    assert_eq!(list.signer.key_id(), Some("k1"));
    let revoked: Vec<u64> = (0..16).filter(|index| list.judge(*index) == Verdict::Revoked).collect();
    assert_eq!((revoked.as_slice(), list.statuses.revoked()), ([9, 11, 13, 15].as_slice(), 4));
    assert_eq!([0, 16, u64::MAX].map(|index| list.judge(index)), [Verdict::Passes, Verdict::NotListed, Verdict::NotListed]);
}

#[test]
fn only_valid_is_valid() {
    let list = with("status_list", json!({ "bits": 8, "lst": lst(&(0..=255).collect::<Vec<u8>>()) })).unwrap();
    assert_eq!(list.judge(0), Verdict::Passes);
    for status in 1..=255 {
        assert_eq!(list.judge(status), Verdict::Revoked, "{status}");
    }
}

#[test]
fn what_need_not_be_there_need_not_be_there() {
    for name in ["iss", "exp", "ttl"] {
        assert!(with(name, Value::Null).is_ok(), "{name}");
    }
    for audience in [json!("blog"), json!(["shop", "blog"])] {
        assert!(with("aud", audience).is_ok());
    }
    assert!(with("status_list", json!({ "bits": 1, "lst": lst(&[0]), "aggregation_uri": "https://id.example.com/all" })).is_ok());
    let typ = |typ: &str| verify(&sign_with(1, &json!({ "alg": "EdDSA", "kid": "k1", "typ": typ }), &claims()));
    assert!(typ("application/statuslist+jwt").is_ok());
}

#[test]
fn a_claim_of_the_wrong_shape_or_value_fails_the_list() {
    let list = |bits: Value, lst: Value| json!({ "bits": bits, "lst": lst });
    let whole = json!(lst(&[0]));
    let cases = [
        ("sub", Value::Null, "sub"),
        ("sub", json!("https://id.example.com/statuslists/2"), "sub"),
        ("sub", json!("https://id.example.com/statuslists/1/"), "sub"),
        ("sub", json!([URI]), "sub"),
        ("iss", json!("https://other.example.com"), "iss"),
        ("iss", json!(1), "iss"),
        ("aud", json!("shop"), "aud"),
        ("aud", json!([]), "aud"),
        ("aud", json!({}), "aud"),
        ("iat", Value::Null, "iat"),
        ("iat", json!("1799999990"), "iat"),
        ("iat", json!(-1), "iat"),
        ("exp", json!("never"), "exp"),
        ("exp", json!(1e300), "exp"),
        ("nbf", json!(true), "nbf"),
        ("ttl", json!(0), "ttl"),
        ("ttl", json!(-60), "ttl"),
        ("ttl", json!(1e300), "ttl"),
        ("ttl", json!("60"), "ttl"),
        ("status_list", Value::Null, "status_list"),
        ("status_list", json!([]), "status_list"),
        ("status_list", list(json!(3), whole.clone()), "bits"),
        ("status_list", list(json!(0), whole.clone()), "bits"),
        ("status_list", list(json!(16), whole.clone()), "bits"),
        ("status_list", list(json!(1.5), whole.clone()), "bits"),
        ("status_list", list(json!("1"), whole.clone()), "bits"),
        ("status_list", json!({ "lst": whole }), "bits"),
        ("status_list", json!({ "bits": 1 }), "lst"),
        ("status_list", list(json!(1), json!([0])), "lst"),
    ];
    for (name, value, named) in cases {
        assert_eq!(with(name, value.clone()), Err(ListRefused::Claim(named)), "{name}: {value}");
    }
    assert_eq!(with("status_list", list(json!(1), json!("AAAA"))), Err(ListRefused::Encoding(EncodingError::Damaged)));
    let bomb = lst(&vec![0; MAX_BYTES + 1]);
    assert_eq!(with("status_list", list(json!(1), json!(bomb))), Err(ListRefused::Encoding(EncodingError::TooLarge)));
}

#[test]
fn time_counts() {
    let at = |millis: i64| rules().verify(&sign(&claims()), &keys(&[1]), UnixTime::from_millis(millis)).map(|_| ());
    assert_eq!(at(1_800_000_599_999), Ok(()));
    assert_eq!(at(1_800_000_600_000), Err(ListRefused::Expired), "without the leeway");
    let kept = |millis: i64| rules().verify_kept(&sign(&claims()), &keys(&[1]), UnixTime::from_millis(millis));
    let (last, over) = (UnixTime::from_millis(1_800_000_599_999), UnixTime::from_millis(1_800_000_600_000));
    let list = kept(1_800_000_600_000).expect("what was kept is read");
    assert_eq!(list.good_for(over, Duration::from_secs(60)), None);
    assert_eq!(list.good_for(last, Duration::from_secs(60)), Some(Duration::from_millis(1)));
    assert_eq!(kept(1_799_999_979_999).map(|_| ()), Err(ListRefused::NotYetValid));
    assert_eq!(at(1_799_999_980_000), Ok(()));
    assert_eq!(at(1_799_999_979_999), Err(ListRefused::NotYetValid));
    assert_eq!(with("nbf", json!(1_800_000_011)), Err(ListRefused::NotYetValid));
    assert!(with("nbf", json!(1_800_000_010)).is_ok());
}

#[test]
fn only_a_key_of_the_issuer_makes_a_list() {
    let refused = |reason| Err(ListRefused::Signature(reason));
    let text = sign(&claims());
    let (input, _) = text.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{input}.")), refused(Reason::SignatureInvalid));
    assert_eq!(verify(&sign_with(2, &header(), &claims())), refused(Reason::SignatureInvalid));
    let header = |changes: Value| {
        let mut header = header();
        header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        header
    };
    assert_eq!(verify(&sign_with(2, &header(json!({ "kid": "k2" })), &claims())), refused(Reason::KeyUnknown));
    for algorithm in ["none", "HS256", "RS256", "ES256", "EDDSA"] {
        assert_eq!(
            verify(&sign_with(1, &header(json!({ "alg": algorithm })), &claims())),
            refused(Reason::AlgorithmNotAllowed),
            "{algorithm}"
        );
    }
    let no_kid = sign_with(1, &json!({ "alg": "EdDSA", "typ": "statuslist+jwt" }), &claims());
    assert_eq!(verify(&no_kid), refused(Reason::KeyIdMissing));
    let optional = StatusListRules { key_id: KeyIdPolicy::Optional, ..rules() };
    assert!(optional.verify(&no_kid, &keys(&[1]), NOW).is_ok());
    assert_eq!(optional.verify(&no_kid, &keys(&[1, 2]), NOW), refused(Reason::KeyUnknown));
}

#[test]
fn another_kind_of_token_is_no_list() {
    for typ in ["at+jwt", "JWT", "statuslist+cwt", "statuslist", ""] {
        let refused = verify(&sign_with(1, &json!({ "alg": "EdDSA", "kid": "k1", "typ": typ }), &claims()));
        assert_eq!(refused, Err(if typ.is_empty() { ListRefused::Malformed } else { ListRefused::Type }), "{typ}");
    }
    assert_eq!(verify(&sign_with(1, &json!({ "alg": "EdDSA", "kid": "k1" }), &claims())), Err(ListRefused::Type));
}

#[test]
fn what_is_no_token_is_no_list() {
    let good = sign(&claims());
    for text in ["", "..", "{}", &good[1..], &format!("{good}\n"), &format!(" {good}"), &format!("{good}.")] {
        assert_eq!(verify(text), Err(ListRefused::Malformed), "{text}");
    }
    let crit = sign_with(1, &json!({ "alg": "EdDSA", "kid": "k1", "typ": "statuslist+jwt", "crit": ["x"], "x": 1 }), &claims());
    assert_eq!(verify(&crit), Err(ListRefused::Malformed));
}

#[test]
fn a_list_lasts_as_long_as_its_bound_and_its_exp_let_it() {
    let list = verify(&sign(&claims())).unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(list.good_for(NOW, minute), Some(minute));
    assert_eq!(list.good_for(NOW, 20 * minute), Some(10 * minute));
    assert_eq!(list.good_for(NOW.plus(10 * minute), minute), None);
    assert_eq!(list.good_for(NOW.plus(11 * minute), minute), None);
    let forever = with("exp", Value::Null).unwrap();
    assert_eq!(forever.good_for(NOW.plus(1000 * minute), minute), Some(minute));
}

#[test]
fn an_older_list_never_takes_the_place_of_a_newer_one() {
    let of = |iat: i64| with("iat", json!(iat)).unwrap();
    let held = of(1_799_999_990);
    assert_eq!(of(1_799_999_991).check_follows(&held), Ok(()));
    assert_eq!(of(1_799_999_990).check_follows(&held), Ok(()));
    assert_eq!(of(1_799_999_989).check_follows(&held), Err(ListRefused::RolledBack));
}

#[test]
fn a_list_ends_with_its_key() {
    let list = verify(&sign(&claims())).unwrap();
    assert!(list.signer.is_in(&keys(&[2, 1])));
    assert!(!list.signer.is_in(&keys(&[2])));
    assert!(!list.signer.is_in(&KeySet::default()));
    // Another key under the same id is another key.
    assert!(!list.signer.is_in(&key_with_id("k1", 2)));
}

fn key_with_id(id: &str, seed: u8) -> KeySet {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(pair(seed).public_key()) });
    KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &[Algorithm::EdDsa]).unwrap()
}
