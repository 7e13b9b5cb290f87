//! YAML with the place of every node, read so that one problem does not hide the next.
//!
//! A reader function takes a [`Node`] and gives `Some` value or notes a problem and gives `None`; the caller goes on
//! either way.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};

use super::problem::{Location, Problem, Problems};

/// A node of a file.
#[derive(Clone)]
pub(super) struct Node<'y> {
    yaml: &'y MarkedYaml<'y>,
    file: Arc<str>,
    key: String,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub value: T,
    pub location: Location,
    pub key: String,
}

impl<T> Located<T> {
    /// Notes a problem with this value.
    pub fn problem(&self, problems: &mut Problems, message: impl Display) {
        problems.push(Problem { location: Some(self.location.clone()), key: self.key.clone(), message: message.to_string() });
    }

    /// Another value at the same place.
    pub fn with<U>(self, value: U) -> Located<U> {
        Located { value, location: self.location, key: self.key }
    }

    /// Converts the value, or notes why it cannot be.
    pub fn convert<U, E: Display>(self, problems: &mut Problems, f: impl FnOnce(T) -> Result<U, E>) -> Option<Located<U>> {
        let Self { value, location, key } = self;
        match f(value) {
            Ok(value) => Some(Located { value, location, key }),
            Err(error) => {
                problems.push(Problem { location: Some(location), key, message: error.to_string() });
                None
            }
        }
    }
}

/// How deep values may be nested. No configuration comes near it; garbage can.
const MAX_DEPTH: usize = 64;

/// Where a file is nested too deep. The loader recurses, so this has to be known before.
fn too_deep(text: &str) -> Option<saphyr::Marker> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        // The loader finds the same syntax error and reports it.
        let (event, span) = event.ok()?;
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) if depth == MAX_DEPTH => return Some(span.start),
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Parses a file into its documents. A syntax error is one problem: what follows it cannot be understood.
pub(crate) fn load<'y>(name: &str, text: &'y str, problems: &mut Problems) -> Option<Vec<MarkedYaml<'y>>> {
    if let Some(marker) = too_deep(text) {
        let location = Location { file: name.into(), line: marker.line(), column: marker.col() + 1 };
        let message = format!("this is nested deeper than {MAX_DEPTH} levels, which no configuration needs");
        problems.push(Problem { location: Some(location), key: String::new(), message });
        return None;
    }
    match MarkedYaml::load_from_str(text) {
        Ok(documents) => Some(documents),
        Err(error) => {
            let marker = error.marker();
            let location = Location { file: name.into(), line: marker.line(), column: marker.col() + 1 };
            let message = match error.info() {
                "duplicated key in mapping" => "this key is there twice; keep one of them".to_string(),
                other => format!("this is not valid YAML: {other}"),
            };
            problems.push(Problem { location: Some(location), key: String::new(), message });
            None
        }
    }
}

/// What a node is, in words.
pub(crate) fn kind(yaml: &MarkedYaml<'_>) -> &'static str {
    match &yaml.data {
        YamlData::Value(Scalar::Null) => "nothing",
        YamlData::Value(Scalar::Boolean(_)) => "a boolean",
        YamlData::Value(Scalar::Integer(_) | Scalar::FloatingPoint(_)) => "a number",
        YamlData::Value(Scalar::String(_)) => "a string",
        YamlData::Sequence(_) => "a list",
        YamlData::Mapping(_) => "a mapping",
        _ => "something that cannot be read",
    }
}

impl<'y> Node<'y> {
    pub fn root(yaml: &'y MarkedYaml<'y>, file: &str) -> Self {
        Self { yaml, file: file.into(), key: String::new() }
    }

    pub fn location(&self) -> Location {
        let start = self.yaml.span.start;
        Location { file: Arc::clone(&self.file), line: start.line(), column: start.col() + 1 }
    }

    pub fn problem(&self, problems: &mut Problems, message: impl Display) {
        problems.push(Problem { location: Some(self.location()), key: self.key.clone(), message: message.to_string() });
    }

    pub fn locate<T>(&self, value: T) -> Located<T> {
        Located { value, location: self.location(), key: self.key.clone() }
    }

    fn child(&self, yaml: &'y MarkedYaml<'y>, name: &str) -> Self {
        let key = if self.key.is_empty() { name.to_string() } else { format!("{}.{name}", self.key) };
        Self { yaml, file: Arc::clone(&self.file), key }
    }

    fn expected<T>(&self, problems: &mut Problems, what: &str) -> Option<T> {
        self.problem(problems, format!("this must be {what}, and it is {}", kind(self.yaml)));
        None
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Value(Scalar::Null))
    }

    pub fn is_map(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Mapping(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Sequence(_))
    }

    pub fn is_true(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Value(Scalar::Boolean(true)))
    }

    pub fn is_string(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Value(Scalar::String(_)))
    }

    pub fn string(&self, problems: &mut Problems) -> Option<Located<String>> {
        match &self.yaml.data {
            YamlData::Value(Scalar::String(text)) if !text.is_empty() => Some(self.locate(text.to_string())),
            YamlData::Value(Scalar::String(_)) => {
                self.problem(problems, "this must not be empty");
                None
            }
            _ => self.expected(problems, "a string"),
        }
    }

    pub fn bool(&self, problems: &mut Problems) -> Option<bool> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Boolean(value)) => Some(*value),
            _ => self.expected(problems, "true or false"),
        }
    }

    pub fn usize(&self, problems: &mut Problems, range: std::ops::RangeInclusive<usize>) -> Option<usize> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Integer(value)) => match usize::try_from(*value).ok().filter(|value| range.contains(value)) {
                Some(value) => Some(value),
                None => {
                    self.problem(problems, format!("this must be from {} to {}, and it is {value}", range.start(), range.end()));
                    None
                }
            },
            _ => self.expected(problems, "a whole number"),
        }
    }

    /// A span of time such as `500ms`, `30s`, `5m`, `24h`, `30d`.
    pub fn duration(&self, problems: &mut Problems, range: std::ops::RangeInclusive<Duration>) -> Option<Duration> {
        let text = match &self.yaml.data {
            YamlData::Value(Scalar::String(text)) => text,
            YamlData::Value(Scalar::Integer(number)) => {
                self.problem(problems, format!("this span of time needs a unit: '{number}s', or ms, m, h, d"));
                return None;
            }
            _ => return self.expected(problems, "a span of time, such as '30s'"),
        };
        let Some(span) = parse_duration(text) else {
            self.problem(problems, format!("'{text}' is no span of time; write a whole number and a unit: 500ms, 30s, 5m, 24h, 30d"));
            return None;
        };
        if !range.contains(&span) {
            let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
            self.problem(problems, format!("this must be from {least} to {most}, and it is {text}"));
            return None;
        }
        Some(span)
    }

    /// A number of bytes such as `512B`, `16KiB`, `1MiB`.
    pub fn bytes(&self, problems: &mut Problems, range: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let text = match &self.yaml.data {
            YamlData::Value(Scalar::String(text)) => text,
            YamlData::Value(Scalar::Integer(number)) => {
                self.problem(problems, format!("this size needs a unit: '{number}B', or KiB, MiB"));
                return None;
            }
            _ => return self.expected(problems, "a size, such as '16KiB'"),
        };
        let Some(size) = parse_bytes(text) else {
            self.problem(problems, format!("'{text}' is no size; write a whole number and a unit: 512B, 16KiB, 1MiB"));
            return None;
        };
        if !range.contains(&size) {
            let (least, most) = (show_bytes(*range.start()), show_bytes(*range.end()));
            self.problem(problems, format!("this must be from {least} to {most}, and it is {text}"));
            return None;
        }
        Some(size)
    }

    /// One of some words.
    pub fn choice<T: Copy>(&self, problems: &mut Problems, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(problems)?.value;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(problems, format!("'{text}' is not one of {}", list(&names)));
        }
        found
    }

    /// The items of a list.
    pub fn items(&self, problems: &mut Problems) -> Option<Vec<Node<'y>>> {
        match &self.yaml.data {
            YamlData::Sequence(items) => Some(items.iter().enumerate().map(|(index, item)| self.indexed(item, index)).collect()),
            _ => self.expected(problems, "a list"),
        }
    }

    /// The items of a list of strings, or a single string on its own.
    pub fn strings(&self, problems: &mut Problems) -> Option<Vec<Located<String>>> {
        if matches!(&self.yaml.data, YamlData::Value(Scalar::String(_))) {
            return Some(vec![self.string(problems)?]);
        }
        if !matches!(&self.yaml.data, YamlData::Sequence(_)) {
            return self.expected(problems, "a string or a list of strings");
        }
        Some(self.items(problems)?.iter().filter_map(|item| item.string(problems)).collect())
    }

    fn indexed(&self, yaml: &'y MarkedYaml<'y>, index: usize) -> Self {
        Self { yaml, file: Arc::clone(&self.file), key: format!("{}[{index}]", self.key) }
    }

    /// The entries of a mapping whose keys the user chooses.
    pub fn entries(&self, problems: &mut Problems) -> Option<Vec<(Located<String>, Node<'y>)>> {
        let YamlData::Mapping(mapping) = &self.yaml.data else {
            return self.expected(problems, "a mapping");
        };
        let mut entries = Vec::new();
        for (key, value) in mapping {
            let key = Node { yaml: key, file: Arc::clone(&self.file), key: self.key.clone() };
            if let Some(mut name) = key.string(problems) {
                let child = self.child(value, &name.value);
                name.key.clone_from(&child.key);
                entries.push((name, child));
            }
        }
        Some(entries)
    }

    /// The entries of a mapping whose keys are ours.
    pub fn map(&self, problems: &mut Problems) -> Option<Map<'y>> {
        let entries = self.entries(problems)?;
        Some(Map { node: self.clone(), entries, known: Vec::new() })
    }
}

/// A mapping from which known keys are taken one by one; what is left at the end is a problem.
pub(super) struct Map<'y> {
    pub node: Node<'y>,
    entries: Vec<(Located<String>, Node<'y>)>,
    known: Vec<&'static str>,
}

impl<'y> Map<'y> {
    pub fn take(&mut self, name: &'static str) -> Option<Node<'y>> {
        self.known.push(name);
        let at = self.entries.iter().position(|(key, _)| key.value == name)?;
        Some(self.entries.remove(at).1)
    }

    /// Takes a key that is no key of this mapping, to say more about it than that.
    pub fn take_unlisted(&mut self, name: &str) -> Option<Node<'y>> {
        let at = self.entries.iter().position(|(key, _)| key.value == name)?;
        Some(self.entries.remove(at).1)
    }

    /// Whether a key is there and was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.value == name)
    }

    pub fn require(&mut self, problems: &mut Problems, name: &'static str, what: &str) -> Option<Node<'y>> {
        let found = self.take(name);
        if found.is_none() {
            self.node.problem(problems, format!("'{name}' is missing: {what}"));
        }
        found
    }

    /// Reports the keys that nobody took.
    pub fn finish(self, problems: &mut Problems) {
        for (key, _) in &self.entries {
            let message = match nearest(&key.value, &self.known) {
                Some(near) => format!("there is no key '{}' here; did you mean '{near}'?", key.value),
                None => format!("there is no key '{}' here; the keys are {}", key.value, list(&self.known)),
            };
            key.problem(problems, message);
        }
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'n>(written: &str, names: &[&'n str]) -> Option<&'n str> {
    names.iter().copied().filter(|name| distance(name, written) <= 2).min_by_key(|name| distance(name, written))
}

pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Levenshtein's distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let here = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a span of time as the configuration writes it, such as `500ms`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?))
}

/// A span of time as the configuration writes it.
pub(super) fn show_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    UNITS
        .iter()
        .find(|(_, unit)| millis.is_multiple_of(*unit))
        .map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}

const SIZES: [(&str, usize); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];

fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
    number.parse::<usize>().ok()?.checked_mul(*bytes)
}

/// A size as the configuration writes it.
fn show_bytes(size: usize) -> String {
    SIZES
        .iter()
        .find(|(_, unit)| size.is_multiple_of(*unit))
        .map_or_else(|| format!("{size}B"), |(name, unit)| format!("{}{name}", size / unit))
}

/// An address such as `127.0.0.1:9191` or `[::1]:9191`.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no address with a port, such as '127.0.0.1:9191'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_are_shown_as_they_are_written() {
        for (text, millis) in [("0s", 0), ("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("24h", 86_400_000), ("30d", 2_592_000_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-5s", "5S", "5.5s", "5sec", "99999999999999999999s", "9999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
    }

    #[test]
    fn sizes_need_a_unit_and_are_shown_as_they_are_written() {
        for (text, bytes) in [("512B", 512), ("16KiB", 16_384), ("1MiB", 1_048_576)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
            assert_eq!(show_bytes(bytes), text);
        }
        for text in ["", "5", "KiB", "5 KiB", "5kB", "5KB", "1.5MiB", "-1B", "99999999999999999999MiB", "99999999999999MiB9"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn the_distance_of_words_counts_edits() {
        for (a, b, edits) in
            [("path", "path", 0), ("path", "pth", 1), ("path", "paths", 1), ("path", "bath", 1), ("", "abc", 3), ("issuer", "isuser", 2)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
