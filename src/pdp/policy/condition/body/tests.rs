use proptest::prelude::*;

use super::*;

fn headers(fields: &[(&'static str, &'static str)]) -> Headers<'static> {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(name, value.as_bytes());
    }
    headers
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// With the length that the bytes have, unless the fields say another one.
fn read(fields: &[(&'static str, &'static str)], bytes: &[u8]) -> Result<Json, BodyError> {
    let length = bytes.len().to_string();
    let mut headers = Headers::default();
    if !fields.iter().any(|(name, _)| *name == "content-length") {
        headers.push("content-length", length.as_bytes());
    }
    for (name, value) in fields {
        headers.push(name, value.as_bytes());
    }
    json_body(&headers, RequestBody::Whole(bytes))
}

fn json(text: &str) -> Json {
    json::parse(text.as_bytes(), MAX_BODY_DEPTH).unwrap()
}

fn only(fields: &[&str]) -> AllowedFields {
    AllowedFields::parse(fields).unwrap()
}

#[test]
fn a_whole_body_of_json_is_read() {
    assert_eq!(read(&[JSON, ("content-length", "7")], b"{\"a\":1}"), Ok(json("{\"a\":1}")));
    assert_eq!(read(&[JSON], b"[null]"), Ok(json("[null]")));
    assert_eq!(read(&[JSON, ("content-encoding", "Identity")], b"1"), Ok(Json::Number(1.0)));
    assert!(read(&[JSON], format!("\"{}\"", "x".repeat(MAX_BODY_BYTES - 2)).as_bytes()).is_ok());
}

#[test]
fn a_body_that_is_not_known_as_a_whole_is_unavailable() {
    let unavailable = Err(BodyError::Unavailable);
    assert_eq!(json_body(&headers(&[JSON]), RequestBody::NotSent), unavailable);
    assert_eq!(json_body(&headers(&[JSON]), RequestBody::Incomplete), unavailable);
    assert_eq!(json_body(&headers(&[JSON]), RequestBody::default()), unavailable);
    assert_eq!(read(&[JSON], format!("\"{}\"", "x".repeat(MAX_BODY_BYTES - 1)).as_bytes()), unavailable);
    for length in ["1", "3", "0", "", "+2", " 2", "2 ", "2,2", "0x2", "two", "-2", "99999999999999999999999"] {
        assert_eq!(read(&[JSON, ("content-length", length)], b"{}"), unavailable, "{length:?}");
    }
    assert_eq!(read(&[JSON, ("content-length", "2"), ("content-length", "2")], b"{}"), unavailable);
    assert_eq!(read(&[JSON, ("content-length", "2"), ("content_length", "2")], b"{}"), unavailable);
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "identity,identity", "", "x-identity"] {
        assert_eq!(read(&[JSON, ("content-encoding", coding)], b"{}"), unavailable, "{coding:?}");
        assert_eq!(read(&[JSON, ("content_encoding", coding)], b"{}"), unavailable, "{coding:?}");
    }
    assert_eq!(read(&[JSON, ("content-encoding", "identity"), ("content-encoding", "identity")], b"{}"), unavailable);
    for coding in ["chunked", "gzip, chunked", "identity"] {
        assert_eq!(read(&[JSON, ("transfer-encoding", coding)], b"{}"), unavailable, "{coding:?}");
    }
    // A PEP that stopped at its limit may take what it has for the whole.
    assert_eq!(json_body(&headers(&[JSON]), RequestBody::Whole(b"{}")), unavailable);
}

#[test]
fn the_content_type_has_to_say_json_in_utf_8_and_nothing_else() {
    for said in [
        "application/json",
        "Application/JSON",
        " application/json ",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json ;\tCharset=\"Utf-8\" ",
        "application/merge-patch+json",
        "application/vnd.api+json; charset=utf-8",
        "application/a+b+json",
    ] {
        assert_eq!(read(&[("content-type", said)], b"{}"), Ok(json("{}")), "{said:?}");
    }
    for said in [
        "",
        "json",
        "text/json",
        "text/plain",
        "application/jsonp",
        "application/json5",
        "application/x-ndjson",
        "application/+json",
        "application/json-seq",
        "application/geo+json-seq",
        "application/a b+json",
        "application/a/b+json",
        "application/json/x",
        "*/json",
        "application/*",
        "application/json, application/json",
        "application/json,text/plain",
        "application/json;",
        "application/json; charset",
        "application/json; charset=",
        "application/json; charset=utf8",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/json; charset=\"utf-8",
        "application/json; charset='utf-8'",
        "application/json; charset = utf-8",
        "application/json; charset=utf-8; charset=utf-8",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; profile=x",
        "application/json; boundary=x",
        "application/json; charset=utf-8; version=1",
        "application/json\0",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ] {
        assert_eq!(read(&[("content-type", said)], b"{}"), Err(BodyError::Malformed), "{said:?}");
    }
    assert_eq!(read(&[], b"{}"), Err(BodyError::Malformed));
    assert_eq!(read(&[JSON, JSON], b"{}"), Err(BodyError::Malformed));
    assert_eq!(read(&[JSON, ("content_type", "text/plain")], b"{}"), Err(BodyError::Malformed));
    let mut odd = Headers::default();
    odd.push("content-type", b"application/\xffx+json");
    odd.push("content-length", b"2");
    assert_eq!(json_body(&odd, RequestBody::Whole(b"{}")), Err(BodyError::Malformed));
}

#[test]
fn what_is_not_json_or_could_be_read_in_two_ways_is_malformed() {
    let deep = "[".repeat(10_000);
    let just_too_deep = format!("{}{}", "[".repeat(MAX_BODY_DEPTH + 1), "]".repeat(MAX_BODY_DEPTH + 1));
    for bytes in [
        &b""[..],
        b"{",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":1,\"\\u0061\":2}",
        b"{\"a\":{\"b\":1,\"b\":1}}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\0}\0",
        b"{}\0",
        b"\0",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc0\xae\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{} {}",
        b"{\"a\":1,}",
        b"{'a':1}",
        b"{/**/}",
        b"a=1",
        b"\x1f\x8b\x08\x00",
        deep.as_bytes(),
        just_too_deep.as_bytes(),
    ] {
        assert_eq!(read(&[JSON], bytes), Err(BodyError::Malformed), "{}", String::from_utf8_lossy(bytes));
    }
    assert!(read(&[JSON], format!("{}{}", "[".repeat(MAX_BODY_DEPTH), "]".repeat(MAX_BODY_DEPTH)).as_bytes()).is_ok());
}

#[test]
fn a_body_may_have_the_listed_fields_and_no_other() {
    let only = only(&["avatar", "address.street", "address.geo.lat", "phones"]);
    for text in [
        "{}",
        r#"{"avatar":null}"#,
        r#"{"avatar":{"any":[{"thing":1}]},"phones":["1","2"]}"#,
        r#"{"address":{"street":"x"}}"#,
        r#"{"address":{"street":{"any":"thing"},"geo":{"lat":1}}}"#,
        r#"{"\u0061vatar":"x"}"#,
    ] {
        assert!(only.admits(&json(text)), "{text}");
    }
    for text in [
        "null",
        "[]",
        "1",
        "\"avatar\"",
        r#"[{"avatar":"x"}]"#,
        r#"{"role":"ADMIN"}"#,
        r#"{"avatar":"x","role":"ADMIN"}"#,
        r#"{"address":{"street":"x","role":"ADMIN"}}"#,
        r#"{"address":{"geo":{"lat":1,"lon":1}}}"#,
        r#"{"address":{}}"#,
        r#"{"address":{"geo":{}}}"#,
        r#"{"address":null}"#,
        r#"{"address":"x"}"#,
        r#"{"address":[]}"#,
        r#"{"address":[{"street":"x"}]}"#,
        r#"{"address":{"street":"x","geo":null}}"#,
        r#"{"address.street":"x"}"#,
        r#"{"address":{"geo.lat":1}}"#,
        r#"{"Avatar":"x"}"#,
        r#"{"AVATAR":"x"}"#,
        r#"{"avatar ":"x"}"#,
        r#"{"avatar\u0000":"x"}"#,
        r#"{"аvatar":"x"}"#,
        r#"{"":"x"}"#,
        r#"{"__proto__":{"role":"ADMIN"}}"#,
    ] {
        assert!(!only.admits(&json(text)), "{text}");
    }
}

#[test]
fn a_list_of_fields_says_each_once() {
    for text in
        ["", ".", "a.", ".a", "a..b", "*", "a.*", "a[0]", "a b", "a/b", "$.a b", "a\0", "'a'", &"a.".repeat(16), &["a"; 17].join(".")]
    {
        assert_eq!(AllowedFields::parse(&[text]), Err(FieldError::NotAField(text.into())), "{text:?}");
    }
    assert_eq!(AllowedFields::parse(&[]), Err(FieldError::NoFields));
    for (fields, field, by) in [(&["a", "a"][..], "a", "a"), (&["a", "a.b"], "a.b", "a"), (&["a.b.c", "x", "a.b"], "a.b.c", "a.b")] {
        assert_eq!(AllowedFields::parse(fields), Err(FieldError::Covered { field: field.into(), by: by.into() }), "{fields:?}");
    }
    for field in ["straße", "first_name", "first-name", "@id", "$ref", "0", &["a"; 16].join(".")] {
        assert!(AllowedFields::parse(&[field]).is_ok(), "{field}");
    }
    assert!(AllowedFields::parse(&["ab", "a", "abc.a", "b.a"]).is_ok());
}

#[test]
fn a_field_says_what_its_string_says() {
    let body = json(r#"{"owner":"bob","order":{"owner":{"id":"carol"},"n":1,"list":["x"],"none":null},"a.b":"dot"}"#);
    let text = |path: &str| field_text(&body, FieldPath::parse(path).unwrap().names());
    assert_eq!(text("owner"), Some("bob"));
    assert_eq!(text("order.owner.id"), Some("carol"));
    for path in ["order", "order.owner", "order.n", "order.list", "order.list.0", "order.none", "Owner", "missing", "owner.id", "a.b"] {
        assert_eq!(text(path), None, "{path}");
    }
    assert_eq!(field_text(&json("[]"), &["a"]), None);
    assert_eq!(field_text(&json("\"a\""), &["a"]), None);
}

/// Values from a few names, so that listed and other fields meet often.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![Just(serde_json::Value::Null), any::<bool>().prop_map(Into::into), "[ab]{0,2}".prop_map(Into::into)];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            proptest::collection::btree_map("[abcA]", inner, 0..3).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The paths that a value sets: each to the first thing that is not an object with members.
fn set_paths(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                set_paths(member, &format!("{path}.{name}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn exactly_the_bodies_that_set_nothing_but_listed_fields_are_admitted(value in value()) {
        let listed = ["a", "b.a", "b.c.b"];
        let mut paths = Vec::new();
        set_paths(&value, "", &mut paths);
        let is_below = |path: &String| listed.iter().any(|field| format!("{path}.").starts_with(&format!(".{field}.")));
        let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
        prop_assert_eq!(only(&listed).admits(&json(&value.to_string())), empty || paths.iter().all(is_below), "{}", value);
    }

    #[test]
    fn any_bytes_and_headers_are_answered_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..128),
        kind in proptest::collection::vec(any::<u8>(), 0..32),
        length in "[0-9+ ,]{0,4}",
    ) {
        let mut headers = Headers::default();
        headers.push("content-type", &kind);
        headers.push("content-length", length.as_bytes());
        let _ = json_body(&headers, RequestBody::Whole(&bytes));
        let mut headers = Headers::default();
        headers.push("content-type", b"application/json");
        let _ = json_body(&headers, RequestBody::Whole(&bytes)).map(|body| only(&["a.b"]).admits(&body));
    }

    #[test]
    fn any_text_is_a_list_of_fields_or_an_error(texts in proptest::collection::vec("[a-c.*]{0,6}", 0..4)) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        if let Err(error) = AllowedFields::parse(&texts) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
