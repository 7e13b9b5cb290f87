use super::*;
use crate::pdp::json::{Json, parse_object};
use crate::pdp::token::MAX_JSON_DEPTH;

#[test]
fn a_claim_is_a_member_or_a_path_of_members_and_null_is_absent() {
    let payload = parse_object(br#"{"a":"x","b":{"c":{"d":"y"},"n":null},"n":null,"b.c":"z","l":[{"d":1}]}"#, MAX_JSON_DEPTH).unwrap();
    let find = |path: &[&str]| ClaimPath(path.iter().map(|name| Box::from(*name)).collect()).find(&payload).cloned();
    assert_eq!(find(&["a"]), Some(Json::String("x".into())));
    assert_eq!(find(&["b", "c", "d"]), Some(Json::String("y".into())));
    assert_eq!(find(&["b.c"]), Some(Json::String("z".into())));
    for absent in [&["n"][..], &["b", "n"], &["b", "n", "x"], &["a", "x"], &["l", "d"], &["c"], &["b", "c", "e"], &[]] {
        assert_eq!(find(absent), None, "{absent:?}");
    }
}

#[test]
fn time_is_checked_apart_from_everything_else() {
    let verified = verify(&token(&claims())).unwrap();
    let at = |millis: i64| verified.check_time(&policy(), UnixTime::from_millis(millis));
    assert_eq!(at(1_800_000_309_999), Ok(()));
    assert_eq!(at(1_800_000_310_000), Err(Reason::TokenExpired));
    assert_eq!(at(1_799_999_930_000), Ok(()));
    assert_eq!(at(1_799_999_929_999), Err(Reason::TokenNotYetValid));
    assert_eq!(at(i64::MAX), Err(Reason::TokenExpired));
    assert_eq!(at(i64::MIN), Err(Reason::TokenNotYetValid));
    let strict = IssuerPolicy { leeway: Duration::ZERO, ..policy() };
    assert_eq!(verified.check_time(&strict, UnixTime::from_millis(1_800_000_300_000)), Err(Reason::TokenExpired));
    assert_eq!(verified.check_time(&strict, UnixTime::from_millis(1_800_000_299_999)), Ok(()));
}

#[test]
fn a_token_is_good_under_the_policy_that_it_was_checked_with() {
    let text = token(&claims());
    let refused = |change: fn(&mut IssuerPolicy)| {
        let mut policy = policy();
        change(&mut policy);
        verify_with(&policy, &keys(), &text).map(|_| ()).unwrap_err()
    };
    assert_eq!(refused(|policy| policy.issuer = "https://other.example.com".into()), Reason::IssuerUnknown);
    assert_eq!(refused(|policy| policy.audiences = vec!["shop".into()]), Reason::AudienceMismatch);
    assert_eq!(refused(|policy| policy.algorithms = vec![Algorithm::Rs256]), Reason::AlgorithmNotAllowed);
    assert_eq!(refused(|policy| policy.types = AcceptedTypes::Listed(vec!["jwt".into()])), Reason::TypeNotAllowed);
    assert_eq!(refused(|policy| policy.max_lifetime = Some(Duration::from_secs(359))), Reason::LifetimeTooLong);
    assert_eq!(refused(|policy| policy.required.client_id = true), Reason::ClaimsInvalid);
    assert_eq!(refused(|policy| policy.tenants = Some(std::collections::BTreeSet::new())), Reason::IssuerNotForTenant);
}
