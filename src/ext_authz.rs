//! The gRPC front door: `envoy.service.auth.v3.Authorization/Check`.
//!
//! Whatever arrives, the answer is a well-formed `CheckResponse`. A gRPC error would leave the choice to Envoy's
//! `failure_mode_allow`, so none is ever sent for a check: garbage, oversized messages and our own failures are denials.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse};
use prost::Message;

use crate::assertion::Signer;
use crate::audit::{AuditedCheck, PendingRecord, Receipt, Trail};
use crate::clock;
use crate::pdp;
use crate::pdp::decision::{Decision, Effect, Reason};
use crate::pdp::request::AccessRequest;
use crate::pdp::snapshot::Snapshot;
use crate::pdp::target::TargetKey;
use crate::pdp::time::UnixTime;
use crate::state::{Live, Version};
use crate::telemetry::metrics::{Metrics, RouteCounters};

mod call;
mod check_request;
mod check_response;
mod deadline;
mod message;
mod overload;
mod plain;
mod record;

pub use call::Call;
pub use message::{AnswerBody, answer};
pub use plain::{PlainAnswer, PlainHeaders, PlainOutcome, PlainRequest};

/// The service, as gRPC's health checks name it.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";
/// The one method.
pub const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// How much is taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Checks in flight. At most half of them can be waiting, for whatever it is.
    pub checks: usize,
    /// The longest message that is read, in bytes.
    pub message_bytes: usize,
    /// How long a message may take to arrive.
    pub request_timeout: Duration,
}

/// A policy in force.
type InForce = Version<RouteCounters>;

/// Answers checks from the live state.
#[derive(Debug, Clone)]
pub struct AuthorizationServer {
    inner: Arc<Inner>,
    /// Whether whoever asks can pass an answer of our own on to the client. See [`Self::for_plain`].
    can_answer: bool,
}

#[derive(Debug)]
struct Inner {
    live: Arc<Live<RouteCounters>>,
    metrics: Arc<Metrics>,
    signer: Arc<Signer>,
    ids: record::DecisionIds,
    /// Where decisions about audited routes are recorded.
    trail: Option<Trail>,
    bounds: Bounds,
    /// `bounds.checks`, and the half of it, as gauges count.
    most_checks: i64,
    most_waiting: i64,
    tally: overload::Tally,
}

impl AuthorizationServer {
    /// A server over this state. Without a trail, requests to audited routes are refused.
    #[must_use]
    pub fn new(live: Arc<Live<RouteCounters>>, metrics: Arc<Metrics>, signer: Arc<Signer>, trail: Option<Trail>, bounds: Bounds) -> Self {
        let most = |checks: usize| i64::try_from(checks).unwrap_or(i64::MAX);
        let inner = Inner {
            live,
            metrics,
            signer,
            ids: record::DecisionIds::default(),
            trail,
            most_checks: most(bounds.checks),
            most_waiting: most(bounds.checks.div_ceil(2)),
            bounds,
            tally: overload::Tally::default(),
        };
        Self { inner: Arc::new(inner), can_answer: true }
    }

    /// Answers one encoded `CheckRequest` with an encoded `CheckResponse`. It never fails and never waits: what a directory would have
    /// to be asked for could not be decided, and what has to be recorded first could not be.
    #[must_use]
    pub fn check(&self, message: &[u8]) -> Bytes {
        let frame = match self.attempt(message, Instant::now(), Asking::Done) {
            Ok(answer) => answer,
            Err(Waiting::ForTarget(..)) => self.refuse(Reason::InternalError),
            Err(Waiting::ForRecord(check, record)) => self.answer(*check, record.is_written_by_now()),
        };
        message::unframed(&frame)
    }

    /// Decides a check and answers it (in a frame), or says what has to be waited for: a directory if it may be asked, or the record.
    fn attempt(&self, message: &[u8], started: Instant, asking: Asking) -> Result<Bytes, Waiting> {
        let version = self.inner.live.version();
        let id = self.inner.ids.next();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            tests::stumble("decide", message);
            let request = CheckRequest::decode(message);
            let request = request.as_ref().map_err(|_| check_request::Malformed).and_then(check_request::access_request);
            let now = clock::now();
            let mut decision = match &request {
                Ok(request) => pdp::decide(&self.inner.live.view(&version), request, now),
                Err(check_request::Malformed) => Decision::bare(Reason::RequestMalformed),
            };
            if let (Asking::Possible, Some(wanted)) = (asking, decision.wanted.take()) {
                return Err(Box::new((decision, wanted)));
            }
            if !self.can_answer && decision.answer.take().is_some() && decision.effect() == Effect::Permit {
                decision.reason = Reason::AnswerImpossible;
            }
            let request = request.as_ref().ok();
            let signed = self.signed(&id, &mut decision, request, &version.snapshot, now);
            let receipt = request.map_or(Receipt::Answer, |request| self.audit(&id, &decision, request, &version, now));
            if matches!(receipt, Receipt::Refused) {
                decision.reason = Reason::AuditUnavailable;
            }
            record::log(&id, &decision, request, &version);
            let response = check_response::encode(&id, &decision, request.map(|request| &request.headers), &version, signed.as_deref());
            Ok((decision, response, receipt))
        }));
        let outcome = outcome.unwrap_or_else(|_| {
            // One request that breaks something is refused; the process and everybody else's requests live.
            let decision = Decision::bare(Reason::InternalError);
            tracing::error!(%id, "a check panicked and was refused");
            let response = check_response::encode(&id, &decision, None, &version, None);
            Ok((decision, response, Receipt::Answer))
        });
        let unanswered = |id, decision, response| Box::new(Unanswered { id, decision, response, version: Arc::clone(&version), started });
        let (decision, response, receipt) = match outcome {
            Ok(decided) => decided,
            Err(undecided) => {
                let (decision, wanted) = *undecided;
                return Err(Waiting::ForTarget(unanswered(id, decision, None), wanted));
            }
        };
        #[cfg(test)]
        tests::stumble("answer", message);
        if let Some(unknown) = decision.unknown_key.clone() {
            self.inner.live.key_is_unknown(unknown);
        }
        if let Receipt::Pending(record) = receipt {
            return Err(Waiting::ForRecord(unanswered(id, decision, Some(response)), record));
        }
        self.inner.metrics.decided(&decision, &version.extra, started.elapsed());
        Ok(message::framed(&response))
    }

    /// The assertion for the service behind, where the policy asks for one. If it cannot be made, the request cannot go on.
    fn signed(
        &self,
        id: &str,
        decision: &mut Decision,
        request: Option<&AccessRequest<'_>>,
        snapshot: &Snapshot,
        now: UnixTime,
    ) -> Option<String> {
        let (rule, request) = (snapshot.assertion.as_ref()?, request?);
        if decision.effect() != Effect::Permit || decision.answer.is_some() {
            return None;
        }
        self.inner.signer.sign(rule, id, decision, request, now).unwrap_or_else(|error| {
            tracing::error!(%id, %error, "a check was refused");
            decision.reason = Reason::InternalError;
            None
        })
    }

    /// Has a decision recorded where its route asks for that.
    fn audit(&self, id: &str, decision: &Decision, request: &AccessRequest<'_>, version: &InForce, now: UnixTime) -> Receipt {
        let Some(rule) = decision.audit.as_deref() else { return Receipt::Answer };
        let (revision, generation) = (&*version.snapshot.revision, version.generation);
        let check = AuditedCheck { id, decision, rule, request, revision, generation, now, status: check_response::status };
        self.inner.trail.as_ref().map_or(Receipt::Refused, |trail| trail.record(&check))
    }

    /// Answers as was decided, or, if the record is not there, that nothing could be.
    fn answer(&self, check: Unanswered, is_recorded: bool) -> Bytes {
        let Unanswered { id, mut decision, response, version, started } = check;
        let response = response.filter(|_| is_recorded).unwrap_or_else(|| {
            decision.reason = Reason::AuditUnavailable;
            record::log(&id, &decision, None, &version);
            check_response::encode(&id, &decision, None, &version, None)
        });
        self.inner.metrics.decided(&decision, &version.extra, started.elapsed());
        message::framed(&response)
    }

    /// Refuses a check that was begun and will not be waited for any longer. Where its route asks for a record, there is one.
    fn give_up(&self, check: Box<Unanswered>, message: &[u8], reason: Reason) -> Bytes {
        let Unanswered { id, mut decision, response, version, started } = *check;
        decision.reason = reason;
        let request = CheckRequest::decode(message).ok();
        let request = request.as_ref().and_then(|request| check_request::access_request(request).ok());
        if let (None, Some(request)) = (response, &request) {
            // It is refused, whether or not that can be recorded.
            let _ = self.audit(&id, &decision, request, &version, clock::now());
        }
        record::log(&id, &decision, request.as_ref(), &version);
        self.inner.metrics.decided(&decision, &version.extra, started.elapsed());
        message::framed(&check_response::encode(&id, &decision, None, &version, None))
    }

    /// Refuses a call whose message could not even be read. Gives the answer in its frame.
    fn refuse(&self, reason: Reason) -> Bytes {
        let version = self.inner.live.version();
        let id = self.inner.ids.next();
        let decision = Decision::bare(reason);
        record::log(&id, &decision, None, &version);
        self.inner.metrics.decided(&decision, &version.extra, Duration::ZERO);
        message::framed(&check_response::encode(&id, &decision, None, &version, None))
    }
}

/// Whether a directory may still be asked before a check is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Possible,
    Done,
}

/// What a check has to wait for before it can be answered.
enum Waiting {
    ForTarget(Box<Unanswered>, TargetKey),
    ForRecord(Box<Unanswered>, PendingRecord),
}

impl Waiting {
    fn into_check(self) -> Box<Unanswered> {
        match self {
            Self::ForTarget(check, _) | Self::ForRecord(check, _) => check,
        }
    }
}

/// A check that cannot be answered yet.
#[derive(Debug)]
struct Unanswered {
    id: String,
    /// As far as it has come.
    decision: Decision,
    /// The answer that its record keeps back; `None`: it is not decided.
    response: Option<CheckResponse>,
    /// The version of the policy that decided.
    version: Arc<Version<RouteCounters>>,
    started: Instant,
}

#[cfg(test)]
mod tests;
