//! YAML as case files use it: nothing is optional by accident, and every error names a line.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value, json};

/// A node of a case file.
#[derive(Clone, Copy)]
pub struct Node<'y> {
    yaml: &'y MarkedYaml<'y>,
    file: &'y str,
}

/// Parses a file of one document and gives its root to `read`.
pub fn read<T>(file: &str, text: &str, read: impl FnOnce(Node<'_>) -> Result<T, String>) -> Result<T, String> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| format!("{file}: {error}"))?;
    match documents.as_slice() {
        [document] => read(Node { yaml: document, file }),
        other => Err(format!("{file}: there must be one document, and there are {}", other.len())),
    }
}

impl<'y> Node<'y> {
    pub fn line(&self) -> usize {
        self.yaml.span.start.line()
    }

    pub fn error<T>(&self, message: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("{}:{}: {message}", self.file, self.line()))
    }

    fn child(&self, yaml: &'y MarkedYaml<'y>) -> Self {
        Self { yaml, file: self.file }
    }

    pub fn as_text(&self) -> Option<&'y str> {
        match &self.yaml.data {
            YamlData::Value(Scalar::String(text)) => Some(text),
            _ => None,
        }
    }

    pub fn text(&self) -> Result<&'y str, String> {
        self.as_text().map_or_else(|| self.error("a string is expected here"), Ok)
    }

    pub fn number(&self) -> Result<usize, String> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Integer(number)) => usize::try_from(*number).or_else(|_| self.error("this is no size")),
            _ => self.error("a whole number is expected here"),
        }
    }

    pub fn bool(&self) -> Result<bool, String> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Boolean(value)) => Ok(*value),
            _ => self.error("true or false is expected here"),
        }
    }

    pub fn as_items(&self) -> Option<Vec<Node<'y>>> {
        match &self.yaml.data {
            YamlData::Sequence(items) => Some(items.iter().map(|item| self.child(item)).collect()),
            _ => None,
        }
    }

    pub fn items(&self) -> Result<Vec<Node<'y>>, String> {
        self.as_items().map_or_else(|| self.error("a list is expected here"), Ok)
    }

    /// A list of strings, or a single one.
    pub fn texts(&self) -> Result<Vec<String>, String> {
        match self.as_text() {
            Some(text) => Ok(vec![text.to_string()]),
            None => self.items()?.iter().map(|item| item.text().map(str::to_string)).collect(),
        }
    }

    /// The entries of a mapping with names that the file chooses.
    pub fn entries(&self) -> Result<Vec<(&'y str, Node<'y>)>, String> {
        let YamlData::Mapping(mapping) = &self.yaml.data else { return self.error("a mapping is expected here") };
        mapping.iter().map(|(name, value)| Ok((self.child(name).text()?, self.child(value)))).collect()
    }

    /// The entries of a mapping with names that are ours.
    pub fn fields(&self) -> Result<Fields<'y>, String> {
        let YamlData::Mapping(mapping) = &self.yaml.data else { return self.error("a mapping is expected here") };
        let entries = mapping
            .iter()
            .map(|(name, value)| {
                let key = self.child(name);
                Ok((key.text()?, key, self.child(value)))
            })
            .collect::<Result<_, String>>()?;
        Ok(Fields { node: *self, entries, known: Vec::new() })
    }

    /// Any value at all, as JSON.
    pub fn json(&self) -> Result<Value, String> {
        Ok(match &self.yaml.data {
            YamlData::Value(Scalar::Null) => Value::Null,
            YamlData::Value(Scalar::Boolean(value)) => json!(value),
            YamlData::Value(Scalar::Integer(value)) => json!(value),
            YamlData::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
            YamlData::Value(Scalar::String(text)) => json!(text),
            YamlData::Sequence(_) => Value::Array(self.items()?.iter().map(Node::json).collect::<Result<_, _>>()?),
            YamlData::Mapping(_) => Value::Object(self.json_object()?),
            _ => return self.error("this cannot be read"),
        })
    }

    /// A mapping as JSON.
    pub fn json_object(&self) -> Result<Map<String, Value>, String> {
        self.entries()?.into_iter().map(|(name, value)| Ok((name.to_string(), value.json()?))).collect()
    }
}

/// A mapping from which known keys are taken; what is left is an error.
pub struct Fields<'y> {
    pub node: Node<'y>,
    entries: Vec<(&'y str, Node<'y>, Node<'y>)>,
    known: Vec<&'static str>,
}

impl<'y> Fields<'y> {
    pub fn take(&mut self, name: &'static str) -> Option<Node<'y>> {
        self.known.push(name);
        let at = self.entries.iter().position(|(key, _, _)| *key == name)?;
        Some(self.entries.remove(at).2)
    }

    pub fn require(&mut self, name: &'static str) -> Result<Node<'y>, String> {
        let node = self.node;
        self.take(name).map_or_else(|| node.error(format!("'{name}' is missing")), Ok)
    }

    /// What is left, for mappings with both kinds of names.
    pub fn rest(self) -> Vec<(&'y str, Node<'y>)> {
        self.entries.into_iter().map(|(name, _, value)| (name, value)).collect()
    }

    pub fn finish(self) -> Result<(), String> {
        match self.entries.first() {
            None => Ok(()),
            Some((name, key, _)) => key.error(format!("there is no key '{name}' here; the keys are {}", self.known.join(", "))),
        }
    }
}
