//! A value of an Envoy configuration and the way to it, read as protobuf's JSON form is read (by Envoy 1.40: it takes more than the
//! specification says, such as `yes` for a boolean and `reject_request` for an enum's value).
//!
//! What has a wrong type is noted once and counts as absent.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::finding::{Finding, Kind, Location, Severity};
use super::kinds;
use super::tree::{Data, Place, Value, is_field, shorten};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Sheet(RefCell<Vec<Finding>>);

impl Sheet {
    pub fn note(&self, finding: Finding) {
        self.0.borrow_mut().push(finding);
    }

    pub fn into_findings(self) -> Vec<Finding> {
        self.0.into_inner()
    }
}

/// A value and the way to it.
#[derive(Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    /// Where it is named: for a member of a mapping, its name.
    place: Place,
    file: &'a Arc<str>,
    at: String,
    sheet: &'a Sheet,
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value, file: &'a Arc<str>, sheet: &'a Sheet) -> Self {
        Self { value, place: value.place, file, at: String::new(), sheet }
    }

    fn with(&self, value: &'a Value, place: Place, step: &str) -> Self {
        let at = if self.at.is_empty() { step.to_string() } else { format!("{}.{step}", self.at) };
        Self { value, place, file: self.file, at, sheet: self.sheet }
    }

    /// Notes a finding here, as bad as its kind says.
    pub fn find(&self, kind: &'static Kind, subject: &str, message: impl Into<String>) {
        self.find_as(kind.severity, kind, subject, message);
    }

    /// Notes a finding here.
    pub fn find_as(&self, severity: Severity, kind: &'static Kind, subject: &str, message: impl Into<String>) {
        let location = Location { file: Arc::clone(self.file), line: self.place.line, column: self.place.column };
        let (at, subject, message) = (self.at.clone(), subject.to_string(), message.into());
        self.sheet.note(Finding { kind, severity, location, at, subject, message, accepted: false });
    }

    fn wrong<T>(&self, expected: &str) -> Option<T> {
        let is = match &self.value.data {
            Data::Null => "nothing".to_string(),
            Data::Plain(text) | Data::Quoted(text) => format!("'{}'", shorten(text)),
            Data::List(_) => "a list".to_string(),
            Data::Map(_) => "a mapping".to_string(),
        };
        let last = self.at.rsplit('.').next().unwrap_or_default();
        let name = if last.is_empty() { "the file" } else { last };
        self.find(&kinds::file::WRONG_TYPE, "", format!("'{name}' must be {expected}, and it is {is}"));
        None
    }

    /// The field of this name, in either spelling. `null` is absence.
    pub fn get(&self, field: &str) -> Option<Node<'a>> {
        let Data::Map(entries) = &self.value.data else { return self.wrong("a mapping") };
        let mut found = entries.iter().filter(|entry| is_field(&entry.name, field));
        let entry = found.next()?;
        if let Some(second) = found.next() {
            let message = format!("'{}' is the field '{}' once more; keep one of them", second.name, entry.name);
            self.with(&second.value, second.place, &second.name).find(&kinds::file::WRONG_TYPE, "", message);
        }
        if matches!(entry.value.data, Data::Null) {
            return None;
        }
        Some(self.with(&entry.value, entry.place, &entry.name))
    }

    /// Whether there is such a field.
    pub fn has(&self, field: &str) -> bool {
        matches!(&self.value.data, Data::Map(entries)
            if entries.iter().any(|entry| is_field(&entry.name, field) && !matches!(entry.value.data, Data::Null)))
    }

    /// A field below a field.
    pub fn at(&self, path: &[&str]) -> Option<Node<'a>> {
        path.iter().try_fold(self.clone(), |node, field| node.get(field))
    }

    pub fn is_map(&self) -> bool {
        matches!(self.value.data, Data::Map(_))
    }

    /// The names of all members.
    pub fn names(&self) -> Vec<&'a str> {
        match &self.value.data {
            Data::Map(entries) => entries.iter().map(|entry| &*entry.name).collect(),
            _ => Vec::new(),
        }
    }

    /// All members of this mapping, whose names whoever wrote it chose.
    pub fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let Data::Map(entries) = &self.value.data else { return self.wrong("a mapping").unwrap_or_default() };
        entries.iter().map(|entry| (&*entry.name, self.with(&entry.value, entry.place, &entry.name))).collect()
    }

    /// The items of a field that is a list; none when it is absent.
    pub fn list(&self, field: &str) -> Vec<Node<'a>> {
        let Some(node) = self.get(field) else { return Vec::new() };
        let Data::List(items) = &node.value.data else { return node.wrong("a list").unwrap_or_default() };
        let item = |(index, item): (usize, &'a Arc<Value>)| Node {
            value: item,
            place: item.place,
            file: node.file,
            at: format!("{}[{index}]", node.at),
            sheet: node.sheet,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Everything below this value, itself included.
    pub fn walk(&self, visit: &mut impl FnMut(&Node<'a>)) {
        visit(self);
        match &self.value.data {
            Data::Map(entries) => entries.iter().for_each(|entry| self.with(&entry.value, entry.place, &entry.name).walk(visit)),
            Data::List(items) => items.iter().enumerate().for_each(|(index, item)| {
                let at = format!("{}[{index}]", self.at);
                Node { value: item, place: item.place, file: self.file, at, sheet: self.sheet }.walk(visit);
            }),
            Data::Null | Data::Plain(_) | Data::Quoted(_) => {}
        }
    }

    fn scalar(&self) -> Option<&'a str> {
        match &self.value.data {
            Data::Plain(text) | Data::Quoted(text) => Some(text),
            Data::Map(entries) => match entries.as_slice() {
                // A wrapper such as BoolValue, written as the message that it is.
                [entry] if &*entry.name == "value" => match &entry.value.data {
                    Data::Plain(text) | Data::Quoted(text) => Some(text),
                    _ => None,
                },
                _ => None,
            },
            Data::Null | Data::List(_) => None,
        }
    }

    pub fn as_text(&self) -> Option<&'a str> {
        self.scalar().or_else(|| self.wrong("a text"))
    }

    pub fn text(&self, field: &str) -> Option<&'a str> {
        self.get(field)?.as_text()
    }

    /// A list of texts.
    pub fn texts(&self, field: &str) -> Vec<(Node<'a>, &'a str)> {
        self.list(field).into_iter().filter_map(|node| node.as_text().map(|text| (node, text))).collect()
    }

    pub fn as_bool(&self) -> Option<bool> {
        let is_plain = matches!(self.value.data, Data::Plain(_));
        match self.scalar().unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" => Some(true),
            "false" | "f" | "no" | "n" => Some(false),
            "on" if is_plain => Some(true),
            "off" if is_plain => Some(false),
            "1" if !is_plain => Some(true),
            "0" if !is_plain => Some(false),
            _ => self.wrong("true or false"),
        }
    }

    /// A field that is a boolean, with the node for what there is to say about it.
    pub fn bool(&self, field: &str) -> Option<bool> {
        self.get(field)?.as_bool()
    }

    /// Whether a field is there and true; then where it is.
    pub fn is_true(&self, field: &str) -> Option<Node<'a>> {
        self.get(field).filter(|node| node.as_bool() == Some(true))
    }

    pub fn as_number(&self) -> Option<f64> {
        let number = self.scalar().and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| number.is_finite());
        number.or_else(|| self.wrong("a number"))
    }

    pub fn number(&self, field: &str) -> Option<f64> {
        self.get(field)?.as_number()
    }

    /// A span of time: `0.1s`, or `{ seconds: 0, nanos: 100000000 }`.
    pub fn as_duration(&self) -> Option<Duration> {
        let seconds = if self.is_map() {
            Some(self.number("seconds").unwrap_or(0.0) + self.number("nanos").unwrap_or(0.0) / 1e9)
        } else {
            self.scalar().and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse::<f64>().ok())
        };
        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).or_else(|| self.wrong("a span of time, such as '0.1s'"))
    }

    /// The number of an enum's value, given by name (in any case) or by number.
    pub fn as_choice(&self, names: &[(&str, u32)]) -> Option<u32> {
        let text = self.scalar().unwrap_or_default();
        let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
        named.or_else(|| text.parse().ok()).or_else(|| {
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            self.wrong(&format!("one of {}", names.join(", ")))
        })
    }

    pub fn choice(&self, field: &str, names: &[(&str, u32)]) -> Option<u32> {
        self.get(field)?.as_choice(names)
    }

    /// The type of an `Any` and its content. A `TypedStruct` is unwrapped.
    pub fn any(&self) -> Option<(&'a str, Node<'a>)> {
        let Some(written) = self.text("@type") else {
            self.is_map().then(|| self.find(&kinds::file::WRONG_TYPE, "", "'@type' is missing: nobody knows what this is"));
            return None;
        };
        let name = type_name(written);
        if !matches!(name, "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct") {
            return Some((name, self.clone()));
        }
        let inner = type_name(self.text("type_url")?);
        Some((inner, self.get("value").unwrap_or_else(|| self.clone())))
    }

    /// The type and content of a field that is an `Any`.
    pub fn any_in(&self, field: &str) -> Option<(&'a str, Node<'a>)> {
        self.get(field)?.any()
    }
}

/// The name in a type's URL.
fn type_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}
