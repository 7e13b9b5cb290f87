//! Values that a route takes from a request: ids, departments.

use std::borrow::Cow;
use std::sync::Arc;

use crate::pdp::path::{self, NormalizedPath, QueryValue};
use crate::pdp::request::{AccessRequest, HeaderValue};

/// Where in a request a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestValue {
    /// The path segment at this position, counted from zero.
    Path(usize),
    /// The one value of this header.
    Header(Box<str>),
    /// The one value of this query parameter.
    Query(Box<str>),
    /// The text at this place of the JSON body, as the names of the members that lead there.
    Body(Vec<Box<str>>),
}

/// What a route can take for what a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revealed {
    /// The request says it.
    Request(RequestValue),
    /// The target of this number is it.
    TargetId(usize),
    /// The directory says it of the target of this number.
    TargetAttribute(usize, Arc<str>),
}

/// Reads a value that is not in the body. `None`: it is not there, or not clear.
#[must_use]
pub fn find<'r>(value: &RequestValue, path: &'r NormalizedPath<'_>, request: &'r AccessRequest<'_>) -> Option<Cow<'r, str>> {
    match value {
        RequestValue::Path(position) => path.segments().get(*position).map(|segment| Cow::Borrowed(segment.as_ref())),
        RequestValue::Header(name) => match request.headers.single_in_any_spelling(name) {
            HeaderValue::One(value) => std::str::from_utf8(value).ok().map(Cow::Borrowed),
            HeaderValue::Absent | HeaderValue::Several => None,
        },
        RequestValue::Query(name) => match path::query_value(path.query(), name) {
            QueryValue::One(value) => Some(Cow::Owned(value)),
            QueryValue::Absent | QueryValue::Ambiguous => None,
        },
        RequestValue::Body(_) => None,
    }
}
