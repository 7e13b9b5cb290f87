//! Label selectors, as Kubernetes evaluates them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether labels are selected. No selector selects all.
pub fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector["matchLabels"].as_object();
    exact.into_iter().flatten().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &BTreeMap<String, String>) -> bool {
    let found = labels.get(expression["key"].as_str().expect("a key"));
    let is_in = || {
        let values = expression["values"].as_array().expect("values");
        found.is_some_and(|found| values.iter().any(|value| value == found))
    };
    match expression["operator"].as_str().expect("an operator") {
        "In" => is_in(),
        // What is not there is in no set.
        "NotIn" => !is_in(),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        other => panic!("there is no operator {other}"),
    }
}
