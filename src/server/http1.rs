//! Connections to the admin listener: HTTP/1.1, few at a time, none of them for long.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Gate, Listener, accept, tracked};
use super::socket::Socket;
use crate::telemetry::metrics::Metrics;

/// Connections at once: a scraper, probes, and somebody who looks.
const MAX_CONNECTIONS: usize = 128;
/// How long the head of a request may take, and how long a connection may be idle between two.
const HEAD: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes; hyper asks for 8 KiB at least.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a connection lives. A scraper comes back.
const LIFE: Duration = Duration::from_secs(60);
/// How long what is being answered then has.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves until `stop`, and then finishes what is in flight.
pub(super) fn serve(listener: TcpListener, router: Router, metrics: &Metrics, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
    serve_with(listener, router, Gate::new("admin", MAX_CONNECTIONS, metrics), stop)
}

/// The same behind this gate.
pub(crate) async fn serve_with(listener: TcpListener, router: Router, gate: Gate, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let serve = |socket, place| tracked(&tasks, place, connection(socket, router.clone(), stop.clone()));
    accept(Listener::Tcp(listener), gate, stop.clone(), serve).await;
    tasks.close();
    tasks.wait().await;
}

async fn connection(socket: Socket, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router)));
    tokio::select! {
        // Whoever breaks off is nobody's business.
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(LIFE) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(FAREWELL, connection).await;
}
