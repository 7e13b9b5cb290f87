//! Writing JSON as YAML, in the style of `kubectl get -o yaml`.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::scalar::resolve;

/// The longest key that every reader takes before its `:`.
const LONGEST_KEY: usize = 1000;

/// Writes a document, with a line feed at its end.
///
/// # Errors
/// When a key is too long to be written before a `:`.
pub fn write(value: &Value) -> Result<String, String> {
    let mut text = String::new();
    match value {
        Value::Object(entries) if !entries.is_empty() => mapping(entries, 0, &mut text)?,
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut text)?,
        other => {
            text.push_str(&inline(other));
            text.push('\n');
        }
    }
    Ok(text)
}

fn mapping(entries: &Map<String, Value>, indent: usize, text: &mut String) -> Result<(), String> {
    for (key, value) in entries {
        let key = string(key);
        if key.len() > LONGEST_KEY {
            return Err(format!("a key of {} bytes cannot be written as YAML; use JSON", key.len()));
        }
        let _ = write!(text, "{:indent$}{key}:", "");
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                text.push('\n');
                mapping(entries, indent + 2, text)?;
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                sequence(items, indent, text)?;
            }
            other => scalar(other, indent, text),
        }
    }
    Ok(())
}

fn sequence(items: &[Value], indent: usize, text: &mut String) -> Result<(), String> {
    for item in items {
        match item {
            Value::Object(entries) if !entries.is_empty() => nested(indent, text, |inner| mapping(entries, indent + 2, inner))?,
            Value::Array(items) if !items.is_empty() => nested(indent, text, |inner| sequence(items, indent + 2, inner))?,
            other => {
                let _ = write!(text, "{:indent$}-", "");
                scalar(other, indent, text);
            }
        }
    }
    Ok(())
}

/// What is in an item begins on the line of its `-`.
fn nested(indent: usize, text: &mut String, write: impl FnOnce(&mut String) -> Result<(), String>) -> Result<(), String> {
    let _ = write!(text, "{:indent$}- ", "");
    let mut inner = String::new();
    write(&mut inner)?;
    text.push_str(inner.get(indent + 2..).unwrap_or_default());
    Ok(())
}

/// A scalar behind a `:` or a `-`, to the end of its last line.
fn scalar(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(string) if is_block(string) => {
            text.push_str(if string.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in string.lines() {
                let indent = if line.is_empty() { 0 } else { indent + 2 };
                let _ = writeln!(text, "{:indent$}{line}", "");
            }
        }
        other => {
            text.push(' ');
            text.push_str(&inline(other));
            text.push('\n');
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        // Numbers, booleans, null, {} and [] are in YAML as they are in JSON.
        other => other.to_string(),
    }
}

/// Whether a text reads better as lines, and every reader gets the same lines.
fn is_block(text: &str) -> bool {
    let odd = |c: char| needs_escape(c) && c != '\n' || c == '\t';
    let blank = |line: &str| !line.is_empty() && line.trim_matches(' ').is_empty();
    text.contains('\n') && !text.starts_with([' ', '\n']) && !text.ends_with("\n\n") && !text.contains(odd) && !text.split('\n').any(blank)
}

fn string(text: &str) -> String {
    if is_plain(text) {
        return text.into();
    }
    // JSON within a manifest reads better so.
    if text.contains('"') && !text.contains('\'') && !text.contains(needs_escape) {
        return format!("'{text}'");
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if !needs_escape(c) => quoted.push(c),
            c if u32::from(c) <= 0xffff => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// What may not be in YAML as it is, or means a line break to some.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') || u32::from(c) & 0xfffe == 0xfffe
}

/// Words that some version of YAML takes for something else, whatever their case.
const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

/// Whether a text can be written without quotes, and nobody takes it for anything but text. In doubt it cannot.
fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "._/-@=,+ :$()".contains(c);
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else { return false };
    let begins = if first.is_ascii_digit() {
        // '64Mi' and '50m', but no number, date or time of any version of YAML.
        last.is_ascii_alphabetic()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
            && !text.contains(['e', 'E', 'x', 'X', 'o', 'O', 'b', 'B'])
    } else if let Some(option) = text.strip_prefix("--").or(text.strip_prefix('-')) {
        option.starts_with(|c: char| c.is_ascii_alphabetic())
    } else {
        first.is_ascii_alphabetic() || first == '/'
    };
    begins
        && text.chars().all(inner)
        && !matches!(last, ' ' | ':')
        && !text.contains(": ")
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        && resolve(text).is_ok_and(|value| value.is_string())
}
