//! A connection, over TCP or a Unix socket, that tells how far its peer has got.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What a peer has done so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    received: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Progress {
    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Calls that were begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Calls that ended: the peer took the answer, or gave up.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// A call begins, and ends when what this gives is dropped.
    pub fn begin(self: &Arc<Self>) -> OpenCall {
        self.begun.fetch_add(1, Ordering::Relaxed);
        OpenCall(Arc::clone(self))
    }
}

/// A call that has not ended.
#[derive(Debug)]
pub(crate) struct OpenCall(Arc<Progress>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// An accepted connection.
pub(crate) struct Socket {
    /// Gone only once this is dropped.
    stream: Option<Stream>,
    progress: Arc<Progress>,
    remains: Remains,
}

/// What is left of a connection when whoever spoke on it has dropped it.
#[derive(Clone, Default)]
pub(crate) struct Remains(Arc<Mutex<Option<Stream>>>);

impl Remains {
    /// Takes in what the peer still sends, until it closes or the time is up. To close at once would break what the peer is just
    /// writing, and it might never read the `GOAWAY` which says that this was not looked at.
    pub async fn hear_out(self, within: Duration) {
        let Some(mut stream) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut bytes = [0; 4096];
        let end = poll_fn(|context| {
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = match &mut stream {
                    Stream::Tcp(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                    Stream::Unix(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                };
                match read {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                }
            }
        });
        let _ = tokio::time::timeout(within, end).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        *self.remains.0.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub fn new(stream: Stream) -> Self {
        if let Stream::Tcp(stream) = &stream {
            // The end of an answer is a packet of its own. Without this it would wait for the client to confirm the first one, which
            // clients put off for 40 ms. A connection that cannot be told will work as well, only slower.
            let _ = stream.set_nodelay(true);
        }
        Self { stream: Some(stream), progress: Arc::default(), remains: Remains::default() }
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What will be left once this is dropped.
    pub fn remains(&self) -> Remains {
        self.remains.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = match &mut this.stream {
            Some(Stream::Tcp(stream)) => Pin::new(stream).poll_read(context, buffer),
            Some(Stream::Unix(stream)) => Pin::new(stream).poll_read(context, buffer),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        };
        let received = buffer.filled().len() - before;
        if received > 0 {
            this.progress.received.fetch_add(received as u64, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Some(Stream::Tcp(stream)) => Pin::new(stream).poll_write(context, buffer),
            Some(Stream::Unix(stream)) => Pin::new(stream).poll_write(context, buffer),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Some(Stream::Tcp(stream)) => Pin::new(stream).poll_write_vectored(context, buffers),
            Some(Stream::Unix(stream)) => Pin::new(stream).poll_write_vectored(context, buffers),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(Stream::Tcp(stream)) => Pin::new(stream).poll_flush(context),
            Some(Stream::Unix(stream)) => Pin::new(stream).poll_flush(context),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(Stream::Tcp(stream)) => Pin::new(stream).poll_shutdown(context),
            Some(Stream::Unix(stream)) => Pin::new(stream).poll_shutdown(context),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }
}
