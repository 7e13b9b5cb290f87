//! The filter ext_authz: `envoy.extensions.filters.http.ext_authz.v3.ExtAuthz`.

use super::document::Resources;
use super::finding::Severity;
use super::kinds::filter as kinds;
use super::manager::Surroundings;
use super::node::Node;
use super::order::Check;
use super::{Needs, body, fields, headers, service};

/// Looks at a filter.
pub(super) fn check<'a>(
    node: &Node<'a>,
    name: &'a str,
    surroundings: &Surroundings<'_>,
    resources: &Resources<'a>,
    needs: Option<&Needs>,
) -> Check<'a> {
    fields::check(node, &fields::EXT_AUTHZ, name);
    failure(node, name);
    switches(node, name);
    route_cache(node, name);
    let is_http = node.has("http_service");
    transport(node, name, is_http);
    mutations(node, name, is_http);
    headers::check(node, name, is_http, needs);
    let sends = node.get("with_request_body");
    body::check(sends.as_ref(), node, name, is_http, surroundings, needs);
    let asks = if let Some(http) = node.get("http_service") {
        service::http(&http, name, resources, needs)
    } else if let Some(grpc) = node.get("grpc_service") {
        service::grpc(&grpc, name, resources, needs)
    } else {
        node.find(&super::kinds::service::NO_SERVICE, name, format!("the filter '{name}' has neither grpc_service nor http_service"));
        None
    };
    Check { name, sends_bodies: sends.is_some(), asks }
}

fn failure(node: &Node<'_>, name: &str) {
    if let Some(allow) = node.is_true("failure_mode_allow") {
        allow.find(&kinds::FAILURE_MODE_ALLOW, name, format!("the filter '{name}': failure_mode_allow is on"));
    }
    if let Some(header) = node.is_true("failure_mode_allow_header_add") {
        header.find(&kinds::FAILURE_MODE_HEADER, name, format!("the filter '{name}': failure_mode_allow_header_add is on"));
    }
    if let Some(shadow) = node.is_true("shadow_mode") {
        shadow.find(&kinds::SHADOW_MODE, name, format!("the filter '{name}': shadow_mode is on"));
    }
    let Some(status) = node.get("status_on_error") else {
        node.find(&kinds::STATUS_ON_ERROR, name, format!("the filter '{name}' has no status_on_error: an error is a 403"));
        return;
    };
    const SUCCESS: [(&str, u32); 11] = [
        ("Empty", 0),
        ("OK", 200),
        ("Created", 201),
        ("Accepted", 202),
        ("NonAuthoritativeInformation", 203),
        ("NoContent", 204),
        ("ResetContent", 205),
        ("PartialContent", 206),
        ("MultiStatus", 207),
        ("AlreadyReported", 208),
        ("IMUsed", 226),
    ];
    let code = status.text("code").unwrap_or_default();
    let number = SUCCESS.iter().find(|(name, _)| name.eq_ignore_ascii_case(code)).map(|(_, number)| *number);
    if matches!(number.or_else(|| code.parse().ok()), Some(200..300)) {
        status.find(&kinds::STATUS_ON_ERROR_SUCCESS, name, format!("the filter '{name}': status_on_error is {code}"));
    }
}

/// What lets requests by on purpose.
fn switches(node: &Node<'_>, name: &str) {
    let denies = node.get("deny_at_disable").and_then(|deny| deny.bool("default_value")) == Some(true);
    let severity = |kind: &'static super::Kind| if denies { Severity::Warning } else { kind.severity };
    if let Some(enabled) = node.get("filter_enabled") {
        let fraction = enabled.get("default_value");
        const DENOMINATORS: [(&str, u32); 3] = [("HUNDRED", 0), ("TEN_THOUSAND", 1), ("MILLION", 2)];
        let whole = match fraction.as_ref().and_then(|fraction| fraction.choice("denominator", &DENOMINATORS)) {
            Some(1) => 10_000.0,
            Some(2) => 1_000_000.0,
            _ => 100.0,
        };
        let part = fraction.as_ref().and_then(|fraction| fraction.number("numerator")).unwrap_or(0.0);
        if part < whole {
            let asked = if denies { "the others are refused" } else { "the others pass" };
            let message = format!("the filter '{name}' checks {part} of {whole} requests (filter_enabled): {asked}");
            enabled.find_as(severity(&kinds::PARTLY_ENABLED), &kinds::PARTLY_ENABLED, name, message);
        }
        if let Some(key) = enabled.text("runtime_key").filter(|key| !key.is_empty()) {
            let message = format!("the filter '{name}' is turned off by the runtime key '{key}' (filter_enabled)");
            enabled.find(&kinds::RUNTIME_SWITCH, name, message);
        }
    }
    if let Some(metadata) = node.get("filter_enabled_metadata") {
        let message = format!("the filter '{name}' checks only requests with some metadata (filter_enabled_metadata)");
        metadata.find_as(severity(&kinds::METADATA_SWITCH), &kinds::METADATA_SWITCH, name, message);
    }
}

fn route_cache(node: &Node<'_>, name: &str) {
    let Some(clear) = node.is_true("clear_route_cache") else { return };
    let only = node.texts("clear_route_cache_headers");
    if only.is_empty() {
        clear.find(&kinds::CLEAR_ROUTE_CACHE, name, format!("the filter '{name}': clear_route_cache is on"));
    } else {
        let names: Vec<&str> = only.iter().map(|(_, text)| *text).collect();
        let message = format!("the filter '{name}': clear_route_cache is on for {}", names.join(", "));
        clear.find_as(Severity::Warning, &kinds::CLEAR_ROUTE_CACHE, name, message);
    }
}

fn transport(node: &Node<'_>, name: &str, is_http: bool) {
    if is_http {
        return;
    }
    const VERSIONS: [(&str, u32); 3] = [("AUTO", 0), ("V2", 1), ("V3", 2)];
    match node.get("transport_api_version") {
        None => node.find(&kinds::TRANSPORT_VERSION, name, format!("the filter '{name}' has no transport_api_version")),
        Some(version) => match version.as_choice(&VERSIONS) {
            Some(0) => version.find(&kinds::TRANSPORT_VERSION, name, format!("the filter '{name}': transport_api_version is AUTO")),
            Some(1) => version.find(&kinds::OLD_TRANSPORT, name, format!("the filter '{name}': transport_api_version is V2")),
            _ => {}
        },
    }
}

/// What an answer may change.
fn mutations(node: &Node<'_>, name: &str, is_http: bool) {
    if node.bool("validate_mutations") != Some(true) {
        node.find(&kinds::VALIDATE_MUTATIONS, name, format!("the filter '{name}': validate_mutations is not on"));
    }
    let Some(rules) = node.get("decoder_header_mutation_rules") else {
        // Over HTTP, allowed_upstream_headers names what an answer may set.
        if is_http {
            return;
        }
        node.find(&kinds::MUTATION_RULES, name, format!("the filter '{name}' has no decoder_header_mutation_rules"));
        return;
    };
    if rules.bool("disallow_all") == Some(true) {
        return;
    }
    if rules.bool("disallow_system") != Some(true) {
        rules.find(&kinds::MUTATION_RULES, name, format!("the filter '{name}': disallow_system is not on: an answer may change :path"));
    }
    for field in ["allow_all_routing", "allow_envoy"] {
        if let Some(allow) = rules.is_true(field) {
            allow.find(&kinds::MUTATION_RULES, name, format!("the filter '{name}': {field} is on"));
        }
    }
}
