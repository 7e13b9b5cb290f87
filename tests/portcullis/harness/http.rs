//! An HTTP client that sends requests exactly as they are given: no path is tidied up, no header is joined. (HTTP/1.1, and HTTP/2 where
//! it is asked for.)

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// No answer after this is a failure.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request to make.
#[derive(Debug, Clone)]
pub struct Request {
    method: http::Method,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        let method = method.parse().expect("a method");
        Self { method, target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Adds a header; one of the same name stays.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn headers(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    /// For this host, unless it names one.
    pub fn or_host(self, host: &str) -> Self {
        if self.headers.iter().any(|(name, _)| name == "host") { self } else { self.header("host", host) }
    }

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// What came behind the body: where gRPC says how a call ended.
    pub trailers: http::HeaderMap,
}

impl Answer {
    /// The header's only value; `None` when there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "the header {name} is there more than once: {:?}", self.headers);
        Some(value.to_str().expect("a printable header"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("the body is no JSON ({error}): {}", self.text()))
    }
}

/// One connection that is kept.
pub struct Connection {
    sender: Sender,
    host: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    /// With the scheme that requests are made for.
    Http2(http2::SendRequest<Full<Bytes>>, &'static str),
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Self::over(stream, address.to_string()).await
    }

    pub async fn open_unix(path: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
        Self::over(stream, "localhost".into()).await
    }

    /// Over a stream that somebody else opened.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, host: String) -> Result<Self, String> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender: Sender::Http1(sender), host })
    }

    /// The same with HTTP/2.
    pub async fn over_http2(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        scheme: &'static str,
        host: String,
    ) -> Result<Self, String> {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender: Sender::Http2(sender, scheme), host })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: &Request) -> Result<Answer, String> {
        let message = self.message(request)?;
        let exchange = async {
            let answer = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(message).await?
                }
                Sender::Http2(sender, _) => {
                    sender.ready().await?;
                    sender.send_request(message).await?
                }
            };
            let (head, body) = answer.into_parts();
            let body = body.collect().await?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
        };
        match timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(|error: hyper::Error| format!("{error:?}")),
            Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
        }
    }

    /// What is sent: with HTTP/2 the host stands in the target.
    fn message(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, String> {
        let mut builder = hyper::Request::builder().method(&request.method);
        let is_host = |(name, _): &&(String, Vec<u8>)| name.eq_ignore_ascii_case("host");
        let host = request.headers.iter().find(is_host);
        let mut headers = request.headers.iter().collect::<Vec<_>>();
        match self.sender {
            Sender::Http1(_) => {
                builder = builder.uri(&request.target);
                if host.is_none() {
                    builder = builder.header("host", &self.host);
                }
            }
            Sender::Http2(_, scheme) => {
                let host = host.map_or(self.host.as_str().into(), |(_, host)| String::from_utf8_lossy(host));
                builder = builder.uri(format!("{scheme}://{host}{}", request.target));
                headers.retain(|header| !is_host(header));
            }
        }
        for (name, value) in headers {
            builder = builder.header(name, value.as_slice());
        }
        builder.body(Full::new(request.body.clone())).map_err(|error| error.to_string())
    }
}

/// Sends one request over a connection of its own.
pub async fn try_send(address: SocketAddr, request: &Request) -> Result<Answer, String> {
    Connection::open(address).await?.send(request).await
}

/// The same where an answer has to come.
pub async fn send(address: SocketAddr, request: &Request) -> Answer {
    try_send(address, request).await.unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
}
