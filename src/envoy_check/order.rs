//! The filters of an HTTP connection manager, in their order.

use super::document::Resources;
use super::kinds::file as files;
use super::kinds::order as kinds;
use super::manager::Surroundings;
use super::node::Node;
use super::{Needs, cluster, fields, filter};

/// What the types of HTTP filters begin with.
const HTTP_FILTERS: &str = "envoy.extensions.filters.http.";
pub(super) const EXT_AUTHZ: &str = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";

/// What a filter does to a request, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The check itself.
    Check,
    /// The router: the end.
    Router,
    /// Nothing that would make the service see another request than the check, wherever it stands.
    None,
    /// It changes requests, or can be made to.
    Rewrites,
    /// It changes the path: REST to gRPC.
    Transcodes,
    /// It answers from what others asked.
    Caches,
    /// It answers some requests by itself.
    Answers,
    /// It has filters of its own, and decides which of them apply.
    Composes,
}

/// What the filters of Envoy 1.40 (and Istio's) do, by the names of their packages.
fn effect(kind: &str) -> Option<Effect> {
    if kind == "envoy.extensions.common.matching.v3.ExtensionWithMatcher" {
        return Some(Effect::Composes);
    }
    let istio = ["istio.envoy.config.filter.http.alpn", "io.istio.http.peer_metadata", "istio.authentication", "stats.PluginConfig"];
    if istio.iter().any(|known| kind.starts_with(known)) {
        return Some(Effect::None);
    }
    let package = kind.strip_prefix(HTTP_FILTERS)?.split('.').next()?;
    Some(match package {
        "ext_authz" => Effect::Check,
        "router" => Effect::Router,
        "adaptive_concurrency"
        | "admission_control"
        | "alternate_protocols_cache"
        | "api_key_auth"
        | "aws_eventstream_parser"
        | "bandwidth_limit"
        | "bandwidth_share"
        | "basic_auth"
        | "body_size_limit"
        | "buffer"
        | "cdn_loop"
        | "compressor"
        | "cors"
        | "csrf"
        | "custom_response"
        | "fault"
        | "file_system_buffer"
        | "geoip"
        | "grpc_field_extraction"
        | "grpc_stats"
        | "grpc_web"
        | "header_to_metadata"
        | "ip_tagging"
        | "json_to_metadata"
        | "jwt_authn"
        | "local_ratelimit"
        | "on_demand"
        | "original_src"
        | "proto_message_extraction"
        | "rate_limit_quota"
        | "ratelimit"
        | "rbac"
        | "set_filter_state"
        | "set_metadata"
        | "sse_to_metadata"
        | "stateful_session"
        | "tap"
        | "thrift_to_metadata"
        | "upstream_codec"
        | "aws_request_signing"
        | "gcp_authn"
        | "credential_injector" => Effect::None,
        "lua"
        | "wasm"
        | "ext_proc"
        | "golang"
        | "dynamic_modules"
        | "header_mutation"
        | "transform"
        | "decompressor"
        | "dynamic_forward_proxy"
        | "grpc_http1_bridge"
        | "grpc_http1_reverse_bridge"
        | "connect_grpc_bridge"
        | "proto_api_scrubber"
        | "mcp_json_rest_bridge"
        | "ai_protocol_manager"
        | "aws_lambda"
        | "oauth2" => Effect::Rewrites,
        "grpc_json_transcoder" | "grpc_json_reverse_transcoder" => Effect::Transcodes,
        "cache" | "cache_v2" => Effect::Caches,
        "health_check" | "file_server" => Effect::Answers,
        "composite" | "filter_chain" => Effect::Composes,
        _ => return None,
    })
}

/// A filter ext_authz.
pub(super) struct Check<'a> {
    /// The name under which routes refer to it.
    pub name: &'a str,
    /// What it sends of bodies.
    pub sends_bodies: bool,
    /// Whom it asks: a cluster's name.
    pub asks: Option<&'a str>,
}

/// The filters of a manager.
#[derive(Default)]
pub(super) struct Filters<'a> {
    pub checks: Vec<Check<'a>>,
    /// There is one that may be ext_authz, and cannot be seen.
    pub has_unseen: bool,
}

/// A filter with the place that it has.
struct Placed<'a> {
    /// The entry in the list.
    entry: Node<'a>,
    name: &'a str,
    kind: &'a str,
    content: Node<'a>,
    effect: Option<Effect>,
}

/// Looks at a list of filters.
pub(super) fn check<'a>(
    node: &Node<'a>,
    field: &str,
    surroundings: &Surroundings<'_>,
    resources: &Resources<'a>,
    needs: Option<&Needs>,
) -> Filters<'a> {
    let mut filters = Filters::default();
    let placed = placed(node, field, surroundings, resources, &mut filters);
    for (index, this) in placed.iter().enumerate() {
        let name = this.name;
        match this.effect {
            Some(Effect::Check) => {
                one_check(this, false, surroundings, resources, needs, &mut filters);
                if placed.iter().take(index).any(|other| other.effect == Some(Effect::Router)) {
                    this.entry.find(&kinds::BEHIND_ROUTER, name, format!("the filter '{name}' stands behind the router"));
                }
            }
            Some(Effect::Composes) => composed(this, surroundings, resources, needs, &mut filters),
            _ => {}
        }
    }
    // What stands around the check: the first one that has no matcher around it.
    let Some(at) = placed.iter().position(|placed| placed.effect == Some(Effect::Check)) else { return filters };
    for (index, this) in placed.iter().enumerate() {
        around(this, index < at);
        if this.effect == Some(Effect::Composes) {
            inside(this).iter().for_each(|inner| around(inner, index < at));
        }
    }
    filters
}

/// The filters of a list with their contents, wherever those are.
fn placed<'a>(
    node: &Node<'a>,
    field: &str,
    surroundings: &Surroundings<'_>,
    resources: &Resources<'a>,
    filters: &mut Filters<'a>,
) -> Vec<Placed<'a>> {
    let mut placed = Vec::new();
    for entry in node.list(field) {
        fields::check(&entry, &fields::HTTP_FILTER, surroundings.listener);
        let name = entry.text("name").unwrap_or_default();
        let typed = match entry.get("config_discovery") {
            Some(discovery) => {
                let found = resources.filter(name).cloned();
                if found.is_none() {
                    let message = format!("the filter '{name}' comes from elsewhere (ECDS): not looked at");
                    discovery.find(&files::NOT_SEEN, name, message);
                    filters.has_unseen |= discovery.texts("type_urls").iter().any(|(_, url)| url.ends_with(EXT_AUTHZ));
                }
                // What counts until the other one comes, or when it does not.
                found.or_else(|| discovery.get("default_config"))
            }
            None => entry.get("typed_config"),
        };
        let Some((kind, content)) = typed.and_then(|typed| typed.any()) else {
            if entry.get("config_discovery").is_none() {
                entry.find(&files::UNKNOWN_FILTER, name, format!("the filter '{name}' has no typed_config, so it is not known what it is"));
            }
            continue;
        };
        placed.push(Placed { entry, name, kind, content, effect: effect(kind) });
    }
    placed
}

fn one_check<'a>(
    this: &Placed<'a>,
    is_conditional: bool,
    surroundings: &Surroundings<'_>,
    resources: &Resources<'a>,
    needs: Option<&Needs>,
    filters: &mut Filters<'a>,
) {
    let name = this.name;
    if let Some(disabled) = this.entry.is_true("disabled") {
        disabled.find(&kinds::FILTER_DISABLED, name, format!("the filter '{name}' is disabled, but for routes that turn it on"));
    }
    if let Some(optional) = this.entry.is_true("is_optional") {
        optional.find(&kinds::FILTER_OPTIONAL, name, format!("the filter '{name}' is optional"));
    }
    if is_conditional {
        let message = format!("whether the filter '{name}' checks a request is a matcher's decision");
        this.entry.find(&kinds::CONDITIONAL, name, message);
    }
    filters.checks.push(filter::check(&this.content, name, surroundings, resources, needs));
}

/// A filter that has filters of its own: is the check one of them?
fn composed<'a>(
    this: &Placed<'a>,
    surroundings: &Surroundings<'_>,
    resources: &Resources<'a>,
    needs: Option<&Needs>,
    filters: &mut Filters<'a>,
) {
    let mut inner = Vec::new();
    this.content.walk(&mut |node| {
        if node.is_map()
            && node.has("@type")
            && node.text("@type").is_some_and(|url| url.ends_with(EXT_AUTHZ))
            && let Some((kind, content)) = node.any()
        {
            inner.push((kind, content));
        }
    });
    for (kind, content) in inner {
        let inner = Placed { entry: this.entry.clone(), name: this.name, kind, content, effect: Some(Effect::Check) };
        one_check(&inner, true, surroundings, resources, needs, filters);
    }
}

/// The filters that a filter has in it. What chooses between them is no filter, and what comes from elsewhere is said.
fn inside<'a>(this: &Placed<'a>) -> Vec<Placed<'a>> {
    let mut inside = Vec::new();
    this.content.walk(&mut |node| {
        if !node.is_map() {
            return;
        }
        for field in ["dynamic_config", "config_discovery"] {
            if let Some(elsewhere) = node.get(field) {
                let message = format!("a filter in '{}' comes from elsewhere (ECDS): not looked at", this.name);
                elsewhere.find(&files::NOT_SEEN, this.name, message);
            }
        }
        if node.has("@type")
            && let Some((kind, content)) = node.any()
            && kind.starts_with(HTTP_FILTERS)
            && !matches!(effect(kind), Some(Effect::Composes | Effect::Check))
        {
            let entry = node.clone();
            inside.push(Placed { entry, name: this.name, kind, content, effect: effect(kind) });
        }
    });
    inside
}

/// What a filter does before or behind the check.
fn around(this: &Placed<'_>, is_before: bool) {
    let Placed { entry, name, kind, .. } = this;
    let short = kind.rsplit('.').next().unwrap_or(kind);
    match (this.effect, is_before) {
        (None, true) => {
            let message = format!("before ext_authz stands the filter '{name}' ({kind}), which this check does not know");
            entry.find(&files::UNKNOWN_FILTER, name, message);
        }
        (None, false) => {
            let message = format!("behind ext_authz stands the filter '{name}' ({kind}), which this check does not know");
            entry.find(&files::UNKNOWN_FILTER, name, message);
        }
        (Some(Effect::Caches), true) => {
            entry.find(&kinds::CACHE_BEFORE, name, format!("the cache '{name}' stands before ext_authz"));
        }
        (Some(Effect::Caches), false) => {
            entry.find(&kinds::CACHE_BEHIND, name, format!("the cache '{name}' stands behind ext_authz"));
        }
        (Some(Effect::Answers), true) if this.content.bool("pass_through_mode") != Some(true) => {
            entry.find(&kinds::ANSWERS_BEFORE, name, format!("the filter '{name}' ({short}) stands before ext_authz"));
        }
        (Some(Effect::Rewrites), false) => {
            let message = format!("the filter '{name}' ({short}) stands behind ext_authz and can change requests");
            entry.find(&kinds::REWRITES_BEHIND, name, message);
        }
        (Some(Effect::Router), _) => {
            cluster::upstream_filters(&this.content, "upstream_http_filters", &format!("the router '{name}'"), name);
        }
        (Some(Effect::Transcodes), false) => {
            let message = format!("the filter '{name}' ({short}) stands behind ext_authz and changes the path");
            entry.find(&kinds::TRANSCODER_BEHIND, name, message);
        }
        _ => {}
    }
}

/// Filters of a cluster that can change a request, by their names: they run after the check.
pub(super) fn can_change(kind: &str) -> bool {
    matches!(effect(kind), None | Some(Effect::Rewrites | Effect::Transcodes | Effect::Composes))
}
