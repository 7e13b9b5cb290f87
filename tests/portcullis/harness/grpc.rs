//! A gRPC client that can also send what no generated client would.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The method that Envoy calls.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// No answer after this is a failure.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One HTTP/2 connection to the sidecar. Clones share it.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

/// What came back, as it was on the wire.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub grpc_status: Option<String>,
    /// The body: frames of five bytes and a message each.
    pub body: Bytes,
}

impl Client {
    pub async fn tcp(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Self::over(stream).await
    }

    pub async fn unix(path: &Path) -> Result<Self, String> {
        Self::over(UnixStream::connect(path).await.map_err(|error| error.to_string())?).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|error| format!("no connection: {error}"))?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Posts a body to a method and reads everything that comes back.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<RawAnswer, hyper::Error> {
        let exchange = self.exchange(path, body);
        timeout(TIMEOUT, exchange).await.unwrap_or_else(|_| panic!("{path} did not answer within {TIMEOUT:?}"))
    }

    /// The same where it may be that nothing comes back.
    pub async fn try_post(&self, path: &str, body: Bytes, within: Duration) -> Result<RawAnswer, Box<dyn Error + Send + Sync>> {
        timeout(within, self.exchange(path, body)).await.map_err(|_| format!("no answer within {within:?}"))?.map_err(Into::into)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    async fn exchange(&self, path: &str, body: Bytes) -> Result<RawAnswer, hyper::Error> {
        let request = hyper::Request::post(format!("http://authz{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body))
            .expect("a request");
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let status = body.trailers().and_then(|trailers| trailers.get("grpc-status")).or_else(|| head.headers.get("grpc-status"));
        let grpc_status = status.map(|status| String::from_utf8_lossy(status.as_bytes()).into_owned());
        Ok(RawAnswer { status: head.status.as_u16(), grpc_status, body: body.to_bytes() })
    }

    /// One check whose message is these bytes, whatever they are. The answer must be a well-formed one.
    pub async fn check_bytes(&self, message: &[u8]) -> CheckResponse {
        self.post(CHECK, frame(0, message)).await.expect("an answer").check_response()
    }

    pub async fn check(&self, request: &CheckRequest) -> CheckResponse {
        self.check_bytes(&request.encode_to_vec()).await
    }
}

impl RawAnswer {
    /// The one message of a call that succeeded.
    pub fn message(&self) -> Bytes {
        assert_eq!((self.status, self.grpc_status.as_deref()), (200, Some("0")), "the call failed: {self:?}");
        let (head, message) = self.body.split_at_checked(5).expect("a frame");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        assert_eq!((head[0], length as usize), (0, message.len()), "it is not one uncompressed message: {:?}", self.body);
        self.body.slice(5..)
    }

    pub fn check_response(&self) -> CheckResponse {
        CheckResponse::decode(self.message()).expect("a CheckResponse")
    }
}

/// A message in its frame. `flag` 1 says that it is compressed.
pub fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(flag);
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.put_slice(message);
    frame.freeze()
}

/// What the standard health service says of a service: `SERVING` is 1, `NOT_SERVING` 2. Without an answer: the gRPC status.
pub async fn health(client: &Client, service: &str) -> Result<i32, String> {
    // HealthCheckRequest { string service = 1 }, HealthCheckResponse { ServingStatus status = 1 }
    #[derive(Clone, PartialEq, prost::Message)]
    struct HealthCheckRequest {
        #[prost(string, tag = "1")]
        service: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct HealthCheckResponse {
        #[prost(int32, tag = "1")]
        status: i32,
    }
    let message = HealthCheckRequest { service: service.into() }.encode_to_vec();
    let answer = client.post("/grpc.health.v1.Health/Check", frame(0, &message)).await.map_err(|error| error.to_string())?;
    match answer.grpc_status.as_deref() {
        Some("0") => Ok(HealthCheckResponse::decode(answer.message()).expect("a HealthCheckResponse").status),
        status => Err(format!("grpc-status {}", status.unwrap_or("missing"))),
    }
}

impl Client {
    /// Begins to watch the health of a service; gives the stream of framed messages.
    pub async fn watch(&self, service: &str) -> hyper::body::Incoming {
        let length = u8::try_from(service.len()).expect("a short name");
        // HealthCheckRequest { string service = 1 }
        let message = if service.is_empty() { Vec::new() } else { [&[10, length], service.as_bytes()].concat() };
        let request = hyper::Request::post("http://authz/grpc.health.v1.Health/Watch")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(frame(0, &message)))
            .expect("a request");
        self.sender.clone().send_request(request).await.expect("an answer").into_body()
    }
}
