use proptest::prelude::*;

use super::*;

fn segments(target: &str) -> Result<Vec<String>, PathError> {
    NormalizedPath::parse(target).map(|path| path.segments().iter().map(|s| s.to_string()).collect())
}

#[test]
fn plain_paths_split_at_slashes_and_keep_a_trailing_one() {
    assert_eq!(segments("/").unwrap(), [""]);
    assert_eq!(segments("/a").unwrap(), ["a"]);
    assert_eq!(segments("/a/b").unwrap(), ["a", "b"]);
    assert_eq!(segments("/a/b/").unwrap(), ["a", "b", ""]);
    assert_eq!(segments("/pkg.Service/Method").unwrap(), ["pkg.Service", "Method"]);
}

#[test]
fn escapes_that_are_needed_decode_once() {
    assert_eq!(segments("/caf%C3%A9/a%20b").unwrap(), ["café", "a b"]);
    assert_eq!(segments("/user%40example.com").unwrap(), ["user@example.com"]);
    assert_eq!(segments("/100%25").unwrap(), ["100%"]);
}

#[test]
fn every_ambiguous_spelling_is_refused_with_its_cause() {
    use PathError::*;
    for (target, error) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("a", NotAbsolute),
        ("http://x/a", NotAbsolute),
        ("?a=b", NotAbsolute),
        ("//", EmptySegment),
        ("//a", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a//", EmptySegment),
        ("/.", DotSegment),
        ("/a/./b", DotSegment),
        ("/a/../b", DotSegment),
        ("/a/..", DotSegment),
        ("/a/%2e%2e/b", DotSegment),
        ("/a/.%2E/b", DotSegment),
        ("/a%2eb", DotSegment),
        ("/a%2fb", EncodedSlash),
        ("/a%2Fb", EncodedSlash),
        ("/a%5Cb", EncodedSlash),
        ("/a\\b", Backslash),
        ("/a;b=c", PathParameter),
        ("/a/..;/b", PathParameter),
        ("/a%3Bb", PathParameter),
        ("/a%00b", ControlCharacter),
        ("/a\0b", ControlCharacter),
        ("/a%0d%0ab", ControlCharacter),
        ("/a\tb", ControlCharacter),
        ("/a%7F", ControlCharacter),
        ("/a%C2%85", ControlCharacter),
        ("/a%", BadEscape),
        ("/a%2", BadEscape),
        ("/a%zz", BadEscape),
        ("/a%u002f", BadEscape),
        ("/a%FF", NotUtf8),
        ("/a%C0%AF", NotUtf8),
        ("/a%ED%A0%80", NotUtf8),
        ("/%61dmin", NeedlessEscape),
        ("/a%7Eb", NeedlessEscape),
        ("/a%2Db", NeedlessEscape),
        ("/a%252fb", DoubleEncoding),
        ("/a%252e", DoubleEncoding),
        ("/a%3Fb", EncodedDelimiter),
        ("/a%23b", EncodedDelimiter),
        ("/a b", ForbiddenCharacter),
        ("/a#b", ForbiddenCharacter),
        ("/a\"b", ForbiddenCharacter),
        ("/a{b}", ForbiddenCharacter),
        ("/é", ForbiddenCharacter),
        ("/a?b#c", ForbiddenCharacter),
        ("/a?b\nc", ControlCharacter),
    ] {
        assert_eq!(segments(target), Err(error), "{target:?}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    assert_eq!(segments(&format!("/{}", "a".repeat(MAX_PATH_BYTES))), Err(PathError::TooLong));
    assert_eq!(segments(&"/a".repeat(MAX_SEGMENTS)).unwrap().len(), MAX_SEGMENTS);
    assert_eq!(segments(&"/a".repeat(MAX_SEGMENTS + 1)), Err(PathError::TooLong));
}

#[test]
fn a_query_parameter_is_absent_once_or_ambiguous() {
    let value = |query: &str| query_value(Some(query), "tenant");
    assert_eq!(query_value(None, "tenant"), QueryValue::Absent);
    assert_eq!(value("a=b"), QueryValue::Absent);
    assert_eq!(value("a=b&tenant=acme"), QueryValue::One("acme".into()));
    assert_eq!(value("%74enant=ac%6De"), QueryValue::One("acme".into()));
    assert_eq!(value("tenant"), QueryValue::One(String::new()));
    assert_eq!(value("tenant=a&tenant=a"), QueryValue::Ambiguous);
    assert_eq!(value("tenant=a&%74enant=b"), QueryValue::Ambiguous);
    assert_eq!(value("tenant=a;tenant=b"), QueryValue::Ambiguous);
    assert_eq!(value("tenant=%zz"), QueryValue::Ambiguous);
    assert_eq!(value("x=%zz&tenant=a"), QueryValue::Ambiguous);
}

/// Says, character by character and without sharing code with the parser, whether a path is canonical.
fn oracle(path: &str) -> Option<Vec<String>> {
    let bytes: Vec<char> = path.chars().collect();
    if bytes.first() != Some(&'/') {
        return None;
    }
    let parts: Vec<String> = path[1..].split('/').map(String::from).collect();
    if parts.len() > MAX_SEGMENTS {
        return None;
    }
    let mut decoded = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if part.is_empty() && index + 1 != parts.len() {
            return None;
        }
        let mut out: Vec<u8> = Vec::new();
        let chars: Vec<char> = part.chars().collect();
        let mut i = 0;
        while i < chars.len() {
            if chars[i] == '%' {
                let pair: String = chars.iter().skip(i + 1).take(2).collect();
                if pair.len() != 2 || !pair.chars().all(|c| c.is_ascii_hexdigit()) {
                    return None;
                }
                let value = u8::from_str_radix(&pair, 16).unwrap();
                if value < 0x20 || value == 0x7f || b"/\\.;?#".contains(&value) {
                    return None;
                }
                if "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".contains(value as char) {
                    return None;
                }
                let next: String = chars.iter().skip(i + 3).take(2).collect();
                if value == b'%' && next.len() == 2 && next.chars().all(|c| c.is_ascii_hexdigit()) {
                    return None;
                }
                out.push(value);
                i += 3;
            } else {
                if !"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@".contains(chars[i]) {
                    return None;
                }
                out.push(chars[i] as u8);
                i += 1;
            }
        }
        let text = String::from_utf8(out).ok()?;
        if text == "." || text == ".." || text.chars().any(char::is_control) {
            return None;
        }
        decoded.push(text);
    }
    Some(decoded)
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z0-9]{1,3}",
        2 => Just("/".to_string()),
        1 => Just(".".to_string()),
        1 => Just("..".to_string()),
        2 => any::<u8>().prop_map(|b| format!("%{b:02X}")),
        2 => any::<u8>().prop_map(|b| format!("%{b:02x}")),
        1 => Just("%25".to_string()),
        1 => Just("%".to_string()),
        1 => Just("%C3%A9".to_string()),
        1 => "[ -~]",
        1 => any::<char>().prop_map(|c| c.to_string()).prop_filter("the query is not the subject", |c| c != "?"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_parser_agrees_with_a_naive_oracle(pieces in proptest::collection::vec(piece(), 0..12)) {
        let path: String = std::iter::once("/".to_string()).chain(pieces).collect();
        prop_assume!(!path.contains('?'));
        prop_assert_eq!(segments(&path).ok(), oracle(&path), "{:?}", path);
    }

    #[test]
    fn any_string_is_answered_without_a_panic(target in ".{0,200}") {
        let _ = NormalizedPath::parse(&target);
        let _ = query_value(Some(&target), "tenant");
    }

    #[test]
    fn what_is_encoded_canonically_is_accepted_and_decodes_to_itself(
        values in proptest::collection::vec("[a-z0-9 é@:]{1,8}", 1..5)
    ) {
        let encoded: String = values.iter().map(|value| {
            let mut out = String::from("/");
            for byte in value.bytes() {
                if is_unreserved(byte) { out.push(byte as char) } else { out.push_str(&format!("%{byte:02X}")) }
            }
            out
        }).collect();
        prop_assert_eq!(segments(&encoded).unwrap(), values);
    }
}
