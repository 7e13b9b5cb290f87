//! Reading one document of YAML as JSON.

use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::scalar::{Unreadable, resolve};

/// How deep values may be nested, as in JSON that is read.
const MAX_DEPTH: usize = 120;
/// How many values a document may have once its aliases are written out.
const MAX_VALUES: usize = 1_000_000;

/// Where in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// Where, within the document.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.place.line, self.place.column, self.message)
    }
}

fn error(at: &Marker, message: impl Into<String>) -> YamlError {
    YamlError { place: Place { line: at.line(), column: at.col() + 1 }, message: message.into() }
}

/// Reads one document. `None` if there is nothing in it but comments.
///
/// # Errors
/// Where it is no YAML, where it says what JSON cannot, where readers would not agree on what it says, and where there is a second document.
pub fn read(text: &str) -> Result<Option<Value>, YamlError> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), values: 0 };
    let mut document = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(_) if document.is_some() => {
                return Err(error(&span.start, "a second document begins here; write '---' on a line of its own before it"));
            }
            Event::StreamEnd => return Ok(document),
            Event::DocumentStart(_) => {
                let (event, span) = reader.next()?;
                document = Some(reader.value(event, span, 0)?);
            }
            _ => return Err(error(&span.start, "this is not expected here")),
        }
    }
}

/// A value, and how many values it is with all that is in it.
type Sized = (Value, usize);

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Sized>,
    values: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(failure)) => Err(error(failure.marker(), format!("this is not valid YAML: {}", failure.info()))),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn count(&mut self, values: usize, at: &Marker) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            return Err(error(at, format!("with its aliases written out, this has more than {MAX_VALUES} values")));
        }
        Ok(())
    }

    fn value(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Value, YamlError> {
        if depth > MAX_DEPTH {
            return Err(error(&span.start, format!("this is nested deeper than {MAX_DEPTH} levels")));
        }
        let before = self.values;
        self.count(1, &span.start)?;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(error(&span.start, "this alias refers to what it is in"));
                };
                self.count(size, &span.start)?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), &span.start)?, anchor),
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", &span.start)?;
                (self.sequence(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", &span.start)?;
                (self.mapping(depth)?, anchor)
            }
            _ => return Err(error(&span.start, "this is not expected here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), self.values.saturating_sub(before)));
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            items.push(self.value(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries = Map::new();
        // What came from '<<' may be written again behind it; what is written may not be there twice.
        let mut merged = Map::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = if is_merge { String::new() } else { self.key(event, span)? };
            let (event, value_span) = self.next()?;
            let value = self.value(event, value_span, depth + 1)?;
            if is_merge {
                for (key, value) in merge(value, &span.start)? {
                    if entries.contains_key(&key) {
                        let message = format!(
                            "'{key}' is written before '<<', which has it as well, and readers do not agree on which counts; write '<<' first"
                        );
                        return Err(error(&span.start, message));
                    }
                    if merged.insert(key, value).is_some() {
                        return Err(error(&span.start, "'<<' is there twice with the same key; write one '<<' with a list"));
                    }
                }
            } else if entries.contains_key(&key) {
                return Err(error(&span.start, format!("the key '{key}' is there twice; keep one of them")));
            } else {
                entries.insert(key, value);
            }
        }
        for (key, value) in merged {
            entries.entry(key).or_insert(value);
        }
        Ok(Value::Object(entries))
    }

    fn key(&mut self, event: Event<'t>, span: Span) -> Result<String, YamlError> {
        let wrong = Err(error(&span.start, "a key must be text; put it in quotes"));
        if !matches!(event, Event::Scalar(..) | Event::Alias(_)) {
            return wrong;
        }
        match self.value(event, span, 0)? {
            Value::String(text) => Ok(text),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
            _ => wrong,
        }
    }
}

/// What `<<` brings: of several mappings, the first that has a key counts.
fn merge(value: Value, at: &Marker) -> Result<Map<String, Value>, YamlError> {
    let wrong = || error(at, "'<<' takes a mapping or a list of them");
    match value {
        Value::Object(entries) => Ok(entries),
        Value::Array(mappings) => {
            let mut all = Map::new();
            for mapping in mappings {
                let Value::Object(entries) = mapping else { return Err(wrong()) };
                for (key, value) in entries {
                    all.entry(key).or_insert(value);
                }
            }
            Ok(all)
        }
        _ => Err(wrong()),
    }
}

/// The name of a tag of YAML itself (`str` for `!!str`), and of `!` alone the empty one.
fn yaml_tag<'t>(tag: &'t Tag, at: &Marker) -> Result<&'t str, YamlError> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("tag:yaml.org,2002:" | "!!", name) => Ok(name),
        ("", name) if name.starts_with("tag:yaml.org,2002:") => Ok(name.trim_start_matches("tag:yaml.org,2002:")),
        ("!", "") | ("", "!") => Ok(""),
        (handle, suffix) => Err(error(at, format!("the tag '{handle}{suffix}' means nothing in a manifest; take it away"))),
    }
}

fn collection_tag(tag: Option<&Tag>, expected: &str, at: &Marker) -> Result<(), YamlError> {
    match tag.map(|tag| yaml_tag(tag, at)).transpose()? {
        None => Ok(()),
        Some(name) if name == expected || name.is_empty() => Ok(()),
        Some(name) => Err(error(at, format!("the tag '!!{name}' means nothing here; take it away"))),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &Marker) -> Result<Value, YamlError> {
    let resolved = || resolve(text).map_err(|Unreadable::NotFinite| error(at, format!("'{text}' is a number that JSON does not have")));
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { resolved() } else { Ok(Value::String(text.into())) };
    };
    let name = yaml_tag(tag, at)?;
    let value = match name {
        "" | "str" => return Ok(Value::String(text.into())),
        "int" | "float" | "bool" | "null" => resolved()?,
        _ => return Err(error(at, format!("the tag '!!{name}' means nothing in a manifest; take it away"))),
    };
    let fits = match (name, &value) {
        ("int", Value::Number(number)) => !number.is_f64() && !text.contains('.'),
        ("float", Value::Number(_)) | ("bool", Value::Bool(_)) | ("null", Value::Null) => true,
        _ => false,
    };
    if fits { Ok(value) } else { Err(error(at, format!("'{text}' is not what its tag '!!{name}' says"))) }
}
