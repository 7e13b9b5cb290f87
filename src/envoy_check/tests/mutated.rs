//! Whatever a file holds, there is an answer and no panic.

use proptest::prelude::*;

use super::*;

/// A change of one place of a text.
#[derive(Debug, Clone)]
enum Change {
    Remove(usize),
    Double(usize),
    Cut(usize),
    Value(usize, &'static str),
    Byte(usize, u8),
    Indent(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let values =
        prop::sample::select(vec!["~", "[]", "{}", "5", "-1", "\"x\"", "true", "[[1]]", "{ a: { b: c } }", "*x", "1e400s", "\u{fffd}"]);
    prop_oneof![
        any::<usize>().prop_map(Change::Remove),
        any::<usize>().prop_map(Change::Double),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), values).prop_map(|(at, value)| Change::Value(at, value)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        any::<usize>().prop_map(Change::Indent),
    ]
}

fn apply(content: Vec<u8>, change: &Change) -> Vec<u8> {
    let text = match String::from_utf8(content) {
        Ok(text) => text,
        Err(error) => return error.into_bytes(),
    };
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let count = lines.len();
    match change {
        Change::Remove(at) => drop(lines.remove(at % count)),
        Change::Double(at) => lines.insert(at % count, lines[at % count].clone()),
        Change::Cut(at) => lines.truncate(at % count),
        Change::Indent(at) => lines[at % count].insert_str(0, "  "),
        Change::Value(at, value) => {
            let line = &mut lines[at % count];
            if let Some((name, _)) = line.split_once(": ") {
                *line = format!("{name}: {value}");
            }
        }
        Change::Byte(at, byte) => {
            let mut bytes = text.into_bytes();
            let at = at % bytes.len();
            bytes[at] = *byte;
            return bytes;
        }
    }
    (lines.join("\n") + "\n").into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_configuration_gets_an_answer(changes in prop::collection::vec(change(), 1..6)) {
        let content = changes.iter().fold(sidecar().into_bytes(), apply);
        let needs = Needs { body_routes: vec!["orders".into()], headers: vec!["x-tenant".into()], ..Needs::default() };
        let report = check_with(&content, Some(&needs));
        // What is said is fit to be printed: on one line, without control characters.
        for finding in &report.findings {
            prop_assert!(!finding.message.is_empty());
            prop_assert!(finding.location.to_string().starts_with("envoy.yaml"));
        }
        prop_assert!(report.json().is_object() && !report.summary().is_empty());
        let _ = report.text(Style { colour: true });
    }

    #[test]
    fn any_bytes_get_an_answer(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let report = check_with(&content, None);
        prop_assert!(!report.passes(false));
    }
}
