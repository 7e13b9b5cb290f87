//! The end: readiness first, then listeners, then connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Gate;
use super::bind::Claim;
use super::grpc::End;
use super::takeover;
use crate::config::ShutdownSettings;
use crate::ext_authz::AuthorizationServer;

/// How often it is looked at whether somebody is still connected.
const POLL: Duration = Duration::from_millis(20);

/// How long it takes to cut connections.
const CUT: Duration = Duration::from_millis(500);

/// The signals that a sidecar heeds.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end (SIGTERM).
    End,
    /// To end, and somebody sits there and waits for it (SIGINT).
    EndNow,
    /// To look at the configuration (SIGHUP).
    Look,
}

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::EndNow,
            _ = self.hangup.recv() => Asked::Look,
        }
    }
}

/// The listeners for checks and what they gave rise to.
pub(super) struct Doors {
    /// The tasks that accept.
    pub accepting: JoinSet<()>,
    /// Stops them.
    pub stop: CancellationToken,
    /// The tasks that serve connections.
    pub connections: TaskTracker,
    /// Tells connections of the end.
    pub end: End,
    /// The gates through which connections came.
    pub gates: Vec<Gate>,
    /// Where our sockets are.
    pub claims: Arc<[Claim]>,
}

impl Doors {
    /// Whether another sidecar stands where this one stood.
    pub fn is_taken_over(&self) -> bool {
        takeover::is_taken_over(&self.claims)
    }

    /// How many connections are open.
    fn open(&self) -> usize {
        self.gates.iter().map(Gate::open).sum()
    }

    /// Goes on as before for a while, if there is somebody to go on for: whoever sends requests here, and learns later than we do that
    /// this is the end, is served. Any further signal ends it.
    pub async fn linger(&self, delay: Duration, signals: &mut Signals) {
        if delay.is_zero() || self.open() == 0 {
            return;
        }
        tracing::info!(?delay, connections = self.open(), "ending: not ready any more, and serving until the delay has passed");
        let nobody = async {
            while self.open() > 0 {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = nobody => {}
            () = async { while signals.next().await == Asked::Look {} } => {}
        }
    }

    /// Closes the listeners, lets all know that they should go, and waits for what is in flight.
    pub async fn close(mut self, settings: &ShutdownSettings, checks: &AuthorizationServer) {
        self.stop.cancel();
        // Nobody is asked to go before the last of them is in: whoever goes would come back.
        while self.accepting.join_next().await.is_some() {}
        self.end.goodbye.cancel();
        self.connections.close();
        if tokio::time::timeout(settings.deadline, self.connections.wait()).await.is_err() {
            let left = self.open();
            tracing::warn!(deadline = ?settings.deadline, left, "some connections did not end in time and were cut");
            self.end.cut.cancel();
            // What was in flight on them is recorded as given up.
            let idle = async {
                self.connections.wait().await;
                while !checks.is_idle() {
                    tokio::time::sleep(POLL).await;
                }
            };
            let _ = tokio::time::timeout(CUT, idle).await;
        }
    }
}
