//! The gRPC front door: `envoy.service.auth.v3.Authorization/Check`.
//!
//! Whatever arrives, the answer is a well-formed `CheckResponse`. A gRPC error would leave the choice to Envoy's
//! `failure_mode_allow`, so none is ever sent for a check: garbage, oversized messages and our own failures are denials.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse};
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};

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

mod check_request;
mod check_response;
mod codec;
mod record;

use codec::BytesCodec;

/// The longest message that is read, in bytes. Envoy's headers are bounded well below it.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// How often directories are asked for one check at most: a route names few targets.
const MAX_QUESTIONS: usize = 8;
/// The one method.
const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A policy in force.
type InForce = Version<RouteCounters>;

/// Answers checks from the live state.
#[derive(Debug, Clone)]
pub struct AuthorizationServer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    live: Arc<Live<RouteCounters>>,
    metrics: Arc<Metrics>,
    signer: Arc<Signer>,
    ids: record::DecisionIds,
    /// Where decisions about audited routes are recorded.
    trail: Option<Trail>,
}

impl AuthorizationServer {
    /// A server over this state. Without a trail, requests to audited routes are refused.
    #[must_use]
    pub fn new(live: Arc<Live<RouteCounters>>, metrics: Arc<Metrics>, signer: Arc<Signer>, trail: Option<Trail>) -> Self {
        Self { inner: Arc::new(Inner { live, metrics, signer, ids: record::DecisionIds::default(), trail }) }
    }

    /// Answers one encoded `CheckRequest` with an encoded `CheckResponse`. It never fails and never waits: what a directory would have
    /// to be asked for could not be decided, and what has to be recorded first could not be.
    #[must_use]
    pub fn check(&self, message: &[u8]) -> Bytes {
        match self.attempt(message, Instant::now(), Asking::Done) {
            Ok(response) => response,
            Err(Waiting::ForTarget(_)) => self.refuse(Reason::InternalError),
            Err(Waiting::ForRecord(check, record)) => self.answer(*check, record.is_written_by_now()),
        }
    }

    /// The same for a check that has to wait: for a directory, up to its deadline for each question, and for its record.
    async fn check_and_wait(self, message: Bytes, mut waiting: Waiting, started: Instant) -> Bytes {
        let mut questions = 0;
        let mut asked = None;
        loop {
            let wanted = match waiting {
                Waiting::ForRecord(check, record) => return self.answer(*check, record.is_written().await),
                Waiting::ForTarget(wanted) => wanted,
            };
            // If it was asked before, the deadline has passed. To ask once more would be to wait once more.
            let asking = if questions == MAX_QUESTIONS || asked.as_ref() == Some(&wanted) { Asking::Done } else { Asking::Possible };
            if asking == Asking::Possible {
                self.inner.live.targets().ask(wanted.clone()).await;
                questions += 1;
                asked = Some(wanted);
            }
            match self.attempt(&message, started, asking) {
                Ok(response) => return response,
                Err(next) => waiting = next,
            }
        }
    }

    /// Decides a check and answers it, or says what has to be waited for: a directory if it may be asked, or the record.
    fn attempt(&self, message: &[u8], started: Instant, asking: Asking) -> Result<Bytes, Waiting> {
        let version = self.inner.live.version();
        let id = self.inner.ids.next();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let request = CheckRequest::decode(message);
            let request = request.as_ref().map_err(|_| check_request::Malformed).and_then(check_request::access_request);
            let now = clock::now();
            let mut decision = match &request {
                Ok(request) => pdp::decide(&self.inner.live.view(&version), request, now),
                Err(check_request::Malformed) => Decision::bare(Reason::RequestMalformed),
            };
            if let (Asking::Possible, Some(wanted)) = (asking, decision.wanted.take()) {
                return Err(Waiting::ForTarget(wanted));
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
        let (decision, response, receipt) = outcome.unwrap_or_else(|_| {
            // One request that breaks something is refused; the process and everybody else's requests live.
            let decision = Decision::bare(Reason::InternalError);
            tracing::error!(%id, "a check panicked and was refused");
            let response = check_response::encode(&id, &decision, None, &version, None);
            Ok((decision, response, Receipt::Answer))
        })?;
        if let Some(unknown) = decision.unknown_key.clone() {
            self.inner.live.key_is_unknown(unknown);
        }
        if let Receipt::Pending(record) = receipt {
            let check = Unanswered { id, decision, response, version: Arc::clone(&version), started };
            return Err(Waiting::ForRecord(Box::new(check), record));
        }
        self.inner.metrics.decided(&decision, &version.extra, started.elapsed());
        Ok(response.encode_to_vec().into())
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
        let Unanswered { id, mut decision, mut response, version, started } = check;
        if !is_recorded {
            decision.reason = Reason::AuditUnavailable;
            record::log(&id, &decision, None, &version);
            response = check_response::encode(&id, &decision, None, &version, None);
        }
        self.inner.metrics.decided(&decision, &version.extra, started.elapsed());
        response.encode_to_vec().into()
    }

    /// Refuses a call whose message could not even be read.
    fn refuse(&self, reason: Reason) -> Bytes {
        let version = self.inner.live.version();
        let id = self.inner.ids.next();
        let decision = Decision::bare(reason);
        record::log(&id, &decision, None, &version);
        self.inner.metrics.decided(&decision, &version.extra, std::time::Duration::ZERO);
        check_response::encode(&id, &decision, None, &version, None).encode_to_vec().into()
    }
}

impl NamedService for AuthorizationServer {
    const NAME: &'static str = "envoy.service.auth.v3.Authorization";
}

/// Whether a directory may still be asked before a check is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Possible,
    Done,
}

/// What a check has to wait for before it can be answered.
enum Waiting {
    ForTarget(TargetKey),
    ForRecord(Box<Unanswered>, PendingRecord),
}

/// A check that was decided and must not be answered before that is recorded.
struct Unanswered {
    id: String,
    decision: Decision,
    response: CheckResponse,
    /// The version of the policy that decided.
    version: Arc<Version<RouteCounters>>,
    started: Instant,
}

/// What tonic's generated code would call.
struct Check(AuthorizationServer);

impl UnaryService<Bytes> for Check {
    type Response = Bytes;
    type Future = Answer;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let started = Instant::now();
        match self.0.attempt(request.get_ref(), started, Asking::Possible) {
            Ok(response) => Answer::Ready(response),
            Err(waiting) => Answer::Waiting(Box::pin(self.0.clone().check_and_wait(request.into_inner(), waiting, started))),
        }
    }
}

/// An answer: nearly always there at once.
enum Answer {
    Ready(Bytes),
    Waiting(Pin<Box<dyn Future<Output = Bytes> + Send>>),
}

impl Future for Answer {
    type Output = Result<tonic::Response<Bytes>, tonic::Status>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => Poll::Ready(Ok(tonic::Response::new(std::mem::take(response)))),
            Self::Waiting(answer) => answer.as_mut().poll(context).map(|response| Ok(tonic::Response::new(response))),
        }
    }
}

impl<B> tower_service::Service<http::Request<B>> for AuthorizationServer
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            if request.uri().path() != CHECK_PATH {
                return Ok(tonic::Status::unimplemented("the only method is Check").into_http());
            }
            let mut grpc = Grpc::new(BytesCodec).max_decoding_message_size(MAX_MESSAGE_BYTES);
            let response = grpc.unary(Check(server.clone()), request).await;
            // tonic answers what it cannot read with a gRPC status in the headers.
            if response.headers().contains_key(tonic::Status::GRPC_STATUS) {
                return Ok(unary_response(&server.refuse(Reason::RequestMalformed)));
            }
            Ok(response)
        })
    }
}

/// A successful gRPC answer with one message, as tonic would send it.
fn unary_response(message: &[u8]) -> http::Response<Body> {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.extend_from_slice(&[0]);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    let mut trailers = http::HeaderMap::new();
    trailers.insert(tonic::Status::GRPC_STATUS, http::HeaderValue::from_static("0"));
    let frames = [Ok::<_, Infallible>(Frame::data(framed.freeze())), Ok(Frame::trailers(trailers))];
    let mut response = http::Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests;
