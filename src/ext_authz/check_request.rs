//! From Envoy's `CheckRequest` to an [`AccessRequest`] that borrows from it.

use envoy_types::ext_authz::v3::pb::CheckRequest;
use envoy_types::pb::envoy::config::core::v3::address::Address;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer as PbPeer};

use crate::pdp::request::{AccessRequest, HeaderValue, Headers, Peer, RequestBody};

/// The message holds no HTTP request that could be judged. Envoy's network filter (TCP) sends such messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the parts of a message that decisions are made from.
pub(super) fn access_request(message: &CheckRequest) -> Result<AccessRequest<'_>, Malformed> {
    let attributes = message.attributes.as_ref().ok_or(Malformed)?;
    let http = attributes.request.as_ref().and_then(|request| request.http.as_ref()).ok_or(Malformed)?;
    if http.method.is_empty() {
        return Err(Malformed);
    }
    let headers = headers(http)?;
    Ok(AccessRequest {
        method: &http.method,
        target: &http.path,
        authority: &http.host,
        body: body(http, &headers),
        headers,
        peer: attributes.source.as_ref().map(peer).unwrap_or_default(),
    })
}

/// The header in which Envoy says whether it sent only a part of the body. It is not the client's: Envoy takes that away.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// Envoy sends `raw_body` (with `pack_as_bytes`) or `body`, in which each byte that is not UTF-8 has become `!`: another text than the
/// one that the service behind reads.
fn body<'r>(http: &'r HttpRequest, headers: &Headers<'_>) -> RequestBody<'r> {
    match headers.single(PARTIAL_BODY) {
        HeaderValue::Absent if http.raw_body.is_empty() && http.body.is_empty() => RequestBody::NotSent,
        HeaderValue::One(b"false") if !http.raw_body.is_empty() && http.body.is_empty() => RequestBody::Whole(&http.raw_body),
        _ => RequestBody::Incomplete,
    }
}

/// Envoy sends `headers` (duplicates joined) or, with `encode_raw_headers`, `header_map` (as they came). Both at once would
/// be two requests in one.
fn headers(http: &HttpRequest) -> Result<Headers<'_>, Malformed> {
    let mut headers = Headers::default();
    match &http.header_map {
        Some(raw) if !raw.headers.is_empty() => {
            if !http.headers.is_empty() {
                return Err(Malformed);
            }
            for header in &raw.headers {
                let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
                headers.push(&header.key, value);
            }
        }
        _ => {
            for (name, value) in &http.headers {
                headers.push(name, value.as_bytes());
            }
        }
    }
    Ok(headers)
}

fn peer(peer: &PbPeer) -> Peer<'_> {
    let address = match peer.address.as_ref().and_then(|address| address.address.as_ref()) {
        Some(Address::SocketAddress(socket)) => &*socket.address,
        _ => "",
    };
    Peer { address, principal: &peer.principal }
}
