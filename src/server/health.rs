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

/// Keeps the gRPC health service in step with readiness, and logs when it changes.
pub async fn follow<X>(live: Arc<Live<X>>, health: Health, reporter: HealthReporter) {
    let mut before = None;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let causes = live.not_ready();
        let ready = causes.is_empty() && !health.is_draining();
        if before == Some(ready) {
            continue;
        }
        before = Some(ready);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", AuthorizationServer::NAME] {
            reporter.set_service_status(service, status).await;
        }
        if ready {
            tracing::info!("ready");
        } else {
            tracing::warn!(?causes, "not ready: routes that need what is missing answer 503");
        }
    }
}
