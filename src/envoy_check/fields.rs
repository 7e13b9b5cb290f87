//! The fields of the messages that matter most, as Envoy 1.40 has them. A field that is not among them is one that this check cannot
//! judge, and it says so.

use super::kinds::file as kinds;
use super::node::Node;
use super::tree::{is_field, shorten};

/// A message and its fields.
pub(super) struct Message {
    name: &'static str,
    fields: &'static [&'static str],
}

/// Every message whose fields are known, with these: what a test shows to a real Envoy.
pub fn known_fields() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    ALL.iter().map(|message| (message.name, message.fields))
}

/// Notes fields that nobody here knows.
pub(super) fn check(node: &Node<'_>, message: &Message, subject: &str) {
    if !node.is_map() {
        return;
    }
    for (name, value) in node.entries() {
        if name != "@type" && !message.fields.iter().any(|field| is_field(name, field)) {
            value.find(&kinds::UNKNOWN_FIELD, subject, format!("{} has no field '{}' that this check knows", message.name, shorten(name)));
        }
    }
}

/// The filter.
pub(super) static EXT_AUTHZ: Message = Message {
    name: "ExtAuthz",
    fields: &[
        "grpc_service",
        "http_service",
        "transport_api_version",
        "failure_mode_allow",
        "failure_mode_allow_header_add",
        "with_request_body",
        "clear_route_cache",
        "clear_route_cache_headers",
        "status_on_error",
        "validate_mutations",
        "metadata_context_namespaces",
        "typed_metadata_context_namespaces",
        "route_metadata_context_namespaces",
        "route_typed_metadata_context_namespaces",
        "filter_enabled",
        "filter_enabled_metadata",
        "deny_at_disable",
        "include_peer_certificate",
        "stat_prefix",
        "bootstrap_metadata_labels_key",
        "allowed_headers",
        "disallowed_headers",
        "include_tls_session",
        "charge_cluster_response_stats",
        "encode_raw_headers",
        "decoder_header_mutation_rules",
        "enable_dynamic_metadata_ingestion",
        "filter_metadata",
        "emit_filter_state_stats",
        "max_denied_response_body_bytes",
        "enforce_response_header_limits",
        "shadow_mode",
        "emit_client_span",
    ],
};
/// What a route says of it.
pub(super) static PER_ROUTE: Message = Message { name: "ExtAuthzPerRoute", fields: &["disabled", "check_settings"] };
/// What a route says of how it asks.
pub(super) static CHECK_SETTINGS: Message = Message {
    name: "CheckSettings",
    fields: &[
        "context_extensions",
        "disable_request_body_buffering",
        "with_request_body",
        "grpc_service",
        "http_service",
        "emit_client_span",
    ],
};
/// How it asks over HTTP.
pub(super) static HTTP_SERVICE: Message = Message {
    name: "HttpService",
    fields: &["server_uri", "path_prefix", "path_override", "authorization_request", "authorization_response", "retry_policy"],
};
/// How it asks over gRPC.
pub(super) static GRPC_SERVICE: Message =
    Message { name: "GrpcService", fields: &["envoy_grpc", "google_grpc", "timeout", "initial_metadata", "retry_policy"] };
/// Whom it asks.
pub(super) static ENVOY_GRPC: Message = Message {
    name: "EnvoyGrpc",
    fields: &["cluster_name", "authority", "retry_policy", "max_receive_message_length", "skip_envoy_headers"],
};
/// The network filter.
pub(super) static NETWORK_EXT_AUTHZ: Message = Message {
    name: "ExtAuthz (network)",
    fields: &[
        "stat_prefix",
        "grpc_service",
        "failure_mode_allow",
        "include_peer_certificate",
        "transport_api_version",
        "filter_enabled_metadata",
        "bootstrap_metadata_labels_key",
        "include_tls_session",
        "send_tls_alert_on_denial",
        "metadata_context_namespaces",
        "typed_metadata_context_namespaces",
        "shadow_mode",
    ],
};
/// The connection manager.
pub(super) static MANAGER: Message = Message {
    name: "HttpConnectionManager",
    fields: &[
        "codec_type",
        "stat_prefix",
        "rds",
        "route_config",
        "scoped_routes",
        "http_filters",
        "add_user_agent",
        "tracing",
        "common_http_protocol_options",
        "http1_safe_max_connection_duration",
        "http_protocol_options",
        "http2_protocol_options",
        "http3_protocol_options",
        "server_name",
        "server_header_transformation",
        "scheme_header_transformation",
        "max_request_headers_kb",
        "stream_idle_timeout",
        "stream_flush_timeout",
        "request_timeout",
        "request_headers_timeout",
        "drain_timeout",
        "drain_timeout_jitter",
        "delayed_close_timeout",
        "access_log",
        "access_log_flush_interval",
        "flush_access_log_on_new_request",
        "access_log_options",
        "use_remote_address",
        "xff_num_trusted_hops",
        "original_ip_detection_extensions",
        "early_header_mutation_extensions",
        "internal_address_config",
        "skip_xff_append",
        "via",
        "generate_request_id",
        "preserve_external_request_id",
        "always_set_request_id_in_response",
        "forward_client_cert_details",
        "set_current_client_cert_details",
        "forward_client_cert_matcher",
        "proxy_100_continue",
        "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
        "upgrade_configs",
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "request_id_extension",
        "local_reply_config",
        "strip_matching_host_port",
        "strip_any_host_port",
        "stream_error_on_invalid_http_message",
        "path_normalization_options",
        "strip_trailing_host_dot",
        "proxy_status_config",
        "typed_header_validation_config",
        "append_x_forwarded_port",
        "append_local_overload",
        "add_proxy_protocol_connection_state",
        "forward_proto_config",
        "record_route_resolution_stats",
    ],
};
/// An entry of `http_filters`.
pub(super) static HTTP_FILTER: Message =
    Message { name: "HttpFilter", fields: &["name", "typed_config", "config_discovery", "is_optional", "disabled"] };
/// What a route says of any filter.
pub(super) static FILTER_CONFIG: Message = Message { name: "FilterConfig", fields: &["config", "is_optional", "disabled"] };
/// A virtual host.
pub(super) static VIRTUAL_HOST: Message = Message {
    name: "VirtualHost",
    fields: &[
        "name",
        "domains",
        "routes",
        "matcher",
        "require_tls",
        "virtual_clusters",
        "rate_limits",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
        "cors",
        "typed_per_filter_config",
        "include_request_attempt_count",
        "include_attempt_count_in_response",
        "retry_policy",
        "retry_policy_typed_config",
        "hedge_policy",
        "include_is_timeout_retry_header",
        "per_request_buffer_limit_bytes",
        "request_body_buffer_limit",
        "request_mirror_policies",
        "metadata",
        "route_specifiers",
    ],
};
/// A route.
pub(super) static ROUTE: Message = Message {
    name: "Route",
    fields: &[
        "name",
        "match",
        "route",
        "redirect",
        "direct_response",
        "filter_action",
        "non_forwarding_action",
        "metadata",
        "decorator",
        "typed_per_filter_config",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
        "tracing",
        "per_request_buffer_limit_bytes",
        "stat_prefix",
        "request_body_buffer_limit",
        "route_specifiers",
    ],
};
/// Where a route leads.
pub(super) static ROUTE_ACTION: Message = Message {
    name: "RouteAction",
    fields: &[
        "cluster",
        "cluster_header",
        "weighted_clusters",
        "cluster_specifier_plugin",
        "inline_cluster_specifier_plugin",
        "cluster_not_found_response_code",
        "metadata_match",
        "prefix_rewrite",
        "regex_rewrite",
        "path_rewrite_policy",
        "path_rewrite",
        "host_rewrite_literal",
        "auto_host_rewrite",
        "host_rewrite_header",
        "host_rewrite_path_regex",
        "host_rewrite",
        "append_x_forwarded_host",
        "timeout",
        "idle_timeout",
        "flush_timeout",
        "early_data_policy",
        "retry_policy",
        "retry_policy_typed_config",
        "request_mirror_policies",
        "priority",
        "rate_limits",
        "include_vh_rate_limits",
        "hash_policy",
        "cors",
        "max_grpc_timeout",
        "grpc_timeout_offset",
        "upgrade_configs",
        "internal_redirect_policy",
        "internal_redirect_action",
        "max_internal_redirects",
        "hedge_policy",
        "max_stream_duration",
    ],
};
/// All of them.
static ALL: &[&Message] = &[
    &EXT_AUTHZ,
    &PER_ROUTE,
    &CHECK_SETTINGS,
    &HTTP_SERVICE,
    &GRPC_SERVICE,
    &ENVOY_GRPC,
    &NETWORK_EXT_AUTHZ,
    &MANAGER,
    &HTTP_FILTER,
    &FILTER_CONFIG,
    &VIRTUAL_HOST,
    &ROUTE,
    &ROUTE_ACTION,
];
