//! `portcullis webhook`: the MutatingAdmissionWebhook that injects the sidecar into pods as they are created.
//!
//! ```text
//! API server ──TLS──▶ serve ──▶ requests ──▶ review ──▶ inject::inject_pod ──▶ JSON Patch
//!                       ▲
//!                  certificate (files, followed)                  admin: health and metrics
//! ```
//!
//! What it makes of a pod is what `portcullis inject` makes of it: both call [`crate::inject`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::inject::Settings;
use crate::server::accept::Gate;
use crate::server::http1;

mod admin;
mod certificate;
mod metrics;
mod requests;
mod review;
mod serve;
mod validity;

use certificate::{Certificates, Files};
use metrics::Metrics;

/// Connections to the admin listener at once.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// How the webhook runs.
#[derive(Debug)]
pub struct Options {
    /// Where API servers are answered.
    pub listen: SocketAddr,
    /// Where health and metrics are shown.
    pub admin: SocketAddr,
    /// The certificate with its chain, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// How long it goes on after SIGTERM, not ready any more: API servers learn late that it is about to end.
    pub shutdown_delay: Duration,
    /// What pods get that say nothing else.
    pub settings: Settings,
}

/// What all connections share.
#[derive(Debug)]
struct Webhook {
    settings: Settings,
    certificates: Arc<Certificates>,
    metrics: Arc<Metrics>,
    draining: AtomicBool,
    bounds: requests::Bounds,
}

impl Webhook {
    /// Whether API servers should come here, and why if not.
    fn readiness(&self) -> (StatusCode, Value) {
        let mut reasons: Vec<String> = self.certificates.validity().problem(clock::now()).into_iter().collect();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("the webhook is shutting down".into());
        }
        let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, json!({ "ready": reasons.is_empty(), "reasons": reasons }))
    }
}

/// Runs the webhook until SIGTERM or SIGINT.
///
/// # Errors
/// When the certificate cannot be loaded, an address cannot be bound, or a listener ends; in words.
pub async fn run(options: Options) -> Result<(), String> {
    let Options { listen, admin, certificate, key, shutdown_delay, settings } = options;
    let files = Files { certificate, key };
    let pair = files.load().await?;
    let listener = bind(listen, "--listen").await?;
    let admin_listener = bind(admin, "--admin").await?;
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    metrics.certificate_loaded(Some(&pair.validity));
    tracing::info!(not_after = validity::written(pair.validity.not_after), "the certificate is loaded");
    let certificates = Arc::new(Certificates::new(pair));
    let tls = serve::tls(Arc::clone(&certificates) as _).map_err(|error| error.to_string())?;

    let follower = tokio::spawn(certificate::follow(files, Arc::clone(&certificates), Arc::clone(&metrics)));
    let webhook =
        Arc::new(Webhook { settings, certificates, metrics, draining: AtomicBool::new(false), bounds: requests::Bounds::default() });
    let (open, refused) = webhook.metrics.listener("admin");
    let gate = Gate::counted("admin", MAX_ADMIN_CONNECTIONS, open, refused);
    let (stop, stop_admin) = (CancellationToken::new(), CancellationToken::new());
    tracing::info!(address = %address_of(&admin_listener), "the admin listener is up");
    tracing::info!(address = %address_of(&listener), "reviewing pods");
    let mut admin = tokio::spawn(http1::serve_with(admin_listener, admin::router(Arc::clone(&webhook)), gate, stop_admin.clone()));
    let mut reviews = tokio::spawn(serve::serve(listener, tls, Arc::clone(&webhook), stop.clone()));

    let outcome = tokio::select! {
        delay = signals.asked_to_end(shutdown_delay) => Ok(delay),
        ended = &mut reviews => Err(format!("the listener for reviews ended: {ended:?}")),
        ended = &mut admin => Err(format!("the admin listener ended: {ended:?}")),
    };
    webhook.draining.store(true, Ordering::Relaxed);
    if let Ok(delay) = outcome
        && !delay.is_zero()
    {
        tracing::info!(?delay, "ending: not ready any more, and reviewing until the delay has passed");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = signals.asked_to_end(Duration::ZERO) => {}
        }
    }
    stop.cancel();
    if !reviews.is_finished() {
        let _ = reviews.await;
    }
    follower.abort();
    stop_admin.cancel();
    if !admin.is_finished() {
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    }
    tracing::info!("stopped");
    outcome.map(|_| ())
}

async fn bind(address: SocketAddr, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address} ({option}): {error}"))
}

/// The address that a listener has got, for logs: with port 0 it is only known now.
fn address_of(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// The signals that end it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one; says how long to go on: this long after SIGTERM, and not at all after SIGINT, where somebody sits and waits.
    async fn asked_to_end(&mut self, delay: Duration) -> Duration {
        tokio::select! {
            _ = self.terminate.recv() => delay,
            _ = self.interrupt.recv() => Duration::ZERO,
        }
    }
}
