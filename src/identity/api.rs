//! The HTTP API: one handler per endpoint, grouped by what they are about.

mod admin;
mod authentication;
mod directory;
mod discovery;
mod input;
mod login;
mod revocations;
mod sessions;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use http::{HeaderValue, StatusCode, header};

use super::Identity;
use super::error::ApiError;

/// The largest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long a request may take, its body's arrival included. The feed, which waits on purpose, is apart.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// Every endpoint.
pub fn router(identity: Arc<Identity>) -> Router {
    let prompt = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/.well-known/jwks.json", get(discovery::jwks))
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/v1/login", post(login::login))
        .route("/v1/token", post(token::token))
        .route("/v1/logout", post(sessions::logout))
        .route("/v1/me", get(sessions::me))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}", delete(sessions::end))
        .route("/v1/directory/{user}", get(directory::entry))
        .route("/v1/roles", get(directory::roles))
        .nest("/v1/admin", admin::router(&identity))
        .layer(middleware::from_fn(limit_time));
    Router::new()
        .route("/v1/revocations", get(revocations::feed))
        .merge(prompt)
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::map_response(never_store))
        .with_state(identity)
}

fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        "this endpoint has no such method; the header 'allow' names those that it has",
    )
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the request took too long").into_response(),
    }
}

/// Tokens, and refusals, must not be kept by anything in between (RFC 6749 section 5.1), unless a handler said otherwise.
async fn never_store(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
