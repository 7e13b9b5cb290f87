//! YAML as test files use it: nothing is optional by accident, and every problem has its place.

use std::fmt::Display;
use std::sync::Arc;

use saphyr::{MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value, json};

use crate::config::{self, Location, Problem, Problems};

/// What was read, or the first thing that is wrong with it.
pub(super) type Read<T> = Result<T, Problem>;

/// A node of a test file.
#[derive(Clone)]
pub(super) struct Node<'y> {
    yaml: &'y MarkedYaml<'y>,
    file: Arc<str>,
}

/// An entry of a mapping.
#[derive(Clone)]
pub(super) struct Entry<'y> {
    pub name: &'y str,
    pub key: Node<'y>,
    pub value: Node<'y>,
}

/// Parses a file of one document and gives its root to `read`.
pub(super) fn read<T>(name: &str, text: &str, read: impl FnOnce(Node<'_>, &mut Problems) -> Option<T>) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let documents = config::load(name, text, &mut problems).unwrap_or_default();
    let found = match documents.as_slice() {
        [document] => read(Node { yaml: document, file: name.into() }, &mut problems),
        several if problems.is_empty() => {
            let location = Location { file: name.into(), line: 1, column: 1 };
            let message = format!("there must be one document, and there are {}", several.len());
            problems.push(Problem { location: Some(location), key: String::new(), message });
            None
        }
        _ => None,
    };
    match found {
        Some(found) if problems.is_empty() => Ok(found),
        _ => Err(problems),
    }
}

/// Whether a file is one of cases: it has the key `cases`, or at least a `configuration` that is not how a configuration is loaded.
pub(super) fn is_test_file(name: &str, text: &str) -> Result<bool, Problems> {
    let mut problems = Problems::default();
    let documents = config::load(name, text, &mut problems).ok_or(problems)?;
    let is_one = |root: &MarkedYaml<'_>| {
        let stated = member(root, "configuration");
        let is_how_to_load = stated.is_some_and(|stated| ["tests", "max_stale"].iter().any(|key| member(stated, key).is_some()));
        member(root, "cases").is_some() || (stated.is_some() && !is_how_to_load)
    };
    Ok(documents.iter().any(is_one))
}

/// What a mapping has under a key.
fn member<'n>(node: &'n MarkedYaml<'n>, name: &str) -> Option<&'n MarkedYaml<'n>> {
    let YamlData::Mapping(mapping) = &node.data else { return None };
    let is_it = |key: &MarkedYaml<'_>| matches!(&key.data, YamlData::Value(Scalar::String(text)) if **text == *name);
    mapping.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value)
}

/// Notes a problem and goes on without what could not be read.
pub(super) fn keep<T>(problems: &mut Problems, read: Read<T>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok()
}

impl<'y> Node<'y> {
    pub fn location(&self) -> Location {
        let start = self.yaml.span.start;
        Location { file: Arc::clone(&self.file), line: start.line(), column: start.col() + 1 }
    }

    pub fn problem(&self, message: impl Display) -> Problem {
        Problem { location: Some(self.location()), key: String::new(), message: message.to_string() }
    }

    pub fn error<T>(&self, message: impl Display) -> Read<T> {
        Err(self.problem(message))
    }

    fn expected<T>(&self, what: &str) -> Read<T> {
        self.error(format!("this must be {what}, and it is {}", config::kind(self.yaml)))
    }

    fn child(&self, yaml: &'y MarkedYaml<'y>) -> Self {
        Self { yaml, file: Arc::clone(&self.file) }
    }

    pub fn as_text(&self) -> Option<&'y str> {
        match &self.yaml.data {
            YamlData::Value(Scalar::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether this is the word.
    pub fn says(&self, word: &str) -> bool {
        self.as_text() == Some(word)
    }

    pub fn text(&self) -> Read<&'y str> {
        self.as_text().map_or_else(|| self.expected("a string"), Ok)
    }

    pub fn string(&self) -> Read<String> {
        self.text().map(str::to_string)
    }

    pub fn number(&self) -> Read<usize> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Integer(number)) => usize::try_from(*number).or_else(|_| self.expected("a number from 0")),
            _ => self.expected("a whole number"),
        }
    }

    pub fn bool(&self) -> Read<bool> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Boolean(value)) => Ok(*value),
            _ => self.expected("true or false"),
        }
    }

    pub fn is_map(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Mapping(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(&self.yaml.data, YamlData::Sequence(_))
    }

    pub fn items(&self) -> Read<Vec<Self>> {
        match &self.yaml.data {
            YamlData::Sequence(items) => Ok(items.iter().map(|item| self.child(item)).collect()),
            _ => self.expected("a list"),
        }
    }

    /// What a reader makes of every item of a list.
    pub fn each<T>(&self, read: impl FnMut(Self) -> Read<T>) -> Read<Vec<T>> {
        self.items()?.into_iter().map(read).collect()
    }

    /// A list of strings, or a single one.
    pub fn texts(&self) -> Read<Vec<String>> {
        match self.as_text() {
            Some(text) => Ok(vec![text.to_string()]),
            None if self.is_list() => self.each(|item| item.string()),
            None => self.expected("a string or a list of strings"),
        }
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Read<Vec<Entry<'y>>> {
        let YamlData::Mapping(mapping) = &self.yaml.data else { return self.expected("a mapping") };
        let entry = |(name, value): (&'y MarkedYaml<'y>, &'y MarkedYaml<'y>)| {
            let key = self.child(name);
            Ok(Entry { name: key.text()?, key, value: self.child(value) })
        };
        mapping.iter().map(entry).collect()
    }

    /// Keys and values of a mapping whose keys need not be strings.
    pub fn pairs(&self) -> Read<Vec<(Self, Self)>> {
        let YamlData::Mapping(mapping) = &self.yaml.data else { return self.expected("a mapping") };
        Ok(mapping.iter().map(|(key, value)| (self.child(key), self.child(value))).collect())
    }

    /// What a reader makes of every value of a mapping whose names the file chooses.
    pub fn map<T, C: FromIterator<(String, T)>>(&self, mut read: impl FnMut(Self) -> Read<T>) -> Read<C> {
        self.entries()?.into_iter().map(|entry| Ok((entry.name.to_string(), read(entry.value)?))).collect()
    }

    /// The entries of a mapping with names that are ours.
    pub fn fields(&self, known: &[&str]) -> Read<Fields<'y>> {
        let fields = self.open_fields()?;
        match fields.entries.iter().find(|entry| !known.contains(&entry.name)) {
            None => Ok(fields),
            Some(Entry { name, key, .. }) => {
                let near = config::nearest(name, known).map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default();
                key.error(format!("there is no key '{name}' here{near}; the keys are {}", config::list(known)))
            }
        }
    }

    /// The entries of a mapping with names of both kinds.
    pub fn open_fields(&self) -> Read<Fields<'y>> {
        Ok(Fields { node: self.clone(), entries: self.entries()? })
    }

    /// Any value at all, as JSON.
    pub fn json(&self) -> Read<Value> {
        Ok(match &self.yaml.data {
            YamlData::Value(Scalar::Null) => Value::Null,
            YamlData::Value(Scalar::Boolean(value)) => json!(value),
            YamlData::Value(Scalar::Integer(value)) => json!(value),
            YamlData::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
            YamlData::Value(Scalar::String(text)) => json!(text),
            YamlData::Sequence(_) => Value::Array(self.each(|item| item.json())?),
            YamlData::Mapping(_) => Value::Object(self.json_object()?),
            _ => return self.error("this cannot be read"),
        })
    }

    /// A mapping as JSON.
    pub fn json_object(&self) -> Read<Map<String, Value>> {
        self.map(|value| value.json())
    }
}

/// A mapping from which keys are taken.
pub(super) struct Fields<'y> {
    pub node: Node<'y>,
    entries: Vec<Entry<'y>>,
}

impl<'y> Fields<'y> {
    pub fn get(&self, name: &str) -> Option<Node<'y>> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.clone())
    }

    pub fn require(&self, name: &str) -> Read<Node<'y>> {
        self.get(name).map_or_else(|| self.node.error(format!("'{name}' is missing")), Ok)
    }

    /// What a reader makes of the value of a key, if it is there.
    pub fn read<T>(&self, name: &str, read: impl FnOnce(Node<'y>) -> Read<T>) -> Read<Option<T>> {
        self.get(name).map(read).transpose()
    }

    /// The same where nothing said is something.
    pub fn read_or<T>(&self, name: &str, default: T, read: impl FnOnce(Node<'y>) -> Read<T>) -> Read<T> {
        self.get(name).map_or(Ok(default), read)
    }

    pub fn string(&self, name: &str) -> Read<Option<String>> {
        self.read(name, |node| node.string())
    }

    /// All entries but those with these names.
    pub fn others(&self, names: &[&str]) -> impl Iterator<Item = &Entry<'y>> {
        self.entries.iter().filter(move |entry| !names.contains(&entry.name))
    }
}
