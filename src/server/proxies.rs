//! Connections of proxies that ask over HTTP/1.1: kept open between requests, bounded in all that a peer can ask for.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONNECTION;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::grpc::End;
use super::socket::{OpenCall, Socket};
use crate::config::{HttpDialect, HttpListener, LimitSettings};
use crate::ext_authz::AuthorizationServer;
use crate::http_authz::{Dialect, FrontDoor};

/// How long a connection may be idle, and how long the head of a request may take. Proxies should let go of idle connections earlier.
const IDLE: Duration = Duration::from_secs(60);
/// The connection is cut when answers wait for so long and none of them is taken.
const STUCK: Duration = Duration::from_secs(60);
/// How many header fields a request may have: those that proxies let pass (100, as a rule), and their own.
const HEADERS: usize = 256;
/// The shortest bound on a head that hyper takes, in bytes.
const LEAST_HEAD: usize = 8 * 1024;
/// For so long a connection is kept at the end, so that the next answer on it can say that it is the last. To close one between two
/// requests is to race with the second.
const LAST_WORD: Duration = Duration::from_millis(300);
/// How long a peer has to take the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What all connections of one listener share.
pub(super) struct Service {
    door: FrontDoor,
    http: http1::Builder,
    end: End,
}

impl Service {
    pub fn new(checks: &AuthorizationServer, listener: &HttpListener, limits: &LimitSettings, end: End) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_headers(HEADERS)
            .max_buf_size(limits.message_bytes.max(LEAST_HEAD))
            .auto_date_header(false);
        Self { door: FrontDoor::new(checks, dialect(&listener.dialect), listener.timeout), http, end }
    }

    /// How the proxies describe requests.
    pub fn dialect(&self) -> &'static str {
        self.door.dialect()
    }

    /// Serves a connection until its peer ends it, it is of no use, or all are asked to end.
    pub async fn connection(self: Arc<Self>, socket: Socket) {
        let remains = socket.remains();
        if self.serve(socket).await {
            remains.hear_out(FAREWELL).await;
        }
    }

    /// Says whether the connection ended as it should, on our wish.
    async fn serve(self: &Arc<Self>, socket: Socket) -> bool {
        let progress = socket.progress();
        let requests = service_fn(|request| {
            let (service, open) = (Arc::clone(self), progress.begin());
            async move { Ok::<_, Infallible>(service.respond(request, open).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(socket), requests));
        let mut told = pin!(self.end.goodbye.cancelled());
        let mut last_word = pin!(tokio::time::sleep(LAST_WORD));
        let mut looks = tokio::time::interval(STUCK);
        let (mut is_closing, mut is_shut) = (false, false);
        // How many requests had ended at the last look, if some were open then.
        let mut before = None;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = &ended {
                        tracing::debug!(%error, "a proxy's connection broke");
                    }
                    return is_closing && ended.is_ok();
                }
                () = told.as_mut() => {
                    if is_closing {
                        tracing::debug!("a proxy's connection was cut: the deadline has passed");
                        return false;
                    }
                    is_closing = true;
                    told.set(self.end.cut.cancelled());
                    last_word.as_mut().reset(tokio::time::Instant::now() + LAST_WORD);
                }
                () = last_word.as_mut(), if is_closing && !is_shut => {
                    is_shut = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = looks.tick() => {
                    let ended = progress.ended();
                    if before == Some(ended) {
                        tracing::debug!("a proxy's connection was cut: nobody takes the answers");
                        return false;
                    }
                    before = (progress.begun() > ended).then_some(ended);
                }
            }
        }
    }

    async fn respond(&self, request: http::Request<Incoming>, open: OpenCall) -> http::Response<AnswerBody> {
        // A body is not waited for: nothing is decided from it.
        let (head, _) = request.into_parts();
        let mut response = self.door.answer(&head).await;
        if self.end.goodbye.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| AnswerBody { body, _open: open })
    }
}

fn dialect(configured: &HttpDialect) -> Dialect {
    match configured.clone() {
        HttpDialect::Nginx => Dialect::Nginx,
        HttpDialect::ForwardAuth { trusted_hops } => Dialect::ForwardAuth { trusted_hops },
        HttpDialect::Envoy { path_prefix } => Dialect::Envoy { path_prefix },
    }
}

/// An answer's body. The request is open until it is taken.
struct AnswerBody {
    body: Full<Bytes>,
    _open: OpenCall,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
