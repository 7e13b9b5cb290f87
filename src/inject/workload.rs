//! Where pods are in the objects of a manifest.

use serde_json::{Map, Value};

use super::{INJECT_LABEL, PREFIX};

/// What a document is about.
pub(super) enum Object<'v> {
    /// A workload: the pod or pod template in it, or `None` where it should be and is not (with the path to it).
    Workload(Option<&'v mut Value>, String),
    /// Several objects.
    List(&'v mut Vec<Value>),
    /// Something without pods.
    Other,
    /// Nothing that Kubernetes comes with, and pods seem to be in it.
    Embeds,
}

/// Who an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub api_version: String,
    pub kind: String,
    /// Empty if it has none; with `*` at its end where the API server makes it.
    pub name: String,
    pub namespace: Option<String>,
    /// What it says about injection in a place where nobody looks.
    pub misplaced: Vec<String>,
}

impl Identity {
    /// Reads it. In a list of one kind (`DeploymentList`) the items need not say what they are; `default` does.
    pub fn read(object: &Map<String, Value>, default: Option<(&str, &str)>) -> Result<Self, String> {
        let text =
            |of: &Map<String, Value>, key: &str| of.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_string);
        let (default_version, default_kind) = default.unzip();
        let own = |key, default: Option<&str>| text(object, key).or(default.map(str::to_string));
        let kind = own("kind", default_kind).ok_or("there is no 'kind' in it, so this is nothing that Kubernetes takes")?;
        let api_version =
            own("apiVersion", default_version).ok_or("there is no 'apiVersion' in it, so this is nothing that Kubernetes takes")?;
        let metadata = object.get("metadata").and_then(Value::as_object);
        let of_metadata = |key| metadata.and_then(|metadata| text(metadata, key));
        let name = of_metadata("name").or_else(|| of_metadata("generateName").map(|prefix| format!("{prefix}*"))).unwrap_or_default();
        let ours = |field: &str| {
            let entries = metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_object);
            entries.into_iter().flat_map(Map::keys).filter(|key| key.starts_with(PREFIX)).cloned().collect::<Vec<_>>()
        };
        let mut misplaced = ours("annotations");
        misplaced.extend(ours("labels").into_iter().filter(|key| key == INJECT_LABEL));
        Ok(Self { api_version, kind, name, namespace: of_metadata("namespace"), misplaced })
    }

    fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }
}

/// The way from a workload to its pod.
fn path(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "PodTemplate") => Some(&["template"]),
        ("", "ReplicationController") | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "DaemonSet") | ("apps", "StatefulSet") => {
            Some(&["spec", "template"])
        }
        ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// What is in an object.
pub(super) fn look<'v>(identity: &Identity, object: &'v mut Value) -> Object<'v> {
    if let Some(path) = path(identity.group(), &identity.kind) {
        let found = path.iter().try_fold(object, |value, key| value.get_mut(key));
        return Object::Workload(found.filter(|value| !value.is_null()), path.join("."));
    }
    let of_a_kind = identity.kind.strip_suffix("List");
    let is_list = of_a_kind.is_some_and(|kind| identity.group().is_empty() && kind.is_empty() || path(identity.group(), kind).is_some());
    if !is_list {
        return if embeds_pods(object, 0) { Object::Embeds } else { Object::Other };
    }
    match object.get_mut("items") {
        Some(Value::Array(items)) => Object::List(items),
        _ => Object::Other,
    }
}

/// Whether somewhere in it there are containers with images.
fn embeds_pods(value: &Value, depth: usize) -> bool {
    let is_container = |value: &Value| value.get("image").is_some_and(Value::is_string) && value.get("name").is_some_and(Value::is_string);
    match value {
        _ if depth > 12 => false,
        Value::Object(entries) => {
            entries.get("containers").and_then(Value::as_array).is_some_and(|list| !list.is_empty() && list.iter().all(is_container))
                || entries.values().any(|value| embeds_pods(value, depth + 1))
        }
        Value::Array(items) => items.iter().any(|item| embeds_pods(item, depth + 1)),
        _ => false,
    }
}
