//! What a request's body says: `body`, and bodies as a source of scopes and targets.
//!
//! Only a body that is known as a whole and that everybody reads alike is read at all: bytes that were sent along unchanged, with a
//! content type that says JSON, and JSON without anything that two parsers understand differently.

use std::fmt;

use crate::pdp::json::{self, Json};
use crate::pdp::request::{HeaderValue, Headers, RequestBody};

mod field;
mod media_type;

pub use field::{AllowedFields, FieldError, FieldPath, field_text};

/// The longest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// How deep the values of a body may be nested.
pub const MAX_BODY_DEPTH: usize = 64;

/// Why a body says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It was not sent along, was cut short, is too long or compressed.
    Unavailable,
    /// It is not JSON, does not say that it is, or could be read in more than one way.
    Malformed,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the body was not sent along, was cut short, is too long or compressed",
            Self::Malformed => "the body is not JSON that can be read in one way only",
        })
    }
}

/// Reads a body as JSON.
///
/// # Errors
/// [`BodyError::Unavailable`] unless all of its bytes are here as the service will see them: at most [`MAX_BODY_BYTES`], as many as
/// `content-length` says, and without a coding. [`BodyError::Malformed`] unless there is exactly one content
/// type, `application/json` or `application/…+json` without parameters other than `charset=utf-8`, and the bytes are one JSON value,
/// nested [`MAX_BODY_DEPTH`] deep at most, without duplicate members.
pub fn json_body(headers: &Headers<'_>, body: RequestBody<'_>) -> Result<Json, BodyError> {
    let RequestBody::Whole(bytes) = body else { return Err(BodyError::Unavailable) };
    if bytes.len() > MAX_BODY_BYTES || !has_length(headers, bytes.len()) || is_coded(headers) {
        return Err(BodyError::Unavailable);
    }
    match headers.single_in_any_spelling("content-type") {
        HeaderValue::One(value) if media_type::is_json(value) => {}
        HeaderValue::One(_) | HeaderValue::Absent | HeaderValue::Several => return Err(BodyError::Malformed),
    }
    json::parse(bytes, MAX_BODY_DEPTH).map_err(|_| BodyError::Malformed)
}

/// Whether `content-length` says just this many bytes. A PEP that stops at a limit may not know that more was to come, so a body of
/// which nobody says how long it is may be a part of one.
fn has_length(headers: &Headers<'_>, length: usize) -> bool {
    match headers.single_in_any_spelling("content-length") {
        HeaderValue::One(value) => {
            value.iter().all(u8::is_ascii_digit) && std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) == Some(length)
        }
        HeaderValue::Absent | HeaderValue::Several => false,
    }
}

/// Whether the bytes mean something else than what they are.
fn is_coded(headers: &Headers<'_>) -> bool {
    let is_other_than = |name: &str, none: &[u8]| match headers.single_in_any_spelling(name) {
        HeaderValue::Absent => false,
        HeaderValue::One(value) => !value.eq_ignore_ascii_case(none),
        HeaderValue::Several => true,
    };
    is_other_than("content-encoding", b"identity") || headers.contains("transfer-encoding")
}

#[cfg(test)]
mod tests;
