//! The admin listener of the webhook: plain HTTP, on loopback unless somebody wants it elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Webhook;

/// What is answered where.
pub(super) fn router(webhook: Arc<Webhook>) -> Router {
    Router::new()
        .route("/", get(|| async { "portcullis webhook\n\n/livez    the process is alive\n/readyz   it can review pods (503 and why, if not)\n/metrics  for Prometheus\n" }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(webhook)
}

async fn readyz(State(webhook): State<Arc<Webhook>>) -> Response {
    let (status, body) = webhook.readiness();
    (status, axum::Json(body)).into_response()
}

async fn metrics(State(webhook): State<Arc<Webhook>>) -> Response {
    match webhook.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
