//! The manifests for Istio and Envoy Gateway: whether a cluster takes them, and what becomes of requests in the Envoy that they make.

mod envoy_filter;
mod gateway;
mod identity;
mod istio;
mod istiod;
mod manifests;
mod template;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All documents of a text in YAML.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
}

/// The only document of a file.
fn document(name: &str) -> Value {
    let mut documents = documents(&read(name));
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

/// The provider of this name in `deploy/istio/mesh-config.yaml`.
fn provider(name: &str) -> Value {
    let config = document("deploy/istio/mesh-config.yaml");
    let providers = config["meshConfig"]["extensionProviders"].as_array().expect("providers").clone();
    let found = providers.into_iter().find(|provider| provider["name"] == name);
    found.unwrap_or_else(|| panic!("there is no provider {name}"))["envoyExtAuthzGrpc"].take()
}

/// The configuration of the tests' Envoy as JSON.
fn parse_envoy(text: &str) -> Value {
    let mut config: Value = serde_saphyr::from_str(text).expect("Envoy's configuration");
    // Envoy reads a leading zero as octal.
    config["admin"]["address"]["pipe"]["mode"] = 0o600.into();
    config
}

/// The connection manager in it.
fn connection_manager(config: &mut Value) -> &mut Value {
    config.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").expect("a connection manager")
}

/// One of its clusters.
fn cluster<'c>(config: &'c mut Value, name: &str) -> &'c mut Value {
    let clusters = config["static_resources"]["clusters"].as_array_mut().expect("clusters");
    clusters.iter_mut().find(|cluster| cluster["name"] == name).unwrap_or_else(|| panic!("there is no cluster {name}"))
}

/// Puts one object over another, as merging messages does: members one by one, lists one after the other.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}
