use proptest::prelude::*;

use crate::pdp::token::json::{Json, JsonError, parse_object};

#[test]
fn values_of_all_kinds_are_read() {
    let object = parse_object(br#" {"a":null,"b":[true,false,-1.5e2,"x\u00e9\ud83d\ude00"],"c":{"d":{}}} "#).unwrap();
    let numbers = vec![Json::Bool(true), Json::Bool(false), Json::Number(-150.0), Json::String("xé😀".into())];
    assert_eq!(object.get("a"), Some(&Json::Null));
    assert_eq!(object.get("b"), Some(&Json::Array(numbers)));
    assert!(matches!(object.get("c"), Some(Json::Object(inner)) if matches!(inner.get("d"), Some(Json::Object(_)))));
    assert_eq!(object.get("A"), None);
    assert_eq!(object.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn whole_numbers_are_exact_where_dates_are() {
    let object = parse_object(b"{\"a\":1800000000,\"b\":-1,\"c\":253402300799}").unwrap();
    assert_eq!(object.get("a"), Some(&Json::Number(1_800_000_000.0)));
    assert_eq!(object.get("b"), Some(&Json::Number(-1.0)));
    assert_eq!(object.get("c"), Some(&Json::Number(253_402_300_799.0)));
}

#[test]
fn members_are_compared_unescaped_and_repeated_ones_refused() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":[1,{"y":{"a":1,"b":2,"a":3}}]}"#,
        r#"{"":1,"":2}"#,
        r#"{"a\u0000":1,"a\u0000":2}"#,
    ] {
        assert_eq!(parse_object(text.as_bytes()), Err(JsonError), "{text}");
    }
    assert!(parse_object(r#"{"a":{"a":{"a":1}},"A":1,"a ":1,"á":1,"a\u0301":1}"#.as_bytes()).is_ok());
}

#[test]
fn repeated_members_are_found_in_objects_of_any_size() {
    for size in [1, 2, 31, 32, 33, 34, 100, 1000] {
        let members: Vec<String> = (0..size).map(|n| format!("\"m{n}\":{n}")).collect();
        assert!(parse_object(format!("{{{}}}", members.join(",")).as_bytes()).is_ok(), "{size}");
        for repeated in [0, size / 2, size - 1] {
            let text = format!("{{{},\"m{repeated}\":0}}", members.join(","));
            assert_eq!(parse_object(text.as_bytes()), Err(JsonError), "{repeated} of {size}");
        }
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(parse_object(nested(16).as_bytes()).is_ok());
    assert_eq!(parse_object(nested(17).as_bytes()), Err(JsonError));
    assert_eq!(parse_object("{\"a\":".repeat(100_000).as_bytes()), Err(JsonError));
}

#[test]
fn whatever_is_not_exactly_one_object_is_refused() {
    for bytes in [
        &b""[..],
        b" ",
        b"null",
        b"[]",
        b"\"{}\"",
        b"1",
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b"{},",
        b"{}\0",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\udc00\\ud800\"}",
        b"{\"a\":\"\n\"}",
        b"{'a':1}",
        b"{a:1}",
        b"{\"a\":1,}",
        b"{\"a\":01}",
        b"{\"a\":.5}",
        b"{\"a\":+1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":1e400}",
        b"{\"a\":0x1}",
        b"{\"a\":tru}",
        b"{1:1}",
        b"{\"a\" 1}",
        b"{\"a\":1 \"b\":2}",
        b"{/**/}",
    ] {
        assert_eq!(parse_object(bytes), Err(JsonError), "{}", String::from_utf8_lossy(bytes));
    }
}

/// JSON values whose objects have no repeated members, with their text.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        ".{0,12}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn same(ours: &Json, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Json::Null, serde_json::Value::Null) => true,
        (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Json::Number(a), serde_json::Value::Number(b)) => b.as_f64() == Some(*a),
        (Json::String(a), serde_json::Value::String(b)) => **a == **b,
        (Json::Array(a), serde_json::Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), serde_json::Value::Object(b)) => {
            a.iter().count() == b.len() && b.iter().all(|(name, b)| a.get(name).is_some_and(|a| same(a, b)))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn well_formed_objects_mean_what_other_parsers_read(value in value()) {
        let text = serde_json::json!({ "value": value }).to_string();
        let object = parse_object(text.as_bytes()).unwrap();
        prop_assert!(same(object.get("value").unwrap(), &value), "{}", text);
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse_object(&bytes);
    }

    #[test]
    fn what_is_accepted_is_what_a_strict_parser_accepts(text in "[{}\\[\\]\",:a0-9. \\\\u-]{0,40}") {
        if parse_object(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.is_object()), "{}", text);
        }
    }
}
