//! `typed_per_filter_config`: what routes say of the filter ext_authz.

use super::finding::Severity;
use super::kinds::file as files;
use super::kinds::routes as kinds;
use super::kinds::{body as bodies, service as services};
use super::node::Node;
use super::order::Check;
use super::routes::Around;
use super::{body, fields, manager, service};

const PER_ROUTE: &str = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// Looks at the settings of a route, a virtual host, a weighted cluster, or all routes (`what`, called `name` for short). Gives whether
/// they turn a check off.
pub(super) fn check(node: &Node<'_>, what: &str, name: &str, answers_alone: bool, around: &Around<'_, '_>) -> bool {
    let Some(settings) = node.get("typed_per_filter_config") else { return false };
    let mut is_off = false;
    for (key, entry) in settings.entries() {
        let filter = around.filters.checks.iter().find(|check| check.name == key);
        let Some((mut kind, mut content)) = entry.any() else { continue };
        let mut disabled = None;
        if kind == FILTER_CONFIG {
            fields::check(&content, &fields::FILTER_CONFIG, name);
            disabled = content.is_true("disabled");
            let optional = content.is_true("is_optional");
            if filter.is_some()
                && let Some(optional) = optional
            {
                optional.find(&kinds::OPTIONAL_SETTINGS, name, format!("{what}: the settings of '{key}' are optional"));
            }
            if let Some((inner, config)) = content.any_in("config") {
                (kind, content) = (inner, config);
            }
        }
        let Some(filter) = filter else {
            if kind == PER_ROUTE && !around.filters.has_unseen {
                entry.find(&kinds::FILTER_NAME, name, format!("{what}: there is no filter ext_authz called '{key}'"));
            }
            continue;
        };
        let disabled = disabled.or_else(|| (kind == PER_ROUTE).then(|| content.is_true("disabled")).flatten());
        if let Some(disabled) = disabled {
            is_off = true;
            off(&disabled, key, what, name, answers_alone);
        }
        if kind == PER_ROUTE {
            fields::check(&content, &fields::PER_ROUTE, name);
            if let Some(settings) = content.get("check_settings") {
                check_settings(&settings, filter, what, name, around);
            }
        } else if kind != FILTER_CONFIG {
            entry.find(&files::WRONG_TYPE, name, format!("{what}: the settings of '{key}' are a {kind}, and not an ExtAuthzPerRoute"));
        }
    }
    is_off
}

fn off(node: &Node<'_>, filter: &str, what: &str, name: &str, answers_alone: bool) {
    if answers_alone {
        let message = format!("{what}: the filter '{filter}' is off, and Envoy answers by itself");
        node.find(&kinds::DISABLED_DIRECT, name, message);
    } else {
        node.find(&kinds::DISABLED, name, format!("{what}: the filter '{filter}' is off"));
    }
}

fn check_settings(node: &Node<'_>, filter: &Check<'_>, what: &str, name: &str, around: &Around<'_, '_>) {
    fields::check(node, &fields::CHECK_SETTINGS, name);
    if let Some(off) = node.is_true("disable_request_body_buffering")
        && (filter.sends_bodies || node.has("with_request_body"))
    {
        // Which of the configuration's routes these requests are for is more than can be said from here.
        let has_rules = around.needs.is_some_and(|needs| !needs.body_routes.is_empty());
        let severity = if has_rules { Severity::Warning } else { Severity::Note };
        off.find_as(severity, &bodies::BODY_OFF, name, format!("{what}: bodies are not sent along"));
    }
    let is_http = node.has("http_service");
    if let Some(sends) = node.get("with_request_body") {
        let surroundings = manager::Surroundings { listener: name, buffer: f64::INFINITY };
        body::check(Some(&sends), node, name, is_http, &surroundings, around.needs);
    }
    let asked = if let Some(http) = node.get("http_service") {
        Some((http.clone(), service::http(&http, name, around.resources, None)))
    } else {
        node.get("grpc_service").map(|grpc| (grpc.clone(), service::grpc(&grpc, name, around.resources, around.needs)))
    };
    if let Some((at, asked)) = asked
        && asked != filter.asks
    {
        at.find(
            &services::ELSEWHERE,
            name,
            format!("{what}: '{}' is asked instead of '{}'", asked.unwrap_or("nobody"), filter.asks.unwrap_or("nobody")),
        );
    }
}
