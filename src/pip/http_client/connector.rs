//! Connections: straight to the server, through a proxy's tunnel (`CONNECT`, for https), or to a proxy that forwards (for http).

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::proxy::Proxy;
use super::resolver::SystemResolver;

type BoxError = Box<dyn Error + Send + Sync>;
type Tcp = HttpConnector<SystemResolver>;

/// Makes connections, each as the proxy's rules say.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: Tcp,
    proxy: Proxy,
}

impl Connector {
    pub(super) fn new(tcp: Tcp, proxy: Proxy) -> Self {
        Self { tcp, proxy }
    }
}

/// It went wrong on the way to the proxy, or at the proxy.
#[derive(Debug)]
pub(super) struct ProxyError {
    what: String,
    source: Option<BoxError>,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            None => f.write_str(&self.what),
            Some(source) => write!(f, "{}: {}", self.what, super::error::root_message(&**source)),
        }
    }
}

// The source stays inside: a connection that the proxy refused is not one that the server refused.
impl Error for ProxyError {}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let proxy = match self.proxy.of(&url) {
            Ok(proxy) => proxy,
            Err(what) => return Box::pin(async move { Err(ProxyError { what, source: None }.into()) }),
        };
        let Some(proxy) = proxy else {
            let connecting = self.tcp.call(url);
            return Box::pin(async move { Ok(Link { io: connecting.await?, forwarded: false }) });
        };
        if url.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
            if let Some(authorization) = proxy.authorization() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let what = format!("the proxy {proxy} opens no tunnel");
            let connecting = tunnel.call(url);
            return Box::pin(async move {
                let io = connecting.await.map_err(|error| ProxyError { what, source: Some(error.into()) })?;
                Ok(Link { io, forwarded: false })
            });
        }
        let what = format!("the proxy {proxy} cannot be reached");
        let connecting = self.tcp.call(proxy.uri().clone());
        Box::pin(async move {
            let io = connecting.await.map_err(|error| ProxyError { what, source: Some(error.into()) })?;
            Ok(Link { io, forwarded: true })
        })
    }
}

/// A connection that knows whether a proxy reads the requests on it, which then have the absolute form (RFC 9112 section 3.2.2).
pub(super) struct Link {
    io: TokioIo<TcpStream>,
    forwarded: bool,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.forwarded)
    }
}

impl Read for Link {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}
