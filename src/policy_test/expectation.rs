//! What a case expects, held against what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::case::{Expected, ExpectedRoute};
use crate::config;
use crate::pdp::decision::{Decision, Granted, Reason};
use crate::pdp::snapshot::Snapshot;

/// What was decided, and what has to be done to the request; copied, so that it outlives the request.
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) sets: Vec<(String, String)>,
    pub(super) removes: Vec<String>,
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What it is: `decision`, `route`, `header x-user-id` and so on.
    pub what: String,
    /// What the case says; `null` is nothing.
    pub expected: Value,
    /// What came out.
    pub got: Value,
    /// What may have gone wrong.
    pub hint: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Value| match value {
            Value::Null => "nothing".to_string(),
            Value::String(text) if self.what == "decision" => text.clone(),
            other => other.to_string(),
        };
        write!(f, "{}: expected {}, got {}", self.what, show(&self.expected), show(&self.got))?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}

/// Everything in which an outcome is not the expected one.
pub(super) fn differences(expected: &Expected, outcome: &Outcome, snapshot: &Snapshot) -> Vec<Difference> {
    let decision = &outcome.decision;
    let mut differences = Differences::default();
    let show = |reason: Reason| json!(format!("{} {reason}", reason.effect().as_str()));
    differences.compare("decision", show(expected.reason), show(decision.reason));
    match &expected.route {
        ExpectedRoute::Any => {}
        ExpectedRoute::None => differences.compare("route", Value::Null, json!(decision.route.as_deref())),
        ExpectedRoute::Named(name) => {
            differences.compare_with("route", json!(name), json!(decision.route.as_deref()), || no_such_route(name, snapshot));
        }
    }
    differences.compare("crossed_tenants", json!(expected.crossed_tenants), json!(decision.crossed_tenants));
    differences.compare("used_stale_revocations", json!(expected.used_stale_revocations), json!(decision.used_stale_revocations));
    if let Some(unknown) = expected.unknown_roles {
        differences.compare("unknown_roles", json!(unknown), json!(decision.unknown_roles));
    }
    if let Some(odd) = expected.odd_permissions {
        let got = decision.principal.as_ref().map(|principal| principal.token().claims().odd_permissions);
        differences.compare("odd_permissions", json!(odd), json!(got));
    }
    if let Some(key_id) = &expected.unknown_key {
        differences.compare("unknown_key", json!(key_id), json!(decision.unknown_key.as_ref().map(|key| &*key.key_id)));
    }
    if let Some(answer) = &expected.answer {
        let got: Option<Vec<String>> = decision.answer.as_ref().map(|granted| granted.iter().map(show_granted).collect());
        differences.compare("answer", json!(answer), json!(got));
    }
    differences.compare_headers(expected, outcome);
    differences.0
}

/// `orders:read own department=d1`
fn show_granted(granted: &Granted) -> String {
    let scope = granted.scope.iter().map(|scope| format!(" {scope}"));
    let boundary = granted.boundary.iter().map(|(name, value)| format!(" {name}={value}"));
    std::iter::once(granted.permission.to_string()).chain(scope).chain(boundary).collect()
}

fn no_such_route(name: &str, snapshot: &Snapshot) -> Option<String> {
    let names: Vec<&str> = snapshot.route_names.iter().map(|name| &**name).collect();
    if names.contains(&name) {
        return None;
    }
    let near = config::nearest(name, &names).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    Some(format!("the configuration has no route '{name}'{near}"))
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn compare(&mut self, what: impl Into<String>, expected: Value, got: Value) {
        self.compare_with(what, expected, got, || None);
    }

    fn compare_with(&mut self, what: impl Into<String>, expected: Value, got: Value, hint: impl FnOnce() -> Option<String>) {
        if expected != got {
            self.0.push(Difference { what: what.into(), expected, got, hint: hint() });
        }
    }

    fn compare_headers(&mut self, expected: &Expected, outcome: &Outcome) {
        let sets: BTreeMap<String, &String> = outcome.sets.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let removes: BTreeSet<String> = outcome.removes.iter().map(|name| name.to_ascii_lowercase()).collect();
        if let Some(wanted) = &expected.sets {
            let wanted: BTreeMap<String, &String> = wanted.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
            for name in wanted.keys().chain(sets.keys().filter(|name| !wanted.contains_key(*name))) {
                self.compare(format!("header {name}"), json!(wanted.get(name)), json!(sets.get(name)));
            }
        }
        let what_happens = |name: &String| match name.to_ascii_lowercase() {
            name if sets.contains_key(&name) => "set",
            name if removes.contains(&name) => "removed",
            _ => "kept",
        };
        for name in &expected.removes {
            self.compare(format!("header {name}"), json!("removed"), json!(what_happens(name)));
        }
        for name in &expected.keeps {
            self.compare(format!("header {name}"), json!("kept"), json!(what_happens(name)));
        }
        // What follows is a defect of Portcullis: a PEP that sets first and removes later would undo what was set.
        let undone: Vec<&String> = sets.keys().filter(|name| removes.contains(*name)).collect();
        self.compare("headers both set and removed", json!([]), json!(undone));
        self.compare("headers set", json!(sets.len()), json!(outcome.sets.len()));
    }
}
