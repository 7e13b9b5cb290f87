use std::time::{Duration, Instant};

use super::*;

/// Answers on a stack of 512 KiB (a quarter of what a thread has) and within a second, unoptimized.
#[track_caller]
fn answered(document: String) -> Result<Vec<String>, GraphqlError> {
    let started = Instant::now();
    let answer = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || fields(&document)).unwrap().join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    answer
}

/// What nests selections, values or types: text before, text in the middle, text behind.
const NESTS: [(&str, &str, &str, &str, &str); 9] = [
    ("", "{a", "", "}", ""),
    ("{a", "{a", "", "}", "}"),
    ("{", "...{", "a", "}", "}"),
    ("{", "...on Q{", "a", "}", "}"),
    ("{...F} fragment F on Q", "{a", "", "}", ""),
    ("{a(b:", "[", "", "]", ")}"),
    ("{a(b:", "{c:", "1", "}", ")}"),
    ("query($a:T=", "[", "", "]", "){a}"),
    ("query($a:", "[", "T", "]", "){a}"),
];

#[test]
fn documents_nested_as_deep_as_anybody_writes_them_are_read() {
    for (start, open, middle, close, end) in NESTS {
        let nested = |depth: usize| format!("{start}{}{middle}{}{end}", open.repeat(depth), close.repeat(depth));
        assert!(answered(nested(MAX_DEPTH - 2)).is_ok(), "{start}{open}");
        assert_eq!(answered(nested(2 * MAX_DEPTH + 2)), Err(GraphqlError::NotADocument), "{start}{open}");
    }
}

#[test]
fn selections_are_bounded_exactly() {
    for (open, close) in [("{a", "}"), ("{...on Q", "}"), ("{...", "}")] {
        let nested = |depth: usize| format!("{}{{a}}{}", open.repeat(depth - 1), close.repeat(depth - 1));
        assert!(answered(nested(MAX_DEPTH)).is_ok(), "{open}");
        assert_eq!(answered(nested(MAX_DEPTH + 1)), Err(GraphqlError::NotADocument), "{open}");
    }
}

#[test]
fn documents_nested_10_000_deep_are_refused_at_once() {
    for (start, open, middle, close, end) in NESTS {
        let closed = format!("{start}{}{middle}{}{end}", open.repeat(5_000), close.repeat(5_000));
        let open_ended = format!("{start}{}", open.repeat(10_000));
        let too_long = format!("{start}{}", open.repeat(100_000));
        assert!(answered(closed).is_err(), "{start}{open}");
        assert!(answered(open_ended).is_err(), "{start}{open}");
        assert_eq!(answered(too_long), Err(GraphqlError::TooLarge), "{start}{open}");
    }
}

#[test]
fn documents_of_64_kib_are_answered_quickly_whatever_they_are_made_of() {
    for (start, unit, end) in [
        ("{", "a ", "}"),
        ("{", "a:b,", "}"),
        ("{", "...F ", "}"),
        ("{", "...{a}", "}"),
        ("", "{", ""),
        ("{", "a(", "}"),
        ("{", "%", "}"),
        ("{", "é", "}"),
        ("{", "#\n", "a}"),
        ("{", "#\r", "a}"),
        ("{", ",", "a}"),
        ("{", "}", ""),
        ("{", ".", "}"),
        ("{", "@", "}"),
        ("{a ", "@a ", "}"),
        ("{a(b:[", "1 ", "])}"),
        ("{a(b:[", "-", "])}"),
        ("{a(b:[", "+", "])}"),
        ("{a(b:[", "$", "])}"),
        ("{a(b:[", "1a ", "])}"),
        ("{a(b:[", "\"\\u\"", "])}"),
        ("{a(b:[", "\"\" ", "])}"),
        ("{a(b:[", "\"\"\" ", "])}"),
        ("{a(b:", "\"\n", ")}"),
        ("", "\"", ""),
        ("{a(b:\"\"\"", " \n", "\"\"\")}"),
        ("{a(b:\"\"\"", "\\\"\"\"", "\"\"\")}"),
        ("{a(b:\"", "\\u0041", "\")}"),
        ("{a(b:\"", "\\u{41}", "\")}"),
        ("{a(b:", "9", ")}"),
        ("{", "a", "}"),
        ("", "query a{a}", ""),
        ("", "query {", ""),
        ("query(", "$a:T=1 ", "){a}"),
        ("query($a:T", "!", "){a}"),
        ("", "fragment a on T{a}", ""),
        ("", "type A{a:B}", ""),
    ] {
        let count = (64 * 1024 - start.len() - end.len()) / unit.len();
        let _ = answered(format!("{start}{}{end}", unit.repeat(count)));
        assert_eq!(answered(format!("{start}{}{end}", unit.repeat(2 * count))), Err(GraphqlError::TooLarge), "{start}{unit}");
    }
}

#[test]
fn tokens_are_counted_over_the_whole_body() {
    let of_tokens = |tokens: usize| format!("{{{}}}", "a ".repeat(tokens - 2));
    assert_fields(&of_tokens(MAX_TOKENS), &["query a"]);
    assert_eq!(fields(&of_tokens(MAX_TOKENS + 1)), Err(GraphqlError::TooLarge));
    assert_fields(&format!("{{a{}}}", " ,\n".repeat(MAX_TOKENS)), &["query a"]);
    let batch = |each: usize| {
        let request = serde_json::json!({ "query": of_tokens(each) });
        serde_json::Value::from(vec![request; 4]).to_string()
    };
    assert_eq!(fields_of_body(&batch(MAX_TOKENS / 4)).unwrap(), ["query a"]);
    assert_eq!(fields_of_body(&batch(MAX_TOKENS / 4 + 1)), Err(GraphqlError::TooLarge));
}

#[test]
fn comments_are_counted_wherever_a_number_sign_stands() {
    for comment in ["#\n", "#\r", "#\n,", "# {me} #x\r\n"] {
        let document = |comments: usize| format!("{{a{}}}", comment.repeat(comments / comment.matches('#').count()));
        assert_eq!(answered(document(MAX_COMMENTS)).unwrap(), ["query a"], "{comment:?}");
        assert_eq!(answered(document(MAX_COMMENTS + 2)), Err(GraphqlError::TooLarge), "{comment:?}");
    }
    let in_string = |signs: usize| format!("{{a(b:\"{}\")}}", "#".repeat(signs));
    assert_fields(&in_string(MAX_COMMENTS), &["query a"]);
    assert_eq!(fields(&in_string(MAX_COMMENTS + 1)), Err(GraphqlError::TooLarge));
}

#[test]
fn names_of_root_fields_are_bounded() {
    let name = |length: usize| format!("{{{}}}", "x".repeat(length));
    assert!(fields(&name(MAX_NAME_BYTES)).is_ok());
    assert_eq!(fields(&name(MAX_NAME_BYTES + 1)), Err(GraphqlError::TooLarge));
    assert!(fields(&format!("{{a{}}}", name(MAX_NAME_BYTES + 1))).is_ok());
}

#[test]
fn fragments_that_spread_each_other_many_times_cost_no_more_than_their_text() {
    // Each fragment spreads the next one twice: 2^200 fields if it were written out.
    let mut document = String::from("{...F0 me{...F0}}");
    for n in 0..200 {
        document.push_str(&format!(" fragment F{n} on Q{{...F{0} ...{{...F{0}}} a{n}{{...F{0}}}}}", n + 1));
    }
    document.push_str(" fragment F200 on Q{secret}");
    let fields = answered(document).unwrap();
    assert_eq!(fields.len(), 202);
    assert!(fields.contains(&"query secret".to_owned()));
}

#[test]
fn long_chains_and_wide_fans_of_fragments_are_followed_to_their_end() {
    let chain: String = (0..1_000).map(|n| format!("fragment F{n} on Q{{...F{}}}", n + 1)).collect();
    assert_eq!(answered(format!("{{...F0}}{chain}fragment F1000 on Q{{secret}}")).unwrap(), ["query secret"]);
    assert_eq!(answered(format!("{{...F0}}{chain}fragment F1000 on Q{{...F0}}")), Err(GraphqlError::Fragments));
    assert_eq!(answered(format!("{{...F0}}{chain}")), Err(GraphqlError::Fragments));
    let fan: String = (0..800).map(|n| format!("fragment F{n} on Q{{f{n}}}")).collect();
    let spreads: String = (0..800).map(|n| format!("...F{n} ")).collect();
    assert_eq!(answered(format!("{{{spreads}}}{fan}")).unwrap().len(), 800);
}
