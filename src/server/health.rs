//! Health as the standard gRPC service tells it (`grpc.health.v1`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service;

use crate::ext_authz::SERVICE;
use crate::state::Live;

/// Where the health service's methods are.
const PATH: &str = "/grpc.health.v1.Health/";
/// Calls that ask for health, watchers among them, at once over all connections.
const MAX_CALLS: usize = 256;
/// The longest question, in bytes: it is the name of a service.
const MAX_QUESTION: usize = 1024;
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
        reporter.set_service_status(SERVICE, status).await;
        if ready {
            tracing::info!("ready");
        } else {
            tracing::warn!(?causes, "not ready: routes that need keys or revocations which are missing answer 503");
        }
    }
}

/// Tells whoever has other sidecars to go to that this one is on its way out. As a whole it goes on serving: whoever has only this one
/// is better served than refused.
pub async fn will_stop_serving(reporter: &HealthReporter) {
    reporter.set_service_status(SERVICE, ServingStatus::NotServing).await;
}

/// Tells whoever watches that nothing is served any more.
pub async fn stop_serving(reporter: &HealthReporter) {
    for service in ["", SERVICE] {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
}

/// Answers the calls that are no checks.
pub(super) struct HealthCalls {
    service: HealthServer<HealthService>,
    places: Arc<Semaphore>,
    timeout: Duration,
    goodbye: CancellationToken,
}

impl HealthCalls {
    /// Answers from what the reporter is told. Questions have to arrive in this time, and watchers are let go at `goodbye`.
    pub fn new(reporter: HealthReporter, timeout: Duration, goodbye: CancellationToken) -> Self {
        let service = HealthServer::new(HealthService::from_health_reporter(reporter)).max_decoding_message_size(MAX_QUESTION);
        Self { service, places: Arc::new(Semaphore::new(MAX_CALLS)), timeout, goodbye }
    }

    pub async fn answer(&self, request: http::Request<Incoming>) -> http::Response<HealthBody> {
        let refuse = |code, message| Status::new(code, message).into_http().map(|body| self.body(body, None));
        if !request.uri().path().starts_with(PATH) {
            return refuse(Code::Unimplemented, "the only method is Check");
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return refuse(Code::ResourceExhausted, "too many ask for health");
        };
        let asked = self.service.clone().call(request.map(tonic::body::Body::new));
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(answer)) => answer.map(|body| self.body(body, Some(place))),
            Err(_) => refuse(Code::DeadlineExceeded, "the question did not arrive in time"),
        }
    }

    fn body(&self, body: tonic::body::Body, place: Option<OwnedSemaphorePermit>) -> HealthBody {
        HealthBody { body, goodbye: Box::pin(self.goodbye.clone().cancelled_owned()), has_ended: false, _place: place }
    }
}

/// An answer about health. Watchers never get to its end by themselves.
pub(super) struct HealthBody {
    body: tonic::body::Body,
    goodbye: Pin<Box<WaitForCancellationFutureOwned>>,
    has_ended: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Body for HealthBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        // News first: the last of it is that nothing is served any more.
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(_))) => {}
            Poll::Ready(None) => {
                self.has_ended = true;
                return Poll::Ready(None);
            }
            Poll::Pending if self.goodbye.as_mut().poll(context).is_pending() => return Poll::Pending,
            Poll::Pending => {}
        }
        self.has_ended = true;
        let status = HeaderValue::from(Code::Unavailable as i32);
        Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::from_iter([(Status::GRPC_STATUS, status)])))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}
