//! The names of the identity headers.

use std::sync::Arc;

use crate::config::problem::{Problem, Problems};
use crate::config::schema::HeadersSchema;
use crate::config::yaml::Located;
use crate::pdp::obligation::{IdentityField, IdentityHeaders, OVERRIDE_HEADERS};

/// Headers that carry the request itself and cannot tell who is asking.
const RESERVED_HEADERS: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

pub(super) fn compile(headers: Option<Located<HeadersSchema>>, problems: &mut Problems) -> IdentityHeaders {
    let Some(Located { value: headers, .. }) = headers else { return IdentityHeaders::default() };
    let mut fields: Vec<(IdentityField, Arc<str>)> = Vec::new();
    for (field, _, default) in IdentityField::ALL {
        let given = headers.names.iter().find(|(given, _)| *given == field).map(|(_, name)| name);
        let name = given.map_or(default, |name| name.value.as_str());
        if let Some(given) = given
            && (RESERVED_HEADERS.contains(&name) || OVERRIDE_HEADERS.contains(&name) || name.starts_with("x-envoy-"))
        {
            given.problem(problems, format!("'{name}' has another meaning and cannot tell who is asking; the default is '{default}'"));
        }
        if fields.iter().any(|(_, other)| **other == *name) {
            let message = format!("two identity headers would have the name '{name}'");
            match given.or_else(|| headers.names.iter().map(|(_, name)| name).find(|other| other.value == name)) {
                Some(given) => given.problem(problems, message),
                None => problems.push(Problem { location: None, key: "headers".into(), message }),
            }
        }
        fields.push((field, name.into()));
    }
    for name in &headers.keep {
        if !OVERRIDE_HEADERS.contains(&name.value.as_str()) {
            name.problem(
                problems,
                format!("'{}' is none of the headers that are removed; those are {}", name.value, OVERRIDE_HEADERS.join(", ")),
            );
        }
    }
    let keep: Vec<Box<str>> = headers.keep.into_iter().map(|name| name.value.into()).collect();
    IdentityHeaders::new(fields, &keep)
}
