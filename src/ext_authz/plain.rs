//! Checks for proxies that do not speak Envoy's protocol: the request becomes one of Envoy's messages and goes the way of all others,
//! and what is answered to that is read back. One way means one set of bounds, records and counts.

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse, HttpResponse};
use envoy_types::pb::envoy::config::core::v3::address::Address as PbAddress;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, HeaderMap, HeaderValue, HeaderValueOption, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::google::protobuf::Struct;
use envoy_types::pb::google::protobuf::value::Kind;
use http_body_util::Full;
use prost::Message;

use super::{AuthorizationServer, Call, message};

/// A request as a proxy described it. Its body is never sent along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainRequest {
    /// The HTTP method.
    pub method: String,
    /// The raw request target: path and query.
    pub target: String,
    /// The host that was asked for, with or without a port.
    pub authority: String,
    /// The client's header fields with names in lower case, duplicates apart, without what the proxy put there for us.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The client's IP address; empty: unknown.
    pub address: String,
}

/// Names and values in the order in which they are sent.
pub type PlainHeaders = Vec<(String, String)>;

/// What the proxy is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainAnswer {
    /// The decision's id, as the log has it.
    pub id: String,
    /// The rest.
    pub outcome: PlainOutcome,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainOutcome {
    /// It goes on to the service.
    Pass {
        /// Headers to set for the service, whatever the client sent.
        set: PlainHeaders,
        /// Headers to take away, whether or not they are there.
        remove: Vec<String>,
        /// Headers for the client, with the service's answer.
        to_client: PlainHeaders,
    },
    /// It does not, and the client gets this.
    Refuse {
        /// From 400 to 599.
        status: u16,
        /// Each once.
        headers: PlainHeaders,
        /// A problem document (RFC 9457).
        body: String,
    },
}

impl AuthorizationServer {
    /// The same server, for those who can only be told that a request passes or how it is refused: what Portcullis would answer by
    /// itself is refused for them (`answer_impossible`).
    #[must_use]
    pub fn for_plain(&self) -> Self {
        Self { can_answer: false, ..self.clone() }
    }

    /// A header of a request that a service may take for one that Portcullis sets or takes away, though it is spelled otherwise.
    #[must_use]
    pub fn another_spelling<'r>(&self, request: &'r PlainRequest) -> Option<&'r str> {
        let version = self.inner.live.version();
        let mut names = request.headers.iter().map(|(name, _)| name.as_str());
        names.find(|name| version.snapshot.identity_headers.is_another_spelling(name))
    }
}

impl Call {
    /// Decides about a request; `None`: it could not be read, and is refused as malformed.
    pub async fn answer_plain(self, request: Option<PlainRequest>) -> PlainAnswer {
        // A message without a request in it is what cannot be judged.
        let message = request.map_or_else(CheckRequest::default, check_request);
        let frame = self.answer(Full::new(message::framed(&message))).await;
        plain_answer(&message::unframed(&frame))
    }
}

fn check_request(request: PlainRequest) -> CheckRequest {
    let PlainRequest { method, target, authority, headers, address } = request;
    let headers = headers.into_iter().map(|(key, raw_value)| HeaderValue { key, raw_value, ..HeaderValue::default() }).collect();
    let http = HttpRequest { method, path: target, host: authority, header_map: Some(HeaderMap { headers }), ..HttpRequest::default() };
    let socket = SocketAddress { address, port_specifier: Some(PortSpecifier::PortValue(0)), ..SocketAddress::default() };
    let source = Peer { address: Some(Address { address: Some(PbAddress::SocketAddress(socket)) }), ..Peer::default() };
    let request = Some(Request { http: Some(http), ..Request::default() });
    CheckRequest { attributes: Some(AttributeContext { source: Some(source), request, ..AttributeContext::default() }) }
}

/// Only what says in both places that it passes does.
fn plain_answer(message: &Bytes) -> PlainAnswer {
    let response = CheckResponse::decode(message.clone()).unwrap_or_default();
    let id = response.dynamic_metadata.as_ref().map(decision_id).unwrap_or_default();
    let outcome = match (response.status.map(|status| status.code), response.http_response) {
        (Some(0), Some(HttpResponse::OkResponse(ok))) => {
            PlainOutcome::Pass { set: pairs(ok.headers), remove: ok.headers_to_remove, to_client: pairs(ok.response_headers_to_add) }
        }
        (Some(1..), Some(HttpResponse::DeniedResponse(denied))) => {
            let status = denied.status.and_then(|status| u16::try_from(status.code).ok()).filter(|status| (400..600).contains(status));
            match status {
                Some(status) => PlainOutcome::Refuse { status, headers: pairs(denied.headers), body: denied.body },
                None => undecided(),
            }
        }
        _ => undecided(),
    };
    PlainAnswer { id, outcome }
}

/// What a defect of ours comes to.
fn undecided() -> PlainOutcome {
    PlainOutcome::Refuse { status: 503, headers: Vec::new(), body: String::new() }
}

fn pairs(headers: Vec<HeaderValueOption>) -> PlainHeaders {
    headers.into_iter().filter_map(|option| option.header).map(|header| (header.key, header.value)).collect()
}

fn decision_id(metadata: &Struct) -> String {
    match metadata.fields.get("decision_id").and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(id)) => id.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::ext_authz::v3::pb::{DeniedHttpResponse, HttpStatus, OkHttpResponse};
    use envoy_types::pb::google::rpc::Status;

    use super::*;

    fn read(code: Option<i32>, response: Option<HttpResponse>) -> PlainOutcome {
        let status = code.map(|code| Status { code, ..Status::default() });
        let message = CheckResponse { status, http_response: response, dynamic_metadata: None };
        plain_answer(&message.encode_to_vec().into()).outcome
    }

    fn denied(status: i32) -> Option<HttpResponse> {
        Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: status }),
            ..DeniedHttpResponse::default()
        }))
    }

    #[test]
    fn only_what_says_twice_that_it_passes_does() {
        let ok = || Some(HttpResponse::OkResponse(OkHttpResponse::default()));
        assert!(matches!(read(Some(0), ok()), PlainOutcome::Pass { .. }));
        for (code, response) in [
            (None, None),
            (None, ok()),
            (None, denied(200)),
            (Some(0), None),
            (Some(0), denied(403)),
            (Some(7), None),
            (Some(7), ok()),
            (Some(7), denied(0)),
            (Some(7), denied(200)),
            (Some(7), denied(302)),
            (Some(7), denied(600)),
            (Some(7), denied(65_736)),
            (Some(-1), denied(403)),
        ] {
            let text = format!("{code:?} {response:?}");
            assert_eq!(read(code, response), undecided(), "{text}");
        }
        assert!(matches!(read(Some(7), denied(403)), PlainOutcome::Refuse { status: 403, .. }));
        assert_eq!(plain_answer(&Bytes::from_static(&[0xff; 9])).outcome, undecided());
    }
}
