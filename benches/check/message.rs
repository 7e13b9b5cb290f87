//! The messages of both sides: questions are encoded before the clock runs, answers are read no further than needed.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::ext_authz::v3::pb::CheckRequest;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as RequestContext};
use envoy_types::pb::google::protobuf::Timestamp;
use prost::Message;

use crate::support::Request;

/// A question and the answer that it should get.
pub struct Check {
    /// The message with its gRPC prefix.
    pub frame: Bytes,
    /// What should come back.
    pub expected: Expected,
}

/// What should come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The request may pass.
    Allowed,
    /// It may not, and the client gets this status.
    Denied(i32),
}

impl Check {
    /// The message that Envoy sends for a request.
    pub fn new(request: &Request, expected: Expected) -> Self {
        let headers: HashMap<String, String> = request.headers.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        let message = CheckRequest {
            attributes: Some(AttributeContext {
                source: Some(peer("10.1.2.3", 40_000)),
                destination: Some(peer("10.1.9.9", 8443)),
                request: Some(RequestContext {
                    time: Some(Timestamp { seconds: 1_790_000_000, nanos: 1 }),
                    http: Some(HttpRequest {
                        id: headers.get("x-request-id").cloned().unwrap_or_default(),
                        method: request.method.into(),
                        path: request.path.clone(),
                        host: request.authority.into(),
                        scheme: "https".into(),
                        protocol: "HTTP/1.1".into(),
                        headers,
                        ..HttpRequest::default()
                    }),
                }),
                ..AttributeContext::default()
            }),
        };
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).expect("a short message"));
        message.encode(&mut frame).expect("the buffer grows");
        Self { frame: frame.freeze(), expected }
    }
}

fn peer(address: &str, port: u32) -> Peer {
    let socket =
        SocketAddress { address: address.into(), port_specifier: Some(PortSpecifier::PortValue(port)), ..SocketAddress::default() };
    Peer { address: Some(Address { address: Some(AddressKind::SocketAddress(socket)) }), ..Peer::default() }
}

/// The parts of a `CheckResponse` that say what Envoy will do; the others are skipped unread.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(message, optional, tag = "1")]
    status: Option<Code>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    ok: Option<Skipped>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Code {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<Code>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Skipped {}

impl Answer {
    /// Reads a message with its gRPC prefix.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let (prefix, message) = frame.split_first_chunk::<5>()?;
        (prefix[0] == 0).then(|| Self::decode(message).ok())?
    }
}

impl Expected {
    /// Whether Envoy would do what it should.
    pub fn agrees_with(self, answer: &Answer) -> bool {
        let passes = answer.status.is_none_or(|status| status.code == 0);
        match self {
            Self::Allowed => passes && answer.denied.is_none() && answer.ok.is_some(),
            Self::Denied(code) => {
                !passes && answer.ok.is_none() && answer.denied.and_then(|denied| denied.status).is_some_and(|status| status.code == code)
            }
        }
    }
}
