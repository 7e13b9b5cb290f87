//! The admin listener: health, metrics and dumps. On loopback unless the configuration says otherwise.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::assertion::Signer;
use crate::audit::Trail;
use crate::server::health::Health;
use crate::state::{Live, NotReady};
use crate::telemetry::log::DroppedLines;
use crate::telemetry::metrics::{Metrics, RouteCounters};

mod dump;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// The state that checks are made from.
    pub live: Arc<Live<RouteCounters>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Signs assertions towards the service behind.
    pub signer: Arc<Signer>,
    /// Whether the sidecar is draining.
    pub health: Health,
    /// The audit trail, if there is one.
    pub trail: Option<Trail>,
    /// Log lines that nobody read in time.
    pub dropped_lines: DroppedLines,
    /// Held while gauges are brought up to date and encoded, so that two scrapes at once do not mix.
    pub scrape: Arc<Mutex<()>>,
}

/// What is answered where.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/.well-known/jwks.json", get(assertion_keys))
        .route("/audit", get(audit))
        .with_state(admin)
}

async fn index() -> &'static str {
    "portcullis\n\n/livez    the process is alive\n/readyz   it can decide (503 and why, if not)\n/metrics  for Prometheus\n/config   the policy in force, keys and revocations\n/audit    the last record of the audit trail\n/.well-known/jwks.json  the key that signs assertions towards the service behind\n"
}

/// What keeps the sidecar from being ready, in words.
fn reasons(admin: &Admin) -> Vec<String> {
    let mut reasons: Vec<String> = admin
        .live
        .not_ready()
        .iter()
        .map(|cause| match cause {
            NotReady::Keys(issuer) => format!("the keys of issuer '{issuer}' were not fetched yet or are past 'max_stale'"),
            NotReady::Revocations(issuer, source) => {
                format!("the revocations of issuer '{issuer}' ({source}) were not fetched yet or are past 'max_staleness'")
            }
            NotReady::Configuration => {
                "what is on the disk could not be loaded for longer than 'configuration.max_stale'; the last good policy goes on deciding"
                    .into()
            }
        })
        .collect();
    if admin.health.is_draining() {
        reasons.push("the sidecar is shutting down".into());
    }
    reasons
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = reasons(&admin);
    let (status, ready) = if reasons.is_empty() { (StatusCode::OK, true) } else { (StatusCode::SERVICE_UNAVAILABLE, false) };
    (status, axum::Json(json!({ "ready": ready, "reasons": reasons }))).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let _scrape = admin.scrape.lock().unwrap_or_else(PoisonError::into_inner);
    dump::update_gauges(&admin);
    match admin.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn config(State(admin): State<Admin>) -> Response {
    axum::Json(dump::configuration(&admin)).into_response()
}

async fn assertion_keys(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "max-age=60")], admin.signer.key_set().to_string())
        .into_response()
}

async fn audit(State(admin): State<Admin>) -> Response {
    axum::Json(dump::audit(&admin)).into_response()
}
