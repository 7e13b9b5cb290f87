//! A gRPC service behind Envoy: HTTP/2 without TLS, whatever its methods are called. What the last segment of the path says, it does:
//!
//! - `Watch`: an answer without end, a message every now and then;
//! - `Chat`: each piece of the request comes back at once, until the request ends;
//! - `Sleep`: no answer, ever;
//! - `Import`: the whole request, then one message;
//! - any other: one message, which says what reached the service.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_stream::StreamExt;

use super::grpc::frame;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How often `Watch` has something to say.
const INTERVAL: Duration = Duration::from_millis(20);

/// The running service. It ends when it is dropped.
pub struct GrpcService {
    pub address: SocketAddr,
    served: Arc<AtomicU64>,
    task: AbortHandle,
}

impl GrpcService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&counter)));
            }
        });
        Self { address, served, task: task.abort_handle() }
    }

    /// How many calls got here.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

impl Drop for GrpcService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, served: Arc<AtomicU64>) {
    let service = service_fn(move |request| {
        served.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, Infallible>(answer(request).await) }
    });
    // Envoy ends connections as it likes.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let echo = message(&json!({ "method": request.method().as_str(), "target": request.uri().path(), "headers": headers(&request) }));
    let body = match request.uri().path().rsplit('/').next() {
        Some("Watch") => {
            let every = futures_of(INTERVAL);
            StreamBody::new(every.map(move |()| Ok(Frame::data(echo.clone())))).boxed_unsync()
        }
        Some("Chat") => {
            let pieces = request.into_body().into_data_stream().filter_map(Result::ok).map(|piece| Ok(Frame::data(piece)));
            StreamBody::new(pieces.chain(end())).boxed_unsync()
        }
        Some("Sleep") => std::future::pending().await,
        Some("Import") => {
            let bytes = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            StreamBody::new(tokio_stream::once(Ok(Frame::data(message(&json!({ "bytes": bytes }))))).chain(end())).boxed_unsync()
        }
        _ => StreamBody::new(tokio_stream::once(Ok(Frame::data(echo))).chain(end())).boxed_unsync(),
    };
    Response::builder().header("content-type", "application/grpc").body(body).expect("an answer")
}

/// Ticks without end.
fn futures_of(interval: Duration) -> impl tokio_stream::Stream<Item = ()> + Send {
    tokio_stream::iter(std::iter::repeat(())).then(move |()| tokio::time::sleep(interval))
}

/// How a call ends that went well.
fn end() -> impl tokio_stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    tokio_stream::once(Ok(Frame::trailers(trailers)))
}

/// A message, as JSON: nobody here reads more of it than the tests do.
fn message(content: &Value) -> Bytes {
    frame(0, content.to_string().as_bytes())
}

fn headers(request: &Request<Incoming>) -> Vec<Value> {
    request.headers().iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect()
}
