//! What is read, what is refused, and that whatever is written is read as it was. `tests/portcullis/kubernetes/inject` holds it against the
//! real `kubectl`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{read, write};

fn one(text: &str) -> Value {
    read(text).unwrap_or_else(|error| panic!("{text}: {error}")).unwrap_or(Value::Null)
}

#[test]
fn anchors_merges_and_keys_are_written_out() {
    for (text, value) in [
        ("a: &x {b: 1}\nc: *x", json!({ "a": { "b": 1 }, "c": { "b": 1 } })),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", json!({ "a": { "b": 1 }, "c": { "b": 1, "d": 2 } })),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}", json!({ "a": { "b": 1 }, "c": { "b": 2 } })),
        (
            "a: &x {b: 1}\ne: &y {b: 3, f: 2}\nc: {<<: [*x, *y]}",
            json!({ "a": { "b": 1 }, "e": { "b": 3, "f": 2 }, "c": { "b": 1, "f": 2 } }),
        ),
        ("1: a\nyes: b\n0x10: c", json!({ "1": "a", "true": "b", "16": "c" })),
        ("'<<': {q: 1}", json!({ "<<": { "q": 1 } })),
        ("a: !!str 5\nb: !!int \"5\"\nc: ! 5", json!({ "a": "5", "b": 5, "c": "5" })),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", json!({ "a": "x\ny\n", "b": "x y" })),
    ] {
        assert_eq!(one(text), value, "{text}");
    }
    for text in ["", "# a comment\n", "\n\n", "null"] {
        assert_eq!(one(text), Value::Null, "{text}");
    }
}

#[test]
fn what_readers_do_not_agree_on_is_refused_with_its_place() {
    for (text, message) in [
        ("a: 1\na: 2", "line 2, column 1: the key 'a' is there twice; keep one of them"),
        ("'a': 1\na: 2", "line 2, column 1: the key 'a' is there twice; keep one of them"),
        ("yes: 1\ntrue: 2", "line 2, column 1: the key 'true' is there twice; keep one of them"),
        ("a: {b: 1, b: 2}", "line 1, column 11: the key 'b' is there twice; keep one of them"),
        ("a: .inf", "line 1, column 4: '.inf' is a number that JSON does not have"),
        ("? [a]\n: b", "line 1, column 3: a key must be text; put it in quotes"),
        ("~: a", "line 1, column 1: a key must be text; put it in quotes"),
        ("1.5: a", "line 1, column 1: a key must be text; put it in quotes"),
        ("a: &a [*a]", "line 1, column 8: this alias refers to what it is in"),
        ("<<: x", "line 1, column 1: '<<' takes a mapping or a list of them"),
        ("a: &x {q: 1}\nb: {q: 2, <<: *x}", "'q' is written before '<<', which has it as well, and readers do not agree on which counts"),
        ("a: !foo 5", "line 1, column 4: the tag '!foo' means nothing in a manifest; take it away"),
        ("a: !!binary aGk=", "line 1, column 4: the tag '!!binary' means nothing in a manifest; take it away"),
        ("a: !!set {x}", "the tag '!!set' means nothing here; take it away"),
        ("a: !!int x", "line 1, column 4: 'x' is not what its tag '!!int' says"),
        ("a: !!int 1.0", "line 1, column 4: '1.0' is not what its tag '!!int' says"),
        ("a: 1\n...\n---\nb: 1", "a second document begins here; write '---' on a line of its own before it"),
        ("a: [1", "this is not valid YAML"),
    ] {
        let error = read(text).map(|value| panic!("{text}: {value:?}")).unwrap_err().to_string();
        assert!(error.contains(message), "{text}\n{error}\n{message}");
    }
}

#[test]
fn what_would_take_all_memory_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    assert!(read(&bomb).unwrap_err().message.contains("more than 1000000 values"));
    let deep = format!("{}a", "- ".repeat(1000));
    assert!(read(&deep).unwrap_err().message.contains("nested deeper than 120 levels"));
    assert!(read(&"[".repeat(100_000)).is_err());
}

/// Texts that somebody may take for something else, or that are hard to write.
fn texts() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "yes",
        "No",
        "y",
        "on",
        "null",
        "~",
        "true",
        "0644",
        "0o644",
        "0x1F",
        "1_000",
        "1e3",
        ".5",
        "5.",
        "-0",
        ".inf",
        "12:30",
        "1:30:00",
        "2001-01-01",
        "<<",
        "=",
        "-",
        "--",
        "---",
        "- a",
        "? a",
        "a: b",
        "a:",
        ":a",
        "a #b",
        "#a",
        "a\n",
        "a\nb",
        "\na",
        "a\n\n",
        " a\nb",
        "a\n b\n",
        "a\n \nb",
        "\ta\nb",
        "a\n\tb",
        "a\r\nb",
        "\u{85}",
        "\u{2028}a",
        "\u{feff}",
        "é",
        "😀",
        "\0",
        "\u{7f}",
        "'",
        "\"",
        "'\"",
        "{\"a\":1}",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "[a]",
        "{a}",
        "a, b",
        "-c",
        "--config",
        "64Mi",
        "50m",
        "1E",
        "1e",
        "8080/tcp",
        "$(A)",
        "\\n",
        "a ",
        "...",
    ];
    prop_oneof![prop::sample::select(odd.to_vec()).prop_map(str::to_string), "[ -~]{0,12}", "\\PC{0,8}", "[a-z\n \t:#'-]{0,12}"]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![0.1, 1.5, -2.25e-7, 1e300, 0.300_000_000_000_000_04, 5e-324, f64::MAX]).prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(texts(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read_as_it_was(value in values()) {
        let text = write(&value).unwrap();
        prop_assert!(text.ends_with('\n'));
        prop_assert_eq!(one(&text), value, "{}", text);
    }

    #[test]
    fn whatever_is_read_ends_well(text in "[-a-z:{}\\[\\],&*!|>'\"#%@`?~<0-9. \n\t]{0,60}") {
        if let Ok(Some(value)) = read(&text) {
            prop_assert_eq!(one(&write(&value).unwrap()), value);
        }
    }
}

#[test]
fn it_looks_like_what_kubectl_prints() {
    let value = json!({
        "kind": "Deployment", "metadata": { "annotations": { "a": "{\"b\":1}" }, "labels": {} },
        "spec": { "args": ["--config", "-c", "a: b", "set -e\nexec a\n"], "limits": { "memory": "64Mi", "cpu": 1 }, "ports": [{ "name": "a", "port": 80 }], "x": [[1, [2]], []] },
    });
    let text = "kind: Deployment\nmetadata:\n  annotations:\n    a: '{\"b\":1}'\n  labels: {}\nspec:\n  args:\n  - --config\n  - -c\n  - \"a: b\"\n  - |\n    set -e\n    exec a\n  limits:\n    cpu: 1\n    memory: 64Mi\n  ports:\n  - name: a\n    port: 80\n  x:\n  - - 1\n    - - 2\n  - []\n";
    assert_eq!(write(&value).unwrap(), text);
    assert_eq!(one(text), value);
    let long = json!({ "a".repeat(1001): 1 });
    assert_eq!(write(&long).unwrap_err(), "a key of 1001 bytes cannot be written as YAML; use JSON");
}
