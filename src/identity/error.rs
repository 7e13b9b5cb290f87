//! The errors of this service: those that a client sees, and those that keep it from starting.

use std::borrow::Cow;
use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::password::PasswordError;
use super::store::StoreError;

/// Why the service cannot start: one line for the person who started it.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    /// An error that says what is wrong and what to do instead, in one line.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::new(format!("database: {error}"))
    }
}

impl From<PasswordError> for StartError {
    fn from(error: PasswordError) -> Self {
        Self::new(error.to_string())
    }
}

/// A refusal as the client sees it: `{"error": code, "error_description": text}` (RFC 6749 section 5.2). The codes are
/// OAuth's where it has one.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    description: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl ApiError {
    /// An error with a status and code of its own.
    pub fn new(status: StatusCode, code: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, description: description.into(), header: None }
    }

    /// 400: the request is malformed (RFC 6749 section 5.2).
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// 401: the credentials or the refresh token are wrong, used up or revoked (RFC 6749 section 5.2).
    pub fn invalid_grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_grant", description)
    }

    /// 401: the client's identifier and secret do not count; the same answer whatever the cause (RFC 6749 section 5.2).
    pub fn invalid_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "the client or its secret is wrong, or the client is revoked")
    }

    /// 401: no access token was sent. The challenge carries no error code (RFC 6750 section 3.1).
    pub fn credential_missing() -> Self {
        Self {
            header: Some(challenge("Bearer realm=\"portcullis-identity\"")),
            ..Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "send the header 'authorization: Bearer <token>'")
        }
    }

    /// 401: the access token does not count; the same answer whatever the cause (RFC 6750 section 3.1).
    pub fn invalid_token() -> Self {
        Self {
            header: Some(challenge("Bearer realm=\"portcullis-identity\", error=\"invalid_token\"")),
            ..Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "the token is malformed, expired or revoked")
        }
    }

    /// 403: known, but not allowed (RFC 6749 section 4.1.2.1).
    pub fn access_denied(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "access_denied", description)
    }

    /// 404: does not exist, or not for this caller.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    /// 409: contradicts what exists.
    pub fn conflict(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", description)
    }

    /// 500: our fault. `cause` goes to the log and never to the client.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the service failed; its log says why")
    }

    /// 503: too much work is waiting (RFC 6749 section 4.1.2.1).
    pub fn overloaded() -> Self {
        Self {
            header: Some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "too many logins at once; try again")
        }
    }
}

fn challenge(value: &'static str) -> (HeaderName, HeaderValue) {
    (header::WWW_AUTHENTICATE, HeaderValue::from_static(value))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: self.code, error_description: &self.description };
        let mut response = (self.status, Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        Self::internal(error)
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::overloaded(),
            PasswordError::Failed(_) => Self::internal(error),
        }
    }
}
