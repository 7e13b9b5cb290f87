//! YAML is read as the real `kubectl` reads it, and what is written every reader takes for the same.

use portcullis::inject::yaml;
use serde_json::{Value, json};

use crate::harness::kubectl;

/// Plain scalars that somebody takes for something.
const SCALARS: &[&str] = &[
    "y",
    "Y",
    "n",
    "N",
    "yes",
    "Yes",
    "YES",
    "yEs",
    "on",
    "On",
    "ON",
    "oN",
    "off",
    "OFF",
    "no",
    "true",
    "True",
    "TRUE",
    "tRue",
    "false",
    "null",
    "Null",
    "NULL",
    "nULL",
    "~",
    "",
    "0644",
    "0o644",
    "0O17",
    "0x1F",
    "0X1F",
    "0b11",
    "-0b11",
    "+0x1f",
    "-0644",
    "0888",
    "08",
    "09.5",
    "1_000",
    "0x_1",
    "0_7",
    "1__0",
    "_1",
    "1_",
    "1e3",
    "1E3",
    "1e+3",
    "1.5e3",
    ".5",
    "5.",
    "-.5",
    "+.5",
    ".5_0",
    "-.5_0",
    "._5",
    ".5_e3",
    ".5_",
    "+5",
    "-5",
    "1.0",
    "1.50",
    "0.1",
    "1e400",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    "2001-12-14t21:59:43.10-05:00",
    "12:30:45",
    "190:20:30",
    "1:30",
    "=",
    "<<",
    "!!str 5",
    "!!int \"5\"",
    "!!bool \"yes\"",
    "!!float 5",
    "!!str",
    "! 5",
    "! yes",
    "'yes'",
    "\"0644\"",
    "0.0",
    "-0",
    "-0.0",
    "0",
    "00",
    "0o8",
    "0xg",
    "0x1p-2",
    "1.2.3",
    "1_000.5",
    "1e",
    "e3",
    "1e1_0",
    "0x",
    "0b",
    "0b2",
    "--",
    "1,000",
    "inf",
    "nan",
    "NaN",
    "0.30000000000000004",
    "1.7976931348623157e308",
    "5e-324",
    "1.0e2",
    "100000000000000000000.0",
    "1e21",
    "123456789.0",
    "0777777777777777777777",
    "01777777777777777777777",
    "0b1_0",
    "-0x1",
    "-0o17",
    "+",
    "-",
    "+-1",
    "--1",
    "1-",
    "0-1",
    "1+",
    ".",
    "..",
    "1..",
    ".e3",
    "0.e1",
    "64Mi",
    "50m",
    "1E",
    "2147483648",
    "0x7fffffffffffffff",
    "0xffffffffffffffff",
    "0x10000000000000000",
];

/// Documents in which more than scalars may be read in two ways.
const DOCUMENTS: &[&str] = &[
    "a: &x {b: 1}\nc: *x",
    "a: &x {b: 1}\nc: {<<: *x, d: 2}",
    "a: &x {b: 1}\nc: {<<: *x, b: 2}",
    "a: &x {b: 1}\ne: &y {b: 3, f: 2}\nc: {<<: [*x, *y], g: 2}",
    "1: a\nyes: b\n0x10: c\n2001-01-01: d\nn: e",
    "'<<': {q: 1}",
    "a: |\n  x\n  y\n",
    "a: |+\n  x\n\n",
    "a: |-\n  x\n\n",
    "a: >\n  x\n  y\n\n  z\n",
    "a: >-\n  x\n   y\n  z\n",
    "a: |2\n   x\n",
    "a: 'x\n  y'",
    "a: 'it''s'",
    "a: \"x\\\n  y\"",
    "a: \"\\u00e9\\x41\\t\\N\\_\\L\\e\"",
    "a: x\n  y\n  z",
    "a: [1,2,]",
    "a: {x, z: 1}",
    "a: x #c",
    "a: x#c",
    "a:\r\n  b: 1",
    "a: [\n1\n]",
    "a: &x\nb: *x",
    "a:\n- b\n- c:\n  - d\n-\n  e: f",
    "? a\n: b",
    "a: !!map {}\nb: !!seq []",
    "a: - 1",
    "a: *nope",
    "a: x: y",
    "a: @x",
    "a: `x",
    "a: %x",
    "a: [1",
    "a: {b",
    "a: 'b",
    "a: \"\\q\"",
    "a: .inf",
    "a: .nan",
    "~: a",
    "? [a]\n: b",
    "a: &a [*a]",
    "<<: x",
    "a: !!int x",
    "a: !!bool 1",
    "a: !!null x",
];

/// What kubectl reads; `None` if it refuses.
fn by_kubectl(text: &str) -> Option<Value> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let document = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{text}{end}");
    let ran = kubectl::run(&["patch", "--local", "--type=json", "-p", "[]", "-f", "-", "-o", "json"], &document);
    ran.is_ok.then(|| {
        let mut value = ran.json();
        for key in ["apiVersion", "kind", "metadata"] {
            value.as_object_mut().expect("an object").remove(key);
        }
        value
    })
}

/// Numbers as kubectl prints them: floats that are whole as whole numbers, and what is longer than 64 bits as floats.
fn as_printed(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(as_printed).collect(),
        Value::Object(entries) => Value::Object(entries.iter().map(|(key, value)| (key.clone(), as_printed(value))).collect()),
        other => other.clone(),
    }
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let readable: Vec<&&str> = SCALARS.iter().filter(|scalar| **scalar != "-").collect();
    assert!(readable.len() >= 130, "{}", readable.len());
    let text = format!("a:\n{}", readable.iter().map(|scalar| format!("- {scalar}\n")).collect::<String>());
    let theirs = by_kubectl(&text).expect("kubectl reads all of them");
    let ours = yaml::read(&text).expect("we read all of them").expect("a document");
    for (index, scalar) in readable.iter().enumerate() {
        assert_eq!(as_printed(&ours["a"][index]), as_printed(&theirs["a"][index]), "{scalar}");
    }
    // And what we write of it, kubectl reads as the same.
    let written = yaml::write(&ours).expect("YAML");
    assert_eq!(as_printed(&by_kubectl(&written).expect("kubectl reads it")), as_printed(&theirs));
}

#[test]
fn documents_are_read_as_kubectl_reads_them_or_not_at_all() {
    let mut refused = 0;
    for text in DOCUMENTS {
        match (yaml::read(text), by_kubectl(text)) {
            (Ok(ours), theirs) => assert_eq!(Some(as_printed(&ours.unwrap_or(json!({})))), theirs.as_ref().map(as_printed), "{text}"),
            (Err(_), _) => refused += 1,
        }
    }
    assert_eq!(refused, 20, "how many are refused");
}

#[test]
fn whatever_is_written_kubectl_and_kustomize_read_as_it_was() {
    let mut texts: Vec<String> = SCALARS.iter().chain(DOCUMENTS).map(ToString::to_string).collect();
    let odd = [
        "\0",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffd}",
        "é",
        "😀",
        "\t",
        " a",
        "a ",
        "a\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a\n b\n",
        "a\n\tb",
        "a\r\nb",
        "#!/bin/sh\nset -e\n\nexec app \"$@\"\n",
        "{\"a\": \"b\"}",
        "'\"\\",
        "a\\nb",
        "---\na",
        "...\n",
        "- a\n- b\n",
        "a: b\nc: d\n",
    ];
    texts.extend(odd.map(str::to_string));
    assert!(texts.len() >= 200, "{}", texts.len());
    let data: Value = Value::Object(texts.iter().enumerate().map(|(index, text)| (format!("t{index}"), json!(text))).collect());
    let keys: Value = Value::Object(texts.iter().map(|text| (text.clone(), json!("key"))).collect());
    let value = json!({ "data": data, "keys": keys, "list": texts });
    let written = yaml::write(&value).expect("YAML");
    assert_eq!(by_kubectl(&written).expect("kubectl reads it"), value);
    // Kustomize has another reader, of a newer YAML. Control characters it cannot write itself.
    texts.retain(|text| !text.contains(|c: char| (c.is_control() && !"\n\r\t".contains(c)) || "\u{feff}\u{2028}".contains(c)));
    let data: Value = Value::Object(texts.iter().enumerate().map(|(index, text)| (format!("t{index}"), json!(text))).collect());
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": data });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [a.yaml]\n").expect("a file");
    std::fs::write(folder.path().join("a.yaml"), yaml::write(&object).expect("YAML")).expect("a file");
    let ran = kubectl::run(&["kustomize", &folder.path().display().to_string()], "");
    assert!(ran.is_ok, "{}", ran.told);
    let read = yaml::read(&ran.out).expect("YAML").expect("a document");
    for (key, text) in data.as_object().expect("an object") {
        assert_eq!(read["data"][key], *text, "{key} in what kustomize wrote");
    }
}
