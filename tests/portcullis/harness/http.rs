//! An HTTP/1.1 client that sends requests exactly as they are given: no path is tidied up, no header is joined.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
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

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self.header("content-type", "application/json")
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
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
    sender: SendRequest<Full<Bytes>>,
    host: String,
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
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: &Request) -> Result<Answer, String> {
        let mut builder = hyper::Request::builder().method(&request.method).uri(&request.target);
        if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            builder = builder.header("host", &self.host);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value.as_slice());
        }
        let message = builder.body(Full::new(request.body.clone())).map_err(|error| error.to_string())?;
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(message).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        match timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(|error: hyper::Error| format!("{error:?}")),
            Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
        }
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
