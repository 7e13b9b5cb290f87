//! An HTTP/2 client that sends frames exactly as it is told (RFC 9113 section 4.1), in any order and number.

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::ext_authz::v3::pb::CheckResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::grpc::{CHECK, RawAnswer};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The client's connection preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No frame after this is a failure.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A frame.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM`, or of a `GOAWAY`.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers in a form without any compression (RFC 7541 section 6.2.2).
pub fn literal(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The headers of a check, and more.
pub fn check_headers(more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", "POST"), (":scheme", "http"), (":path", CHECK), (":authority", "authz"), ("content-type", "application/grpc")];
    literal(&[&usual, &[("te", "trailers")][..], more].concat())
}

/// A connection.
pub struct Peer {
    stream: TcpStream,
    /// What came while something else was looked for.
    kept: Vec<Frame>,
}

impl Peer {
    /// A connection on which nothing has been said.
    pub async fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option of the socket");
        Self { stream, kept: Vec::new() }
    }

    /// One that has begun as it should.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut peer = Self::silent(address).await;
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("a connection");
        peer
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends the same again and again, and reads nothing, until the other side has had enough or it was sent so often; says how often.
    pub async fn flood(&mut self, bytes: &[u8], times: usize, within: Duration) -> usize {
        let mut sent = 0;
        let _ = timeout(within, async {
            while sent < times && self.send(bytes).await.is_ok() {
                sent += 1;
            }
        })
        .await;
        sent
    }

    /// The next frame; none once the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        timeout(TIMEOUT, self.read()).await.unwrap_or_else(|_| panic!("no frame within {TIMEOUT:?}"))
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Waits until the other side closes the connection; gives the error of its `GOAWAY`, if it sent one.
    pub async fn ended(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = frame.code();
            }
        }
        code
    }

    /// The answer to a check on this stream. Those to others are kept until they are asked for.
    pub async fn answer(&mut self, stream: u32) -> CheckResponse {
        let mut body = Vec::new();
        loop {
            let frame = match self.kept.iter().position(|frame| frame.stream == stream) {
                Some(at) => self.kept.remove(at),
                None => self.next().await.unwrap_or_else(|| panic!("the connection ended before stream {stream} was answered")),
            };
            match frame.kind {
                _ if frame.stream != stream => self.kept.push(frame),
                DATA => body.extend_from_slice(&frame.payload),
                HEADERS if frame.flags & END_STREAM != 0 => {
                    let answer = RawAnswer { status: 200, grpc_status: Some("0".into()), body: body.into() };
                    return answer.check_response();
                }
                RST_STREAM => panic!("stream {stream} was reset: {frame:?}"),
                _ => {}
            }
        }
    }
}
