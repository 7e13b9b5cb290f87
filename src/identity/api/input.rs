//! Reading bodies, queries and paths, with refusals in this API's own form.

use std::error::Error as _;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::super::error::ApiError;

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid_request",
                "the body must be JSON; send the header 'content-type: application/json'",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let description = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
                _ => "the body did not arrive whole",
            };
            ApiError::new(rejection.status(), "invalid_request", description)
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| ApiError::invalid_request(format!("body: {error}")))
    }
}

/// Whether the body is declared as JSON; parameters of the media type (`; charset=utf-8`) change nothing.
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// A query string.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError::invalid_request(match rejection.source() {
                Some(cause) => format!("query: {cause}"),
                None => "query: malformed".to_owned(),
            })),
        }
    }
}

/// The one variable segment of a path. One that is not UTF-8 names nothing that exists.
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Self(segment)),
            Err(_) => Err(ApiError::not_found()),
        }
    }
}
