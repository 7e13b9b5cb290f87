//! The running sidecar: listeners bound, refreshers started, policy kept up to date, everything drained at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::assertion::Signer;
use crate::audit::Trail;
use crate::clock;
use crate::config::{AuditSettings, Configuration, GrpcAddress};
use crate::ext_authz::{AuthorizationServer, Bounds};
use crate::pip::config_file::{self, ConfigWatcher, ReadError};
use crate::pip::disk::Disk;
use crate::pip::http_client::{HttpClient, Limits};
use crate::pip::refresh::{Context, Refreshers};
use crate::pip::warm_start::WarmStart;
use crate::state::Live;
use crate::telemetry::log::DroppedLines;
use crate::telemetry::metrics::Metrics;

pub(crate) mod accept;
mod bind;
mod grpc;
pub mod health;
pub(crate) mod http1;
pub(crate) mod policy_tests;
mod proxies;
mod reload;
mod self_test;
mod shutdown;
pub(crate) mod socket;
mod takeover;

use accept::{Gate, Listener};
use bind::Bound;
pub use bind::{Arrival, SocketMode};
use health::{Health, HealthCalls};
pub(crate) use reload::source_files;
use shutdown::{Asked, Doors, Signals};

/// How long a changed configuration must rest before it is believed.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often the configuration is looked at even if nothing was noticed.
const POLL: Duration = Duration::from_secs(5);
/// How often the clock is looked at even if nothing happens, so that a jump back is noticed before it can be forgotten.
const CLOCK_LOOKS: Duration = Duration::from_millis(500);
/// How often it is said what was refused without a line of its own.
const REPORT: Duration = Duration::from_secs(1);

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
/// When the first configuration is not good, an address cannot be bound, cryptography is broken, or a sidecar whose place should be
/// taken does better.
pub async fn run(config: PathBuf, arrival: Arrival, socket_mode: SocketMode, dropped_lines: DroppedLines) -> Result<(), ServerError> {
    self_test::run()?;
    let _clock = Aborted(tokio::spawn(keep_time()).abort_handle());
    let source = Arc::new(config_file::read_with_tests(&config, policy_tests::named).map_err(ServerError::Read)?);
    let Configuration { snapshot, listen, audit, warm_start: kept_in, loading, limits, shutdown, sources, notices } =
        reload::compile(&source).await.map_err(ServerError::Configuration)?;
    let other = |error: &dyn std::fmt::Display| ServerError::Other(error.to_string());

    // Everything that can fail is done before anything runs.
    let grpc = bind::all(&listen.grpc, arrival, socket_mode).await?;
    let proxies = listen.http.clone();
    let addresses: Vec<GrpcAddress> = proxies.iter().map(|listener| listener.address.clone()).collect();
    let http = bind::all(&addresses, arrival, socket_mode).await?;
    let admin_socket = bind::tcp(listen.admin, arrival)?;
    let mut signals = Signals::listen().map_err(|error| other(&error))?;
    let client = HttpClient::new(Limits::default()).map_err(|error| other(&error))?;
    let metrics = Arc::new(Metrics::new().map_err(|error| other(&error))?);
    let signer = Arc::new(Signer::generate().map_err(|error| other(&error))?);
    let trail = open_trail(audit.clone(), arrival, Arc::clone(&snapshot.revision)).await?;

    metrics.configuration_loaded(true);
    reload::log_notices(&notices);
    tracing::info!(revision = %snapshot.revision, routes = snapshot.route_names.len(), "the policy is in force");
    let counters = metrics.route_counters(&snapshot.route_names);
    let live = Arc::new(Live::new(snapshot, counters));
    live.loads().succeeded(clock::now(), loading.max_stale);
    let warm_start = WarmStart::open(kept_in.as_ref(), &sources, &metrics).await;
    let context =
        Context { live: Arc::clone(&live), client, metrics: Arc::clone(&metrics), warm_start: warm_start.clone(), disk: Disk::default() };
    let mut refreshers = Refreshers::new(context);
    refreshers.read_files(&sources).await;
    let health = Health::default();

    refreshers.start(&sources);
    // Whoever waits to connect meanwhile finds a sidecar that can decide.
    refreshers.warmed_up().await;
    let watcher = ConfigWatcher::spawn(config, policy_tests::named, Some(source.hash), DEBOUNCE, POLL);
    let nudge = watcher.nudge();
    let fixed =
        reload::Fixed { listen, audit, warm_start: kept_in, limits: limits.clone(), shutdown: shutdown.clone(), trail: trail.clone() };
    let mut reloads = tokio::spawn(reload::follow(watcher, Arc::clone(&live), Arc::clone(&metrics), refreshers, fixed));
    if arrival == Arrival::TakeOver {
        tokio::select! {
            ready = takeover::until_ready(&live) => ready?,
            () = async { while signals.next().await == Asked::Look {} } => return Ok(()),
        }
    }

    let end = grpc::End::default();
    let health_reporter = tonic_health::server::HealthReporter::new();
    let bounds = Bounds { checks: limits.checks, message_bytes: limits.message_bytes, request_timeout: limits.request_timeout };
    let checks = AuthorizationServer::new(Arc::clone(&live), Arc::clone(&metrics), Arc::clone(&signer), trail.clone(), bounds);
    let health_calls = HealthCalls::new(health_reporter.clone(), limits.request_timeout, end.goodbye.clone());
    let service = grpc::Service::new(checks.clone(), health_calls, &limits, grpc::Patience::default(), end.clone());
    let gates = [Gate::new("grpc", limits.connections, &metrics), Gate::new("http", limits.connections, &metrics)];
    let service = Arc::new(service);
    let grpc = grpc.into_iter().map(|bound| (bound, Door::Grpc(Arc::clone(&service))));
    let http = http.into_iter().zip(&proxies).map(|(bound, listener)| {
        (bound, Door::Http(Arc::new(proxies::Service::new(&checks, listener, &limits, end.clone())), listener.timeout))
    });
    // What can still fail comes before the place of another sidecar is taken.
    let admin_listener = bind::listen(admin_socket)?;
    let mut doors = open_doors(grpc.chain(http).collect(), gates, end)?;
    let follower = tokio::spawn(health::follow(Arc::clone(&live), health_reporter.clone()));
    let _reporter = Aborted(tokio::spawn(report(checks.clone())).abort_handle());
    let _taken = Aborted(tokio::spawn(takeover::notice(Arc::clone(&doors.claims))).abort_handle());

    tracing::info!(address = %bind::address_of(&admin_listener), "the admin listener is up");
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
    let admin = tokio::spawn(http1::serve(admin_listener, admin::router(admin), &metrics, end_of_admin.clone()));

    let outcome = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Look => {
                    tracing::info!("SIGHUP: looking at the configuration");
                    nudge.nudge();
                    if let Some(trail) = &trail {
                        trail.follow_file();
                    }
                }
                end => break Ok(end),
            },
            ended = doors.accepting.join_next() => break Err(ServerError::Other(format!("a listener ended: {ended:?}"))),
            ended = &mut reloads => break Err(ServerError::Other(format!("the watch over the configuration ended: {ended:?}"))),
        }
    };

    let is_taken_over = doors.is_taken_over();
    health.drain();
    follower.abort();
    // It must not come after this and say otherwise.
    let _ = follower.await;
    if is_taken_over {
        // Whoever asks for health, over a connection or at the address that both have, is better told by the new one.
        end_of_admin.cancel();
    } else {
        health::will_stop_serving(&health_reporter).await;
        if matches!(outcome, Ok(Asked::End)) {
            doors.linger(shutdown.delay, &mut signals).await;
        }
        health::stop_serving(&health_reporter).await;
    }
    tracing::info!("draining: no new checks, those in flight are finished");
    doors.close(&shutdown, &checks).await;
    checks.report();
    reloads.abort();
    warm_start.close().await;
    if let Some(trail) = &trail {
        trail.close().await;
    }
    end_of_admin.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    tracing::info!("stopped");
    outcome.map(|_| ())
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

/// Who serves the connections of a listener.
enum Door {
    Grpc(Arc<grpc::Service>),
    Http(Arc<proxies::Service>, Duration),
}

/// Begins to answer checks. With these listeners, the place of another sidecar is taken.
fn open_doors(bound: Vec<(Bound, Door)>, gates: [Gate; 2], end: grpc::End) -> Result<Doors, ServerError> {
    let (stop, connections, mut accepting) = (CancellationToken::new(), TaskTracker::new(), JoinSet::new());
    let mut claims = Vec::new();
    let [of_grpc, of_http] = &gates;
    for (listener, door) in bind::open(bound)? {
        if let Listener::Unix(_, file) = &listener {
            claims.push(file.claim());
        }
        let (tasks, stop, address) = (connections.clone(), stop.clone(), listener.address());
        match door {
            Door::Grpc(service) => {
                tracing::info!(%address, "answering checks");
                accepting.spawn(accept::accept(listener, of_grpc.clone(), stop, move |socket, place| {
                    accept::tracked(&tasks, place, Arc::clone(&service).connection(socket));
                }));
            }
            Door::Http(service, timeout) => {
                tracing::info!(dialect = service.dialect(), ?timeout, %address, "answering proxies");
                accepting.spawn(accept::accept(listener, of_http.clone(), stop, move |socket, place| {
                    accept::tracked(&tasks, place, Arc::clone(&service).connection(socket));
                }));
            }
        }
    }
    Ok(Doors { accepting, stop, connections, end, gates: gates.into(), claims: claims.into() })
}

/// Says from time to time what was refused without a line of its own.
async fn report(checks: AuthorizationServer) {
    let mut ticks = tokio::time::interval(REPORT);
    loop {
        ticks.tick().await;
        checks.report();
    }
}

/// Opens the audit trail, if there is to be one. That can wait for a sidecar which is still draining, unless its place is to be taken:
/// that one keeps its trail until this one is there.
async fn open_trail(settings: Option<AuditSettings>, arrival: Arrival, revision: Arc<str>) -> Result<Option<Trail>, ServerError> {
    let Some(settings) = settings else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || match arrival {
        Arrival::Alone => Trail::open(&settings, &revision),
        Arrival::TakeOver => Trail::open_at_once(&settings, &revision),
    })
    .await;
    let trail = opened.map_err(|error| error.to_string())??;
    let status = trail.status();
    tracing::info!(file = %status.file.display(), seq = status.seq, "recording what audited routes are asked for");
    Ok(Some(trail))
}
