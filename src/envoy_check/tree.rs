//! YAML or JSON as Envoy reads it: a tree in which every value knows its place.
//!
//! An alias shares what its anchor stands for, so a file of aliases of aliases costs nothing to keep. What it would cost to walk is
//! counted while it is read, and refused when no configuration comes near it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

/// The longest file that is read, in bytes. What the admin interface dumps of a large mesh has some millions.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How deep values may be nested, aliases followed.
const MAX_DEPTH: usize = 128;
/// How many values there may be, aliases followed.
const MAX_VALUES: usize = 8_000_000;

/// A line and a column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    fn of(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// A value.
#[derive(Debug)]
pub(super) struct Value {
    pub place: Place,
    pub data: Data,
    /// How many values it is, aliases followed.
    values: usize,
    /// How many levels of lists and mappings it has.
    depth: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Data {
    Null,
    /// A scalar without quotes: text, a number, a boolean.
    Plain(Box<str>),
    /// A scalar in quotes, or a block of text.
    Quoted(Box<str>),
    List(Vec<Arc<Value>>),
    Map(Vec<Entry>),
}

/// A member of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: Box<str>,
    pub place: Place,
    pub value: Arc<Value>,
}

/// Why a file cannot be read: where, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// `None`: the file as a whole.
    pub place: Option<Place>,
    pub message: String,
}

impl Unreadable {
    fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }
}

/// Reads a file.
///
/// # Errors
/// When it is not UTF-8, not YAML (of which JSON is a part), empty, several documents, or out of bounds.
pub(super) fn read(content: &[u8]) -> Result<Arc<Value>, Unreadable> {
    if content.len() > MAX_BYTES {
        let message = format!("this file has {} MiB, and no more than {} are read", content.len() >> 20, MAX_BYTES >> 20);
        return Err(Unreadable { place: None, message });
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        let before = content.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        Unreadable::at(Place { line, column }, "this is not UTF-8: it is no text, or in another encoding")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Loader::default().load(&with_whole_characters(text))
}

/// JSON may write a character as two halves (`\ud83d\ude00`), which YAML does not know: puts the character itself there.
fn with_whole_characters(text: &str) -> Cow<'_, str> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    if !is_json || !(text.contains("\\ud") || text.contains("\\uD")) {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let half = |from: usize| {
            let digits = escape.get(from..from + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let character = half(0).zip(half(6)).and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
        // An escape of two characters, so that what follows a backslash that is meant as one is not taken for an escape.
        let length = match character.filter(|character| character.len_utf16() == 2) {
            Some(character) => {
                whole.push(character);
                12
            }
            None => {
                let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
                whole.push_str(escape.get(..length).unwrap_or_default());
                length
            }
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    whole.push_str(rest);
    Cow::Owned(whole)
}

/// A list or a mapping that is not complete yet.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
    values: usize,
    depth: usize,
}

enum Content {
    List(Vec<Arc<Value>>),
    /// The entries, and the name of the one whose value comes next.
    Map(Vec<Entry>, Option<(Box<str>, Place)>),
}

#[derive(Default)]
struct Loader {
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Value>>,
    root: Option<Arc<Value>>,
}

impl Loader {
    fn load(mut self, text: &str) -> Result<Arc<Value>, Unreadable> {
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
        let mut documents = 0_usize;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| match error.info() {
                "recursion limit exceeded" => too_deep(Place::of(*error.marker())),
                other => Unreadable::at(Place::of(*error.marker()), format!("this is neither YAML nor JSON: {other}")),
            })?;
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 && self.root.as_ref().is_some_and(|root| !matches!(root.data, Data::Null)) {
                    return Err(Unreadable::at(Place::of(span.start), "a second document begins here, and Envoy reads only the first one"));
                }
            }
            self.take(event, span)?;
        }
        match self.root {
            Some(root) if !matches!(root.data, Data::Null) => Ok(root),
            _ => Err(Unreadable { place: None, message: "this file is empty".into() }),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let place = Place::of(span.start);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let data = match style {
                    ScalarStyle::Plain if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => Data::Null,
                    ScalarStyle::Plain => Data::Plain(text.into()),
                    _ => Data::Quoted(text.into()),
                };
                self.complete(Value { place, data, values: 1, depth: 0 }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(place, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(place, anchor, Content::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return Err(Unreadable::at(place, "this alias stands inside of what it stands for"));
                };
                self.put(value, place)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Unreadable> {
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.open.push(Open { place, anchor, content, values: 1, depth: 1 });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        let Some(Open { place, anchor, content, values, depth }) = self.open.pop() else { return Ok(()) };
        let data = match content {
            Content::List(items) => Data::List(items),
            Content::Map(entries, _) => {
                if let Some(second) = twice(&entries) {
                    return Err(Unreadable::at(second.place, format!("'{}' is there twice; keep one of them", shorten(&second.name))));
                }
                Data::Map(entries)
            }
        };
        self.complete(Value { place, data, values, depth }, anchor)
    }

    fn complete(&mut self, value: Value, anchor: usize) -> Result<(), Unreadable> {
        let place = value.place;
        let value = Arc::new(value);
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&value));
        }
        self.put(value, place)
    }

    /// Puts a value where it belongs: into the list or mapping that is open, or at the top.
    fn put(&mut self, value: Arc<Value>, place: Place) -> Result<(), Unreadable> {
        let above = self.open.len();
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.values = open.values.saturating_add(value.values);
        open.depth = open.depth.max(value.depth + 1);
        if open.values > MAX_VALUES {
            let message = format!("with all aliases followed, this is more than {MAX_VALUES} values, which no configuration needs");
            return Err(Unreadable::at(place, message));
        }
        if above + value.depth > MAX_DEPTH {
            return Err(too_deep(place));
        }
        match &mut open.content {
            Content::List(items) => items.push(value),
            Content::Map(entries, name) => match name.take() {
                Some((name, place)) => entries.push(Entry { name, place, value }),
                None => match &value.data {
                    Data::Plain(text) if &**text == "<<" => {
                        return Err(Unreadable::at(place, "Envoy does not know YAML's merge key '<<'; write out what it stands for"));
                    }
                    Data::Plain(text) | Data::Quoted(text) => *name = Some((text.clone(), place)),
                    _ => return Err(Unreadable::at(place, "this name of a member is no text")),
                },
            },
        }
        Ok(())
    }
}

/// The first member whose name was there already.
fn twice(entries: &[Entry]) -> Option<&Entry> {
    let mut told = HashSet::with_capacity(entries.len());
    entries.iter().find(|entry| !told.insert(&*entry.name))
}

/// A text for a message: not too long, on one line, without control characters.
pub(super) fn shorten(text: &str) -> String {
    let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() { format!("{shown}…") } else { shown }
}

fn too_deep(place: Place) -> Unreadable {
    Unreadable::at(place, format!("this is nested deeper than {MAX_DEPTH} levels, which no configuration needs"))
}

/// Whether a member's name means this field: protobuf's JSON form has two spellings, `snake_case` and `lowerCamelCase`.
pub(super) fn is_field(written: &str, field: &str) -> bool {
    if written == field {
        return true;
    }
    let mut written = written.chars();
    let mut upper = false;
    for c in field.chars() {
        if c == '_' {
            upper = true;
            continue;
        }
        if written.next() != Some(if upper { c.to_ascii_uppercase() } else { c }) {
            return false;
        }
        upper = false;
    }
    written.next().is_none()
}
