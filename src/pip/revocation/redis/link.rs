//! The way to a Redis: TCP, TLS or a Unix socket, with a bound on what comes over it.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tower_service::Service;

use super::failure;
use crate::config::RedisAddress;
use crate::pip::http_client::root_message;
use crate::pip::refresh::Failure;

/// The longest answer in bytes: a page of entries fits whose ids are as long as tokens.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// After so long without a word it is asked whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How many bytes may still come.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(MAX_ANSWER)))
    }

    /// As many as one answer may have.
    pub(super) fn renew(&self) {
        self.0.store(MAX_ANSWER, Ordering::Release);
    }

    /// Whether more came.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Acquire).saturating_sub(bytes as u64);
        self.0.store(left, Ordering::Release);
        if left == 0 { Err(io::Error::other(format!("an answer has more than {} MiB", MAX_ANSWER / (1024 * 1024)))) } else { Ok(()) }
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub(super) struct Link {
    io: Box<dyn Io>,
    budget: Budget,
}

impl Link {
    /// Connects. `tls` is there if the address asks for it.
    pub(super) async fn open(address: &RedisAddress, tls: Option<ClientConfig>) -> Result<Self, Failure> {
        let io: Box<dyn Io> = match address {
            RedisAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Box::new(stream.map_err(|error| failure("connect", format!("{}: {error}", path.display())))?)
            }
            RedisAddress::Tcp { host, port, .. } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
                let url = |scheme: &str| format!("{scheme}://{host}:{port}").parse::<Uri>();
                let mut tcp = HttpConnector::new();
                tcp.enforce_http(false);
                tcp.set_nodelay(true);
                tcp.set_keepalive(Some(KEEPALIVE));
                match tls {
                    None => Box::new(TokioIo::new(connected(tcp.call(url("redis").map_err(no_address)?).await)?)),
                    Some(tls) => {
                        let mut over_tls = HttpsConnector::from((tcp, tls));
                        Box::new(TokioIo::new(connected(over_tls.call(url("https").map_err(no_address)?).await)?))
                    }
                }
            }
        };
        Ok(Self { io, budget: Budget::new() })
    }

    /// What bounds the answers.
    pub(super) fn budget(&self) -> Budget {
        self.budget.clone()
    }
}

fn no_address(error: http::uri::InvalidUri) -> Failure {
    failure("connect", error.to_string())
}

fn connected<T, E: Into<Box<dyn Error + Send + Sync>>>(outcome: Result<T, E>) -> Result<T, Failure> {
    outcome.map_err(|error| {
        let error: Box<dyn Error + Send + Sync> = error.into();
        failure("connect", format!("{error}: {}", root_message(&*error)))
    })
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        Poll::Ready(self.budget.spend(buffer.filled().len().saturating_sub(before)))
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn no_answer_has_more_bytes_than_there_may_be() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut link = Link { io: Box::new(ours), budget: Budget::new() };
        let flood = tokio::spawn(async move {
            let part = vec![b'x'; 1 << 20];
            while theirs.write_all(&part).await.is_ok() {}
        });
        let mut buffer = vec![0; 1 << 20];
        let mut read = 0;
        let budget = link.budget();
        while let Ok(bytes) = link.read(&mut buffer).await {
            read += bytes as u64;
            assert!(read <= MAX_ANSWER);
        }
        assert!(budget.is_exceeded() && read > MAX_ANSWER - (2 << 20));
        drop(link);
        flood.await.unwrap();
    }
}
