use proptest::prelude::*;

use std::time::{Duration, Instant};

use super::{Json, JsonError, parse};

/// As tokens are read.
fn parse_object(bytes: &[u8]) -> Result<super::Object, JsonError> {
    super::parse_object(bytes, 16)
}

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

/// What nests a value: text before it, text behind it.
const NESTS: [(&str, &str); 5] = [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("[0,", "]"), ("{\"x\":[[]],\"a\":", "}")];

#[test]
fn depth_is_bounded_by_what_the_caller_says() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for bound in [1, 2, 16, 64, 127] {
        assert!(parse(nested(bound).as_bytes(), bound).is_ok(), "{bound}");
        assert_eq!(parse(nested(bound + 1).as_bytes(), bound), Err(JsonError), "{bound}");
        // Neighbours on one level do not add up.
        let neighbours = format!("[{0},{0},{0}]", if bound == 1 { "0".into() } else { nested(bound - 1) });
        assert!(parse(neighbours.as_bytes(), bound).is_ok(), "{bound}");
    }
    assert!(parse(b"1", 0).is_ok());
    assert_eq!(parse(b"[]", 0), Err(JsonError));
    assert_eq!(parse(nested(128).as_bytes(), usize::MAX), Err(JsonError));
}

#[test]
fn a_value_nested_any_deep_is_refused_at_once_and_on_a_small_stack() {
    let deep = || {
        for (open, close) in NESTS {
            for depth in [129, 10_000, 1_000_000] {
                for text in [
                    format!("{}0{}", open.repeat(depth), close.repeat(depth)),
                    open.repeat(depth),
                    format!("{{\"first\":1,\"second\":[{}]}}", open.repeat(depth)),
                    format!("{{\"a\":1,\"a\":{}0{}}}", open.repeat(depth), close.repeat(depth)),
                ] {
                    let started = Instant::now();
                    assert_eq!(parse(text.as_bytes(), 64), Err(JsonError), "{open} {depth}");
                    assert_eq!(parse_object(text.as_bytes()), Err(JsonError), "{open} {depth}");
                    assert!(started.elapsed() < Duration::from_secs(1), "{open} {depth}");
                }
            }
        }
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(deep).unwrap().join().unwrap();
}

#[test]
fn bodies_of_64_kib_are_read_quickly_whatever_they_are_made_of() {
    let fill = |item: &str, open: &str, close: &str| format!("{open}{}{close}", vec![item; (64 * 1024 - 2) / (item.len() + 1)].join(","));
    let members: Vec<String> = (0..6_000).map(|n| format!("\"{n:x}\":{n}")).collect();
    for text in [
        fill("[]", "[", "]"),
        fill("{}", "[", "]"),
        fill("0", "[", "]"),
        fill("\"\"", "[", "]"),
        fill("\"\\u0000\"", "[", "]"),
        fill("1.7976931348623157e308", "[", "]"),
        fill("{\"a\":[{}]}", "[", "]"),
        format!("{{{}}}", members.join(",")),
        format!("\"{}\"", "x".repeat(64 * 1024 - 2)),
        format!("{}0.{}1", " ".repeat(100), "0".repeat(64 * 1024 - 200)),
    ] {
        let started = Instant::now();
        assert!(parse(text.as_bytes(), 64).is_ok(), "{:.40}", text);
        assert!(started.elapsed() < Duration::from_millis(500), "{:.40} took {:?}", text, started.elapsed());
    }
}

#[test]
fn any_kind_of_value_can_be_the_whole() {
    assert_eq!(parse(b" null ", 0), Ok(Json::Null));
    assert_eq!(parse(b"true", 0), Ok(Json::Bool(true)));
    assert_eq!(parse(b"-0.5", 0), Ok(Json::Number(-0.5)));
    assert_eq!(parse(b"\"\"", 0), Ok(Json::String("".into())));
    assert_eq!(parse(b"[1]", 1), Ok(Json::Array(vec![Json::Number(1.0)])));
    assert_eq!(parse(b"{}", 1).unwrap().as_object().map(|object| object.iter().count()), Some(0));
    assert_eq!(parse(b"\"x\"", 0).unwrap().as_str(), Some("x"));
    assert_eq!((parse(b"[]", 1).unwrap().as_object(), parse(b"[]", 1).unwrap().as_str()), (None, None));
}

#[test]
fn whatever_is_not_exactly_one_value_is_refused() {
    for bytes in [
        &b""[..],
        b" ",
        b"\0",
        b"null\0",
        b"\0null",
        b"nul",
        b"nullx",
        b"1 2",
        b"[] []",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[",
        b"]",
        b"\"",
        b"\"\0\"",
        b"\"\x7f\xc0\xaf\"",
        b"\xef\xbb\xbfnull",
        b"null\xef\xbb\xbf",
        b"\xff\xfen\0u\0l\0l\0",
        b"n\0u\0l\0l\0",
        b"\x0bnull",
        b"\xc2\xa0null",
        b"\xe2\x80\xa8null",
        b"// x\nnull",
        b"-",
        b"1.",
        b"01",
        b"1e999",
        b"NaN",
    ] {
        assert_eq!(parse(bytes, 64), Err(JsonError), "{}", String::from_utf8_lossy(bytes));
    }
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
    fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256), depth in 0..200_usize) {
        let _ = parse(&bytes, depth);
    }

    #[test]
    fn what_is_accepted_is_what_a_strict_parser_accepts(text in "[{}\\[\\]\",:a0-9. \\\\u-]{0,40}") {
        if parse_object(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.is_object()), "{}", text);
        }
    }
}
