//! Bodies that go along with the question.

use super::Needs;
use super::finding::Severity;
use super::kinds::body as kinds;
use super::manager::Surroundings;
use super::node::Node;

/// More of a body is not read (docs/bodies.md).
const READ: f64 = 65_536.0;
/// What the rest of a question may need: headers, certificates.
const REST: f64 = 65_536.0;

/// Looks at `with_request_body` of a filter or of a route.
pub(super) fn check(
    body: Option<&Node<'_>>,
    filter: &Node<'_>,
    name: &str,
    is_http: bool,
    surroundings: &Surroundings<'_>,
    needs: Option<&Needs>,
) {
    let routes = needs.map(|needs| needs.body_routes.as_slice()).unwrap_or_default();
    let Some(body) = body else {
        if !routes.is_empty() {
            let message = format!("the filter '{name}' sends no bodies, and the configuration has rules about those of {}", some(routes));
            filter.find(&kinds::BODY_NOT_SENT, name, message);
        }
        return;
    };
    if is_http && !routes.is_empty() {
        let message =
            format!("over HTTP the filter '{name}' sends bodies in a form that Portcullis does not judge; use gRPC for {}", some(routes));
        body.find(&kinds::BODY_NOT_SENT, name, message);
    }
    if !is_http && body.bool("pack_as_bytes") != Some(true) {
        let severity = if routes.is_empty() { Severity::Warning } else { Severity::Error };
        body.find_as(severity, &kinds::BODY_AS_TEXT, name, format!("'{name}': pack_as_bytes is not on"));
    }
    if body.bool("allow_partial_message") != Some(true) {
        body.find(&kinds::BODY_REFUSED, name, format!("'{name}': allow_partial_message is not on"));
    }
    let Some(most) = body.get("max_request_bytes") else { return };
    let Some(bytes) = most.as_number() else { return };
    if bytes > READ {
        most.find(&kinds::BODY_TOO_MUCH, name, format!("'{name}' sends up to {bytes} bytes of a body"));
    }
    if bytes > surroundings.buffer {
        let message =
            format!("'{name}' sends up to {bytes} bytes of a body, and listener '{}' keeps {}", surroundings.listener, surroundings.buffer);
        most.find(&kinds::BODY_BUFFER, name, message);
    }
    if let Some(needs) = needs
        && bytes + REST > needs.message_bytes as f64
    {
        let message =
            format!("'{name}' sends up to {bytes} bytes of a body, and limits.message_bytes is {} with headers", needs.message_bytes);
        most.find(&kinds::BODY_MESSAGE, name, message);
    }
}

/// Names for a message.
pub(super) fn some(names: &[std::sync::Arc<str>]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("'{name}'")).collect();
    match names.len().saturating_sub(3) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
