//! Editing JSON: objects and lists that may be there, be null, or not be there at all.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Refusal;

/// The lists of containers that are there from the start.
pub(super) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// Removes the named entries of a list, and the list if that leaves it empty.
pub(super) fn remove_named(parent: &mut Map<String, Value>, key: &str, is_meant: impl Fn(&str) -> bool) {
    let Some(Value::Array(entries)) = parent.get_mut(key) else { return };
    let count = entries.len();
    entries.retain(|entry| !name_of(entry).is_some_and(&is_meant));
    if entries.is_empty() && count > 0 {
        parent.remove(key);
    }
}

/// Init containers, then containers.
pub(super) fn containers(spec: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let is_list = |key: &str| LISTS.contains(&key);
    spec.iter_mut()
        .filter(move |(key, _)| is_list(key))
        .flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
        .filter_map(Value::as_object_mut)
}

pub(super) fn name_of(entry: &Value) -> Option<&str> {
    entry.get("name").and_then(Value::as_str)
}

pub(super) fn object_of(value: &mut Value) -> Result<&mut Map<String, Value>, Refusal> {
    value.as_object_mut().ok_or_else(|| Refusal::new("this is no pod: it is no object"))
}

/// The object under a key, which is made if there is nothing.
pub(super) fn object<'v>(value: &'v mut Value, key: &str) -> Result<&'v mut Map<String, Value>, Refusal> {
    object_in(object_of(value)?, key)
}

pub(super) fn object_in<'v>(parent: &'v mut Map<String, Value>, key: &str) -> Result<&'v mut Map<String, Value>, Refusal> {
    let value = parent.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().ok_or_else(|| Refusal::new(format!("this is no pod: '{key}' is no object")))
}

/// The list under a key, which is made if there is nothing.
pub(super) fn list<'v>(parent: &'v mut Map<String, Value>, key: &str) -> Result<&'v mut Vec<Value>, Refusal> {
    let value = parent.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().ok_or_else(|| Refusal::new(format!("this is no pod: '{key}' is no list")))
}

pub(super) fn json(value: &impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal::new(format!("what is to be added cannot be written: {error}")))
}
