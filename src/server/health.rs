//! Health as the standard gRPC service tells it (`grpc.health.v1`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::ext_authz::AuthorizationServer;
use crate::state::Live;

/// How often readiness is looked at. It depends on the age of data, so there is no event to wait for.
const INTERVAL: Duration = Duration::from_millis(100);

/// Whether the sidecar is on its way out.
#[derive(Debug, Clone, Default)]
pub struct Health {
    draining: Arc<AtomicBool>,
}

impl Health {
    /// From now on the sidecar is not ready any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it is draining.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Keeps the gRPC health service in step with the state, and logs when readiness changes.
///
/// - The service `envoy.service.auth.v3.Authorization` serves while the sidecar is ready: for balancers with several sidecars to
///   choose from.
/// - The server as a whole (`""`), which is what Envoy's `grpc_health_check: {}` asks about, serves until it drains. Without keys
///   or revocations it still gives the right answer to every check, public routes included; a sidecar's Envoy that stopped asking
///   would refuse those too, and nobody would learn why.
pub async fn follow<X>(live: Arc<Live<X>>, reporter: HealthReporter) {
    reporter.set_service_status("", ServingStatus::Serving).await;
    let mut before = None;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let causes = live.not_ready();
        let ready = causes.is_empty();
        if before == Some(ready) {
            continue;
        }
        before = Some(ready);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(AuthorizationServer::NAME, status).await;
        if ready {
            tracing::info!("ready");
        } else {
            tracing::warn!(?causes, "not ready: routes that need keys or revocations which are missing answer 503");
        }
    }
}

/// Tells whoever watches that nothing is served any more.
pub async fn stop_serving(reporter: &HealthReporter) {
    for service in ["", AuthorizationServer::NAME] {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
}
