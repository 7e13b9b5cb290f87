//! Which headers the check sees, and which the service gets.

use super::Needs;
use super::finding::Severity;
use super::kinds::filter as kinds;
use super::node::Node;

/// What Portcullis looks at besides the credential, whatever the rules are.
const LOOKED_AT: [&str; 5] = ["content-encoding", "content-length", "content-type", "transfer-encoding", "upgrade"];
/// What Envoy sends over HTTP unasked.
const SENT_UNASKED: [&str; 2] = ["authorization", "content-length"];

/// Looks at the filter's choice of headers.
pub(super) fn check(node: &Node<'_>, name: &str, is_http: bool, needs: Option<&Needs>) {
    if !is_http && node.bool("encode_raw_headers") != Some(true) {
        node.find(&kinds::RAW_HEADERS, name, format!("the filter '{name}': encode_raw_headers is not on"));
    }
    let wanted: Vec<&str> = needs.map(|needs| needs.headers.iter().map(|header| &**header).collect()).unwrap_or_default();
    let http = node.get("http_service");
    let allowed = node.get("allowed_headers").or_else(|| http.as_ref()?.at(&["authorization_request", "allowed_headers"]));
    match &allowed {
        Some(allowed) => {
            let sees = |header: &str| (is_http && SENT_UNASKED.contains(&header)) || matches(allowed, header);
            hidden(allowed, name, "allowed_headers leaves out", &wanted, &|header| !sees(header));
            if !is_http {
                framing(allowed, name, "allowed_headers leaves out", &|header| !sees(header));
            }
        }
        None if is_http => {
            hidden(node, name, "without allowed_headers Envoy does not send", &wanted, &|header| !SENT_UNASKED.contains(&header));
        }
        None => {}
    }
    if let Some(disallowed) = node.get("disallowed_headers") {
        hidden(&disallowed, name, "disallowed_headers hides", &wanted, &|header| matches(&disallowed, header));
        framing(&disallowed, name, "disallowed_headers hides", &|header| matches(&disallowed, header));
    }
    if let Some(http) = http {
        answers(&http, name);
    }
}

/// Notes what is hidden of that which counts.
fn hidden(node: &Node<'_>, name: &str, what: &str, wanted: &[&str], is_hidden: &dyn Fn(&str) -> bool) {
    if is_hidden("authorization") {
        node.find(&kinds::CREDENTIAL_HIDDEN, name, format!("the filter '{name}': {what} 'authorization'"));
    }
    let rules: Vec<&str> = wanted.iter().copied().filter(|header| is_hidden(header)).collect();
    if !rules.is_empty() {
        let message = format!("the filter '{name}': {what} {}, which routes of the configuration look at", rules.join(", "));
        node.find_as(Severity::Error, &kinds::HEADERS_HIDDEN, name, message);
    }
}

/// Notes what is hidden of how a request is framed.
fn framing(node: &Node<'_>, name: &str, what: &str, is_hidden: &dyn Fn(&str) -> bool) {
    let headers: Vec<&str> = LOOKED_AT.into_iter().filter(|header| is_hidden(header)).collect();
    if !headers.is_empty() {
        node.find(&kinds::HEADERS_HIDDEN, name, format!("the filter '{name}': {what} {}", headers.join(", ")));
    }
}

/// Over HTTP: which headers of an answer reach the service and the client.
fn answers(http: &Node<'_>, name: &str) {
    let response = http.get("authorization_response");
    let has = |field: &str| response.as_ref().is_some_and(|response| response.has(field));
    let at = response.clone().unwrap_or_else(|| http.clone());
    if !has("allowed_upstream_headers") {
        at.find(&kinds::UPSTREAM_HEADERS, name, format!("the filter '{name}' has no allowed_upstream_headers"));
    }
    if let Some(append) = response.as_ref().and_then(|response| response.get("allowed_upstream_headers_to_append")) {
        let message = format!("the filter '{name}': allowed_upstream_headers_to_append leaves what the client wrote beside it");
        append.find(&kinds::UPSTREAM_HEADERS, name, message);
    }
    if !has("allowed_client_headers") {
        at.find(&kinds::CLIENT_HEADERS, name, format!("the filter '{name}' has no allowed_client_headers"));
    }
}

/// Whether a header's name (in lower case) is in an `envoy.type.matcher.v3.ListStringMatcher`.
fn matches(list: &Node<'_>, header: &str) -> bool {
    list.list("patterns").iter().any(|pattern| {
        let ignore_case = pattern.bool("ignore_case") == Some(true);
        let fold = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_string() };
        if let Some(text) = pattern.text("exact") {
            return fold(text) == header;
        }
        if let Some(text) = pattern.text("prefix") {
            return header.starts_with(&fold(text));
        }
        if let Some(text) = pattern.text("suffix") {
            return header.ends_with(&fold(text));
        }
        if let Some(text) = pattern.text("contains") {
            return header.contains(&fold(text));
        }
        let Some(text) = pattern.get("safe_regex").and_then(|regex| regex.text("regex")) else { return false };
        // As a whole, as Envoy does (RE2::FullMatch). An expression that cannot be read matches nothing.
        regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build().is_ok_and(|regex| regex.is_match(header))
    })
}
