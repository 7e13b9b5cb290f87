//! Edits of the shipped configuration, each of which one rule is about.

use super::*;

pub(super) const AUTHZ: &str = "name: envoy.filters.http.ext_authz\n";
pub(super) const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
pub(super) const ROUTER_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n";
pub(super) const TYPE: &str = "type.googleapis.com/envoy.extensions.filters";
pub(super) const ROUTE: &str = "route: { cluster: blog, timeout: 15s }";
pub(super) const CHECK: &str = "failure_mode_allow: false";
pub(super) const MANAGER: &str = "stat_prefix: ingress";
pub(super) const MANAGER_INDENT: &str = "\n                ";

/// A line beside another one of the filter.
pub(super) fn beside(line: &str, more: &str) -> (String, String) {
    (line.to_string(), format!("{line}\n                      {more}"))
}

pub(super) fn manager(more: &str) -> (String, String) {
    (MANAGER.to_string(), format!("{MANAGER}{MANAGER_INDENT}{more}"))
}

pub(super) fn filter(more: &str) -> (String, String) {
    beside(CHECK, more)
}

pub(super) fn route(more: &str) -> (String, String) {
    (ROUTE.to_string(), format!("route: {{ cluster: blog, timeout: 15s{more} }}"))
}

pub(super) fn per_route(config: &str) -> (String, String) {
    per_route_of("envoy.filters.http.ext_authz", config)
}

pub(super) fn per_route_of(name: &str, config: &str) -> (String, String) {
    let config = format!("\"@type\": {TYPE}.http.ext_authz.v3.ExtAuthzPerRoute, {config}");
    (ROUTE.to_string(), format!("{ROUTE}\n                          typed_per_filter_config: {{ {name}: {{ {config} }} }}"))
}

/// Another filter, before or behind the check.
pub(super) fn before(kind: &str, more: &str) -> (String, String) {
    let entry = format!("name: another\n                    typed_config: {{ \"@type\": {TYPE}.http.{kind}{more} }}");
    (format!("- {AUTHZ}"), format!("- {entry}\n                  - {AUTHZ}"))
}

pub(super) fn behind(kind: &str) -> (String, String) {
    let entry = format!("- name: another\n                    typed_config: {{ \"@type\": {TYPE}.http.{kind} }}\n");
    (ROUTER.to_string(), format!("                  {entry}{ROUTER}"))
}

/// A filter behind the check for some requests.
pub(super) fn behind_if(kind: &str) -> (String, String) {
    let inner = format!("{{ name: inner, typed_config: {{ \"@type\": {TYPE}.http.{kind} }} }}");
    let action = "{ on_no_match: { action: { name: skip, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter } } } }";
    let matcher = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher";
    let entry =
        format!("- {{ name: another, typed_config: {{ \"@type\": {matcher}, extension_config: {inner}, xds_matcher: {action} }} }}\n");
    (ROUTER.to_string(), format!("                  {entry}{ROUTER}"))
}

/// A filter of the router.
pub(super) fn of_router(kind: &str) -> (String, String) {
    let entry = format!("{{ name: another, typed_config: {{ \"@type\": {TYPE}.http.{kind} }} }}");
    swap(ROUTER_TYPE, &format!("{ROUTER_TYPE}                      upstream_http_filters: [{entry}]\n"))
}

pub(super) fn swap(from: &str, to: &str) -> (String, String) {
    (from.to_string(), to.to_string())
}

pub(super) fn remove(text: &str) -> (String, String) {
    swap(text, "")
}

/// A code, how bad it is, and the edit that brings it about: nothing else may be found then.
pub(super) fn firing() -> Vec<(&'static str, Severity, (String, String))> {
    use Severity::{Error, Note, Warning};
    let authz_per_request = "grpc_service:\n                        envoy_grpc:\n                          cluster_name: authz";
    let body = |more: &str| filter(&format!("with_request_body: {{ max_request_bytes: 8192{more} }}"));
    vec![
        // The file.
        ("wrong-type", Error, swap("xff_num_trusted_hops: 0", "xff_num_trusted_hops: none")),
        ("unknown-field", Warning, filter("failure_mode_alow: false")),
        ("unknown-field", Warning, manager("normalise_path: true")),
        ("not-seen", Warning, swap("static_resources:", "dynamic_resources: { lds_config: { ads: {} } }\nstatic_resources:")),
        ("unknown-filter", Warning, before("brand_new.v3.BrandNew", "")),
        ("unknown-filter", Warning, behind("brand_new.v3.BrandNew")),
        ("rewrites-behind-check", Warning, behind_if("lua.v3.Lua")),
        ("unknown-filter", Warning, behind_if("brand_new.v3.BrandNew")),
        ("cluster-filters", Warning, of_router("lua.v3.Lua")),
        ("cluster-filters", Warning, of_router("brand_new.v3.BrandNew")),
        (
            "not-seen",
            Warning,
            swap(
                ROUTER_TYPE,
                &format!("{ROUTER_TYPE}                      upstream_http_filters: [{{ name: a, config_discovery: {{}} }}]\n"),
            ),
        ),
        (
            "admin-exposed",
            Error,
            swap(
                "{ pipe: { path: /run/portcullis/envoy-admin.sock, mode: 0600 } }",
                "{ socket_address: { address: 0.0.0.0, port_value: 9901 } }",
            ),
        ),
        // The manager.
        (
            "use-remote-address",
            Warning,
            swap(
                "use_remote_address: true",
                "original_ip_detection_extensions: [{ name: x, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig, header_name: x-me } }]",
            ),
        ),
        ("outbound-listener", Note, swap("- name: ingress\n", "- name: ingress\n      traffic_direction: OUTBOUND\n")),
        ("normalize-path", Warning, swap("normalize_path: true", "normalize_path: false")),
        ("normalize-path", Warning, remove("normalize_path: true")),
        ("merge-slashes", Warning, remove("merge_slashes: true")),
        (
            "escaped-slashes",
            Warning,
            swap("_action: REJECT_REQUEST\n                strip", "_action: UNESCAPE_AND_FORWARD\n                strip"),
        ),
        ("escaped-slashes", Warning, swap("_action: REJECT_REQUEST\n                strip", "_action: 1\n                strip")),
        ("use-remote-address", Warning, remove("use_remote_address: true")),
        ("trusted-hops", Note, swap("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 2")),
        ("internal-addresses", Warning, manager("internal_address_config: {}")),
        ("internal-addresses", Warning, manager("internal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }")),
        ("client-cert-header", Error, swap("SANITIZE_SET", "ALWAYS_FORWARD_ONLY")),
        ("client-cert-header", Warning, swap("SANITIZE_SET", "APPEND_FORWARD")),
        ("any-domain", Warning, swap("domains: [localhost", "domains: [\"*\", localhost")),
        (
            "vhost-header",
            Warning,
            swap(
                "name: services\n                  virtual_hosts",
                "name: services\n                  vhost_header: x-host\n                  virtual_hosts",
            ),
        ),
        ("underscore-headers", Warning, swap("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW")),
        ("host-spelling", Note, remove("strip_any_host_port: true")),
        ("host-spelling", Note, remove("strip_trailing_host_dot: true")),
        ("request-timeouts", Note, swap("request_headers_timeout: 10s", "request_headers_timeout: 0s")),
        ("scheme-rewritten", Note, manager("scheme_header_transformation: { scheme_to_overwrite: https }")),
        ("chunked-length", Warning, manager("http_protocol_options: { allow_chunked_length: true }")),
        ("upgrade", Note, manager("upgrade_configs: [{ upgrade_type: websocket }]")),
        ("upgrade", Note, swap("max_concurrent_streams: 100", "max_concurrent_streams: 100\n                  allow_connect: true")),
        ("upgrade", Note, route(", upgrade_configs: [{ upgrade_type: websocket }]")),
        ("connect-upgrade", Warning, manager("upgrade_configs: [{ upgrade_type: CONNECT }]")),
        // The order of filters.
        ("filter-disabled", Error, swap(AUTHZ, &format!("{AUTHZ}                    disabled: true\n"))),
        ("filter-optional", Warning, swap(AUTHZ, &format!("{AUTHZ}                    is_optional: true\n"))),
        ("cache-before-check", Error, before("cache.v3.CacheConfig", "")),
        ("cache-before-check", Error, before("cache_v2.v3.CacheV2Config", "")),
        ("cache-behind-check", Warning, behind("cache.v3.CacheConfig")),
        ("answers-before-check", Note, before("health_check.v3.HealthCheck", "")),
        ("rewrites-behind-check", Warning, behind("lua.v3.Lua")),
        ("rewrites-behind-check", Warning, behind("ext_proc.v3.ExternalProcessor")),
        ("rewrites-behind-check", Warning, behind("header_mutation.v3.HeaderMutation")),
        ("transcoder-behind-check", Warning, behind("grpc_json_transcoder.v3.GrpcJsonTranscoder")),
        // The filter.
        ("failure-mode-allow", Error, swap(CHECK, "failure_mode_allow: true")),
        ("failure-mode-allow", Error, swap(CHECK, "failureModeAllow: \"yes\"")),
        ("failure-mode-header", Note, filter("failure_mode_allow_header_add: true")),
        ("shadow-mode", Error, filter("shadow_mode: true")),
        ("partly-enabled", Error, filter("filter_enabled: { default_value: { numerator: 99 } }")),
        ("partly-enabled", Error, filter("filter_enabled: { default_value: { numerator: 100, denominator: TEN_THOUSAND } }")),
        (
            "partly-enabled",
            Warning,
            filter(
                "filter_enabled: { default_value: { numerator: 99 } }\n                      deny_at_disable: { default_value: { value: true }, runtime_key: x }",
            ),
        ),
        ("runtime-switch", Warning, filter("filter_enabled: { default_value: { numerator: 100 }, runtime_key: authz.enabled }")),
        ("metadata-switch", Error, filter("filter_enabled_metadata: { filter: x, path: [{ key: y }], value: { bool_match: true } }")),
        ("clear-route-cache", Error, swap("clear_route_cache: false", "clear_route_cache: true")),
        (
            "clear-route-cache",
            Warning,
            swap("clear_route_cache: false", "clear_route_cache: true\n                      clear_route_cache_headers: [x-tenant]"),
        ),
        ("status-on-error", Note, remove("status_on_error: { code: ServiceUnavailable }")),
        ("status-on-error-success", Error, swap("code: ServiceUnavailable", "code: NoContent")),
        ("status-on-error-success", Error, swap("code: ServiceUnavailable", "code: 200")),
        ("validate-mutations", Warning, remove("validate_mutations: true")),
        ("mutation-rules", Warning, swap("disallow_system: true", "disallow_system: false")),
        ("mutation-rules", Warning, swap("allow_all_routing: false", "allow_all_routing: true")),
        ("raw-headers", Warning, remove("encode_raw_headers: true")),
        ("transport-version", Note, remove("transport_api_version: V3")),
        ("transport-version", Note, swap("transport_api_version: V3", "transport_api_version: AUTO")),
        ("old-transport", Error, swap("transport_api_version: V3", "transport_api_version: v2")),
        ("headers-hidden", Warning, filter("disallowed_headers: { patterns: [{ prefix: content- }] }")),
        ("credential-hidden", Error, filter("disallowed_headers: { patterns: [{ exact: Authorization, ignore_case: true }] }")),
        ("credential-hidden", Error, filter("disallowed_headers: { patterns: [{ safe_regex: { regex: \"auth.*\" } }] }")),
        // How it is asked.
        ("timeout-default", Note, swap("timeout: 0.1s\n                      failure", "\n                      failure")),
        ("timeout-long", Warning, swap("timeout: 0.1s\n                      failure", "timeout: 1.5s\n                      failure")),
        ("timeout-long", Error, swap("timeout: 0.1s\n                      failure", "timeout: 600s\n                      failure")),
        ("timeout-long", Error, swap("timeout: 0.1s\n                      failure", "timeout: 0s\n                      failure")),
        ("timeout-short", Warning, swap("timeout: 0.1s\n                      failure", "timeout: 0.005s\n                      failure")),
        (
            "timeout-short",
            Warning,
            swap("timeout: 0.1s\n                      failure", "timeout: { nanos: 5000000 }\n                      failure"),
        ),
        (
            "retry-policy",
            Warning,
            swap("skip_envoy_headers: true", "skip_envoy_headers: true\n                        retry_policy: { num_retries: 2 }"),
        ),
        (
            "google-grpc",
            Warning,
            swap(
                &format!("{authz_per_request}\n                          skip_envoy_headers: true"),
                "grpc_service:\n                        google_grpc: { target_uri: \"unix:/x\", stat_prefix: x }",
            ),
        ),
        // Bodies.
        ("body-as-text", Warning, body(", allow_partial_message: true")),
        ("body-413", Note, body(", pack_as_bytes: true")),
        (
            "body-off",
            Note,
            per_route(
                "check_settings: { disable_request_body_buffering: true, with_request_body: { max_request_bytes: 1, allow_partial_message: true, pack_as_bytes: true } }",
            ),
        ),
        // Routes.
        ("check-disabled", Error, per_route("disabled: true")),
        (
            "check-disabled",
            Error,
            (
                ROUTE.to_string(),
                format!(
                    "{ROUTE}\n                          typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true }} }}"
                ),
            ),
        ),
        (
            "check-disabled",
            Error,
            (
                ROUTE.to_string(),
                format!(
                    "route: {{ weighted_clusters: {{ clusters: [{{ name: blog, weight: 1, typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": {TYPE}.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true }} }} }}] }} }}"
                ),
            ),
        ),
        (
            "check-disabled",
            Error,
            swap(
                "- name: services\n                      domains",
                &format!(
                    "- name: services\n                      typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": {TYPE}.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true }} }}\n                      domains"
                ),
            ),
        ),
        (
            "check-disabled-direct",
            Note,
            swap(
                "direct_response: { status: 404 }",
                &format!(
                    "direct_response: {{ status: 404 }}\n                          typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": {TYPE}.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true }} }}"
                ),
            ),
        ),
        (
            "optional-settings",
            Note,
            (
                ROUTE.to_string(),
                format!(
                    "{ROUTE}\n                          typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, is_optional: true }} }}"
                ),
            ),
        ),
        ("per-route-name", Warning, per_route_of("ext_authz", "disabled: true")),
        ("rewritten-after-check", Note, route(", prefix_rewrite: /")),
        ("rewritten-after-check", Note, route(", auto_host_rewrite: true")),
        ("host-from-header", Warning, route(", host_rewrite_header: x-host")),
        ("cluster-from-header", Warning, swap(ROUTE, "route: { cluster_header: x-cluster }")),
        (
            "identity-header-set",
            Warning,
            (
                ROUTE.to_string(),
                format!("{ROUTE}\n                          request_headers_to_add: [{{ header: {{ key: X-User-Id, value: \"0\" }} }}]"),
            ),
        ),
        (
            "identity-header-set",
            Note,
            (ROUTE.to_string(), format!("{ROUTE}\n                          request_headers_to_remove: [x_user_id]")),
        ),
        // The cluster.
        (
            "authorizer-missing",
            Error,
            swap("cluster_name: authz\n                          skip", "cluster_name: nowhere\n                          skip"),
        ),
        ("authorizer-http1", Error, swap("{ http2_protocol_options: {} }", "{ http_protocol_options: {} }")),
        ("authorizer-original-dst", Error, swap("- name: authz\n      type: STATIC", "- name: authz\n      type: ORIGINAL_DST")),
        ("not-seen", Warning, swap("- name: authz\n      type: STATIC", "- name: authz\n      type: EDS")),
        (
            "authorizer-plaintext",
            Warning,
            swap("pipe: { path: /run/portcullis/authz.sock }", "socket_address: { address: authz.example.com, port_value: 9191 }"),
        ),
        ("authorizer-health-interval", Warning, remove("no_traffic_interval: 1s")),
        ("authorizer-panic", Warning, remove("healthy_panic_threshold: { value: 0 }")),
        ("authorizer-panic", Warning, swap("healthy_panic_threshold: { value: 0 }", "healthy_panic_threshold: { value: 1.5 }")),
        (
            "cluster-filters",
            Warning,
            swap(
                "- name: blog\n",
                &format!(
                    "- name: blog\n      typed_extension_protocol_options: {{ envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{ http_filters: [{{ name: lua, typed_config: {{ \"@type\": {TYPE}.http.lua.v3.Lua }} }}] }} }}\n"
                ),
            ),
        ),
    ]
}
