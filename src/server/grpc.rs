//! Connections for checks: HTTP/2 with prior knowledge, bounded in all that a peer can ask for.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::{HealthBody, HealthCalls};
use super::socket::{OpenCall, Progress, Socket};
use crate::config::LimitSettings;
use crate::ext_authz::{self, AuthorizationServer, Call};

/// Flow-control windows, in bytes: a check and its answer fit many times over.
const WINDOW: u32 = 1024 * 1024;
/// What one call may have waiting to be sent, in bytes. Answers are shorter.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a peer reset before they were looked at, and streams that we reset for an error of the peer's: with more of either, the
/// connection ends (`ENHANCE_YOUR_CALM`). Errors are counted as long as a connection lives. See [`Service::take_rest`].
const MAX_RESETS_BEFORE_CALL: usize = 20;
const MAX_ERROR_RESETS: usize = 128;
/// The client's connection preface (RFC 9113 section 3.4).
const PREFACE: u64 = 24;

/// How long peers are borne with.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// Until the preface is there.
    pub preface: Duration,
    /// Until the first call begins.
    pub first_call: Duration,
    /// While there are open calls and none of them ends: nobody takes the answers.
    pub stuck: Duration,
    /// How often a silent peer is asked whether it is there, and how long it has to say so.
    pub ping: (Duration, Duration),
    /// For a connection that is being closed and was good for nothing so far.
    pub farewell: Duration,
    /// For a message that still comes after its answer.
    pub rest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            preface: seconds(5),
            first_call: seconds(60),
            stuck: seconds(60),
            ping: (seconds(60), seconds(20)),
            farewell: seconds(1),
            rest: seconds(5),
        }
    }
}

/// What all connections share.
pub(super) struct Service {
    checks: AuthorizationServer,
    health: HealthCalls,
    http: http2::Builder<TokioExecutor>,
    patience: Patience,
    end: End,
}

/// How all connections are told of the end.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    /// From now on they are asked to end.
    pub goodbye: CancellationToken,
    /// From now on they are cut.
    pub cut: CancellationToken,
}

impl Service {
    pub fn new(checks: AuthorizationServer, health: HealthCalls, limits: &LimitSettings, patience: Patience, end: End) -> Self {
        // Whoever lets us wait for a message that long takes no answers meanwhile.
        let patience = Patience { stuck: patience.stuck + limits.request_timeout, ..patience };
        let most = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(most(limits.streams))
            .max_header_list_size(most(limits.header_bytes))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_RESETS_BEFORE_CALL)
            .max_local_error_reset_streams(MAX_ERROR_RESETS)
            .keep_alive_interval(patience.ping.0)
            .keep_alive_timeout(patience.ping.1)
            .auto_date_header(false);
        Self { checks, health, http, patience, end }
    }

    /// Serves a connection until its peer ends it, it is of no use, or all are asked to end.
    pub async fn connection(self: Arc<Self>, socket: Socket) {
        let remains = socket.remains();
        if self.serve(socket).await {
            remains.hear_out(self.patience.farewell).await;
        }
    }

    /// Says whether the connection ended as it should, on our wish.
    async fn serve(self: &Arc<Self>, socket: Socket) -> bool {
        let progress = socket.progress();
        let calls = service_fn({
            let (service, progress) = (Arc::clone(self), Arc::clone(&progress));
            move |request| Self::respond(service.begin(&progress, request))
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(socket), calls));
        let mut watch = Watch::new(&self.patience, &progress);
        let mut alarm = pin!(tokio::time::sleep_until(watch.next));
        let mut told = pin!(self.end.goodbye.cancelled());
        let mut is_closing = false;
        loop {
            let outcome = tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = &ended {
                        tracing::debug!(%error, "a connection broke");
                    }
                    return is_closing && ended.is_ok();
                }
                () = alarm.as_mut() => watch.look(),
                () = told.as_mut() => if is_closing { Outcome::Cut("the deadline has passed") } else { Outcome::Close },
            };
            match outcome {
                Outcome::GoOn => {}
                Outcome::Close => {
                    is_closing = true;
                    told.set(self.end.cut.cancelled());
                    connection.as_mut().graceful_shutdown();
                    watch.closes();
                }
                Outcome::Cut(why) => {
                    tracing::debug!(why, "a connection was cut");
                    return false;
                }
            }
            alarm.as_mut().reset(watch.next);
        }
    }

    /// Takes a call in: what there is to do for it.
    fn begin(self: &Arc<Self>, progress: &Arc<Progress>, request: http::Request<Incoming>) -> Todo {
        let open = progress.begin();
        if request.uri().path() == ext_authz::CHECK_PATH {
            let call = self.checks.begin(request.headers());
            return Todo::Check(Arc::clone(self), call, request.into_body(), open);
        }
        Todo::Other(Arc::clone(self), request)
    }

    /// Takes in what a peer still sends of a message that is answered already, because there was no place for it or it is too long.
    ///
    /// To drop it would reset the stream, and what was on its way by then would soon belong to a stream that nobody remembers: an error,
    /// of which a connection may have only so many. A busy connection would end with all that is in flight on it, for no fault of its
    /// peer's. Until its message has ended, a call counts among those that the connection may have open.
    fn take_rest(&self, mut body: Incoming) {
        if body.is_end_stream() || self.end.goodbye.is_cancelled() {
            return;
        }
        let (goodbye, within) = (self.end.goodbye.clone(), self.patience.rest);
        tokio::spawn(async move {
            let rest = async { while let Some(Ok(_)) = body.frame().await {} };
            tokio::select! {
                () = rest => {}
                () = tokio::time::sleep(within) => {}
                () = goodbye.cancelled() => {}
            }
        });
    }

    async fn respond(todo: Todo) -> Result<http::Response<AnswerBody>, Infallible> {
        Ok(match todo {
            Todo::Check(service, call, mut body, open) => {
                let answer = ext_authz::answer(call.answer(&mut body).await);
                service.take_rest(body);
                answer.map(|body| AnswerBody { kind: Kind::Check(body), _open: Some(open) })
            }
            // A watcher's call stays open, which is no sign of anything.
            Todo::Other(service, request) => {
                let answer = Box::pin(service.health.answer(request)).await;
                answer.map(|body| AnswerBody { kind: Kind::Health(body), _open: None })
            }
        })
    }
}

enum Todo {
    Check(Arc<Service>, Call, Incoming, OpenCall),
    Other(Arc<Service>, http::Request<Incoming>),
}

/// What becomes of a connection that was looked at.
enum Outcome {
    GoOn,
    Close,
    Cut(&'static str),
}

/// Looks at a connection from time to time.
struct Watch<'c> {
    patience: &'c Patience,
    progress: &'c Progress,
    stage: Stage,
    next: Instant,
}

enum Stage {
    Preface,
    FirstCall,
    /// How many calls had ended at the last look, if some were open then.
    Calls(Option<u64>),
    Closing,
}

impl<'c> Watch<'c> {
    fn new(patience: &'c Patience, progress: &'c Progress) -> Self {
        Self { patience, progress, stage: Stage::Preface, next: Instant::now() + patience.preface }
    }

    fn look(&mut self) -> Outcome {
        let now = Instant::now();
        match self.stage {
            Stage::Preface if self.progress.received() < PREFACE => return Outcome::Cut("no preface came"),
            Stage::Preface => {
                self.stage = Stage::FirstCall;
                self.next = now + self.patience.first_call;
            }
            Stage::FirstCall if self.progress.begun() == 0 => return Outcome::Close,
            Stage::FirstCall | Stage::Calls(_) => {
                let ended = self.progress.ended();
                if matches!(self.stage, Stage::Calls(Some(before)) if before == ended) {
                    return Outcome::Cut("nobody takes the answers");
                }
                self.stage = Stage::Calls((self.progress.begun() > ended).then_some(ended));
                self.next = now + self.patience.stuck;
            }
            Stage::Closing if self.progress.begun() == 0 => return Outcome::Cut("it was never used"),
            // What is in flight is finished; how long that may take is for others to say.
            Stage::Closing => self.next = now + self.patience.stuck,
        }
        Outcome::GoOn
    }

    fn closes(&mut self) {
        self.stage = Stage::Closing;
        self.next = Instant::now() + self.patience.farewell;
    }
}

/// The body of any answer.
struct AnswerBody {
    kind: Kind,
    /// The call is open until its answer is taken.
    _open: Option<OpenCall>,
}

enum Kind {
    Check(ext_authz::AnswerBody),
    Health(HealthBody),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().kind {
            Kind::Check(body) => Pin::new(body).poll_frame(context),
            Kind::Health(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Check(body) => body.is_end_stream(),
            Kind::Health(body) => body.is_end_stream(),
        }
    }
}

#[cfg(test)]
mod tests;
