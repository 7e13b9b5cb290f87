//! What is answered where, over HTTPS: reviews, and whether the webhook is well.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Webhook;
use super::review::{Outcome, Verdict, answer};
use crate::inject;

/// Where pods are reviewed.
const INJECT: &str = "/inject";
/// The longest review, in bytes. API servers take no longer requests themselves.
pub(super) const MAX_BODY: usize = 3 * 1024 * 1024;
/// How long a body may take, and a place for it. An API server waits 5 s for the answer, as the shipped configuration has it.
const BODY: Duration = Duration::from_secs(5);
/// A body up to this long, in bytes, is like most; a longer one is a giant, and waits for the other giants.
const USUAL: usize = 256 * 1024;
/// KiB of usual bodies that may be here, all together: what has come of them counts, and not what is said to come.
const BODIES: usize = 3 * 1024;
/// Giants that may be on their way or looked at.
const GIANTS: usize = 2;
/// Reviews that are looked at at once: one is done within milliseconds, and takes many times its length of memory meanwhile.
const REVIEWS: usize = 1;

/// How much is taken on at once.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    bodies: Arc<Semaphore>,
    giants: Arc<Semaphore>,
    reviews: Arc<Semaphore>,
}

impl Default for Bounds {
    fn default() -> Self {
        let of = |places| Arc::new(Semaphore::new(places));
        Self { bodies: of(BODIES), giants: of(GIANTS), reviews: of(REVIEWS) }
    }
}

type Answer = Response<Full<Bytes>>;

/// What a request cannot be answered for.
struct Fault(StatusCode, String);

impl Webhook {
    /// Answers a request.
    pub(super) async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        match (head.uri.path(), &head.method) {
            (INJECT, &Method::POST) => match self.review(&head.headers, body).await {
                Ok(review) => with_type(StatusCode::OK, "application/json", review),
                Err(Fault(status, message)) => text(status, &message),
            },
            (INJECT, method) => {
                let mut answer = self.unanswered(&Fault(
                    StatusCode::METHOD_NOT_ALLOWED,
                    format!("{INJECT} takes POST with an AdmissionReview, and this is {method}"),
                ));
                answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
                answer
            }
            ("/livez", &Method::GET | &Method::HEAD) => text(StatusCode::OK, "ok"),
            ("/readyz", &Method::GET | &Method::HEAD) => {
                let (status, body) = self.readiness();
                with_type(status, "application/json", body.to_string().into_bytes())
            }
            ("/livez" | "/readyz", _) => text(StatusCode::METHOD_NOT_ALLOWED, "this takes GET"),
            _ => self.unanswered(&Fault(
                StatusCode::NOT_FOUND,
                format!("there is nothing here; pods are reviewed at {INJECT}: the webhook's clientConfig should say path: {INJECT}"),
            )),
        }
    }

    /// A request that may have been meant as a review, and is none.
    fn unanswered(&self, Fault(status, message): &Fault) -> Answer {
        tracing::warn!(status = status.as_u16(), reason = message, "refused");
        self.metrics.review(Outcome::Invalid);
        text(*status, message)
    }

    async fn review(self: &Arc<Self>, headers: &HeaderMap, body: Incoming) -> Result<Vec<u8>, Fault> {
        let refused = |fault: Fault| {
            tracing::warn!(status = fault.0.as_u16(), reason = fault.1, "refused");
            self.metrics.review(if fault.0.is_server_error() { Outcome::Failed } else { Outcome::Invalid });
            fault
        };
        is_json(headers).map_err(refused)?;
        let (body, place) = match timeout(BODY, self.body(body)).await {
            Ok(read) => read.map_err(refused)?,
            Err(_) => {
                let message = format!("the body did not come within {} s, or there was no place for it", BODY.as_secs());
                return Err(refused(Fault(StatusCode::REQUEST_TIMEOUT, message)));
            }
        };
        // One that has begun is finished, whether anybody still waits for it or not.
        let webhook = Arc::clone(self);
        let task = tokio::spawn(async move {
            let _place = place;
            let _turn = webhook.bounds.reviews.clone().acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let verdict = answer(&body, |pod, namespace| inject::inject_pod(pod, namespace, &webhook.settings));
                webhook.metrics.review(verdict.outcome);
                verdict
            })
            .await
        });
        match task.await {
            Ok(Ok(Verdict { answer, .. })) => answer.map_err(|message| Fault(StatusCode::BAD_REQUEST, message)),
            Ok(Err(error)) | Err(error) => {
                tracing::error!(%error, "a review broke down");
                Err(refused(Fault(StatusCode::INTERNAL_SERVER_ERROR, "the review broke down".into())))
            }
        }
    }

    /// Reads a body, as far as there is a place for it. Whoever sends slowly takes up no more than what has come.
    async fn body(&self, body: Incoming) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Fault> {
        let too_long = || {
            let most = MAX_BODY / 1024 / 1024;
            Fault(StatusCode::PAYLOAD_TOO_LARGE, format!("the review is longer than {most} MiB, the most that an API server takes"))
        };
        let closed = |_| Fault(StatusCode::SERVICE_UNAVAILABLE, "the webhook is ending".into());
        let giant = || Arc::clone(&self.bounds.giants).acquire_owned();
        let said = body.size_hint().exact().unwrap_or(0);
        if said > MAX_BODY as u64 {
            return Err(too_long());
        }
        let mut is_giant = said > USUAL as u64;
        let mut place = if is_giant { Some(giant().await.map_err(closed)?) } else { None };
        let mut body = pin!(Limited::new(body, MAX_BODY));
        let mut content = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => too_long(),
                false => Fault(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let length = content.len() + data.len();
            if !is_giant && length > USUAL {
                // It gives its place back before it waits for another one.
                place = None;
                place.replace(giant().await.map_err(closed)?);
                is_giant = true;
            }
            let held = place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = u32::try_from((length / 1024 + 1).saturating_sub(held)).unwrap_or(u32::MAX);
            if !is_giant && more > 0 {
                let more = Arc::clone(&self.bounds.bodies).acquire_many_owned(more).await.map_err(closed)?;
                match &mut place {
                    Some(place) => place.merge(more),
                    None => place = Some(more),
                }
            }
            content.extend_from_slice(&data);
        }
        Ok((content, place))
    }
}

/// Whether the body is said to be JSON, and as it is.
fn is_json(headers: &HeaderMap) -> Result<(), Fault> {
    let unsupported = |message: &str| Err(Fault(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.into()));
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return unsupported("a review comes with 'content-type: application/json'");
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return unsupported("a review comes without 'content-encoding'");
    }
    Ok(())
}

fn with_type(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    answer
}

fn text(status: StatusCode, message: &str) -> Answer {
    with_type(status, "text/plain; charset=utf-8", format!("{message}\n").into_bytes())
}
