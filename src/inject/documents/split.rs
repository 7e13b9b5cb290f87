//! Where one document ends and the next begins: where `kubectl` says so.

use serde_json::Value;

use super::super::json::Strict;
use super::super::yaml;

/// What a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// A document that could be read.
pub(super) struct Document {
    pub object: Value,
    pub format: Format,
}

/// A piece of a manifest.
pub(super) struct Part<'t> {
    /// What stands before it: a line with `---`.
    pub before: &'t str,
    /// Its own text.
    pub text: &'t str,
    /// What is in it, if there is anything but comments; or why that cannot be said.
    pub document: Result<Option<Document>, String>,
}

/// Takes a manifest apart. Put together again, `before` and `text` of all parts are the manifest.
pub(super) fn split(text: &str) -> Vec<Part<'_>> {
    if text.trim_start().starts_with('{')
        && let Some(parts) = json_stream(text)
    {
        return parts;
    }
    let mut parts = Vec::new();
    let mut before = "";
    let mut line_number = 1;
    let mut first_line = 1;
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        line_number += 1;
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            let own = text.get(start..at).unwrap_or_default();
            parts.push(part(before, own, first_line));
            (before, start, first_line) = (line, end, line_number);
            if !rest.is_empty() && !rest.starts_with('#') {
                let message = format!("line {}: after '---' there must be nothing on its line, and there is '{rest}'", line_number - 1);
                parts.push(Part { before, text: "", document: Err(message) });
                before = "";
            }
        }
        at = end;
    }
    parts.push(part(before, text.get(start..).unwrap_or_default(), first_line));
    parts
}

fn part<'t>(before: &'t str, text: &'t str, first_line: usize) -> Part<'t> {
    Part { before, text, document: read(text, first_line) }
}

fn read(text: &str, first_line: usize) -> Result<Option<Document>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Ok(Strict(object)) = serde_json::from_str(text)
    {
        return Ok(Some(Document { object, format: Format::Json }));
    }
    match yaml::read(text) {
        Ok(None | Some(Value::Null)) => Ok(None),
        Ok(Some(object)) => Ok(Some(Document { object, format: Format::Yaml })),
        Err(mut error) => {
            error.place.line += first_line - 1;
            Err(error.to_string())
        }
    }
}

/// One JSON object behind the other, if it is that to its end.
fn json_stream(text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Strict>();
    let begin = text.len() - text.trim_start().len();
    let (mut before, mut start) = (text.get(..begin)?, begin);
    while let Some(next) = stream.next() {
        let Strict(object) = next.ok()?;
        let rest = text.get(stream.byte_offset()..)?;
        let end = text.len() - rest.trim_start().len();
        parts.push(Part { before, text: text.get(start..end)?, document: Ok(Some(Document { object, format: Format::Json })) });
        (before, start) = ("", end);
    }
    Some(parts)
}
