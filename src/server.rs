//! The running sidecar: listeners bound, refreshers started, policy kept up to date, everything drained at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::assertion::Signer;
use crate::audit::Trail;
use crate::clock;
use crate::config::{AuditSettings, Configuration};
use crate::ext_authz::AuthorizationServer;
use crate::pip::config_file::{self, ConfigWatcher, ReadError};
use crate::pip::http_client::{HttpClient, Limits};
use crate::pip::refresh::{Context, Refreshers};
use crate::pip::warm_start::WarmStart;
use crate::state::Live;
use crate::telemetry::log::DroppedLines;
use crate::telemetry::metrics::Metrics;

mod bind;
pub mod health;
pub(crate) mod policy_tests;
mod reload;
mod self_test;

use health::Health;
pub(crate) use reload::source_files;

/// The longest time that checks in flight get to finish in.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a changed configuration must rest before it is believed.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often the configuration is looked at even if nothing was noticed.
const POLL: Duration = Duration::from_secs(5);
/// How often the clock is looked at even if nothing happens, so that a jump back is noticed before it can be forgotten.
const CLOCK_LOOKS: Duration = Duration::from_millis(500);

/// Why the sidecar did not start or did not go on.
#[derive(Debug)]
pub enum ServerError {
    /// The configuration cannot be read.
    Read(ReadError),
    /// The configuration has problems.
    Configuration(crate::config::Problems),
    /// Something else, in words.
    Other(String),
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Configuration(problems) => problems.fmt(f),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ServerError {}

impl From<String> for ServerError {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

/// Runs the sidecar until SIGTERM or SIGINT.
///
/// # Errors
/// When the first configuration is not good, an address cannot be bound, or cryptography is broken.
pub async fn run(config: PathBuf, dropped_lines: DroppedLines) -> Result<(), ServerError> {
    self_test::run()?;
    let _clock = Aborted(tokio::spawn(keep_time()).abort_handle());
    let source = Arc::new(config_file::read_with_tests(&config, policy_tests::named).map_err(ServerError::Read)?);
    let Configuration { snapshot, listen, audit, warm_start: kept_in, loading, sources, notices } =
        reload::compile(&source).await.map_err(ServerError::Configuration)?;
    let other = |error: &dyn std::fmt::Display| ServerError::Other(error.to_string());

    // Everything that can fail is done before anything runs.
    let grpc = bind::grpc(&listen.grpc).await?;
    let admin_listener = bind::tcp(listen.admin).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| other(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| other(&error))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| other(&error))?;
    let client = HttpClient::new(Limits::default()).map_err(|error| other(&error))?;
    let metrics = Arc::new(Metrics::new().map_err(|error| other(&error))?);
    let signer = Arc::new(Signer::generate().map_err(|error| other(&error))?);
    let trail = open_trail(audit.clone(), Arc::clone(&snapshot.revision)).await?;

    metrics.configuration_loaded(true);
    reload::log_notices(&notices);
    tracing::info!(revision = %snapshot.revision, routes = snapshot.route_names.len(), "the policy is in force");
    let counters = metrics.route_counters(&snapshot.route_names);
    let live = Arc::new(Live::new(snapshot, counters));
    live.loads().succeeded(clock::now(), loading.max_stale);
    let warm_start = WarmStart::open(kept_in.as_ref(), &sources, &metrics).await;
    let context = Context { live: Arc::clone(&live), client, metrics: Arc::clone(&metrics), warm_start: warm_start.clone() };
    let mut refreshers = Refreshers::new(context);
    refreshers.start(&sources);
    // What waits to connect meanwhile finds a sidecar that can decide.
    refreshers.warmed_up().await;
    let health = Health::default();
    let drain = CancellationToken::new();
    let mut doors = JoinSet::new();

    let (health_reporter, health_service) = tonic_health::server::health_reporter();
    let follower = tokio::spawn(health::follow(Arc::clone(&live), health_reporter.clone()));
    let checks = AuthorizationServer::new(Arc::clone(&live), Arc::clone(&metrics), Arc::clone(&signer), trail.clone());
    for listener in grpc {
        tracing::info!(address = %listener.address(), "answering checks");
        doors.spawn(listener.serve(checks.clone(), health_service.clone(), drain.clone()));
    }
    let end_of_admin = CancellationToken::new();
    let admin = Admin {
        live: Arc::clone(&live),
        metrics: Arc::clone(&metrics),
        signer,
        health: health.clone(),
        trail: trail.clone(),
        dropped_lines,
        scrape: Arc::default(),
    };
    tracing::info!(address = %bind::address_of(&admin_listener), "the admin listener is up");
    let admin = tokio::spawn(admin::serve(admin_listener, admin, end_of_admin.clone().cancelled_owned()));

    let watcher = ConfigWatcher::spawn(config, policy_tests::named, Some(source.hash), DEBOUNCE, POLL);
    let nudge = watcher.nudge();
    let fixed = reload::Fixed { listen, audit, warm_start: kept_in, trail: trail.clone() };
    let mut reloads = tokio::spawn(reload::follow(watcher, Arc::clone(&live), Arc::clone(&metrics), refreshers, fixed));

    let outcome = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => {
                tracing::info!("SIGHUP: looking at the configuration");
                nudge.nudge();
                if let Some(trail) = &trail {
                    trail.follow_file();
                }
            }
            ended = doors.join_next() => break Err(ServerError::Other(format!("a listener ended: {ended:?}"))),
            ended = &mut reloads => break Err(ServerError::Other(format!("the watch over the configuration ended: {ended:?}"))),
        }
    };

    tracing::info!("draining: no new checks, those in flight are finished");
    health.drain();
    follower.abort();
    // It must not come after this and say otherwise.
    let _ = follower.await;
    health::stop_serving(&health_reporter).await;
    drain.cancel();
    let drained = tokio::time::timeout(DRAIN, async { while doors.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "some connections did not end in time and were cut");
    }
    reloads.abort();
    warm_start.close().await;
    if let Some(trail) = &trail {
        trail.close().await;
    }
    end_of_admin.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    tracing::info!("stopped");
    outcome
}

/// A task that ends with this.
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep_time() {
    let mut looks = tokio::time::interval(CLOCK_LOOKS);
    loop {
        looks.tick().await;
        // What it sees it remembers itself.
        let _ = clock::now();
    }
}

/// Opens the audit trail, if there is to be one. That can wait for a sidecar which is still draining.
async fn open_trail(settings: Option<AuditSettings>, revision: Arc<str>) -> Result<Option<Trail>, ServerError> {
    let Some(settings) = settings else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || Trail::open(&settings, &revision)).await;
    let trail = opened.map_err(|error| error.to_string())??;
    let status = trail.status();
    tracing::info!(file = %status.file.display(), seq = status.seq, "recording what audited routes are asked for");
    Ok(Some(trail))
}
