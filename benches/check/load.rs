//! The load generator: HTTP/2 without a gRPC library around it, so that it costs less than what it measures.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, header};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::message::{Answer, Check};

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this many checks.
    Count(usize),
    /// After this time.
    Time(Duration),
}

/// What a run gave. All answers in it were right.
#[derive(Debug)]
pub struct Run {
    /// How long it took.
    pub took: Duration,
    /// How long each check took.
    pub latencies: Vec<Duration>,
}

/// Why there is no answer.
pub struct CallError(String);

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for CallError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// One connection, as one worker of Envoy has it.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Bytes>,
}

impl Client {
    /// Connects to a Unix socket. Must be called within a `LocalSet`.
    pub async fn connect(socket: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(socket).await?;
        let (sender, connection) =
            h2::client::Builder::new().initial_window_size(1 << 20).initial_connection_window_size(1 << 24).handshake(stream).await?;
        tokio::task::spawn_local(connection);
        Ok(Self { sender })
    }

    /// Asks once.
    pub async fn call(&self, frame: &Bytes) -> Result<Answer, CallError> {
        // The headers that Envoy's gRPC client sends.
        let request = Request::post("http://portcullis/envoy.service.auth.v3.Authorization/Check")
            .header(header::TE, "trailers")
            .header(header::CONTENT_TYPE, "application/grpc")
            .header("grpc-timeout", "30S")
            .header("x-envoy-internal", "true")
            .body(())?;
        let (response, mut body) = self.sender.clone().ready().await?.send_request(request, false)?;
        body.send_data(frame.clone(), true)?;
        let response = response.await?;
        succeeded(response.headers(), true)?;
        let mut body = response.into_body();
        let mut frame = Bytes::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            frame = if frame.is_empty() { data } else { BytesMut::from_iter(frame.iter().chain(&data)).freeze() };
        }
        succeeded(&body.trailers().await?.unwrap_or_default(), false)?;
        Answer::read(&frame).ok_or_else(|| CallError("the answer is no CheckResponse".into()))
    }

    /// Keeps this many checks in flight, taking turns through `checks`. A wrong answer ends the benchmark.
    pub async fn drive(&self, checks: &Rc<[Check]>, concurrency: usize, until: Until) -> Run {
        let work = Rc::new(Work {
            checks: Rc::clone(checks),
            until,
            started: Instant::now(),
            next: Cell::new(0),
            latencies: RefCell::new(Vec::with_capacity(1 << 17)),
        });
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn_local(worker(self.clone(), Rc::clone(&work)));
        }
        while let Some(ended) = workers.join_next().await {
            ended.expect("every answer is right");
        }
        Run { took: work.started.elapsed(), latencies: work.latencies.take() }
    }
}

/// What the workers of a run share.
struct Work {
    checks: Rc<[Check]>,
    until: Until,
    started: Instant,
    next: Cell<usize>,
    latencies: RefCell<Vec<Duration>>,
}

impl Work {
    /// The next check and its number, unless the run is over.
    fn take(&self) -> Option<(usize, &Check)> {
        let number = self.next.get();
        let over = match self.until {
            Until::Count(count) => number >= count,
            Until::Time(span) => self.started.elapsed() >= span,
        };
        if over {
            return None;
        }
        self.next.set(number + 1);
        let index = number % self.checks.len();
        Some((index, &self.checks[index]))
    }
}

async fn worker(client: Client, work: Rc<Work>) {
    while let Some((index, check)) = work.take() {
        let asked = Instant::now();
        match client.call(&check.frame).await {
            Ok(answer) if check.expected.agrees_with(&answer) => {}
            other => panic!("check {index} should be {:?} and is {other:?}", check.expected),
        }
        work.latencies.borrow_mut().push(asked.elapsed());
    }
}

/// A gRPC status other than 0 is no answer; it may stand in the headers, and must stand somewhere.
fn succeeded(headers: &HeaderMap, optional: bool) -> Result<(), CallError> {
    match headers.get("grpc-status").map(|status| status.as_bytes()) {
        Some(b"0") => Ok(()),
        None if optional => Ok(()),
        status => Err(CallError(format!("gRPC status {:?}", status.map(String::from_utf8_lossy)))),
    }
}
