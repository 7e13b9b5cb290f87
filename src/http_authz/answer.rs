//! From an answer to what a proxy understands.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::Full;

use super::Dialect;
use crate::ext_authz::{PlainAnswer, PlainHeaders, PlainOutcome};

/// Envoy takes these headers, separated by commas, from the request before it goes on (`ext_authz` with `http_service`).
const ENVOY_REMOVES: &str = "x-envoy-auth-headers-to-remove";
/// The status that the client should get. nginx passes on 401 and 403 only, and its configuration can make the one it shows of this.
const STATUS: &str = "x-authz-status";
/// The decision's id. nginx passes no body on, and its configuration can make the one it shows with this.
const DECISION_ID: &str = "x-authz-decision-id";

/// Encodes an answer for proxies of this dialect. A pass is 200, and nothing else is a 2xx.
pub(super) fn encode(dialect: &Dialect, answer: PlainAnswer) -> http::Response<Full<Bytes>> {
    let PlainAnswer { id, outcome } = answer;
    match outcome {
        PlainOutcome::Pass { set, remove, to_client } => {
            let mut headers = set;
            headers.extend(to_client);
            if dialect.removes_headers() && !remove.is_empty() {
                headers.push((ENVOY_REMOVES.into(), remove.join(",")));
            }
            respond(StatusCode::OK, headers, String::new()).unwrap_or_else(broken)
        }
        PlainOutcome::Refuse { status, mut headers, body } => {
            let shown = match dialect {
                Dialect::Nginx => {
                    headers.push((STATUS.into(), status.to_string()));
                    headers.push((DECISION_ID.into(), id));
                    // Any other 4xx would be an error of nginx's, and its client would be told that the service is broken.
                    if (400..500).contains(&status) && status != 401 { 403 } else { status }
                }
                Dialect::ForwardAuth { .. } | Dialect::Envoy { .. } => status,
            };
            let shown = StatusCode::from_u16(shown).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            respond(shown, headers, body).unwrap_or_else(broken)
        }
    }
}

/// `None`: a header cannot be sent as it is.
fn respond(status: StatusCode, headers: PlainHeaders, body: String) -> Option<http::Response<Full<Bytes>>> {
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        // Whoever is told twice who somebody is cannot know which to believe.
        if response.headers_mut().insert(name, HeaderValue::from_str(&value).ok()?).is_some() {
            return None;
        }
    }
    Some(response)
}

/// A defect of ours. Values are safe in headers by construction, so this never happens; if it does, it is closed.
fn broken() -> http::Response<Full<Bytes>> {
    tracing::error!("an answer cannot be put into headers, so a check was refused");
    let mut response = http::Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
