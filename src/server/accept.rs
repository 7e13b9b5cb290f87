//! Taking connections in. Nothing that goes wrong here ends a listener, or touches a connection that is there.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntGauge};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::bind::SocketFile;
use super::socket::{Socket, Stream};
use crate::telemetry::metrics::Metrics;

/// How long a listener rests when the system has no descriptor or memory to give: connections that end give some back.
const REST: Duration = Duration::from_millis(50);
/// So many connections can have been waiting when a listener is closed. Whoever sends more is not waited for, or there might be no end.
const MOST_WAITING: usize = super::bind::BACKLOG as usize + 1;
/// How often it is said that connections are refused.
const SAY: Duration = Duration::from_secs(1);

/// A listener.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// How many connections may be open at once.
#[derive(Clone)]
pub(crate) struct Gate {
    name: &'static str,
    most: usize,
    open: IntGauge,
    refused: IntCounter,
}

/// A place that a connection takes.
pub(crate) struct Place(IntGauge);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Gate {
    /// A gate for `most` connections, counted under this name.
    pub fn new(name: &'static str, most: usize, metrics: &Metrics) -> Self {
        Self::counted(name, most, metrics.connections.with_label_values(&[name]), metrics.connections_refused.with_label_values(&[name]))
    }

    /// A gate for `most` connections: how many are open, and how many were refused, is counted here.
    pub fn counted(name: &'static str, most: usize, open: IntGauge, refused: IntCounter) -> Self {
        Self { name, most, open, refused }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        usize::try_from(self.open.get()).unwrap_or(0)
    }

    fn enter(&self) -> Option<Place> {
        self.open.inc();
        let place = Place(self.open.clone());
        (self.open() <= self.most).then_some(place)
    }
}

impl Listener {
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => super::bind::address_of(listener),
            Self::Unix(_, file) => format!("unix:{}", file.path().display()),
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// Closes the listener and gives the connections that were waiting in it: their clients believe them to be open.
    fn close(self) -> Vec<Stream> {
        let mut waiting = Vec::new();
        // The listeners are non-blocking: with nobody left, an accept fails.
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return waiting };
                while waiting.len() < MOST_WAITING
                    && let Ok((stream, _)) = listener.accept()
                {
                    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    waiting.extend(stream.ok().map(Stream::Tcp));
                }
            }
            Self::Unix(listener, file) => {
                // Before the last look: from here on nobody new finds it.
                drop(file);
                let Ok(listener) = listener.into_std() else { return waiting };
                while waiting.len() < MOST_WAITING
                    && let Ok((stream, _)) = listener.accept()
                {
                    let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
                    waiting.extend(stream.ok().map(Stream::Unix));
                }
            }
        }
        waiting
    }
}

/// What is said at most once in a while.
struct Seldom {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Counts; gives the count when it is time to say it.
    fn count(&mut self) -> Option<u64> {
        self.unsaid += 1;
        if self.last.is_some_and(|last| last.elapsed() < SAY) {
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Hands connections over until `stop`; then those that still wait, and closes the listener.
pub(crate) async fn accept(listener: Listener, gate: Gate, stop: CancellationToken, serve: impl Fn(Socket, Place)) {
    let mut cannot = None;
    let mut refusals = Seldom { last: None, unsaid: 0 };
    let mut admit = |stream| match gate.enter() {
        Some(place) => serve(Socket::new(stream), place),
        None => {
            gate.refused.inc();
            if let Some(refused) = refusals.count() {
                tracing::warn!(listener = gate.name, limit = gate.most, refused, "connections are closed at once: there are too many");
            }
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                if cannot.take().is_some() {
                    tracing::info!(address = listener.address(), "connections are accepted again");
                }
                admit(stream);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let error = error.to_string();
                if cannot.as_ref() != Some(&error) {
                    tracing::error!(address = listener.address(), %error, "no connection can be accepted; trying again");
                    cannot = Some(error);
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
    for stream in listener.close() {
        admit(stream);
    }
}

/// Whether only the connection that was about to be accepted is lost.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Hands a connection to a task that is waited for at the end.
pub(crate) fn tracked<F>(tasks: &tokio_util::task::TaskTracker, place: Place, connection: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    tasks.spawn(async move {
        connection.await;
        drop(place);
    });
}
