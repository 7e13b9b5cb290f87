//! GraphQL requests from the inside: every root field that is asked for is found, or the request is refused.

use super::*;
use crate::pdp::json;

mod document;
mod fragment;
mod hidden;
mod limits;
mod operation;
mod request;
mod rule;

/// The fields of a body, each as `kind field`.
fn fields_of_body(body: &str) -> Result<Vec<String>, GraphqlError> {
    let body = json::parse(body.as_bytes(), 64).unwrap();
    root_fields(&body, None).map(|fields| fields.iter().map(|(kind, field)| format!("{kind} {field}")).collect())
}

/// The fields of a document in a request that says nothing else.
fn fields(document: &str) -> Result<Vec<String>, GraphqlError> {
    fields_of_body(&serde_json::json!({ "query": document }).to_string())
}

/// The same with the name of an operation.
fn fields_named(document: &str, operation: &str) -> Result<Vec<String>, GraphqlError> {
    fields_of_body(&serde_json::json!({ "query": document, "operationName": operation }).to_string())
}

#[track_caller]
fn assert_fields(document: &str, expected: &[&str]) {
    assert_eq!(fields(document).unwrap_or_else(|error| panic!("{document:?}: {error}")), expected, "{document:?}");
}

#[track_caller]
fn assert_refused(document: &str) {
    assert_eq!(fields(document), Err(GraphqlError::NotADocument), "{document:?}");
}
