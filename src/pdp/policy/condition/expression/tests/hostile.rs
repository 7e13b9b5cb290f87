//! Texts of bad will or bad luck: neither loading nor evaluating them may panic, exhaust the stack or take long.

use proptest::prelude::*;

use super::*;

/// On a stack of the size that threads of a server have, whatever this test's is.
fn on_a_small_stack<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run).unwrap().join().unwrap())
}

#[test]
fn no_nesting_exhausts_the_stack() {
    let repeated = |unit: &str, times: usize| unit.repeat(times);
    let mut texts = Vec::new();
    for unit in [
        "(",
        "[",
        "{",
        "!",
        "-",
        "- ",
        "f(",
        "x(",
        "a.",
        "a[",
        "a?",
        "a?b:",
        "true?1:",
        "[1].map(x,",
        "[1].all(x,[1].all(y,",
        "{'a':",
        "{a:",
        ".",
        ",",
        ":",
        ")",
        "]",
        "}",
        "'",
        "\"",
        "\"\"\"",
        "r'",
        "b'",
        "\\",
        "//",
        "/",
        "`",
        "1",
        "a",
        "é",
        "\0",
        "\n",
        "\u{2028}",
        "😀",
        "&&",
        "||",
        "|",
        "&",
        "=",
        "==",
        "!=!",
        "in ",
        " in",
        "a in ",
        "true||",
        "!true&&",
        "(true)||(",
        "a.b(",
        "''",
        "has(",
        "0x",
        "1.",
        "1e",
        "?:",
        "a{",
        "a{b:",
    ] {
        texts.push(repeated(unit, 4096 / unit.len()));
    }
    for (head, unit, tail) in [
        ("", "(", ")"),
        ("", "[", "]"),
        ("", "-(", ")"),
        ("", "!(", ")"),
        ("", "size([", "])"),
        ("", "{'a':", "}"),
        ("", "[1].map(x,", ")"),
        ("", "(true?", ":1)"),
        ("x", "[0", "]"),
    ] {
        for times in [10, 20, 30, 31, 32, 33, 60, 100, 400] {
            let text = format!("{head}{}1{} == 1", repeated(unit, times), repeated(tail, times));
            texts.push(text);
        }
    }
    for unit in [
        "+1",
        "-1",
        "*1",
        "==1",
        "<1",
        " in x",
        ".a",
        "[0]",
        ".f()",
        "?1:2",
        "||true",
        "&&true",
        ",1",
        "/1",
        "%1",
        "+'a'",
        "!=!true",
        "||a.b.c==d[0]&&e",
    ] {
        for times in [50, 100, 127, 128, 129, 500, 2000] {
            texts.push(format!("1{} == 1", repeated(unit, times)).chars().take(4096).collect());
            texts.push(format!("body{} == 1", repeated(unit, times)).chars().take(4096).collect());
            texts.push(format!("'\\q'{}", repeated(unit, times)).chars().take(4096).collect());
            texts.push(format!("\"\"\"'{}", repeated(unit, times)).chars().take(4096).collect());
        }
    }
    on_a_small_stack(|| {
        for text in texts {
            if let Ok(expression) = Expression::compile(&text, &environment()) {
                let _ = expression.holds(&Request::with_body("{\"a\": [[[]]]}"));
            }
        }
    });
}

#[test]
fn the_deepest_expressions_that_are_accepted_fit_on_the_stack() {
    let nested = |unit: &str, tail: &str, times: usize| format!("{}1{} == 1", unit.repeat(times), tail.repeat(times));
    for text in [
        nested("(", ")", 31),
        format!("1{} == 120", "+1".repeat(119)),
        format!("body{} == 1", ".a".repeat(120)),
        format!("body{} == 1", "[0]".repeat(24)),
        format!("{}true", "true && ".repeat(500)),
        format!("principal.tenant in [{}'x']", "'acme', ".repeat(500)),
        format!("{}true{}", "[1].all(x, ".replace('x', "a"), ")"),
    ] {
        let expression = on_a_small_stack(|| compile(&text));
        on_a_small_stack(|| expression.holds(&Request::with_body("{}")).ok());
    }
    assert!(refusal(&nested("(", ")", 40)).ends_with("nested too deep from here on: split the expression into several conditions"));
    assert!(refusal(&format!("1{} == 1", "+1".repeat(200))).contains("nested too deep"));
    assert!(refusal(&format!("{}true", "true && true ? true : ".repeat(40))).contains("nested too deep"), "'&&' hides nothing");
}

#[test]
fn a_long_text_is_refused() {
    let text = format!("true{}", " ".repeat(MAX_TEXT_BYTES - 4));
    assert!(is_true(&text));
    assert_eq!(refusal(&format!("{text} ")), "the expression has 4097 bytes, and 4096 are the most: split it into several conditions");
}

#[test]
fn strings_end_where_the_grammar_ends_them() {
    // What looks like a chain is in a string, and the other way round.
    for text in [
        format!("'{}' != ''", "+1".repeat(500)),
        format!("r'\\' + '{}' != ''", ".a".repeat(500)),
        format!("'''{}''' != ''", "'+1\"".repeat(300)),
        format!("\"\"\"\n{}\"\"\" != ''", "[0] ".repeat(300)),
        format!("'' != '' // {}\n || true", "((((".repeat(300)),
    ] {
        on_a_small_stack(|| compile(&text));
    }
    for text in [
        format!("'\\''{}", "+'a'".repeat(500)),
        format!("r'\\'{}", "+'a'".repeat(500)),
        format!("''{}", "+'''a'''".repeat(300)),
        format!("1//\n{}", "+1".repeat(500)),
    ] {
        assert!(refusal(&text).contains("nested too deep"), "{text}");
    }
    for text in [
        "1r'\\'+'",
        "xr'a'",
        "'a' 'b'",
        "a'b'",
        "rr'a'",
        "br'a'",
        "'\\x4' == ''",
        "'\\u12' == ''",
        "'\\400' == ''",
        "'\n' == ''",
        "'a\r' == ''",
        "'\\",
    ] {
        refusal(text);
    }
}

#[test]
fn a_pattern_takes_linear_time() {
    let request = Request { headers: vec![("x-amount", format!("{}!", "a".repeat(20_000)))], ..Request::default() };
    for pattern in ["^(a+)+$", "^(a|aa)+$", "(a*)*b", "^(a?){20}a{20}$", "(x+x+)+y"] {
        let result = holds(&format!("request.headers['x-amount'].matches(r'{pattern}')"), &request);
        assert!(matches!(result, Ok(false) | Err(EvaluationErrorKind::TooExpensive)), "{pattern}: {result:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_accepted_or_refused(text in "\\PC{0,80}") {
        if let Ok(expression) = Expression::compile(&text, &environment()) {
            let _ = expression.holds(&Request::default());
        }
    }

    /// Out of the language's own tokens, in any order.
    #[test]
    fn any_tokens_are_accepted_or_refused(tokens in proptest::collection::vec(proptest::sample::select(TOKENS), 0..25), spaces in any::<bool>()) {
        let text = tokens.join(if spaces { " " } else { "" });
        if let Ok(expression) = Expression::compile(&text, &environment()) {
            let _ = expression.holds(&Request::with_body("{\"a\": [1, {\"b\": null}]}"));
        }
    }
}

const TOKENS: &[&str] = &[
    "body",
    "principal",
    "request",
    "path",
    "targets",
    "now",
    "peer",
    "math",
    ".",
    "?",
    ":",
    ",",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "in",
    "1",
    "0",
    "1.5",
    "1u",
    "0x1F",
    "9223372036854775807",
    "-9223372036854775808",
    "1e999",
    "'a'",
    "\"b\"",
    "r'\\'",
    "b'x'",
    "'''c'''",
    "'\\n'",
    "true",
    "false",
    "null",
    "x",
    "a",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "size",
    "int",
    "string",
    "double",
    "duration",
    "timestamp",
    "matches",
    "getHours",
    "greatest",
    "dyn",
    "roles",
    "headers",
    "tenant",
    "user",
    "id",
    "attributes",
    "`a`",
    "//",
    "\n",
    "@",
    "#",
    "$",
    "\\",
    "'",
    "\"",
    "é",
    "\u{0}",
    "for",
    "type",
    "optional",
    ".?",
    "[?",
    "__result__",
    "@in",
];
