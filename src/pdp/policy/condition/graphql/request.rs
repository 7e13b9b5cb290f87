//! Request objects: what the body of a GraphQL request says besides the document.

use super::GraphqlError;
use crate::pdp::json::{Json, Object};

/// The most requests that one body may hold.
pub const MAX_BATCH: usize = 16;

/// One request: a document, and which of its operations is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub document: &'a str,
    pub operation: Option<&'a str>,
}

/// The requests in a body: one object, or a batch of them in an array.
pub(super) fn requests(body: &Json) -> Result<Vec<Request<'_>>, GraphqlError> {
    match body {
        Json::Object(object) => Ok(vec![request(object)?]),
        Json::Array(batch) if (1..=MAX_BATCH).contains(&batch.len()) => {
            batch.iter().map(|item| request(item.as_object().ok_or(GraphqlError::NotARequest)?)).collect()
        }
        _ => Err(GraphqlError::NotARequest),
    }
}

fn request(object: &Object) -> Result<Request<'_>, GraphqlError> {
    let mut document = None;
    let mut operation = None;
    for (name, value) in object.iter() {
        match (name, value) {
            ("query", Json::String(text)) => document = Some(&**text),
            ("operationName", Json::Null) | ("variables", Json::Null | Json::Object(_)) | ("extensions", Json::Null) => {}
            // Some services take an empty name for none, others for one that nothing has.
            ("operationName", Json::String(text)) if text.is_empty() => return Err(GraphqlError::Operation),
            ("operationName", Json::String(text)) => operation = Some(&**text),
            ("extensions", Json::Object(extensions)) => {
                if extensions.iter().any(|(name, _)| name.eq_ignore_ascii_case("persistedQuery")) {
                    return Err(GraphqlError::Persisted);
                }
            }
            ("query" | "operationName" | "variables" | "extensions", _) => return Err(GraphqlError::NotARequest),
            // `id`, `documentId`, `doc_id`, `queryId` and their like name a document that only the service knows; and a service that
            // folds case takes `Query` for `query`.
            _ => return Err(GraphqlError::Persisted),
        }
    }
    document.map(|document| Request { document, operation }).ok_or(GraphqlError::NotARequest)
}
