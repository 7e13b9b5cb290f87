//! Connections of API servers: TLS, and HTTP/1.1 or HTTP/2 in it. All that a peer can ask for is bounded.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Webhook;
use crate::server::accept::{Gate, Listener, accept, tracked};
use crate::server::socket::Socket;

/// Connections at once: each API server has a few.
const MAX_CONNECTIONS: usize = 128;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may go without its first request.
const FIRST: Duration = Duration::from_secs(5);
/// How long it may be idle between two. API servers let go after 90 s; who closes first must not be us, or a request may be lost.
const IDLE: Duration = Duration::from_secs(120);
/// How long a connection lives: whoever comes back meets the other replicas, and the newest certificate.
const LIFE: Duration = Duration::from_secs(600);
/// How long what is being answered has when a connection ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a peer may still send what nobody reads.
const REST: Duration = Duration::from_secs(1);
/// How often a silent peer is asked whether it is there, and how long it has to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));
/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Flow-control windows of HTTP/2, in bytes, for a stream and for a connection.
const WINDOWS: (u32, u32) = (256 * 1024, 512 * 1024);
/// Requests at once on a connection of HTTP/2.
const STREAMS: u32 = 64;

/// TLS as API servers speak it: 1.2 and 1.3, HTTP/2 or HTTP/1.1.
///
/// # Errors
/// Never with the provider that is built in.
pub(super) fn tls(certificates: Arc<dyn ResolvesServerCert>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop`, and then finishes what is in flight.
pub(super) async fn serve(listener: TcpListener, tls: TlsAcceptor, webhook: Arc<Webhook>, stop: CancellationToken) {
    let (open, refused) = webhook.metrics.listener("webhook");
    let gate = Gate::counted("webhook", MAX_CONNECTIONS, open, refused);
    let tasks = TaskTracker::new();
    let serve = |socket, place| tracked(&tasks, place, connection(socket, tls.clone(), Arc::clone(&webhook), stop.clone()));
    accept(Listener::Tcp(listener), gate, stop.clone(), serve).await;
    tasks.close();
    tasks.wait().await;
}

async fn connection(socket: Socket, tls: TlsAcceptor, webhook: Arc<Webhook>, stop: CancellationToken) {
    let remains = socket.remains();
    let stream = match timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // An API server that does not trust the certificate ends like this, and says no more to us than an alert.
            tracing::warn!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let used = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let used = Arc::clone(&used);
        move |request| {
            used.store(true, Ordering::Relaxed);
            let answer = Arc::clone(&webhook).respond(request);
            async { Ok::<_, Infallible>(answer.await) }
        }
    });
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        drive(http.serve_connection(TokioIo::new(stream), service), |connection| connection.graceful_shutdown(), &used, &stop).await;
    } else {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(HEAD_BYTES);
        drive(http.serve_connection(TokioIo::new(stream), service), |connection| connection.graceful_shutdown(), &used, &stop).await;
    }
    // Who is answered before all of the body has come reads the answer only if nothing breaks what is still being written.
    remains.hear_out(REST).await;
}

/// Serves a connection until its peer ends it, it has lived long enough or is not used, or all should end.
async fn drive<C: Future>(connection: C, end: impl Fn(Pin<&mut C>), used: &AtomicBool, stop: &CancellationToken) {
    let mut connection = pin!(connection);
    let idle = async {
        tokio::time::sleep(FIRST).await;
        if used.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // Whoever breaks off is nobody's business.
        _ = connection.as_mut() => return,
        () = idle => return,
        () = tokio::time::sleep(LIFE) => {}
        () = stop.cancelled() => {}
    }
    end(connection.as_mut());
    let _ = timeout(FAREWELL, connection).await;
}
