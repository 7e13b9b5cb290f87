//! A record of each decision, in the log under the target `portcullis::decision`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand;

use crate::pdp::decision::{Decision, Effect};
use crate::pdp::request::AccessRequest;

use super::InForce;

/// Makes ids that are unique among all sidecars: a random part for the process and a number for the decision.
#[derive(Debug)]
pub(super) struct DecisionIds {
    process: u64,
    next: AtomicU64,
}

impl Default for DecisionIds {
    fn default() -> Self {
        let mut process = [0; 8];
        // Without randomness ids are only unique within the process, which is no reason to refuse anybody.
        let _ = rand::fill(&mut process);
        Self { process: u64::from_be_bytes(process), next: AtomicU64::new(1) }
    }
}

impl DecisionIds {
    pub(super) fn next(&self) -> String {
        let mut id = String::with_capacity(28);
        // Writing to a string cannot fail.
        let _ = write!(id, "{:016x}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed));
        id
    }
}

/// Writes a record: refusals at level INFO, passes at DEBUG, what could not be decided at WARN. Never a token, and never a path,
/// which can hold secrets: the route says what was asked for.
pub(super) fn log(id: &str, decision: &Decision, request: Option<&AccessRequest<'_>>, version: &InForce) {
    macro_rules! record {
        ($level:ident) => {
            tracing::event!(
                target: "portcullis::decision",
                tracing::Level::$level,
                %id,
                decision = decision.effect().as_str(),
                reason = decision.reason.code(),
                route = decision.route.as_deref().unwrap_or("-"),
                method = ?request.map_or("-", |request| request.method),
                peer = ?request.map_or("-", |request| request.peer.address),
                issuer = decision.principal.as_ref().map(|p| &*p.token().claims().issuer),
                subject = decision.principal.as_ref().map(|p| &*p.token().claims().subject),
                actor = decision.principal.as_ref().and_then(|p| p.token().claims().actor.as_ref()).map(|actor| &*actor.subject),
                tenant = decision.principal.as_ref().and_then(|p| p.tenant()).map(|tenant| tenant.as_str()),
                kid = decision.principal.as_ref().and_then(|p| p.token().key_id()),
                overrides = decision.overrides.as_deref(),
                lockdown = decision.lockdown.as_deref(),
                scope = decision.scope.as_deref(),
                crossed_tenants = decision.crossed_tenants,
                used_stale_revocations = decision.used_stale_revocations,
                revision = &*version.snapshot.revision,
                generation = version.generation,
            )
        };
    }
    let acted = decision.principal.as_ref().is_some_and(|principal| principal.token().claims().actor.is_some());
    match decision.effect() {
        Effect::Permit if decision.crossed_tenants || acted => record!(INFO),
        Effect::Permit => record!(DEBUG),
        Effect::Deny => record!(INFO),
        Effect::Indeterminate => record!(WARN),
    }
}
