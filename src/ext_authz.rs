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
use envoy_types::ext_authz::v3::pb::CheckRequest;
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};

use crate::assertion::Signer;
use crate::clock;
use crate::pdp;
use crate::pdp::decision::{Decision, Effect, Reason};
use crate::pdp::request::AccessRequest;
use crate::pdp::snapshot::Snapshot;
use crate::pdp::target::TargetKey;
use crate::pdp::time::UnixTime;
use crate::state::Live;
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
}

impl AuthorizationServer {
    /// A server over this state.
    #[must_use]
    pub fn new(live: Arc<Live<RouteCounters>>, metrics: Arc<Metrics>, signer: Arc<Signer>) -> Self {
        Self { inner: Arc::new(Inner { live, metrics, signer, ids: record::DecisionIds::default() }) }
    }

    /// Answers one encoded `CheckRequest` with an encoded `CheckResponse`. It never fails and never waits: what a directory would have
    /// to be asked for could not be decided.
    #[must_use]
    pub fn check(&self, message: &[u8]) -> Bytes {
        self.attempt(message, Instant::now(), Asking::Done).unwrap_or_else(|_| self.refuse(Reason::InternalError))
    }

    /// The same for a check that a directory has to be asked for, up to its deadline for each question.
    async fn check_with_targets(self, message: Bytes, mut wanted: TargetKey, started: Instant) -> Bytes {
        for _ in 0..MAX_QUESTIONS {
            self.inner.live.targets().ask(wanted.clone()).await;
            match self.attempt(&message, started, Asking::Possible) {
                Ok(response) => return response,
                // The deadline has passed. To ask once more would be to wait once more.
                Err(next) if next == wanted => break,
                Err(next) => wanted = next,
            }
        }
        self.attempt(&message, started, Asking::Done).unwrap_or_else(|_| self.refuse(Reason::InternalError))
    }

    /// Decides a check and answers it, or says what has to be asked first if it may be.
    fn attempt(&self, message: &[u8], started: Instant, asking: Asking) -> Result<Bytes, TargetKey> {
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
                return Err(wanted);
            }
            let request = request.as_ref().ok();
            let signed = self.signed(&id, &mut decision, request, &version.snapshot, now);
            record::log(&id, &decision, request, &version.snapshot.revision);
            let response =
                check_response::encode(&id, &decision, request.map(|request| &request.headers), &version.snapshot, signed.as_deref());
            Ok((decision, response))
        }));
        let (decision, response) = outcome.unwrap_or_else(|_| {
            // One request that breaks something is refused; the process and everybody else's requests live.
            let decision = Decision::bare(Reason::InternalError);
            tracing::error!(%id, "a check panicked and was refused");
            let response = check_response::encode(&id, &decision, None, &version.snapshot, None);
            Ok((decision, response))
        })?;
        if let Some(unknown) = decision.unknown_key.clone() {
            self.inner.live.key_is_unknown(unknown);
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

    /// Refuses a call whose message could not even be read.
    fn refuse(&self, reason: Reason) -> Bytes {
        let version = self.inner.live.version();
        let id = self.inner.ids.next();
        let decision = Decision::bare(reason);
        record::log(&id, &decision, None, &version.snapshot.revision);
        self.inner.metrics.decided(&decision, &version.extra, std::time::Duration::ZERO);
        check_response::encode(&id, &decision, None, &version.snapshot, None).encode_to_vec().into()
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

/// What tonic's generated code would call.
struct Check(AuthorizationServer);

impl UnaryService<Bytes> for Check {
    type Response = Bytes;
    type Future = Answer;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let started = Instant::now();
        match self.0.attempt(request.get_ref(), started, Asking::Possible) {
            Ok(response) => Answer::Ready(response),
            Err(wanted) => Answer::Waiting(Box::pin(self.0.clone().check_with_targets(request.into_inner(), wanted, started))),
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
