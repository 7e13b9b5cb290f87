use super::*;
use crate::pdp::token::jws::{JoseHeader, Malformed, media_type};

fn header(json: &str) -> Result<JoseHeader, Malformed> {
    CompactJws::parse(&sign(json.as_bytes(), b"{}")).map(|jws| jws.header)
}

#[test]
fn a_token_is_taken_apart_and_nothing_in_it_believed() {
    let text = token(&claims());
    let jws = CompactJws::parse(&text).unwrap();
    assert_eq!(format!("{}.{}", jws.signing_input, jws.signature), text);
    assert_eq!(jws.header, JoseHeader { algorithm: "EdDSA".into(), key_id: Some("k1".into()), typ: Some("at+jwt".into()) });
    assert_eq!(verify::claimed_issuer(&jws), Some("https://id.example.com"));
}

#[test]
fn segments_are_three_and_canonical() {
    let good = token(&claims());
    let [head, body, tail] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    assert!(CompactJws::parse(&good).is_ok());
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        head.to_string(),
        format!("{head}.{body}"),
        format!(".{body}.{tail}"),
        format!("{head}..{tail}"),
        format!("{head}.{body}.{tail}."),
        format!(".{head}.{body}.{tail}"),
        format!("{head}.{body}.{body}.{tail}"),
        format!("{head}.{body}.{body}.{body}.{tail}"),
        format!("{head}=.{body}.{tail}"),
        format!("{head}.{body}=.{tail}"),
        format!("{head}.{body}.{tail}="),
        format!("{head}.{body}.{tail}=="),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{head}.\n{body}.{tail}"),
        format!("{head}.{body}.{tail}AAA"),
        format!("{head}.{body}.+{tail}"),
        format!("{head}.{body}./{tail}"),
        format!("{head}.{body}.é{tail}"),
    ] {
        assert!(CompactJws::parse(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn every_spelling_of_the_signature_but_one_is_refused() {
    // 64 bytes are 86 characters, the last of which has four bits that decode to nothing.
    let good = token(&claims());
    let (rest, last) = good.split_at(good.len() - 1);
    let accepted: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_'])
        .filter(|c| CompactJws::parse(&format!("{rest}{c}")).is_ok())
        .collect();
    assert_eq!(accepted.len(), 4, "one for each value of the two bits that count");
    assert!(accepted.contains(&last.chars().next().unwrap()));
    let verified: Vec<&char> = accepted.iter().filter(|c| verify(&format!("{rest}{c}")).is_ok()).collect();
    assert_eq!(verified.len(), 1);
}

#[test]
fn a_header_has_an_algorithm_and_strings_only() {
    assert!(header(r#"{"alg":"EdDSA"}"#).is_ok());
    assert!(header(r#"{"alg":"EdDSA","jku":1,"jwk":{},"x5u":[],"x5c":null,"cty":7}"#).is_ok(), "they are not looked at");
    for bad in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":""}"#,
        r#"{"alg":1}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"Alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":null}"#,
        r#"{"alg":"EdDSA","kid":""}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":"EdDSA","kid":{}}"#,
        r#"{"alg":"EdDSA","typ":null}"#,
        r#"{"alg":"EdDSA","typ":""}"#,
        r#"{"alg":"EdDSA","typ":["JWT"]}"#,
        r#"{"alg":"EdDSA","crit":[]}"#,
        r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","b64":true}"#,
        r#"{"alg":"EdDSA","zip":"DEF"}"#,
        r#"{"alg":"EdDSA","zip":null}"#,
    ] {
        assert_eq!(header(bad), Err(Malformed), "{bad}");
    }
    let kid = |length: usize| header(&json!({ "alg": "EdDSA", "kid": "k".repeat(length) }).to_string());
    assert!(kid(256).is_ok() && kid(257).is_err());
}

#[test]
fn media_types_are_compared_without_case_and_prefix() {
    for (typ, form) in
        [("JWT", "jwt"), ("at+jwt", "at+jwt"), ("application/AT+JWT", "at+jwt"), ("APPLICATION/jwt", "jwt"), ("text/jwt", "text/jwt")]
    {
        assert_eq!(&*media_type(typ), form);
    }
}
