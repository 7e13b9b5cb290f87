//! Each rule fires on an edit of the shipped configuration, and on nothing else.

use super::*;

const AUTHZ: &str = "name: envoy.filters.http.ext_authz\n";
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const TYPE: &str = "type.googleapis.com/envoy.extensions.filters";
const ROUTE: &str = "route: { cluster: blog, timeout: 15s }";
const CHECK: &str = "failure_mode_allow: false";
const MANAGER: &str = "stat_prefix: ingress";
const MANAGER_INDENT: &str = "\n                ";

/// A line beside another one of the filter.
fn beside(line: &str, more: &str) -> (String, String) {
    (line.to_string(), format!("{line}\n                      {more}"))
}

fn manager(more: &str) -> (String, String) {
    (MANAGER.to_string(), format!("{MANAGER}{MANAGER_INDENT}{more}"))
}

fn filter(more: &str) -> (String, String) {
    beside(CHECK, more)
}

fn route(more: &str) -> (String, String) {
    (ROUTE.to_string(), format!("route: {{ cluster: blog, timeout: 15s{more} }}"))
}

fn per_route(config: &str) -> (String, String) {
    per_route_of("envoy.filters.http.ext_authz", config)
}

fn per_route_of(name: &str, config: &str) -> (String, String) {
    let config = format!("\"@type\": {TYPE}.http.ext_authz.v3.ExtAuthzPerRoute, {config}");
    (ROUTE.to_string(), format!("{ROUTE}\n                          typed_per_filter_config: {{ {name}: {{ {config} }} }}"))
}

/// Another filter, before or behind the check.
fn before(kind: &str, more: &str) -> (String, String) {
    let entry = format!("name: another\n                    typed_config: {{ \"@type\": {TYPE}.http.{kind}{more} }}");
    (format!("- {AUTHZ}"), format!("- {entry}\n                  - {AUTHZ}"))
}

fn behind(kind: &str) -> (String, String) {
    let entry = format!("- name: another\n                    typed_config: {{ \"@type\": {TYPE}.http.{kind} }}\n");
    (ROUTER.to_string(), format!("                  {entry}{ROUTER}"))
}

fn swap(from: &str, to: &str) -> (String, String) {
    (from.to_string(), to.to_string())
}

fn remove(text: &str) -> (String, String) {
    swap(text, "")
}

/// A code, how bad it is, and the edit that brings it about: nothing else may be found then.
fn firing() -> Vec<(&'static str, Severity, (String, String))> {
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
        (
            "admin-exposed",
            Error,
            swap(
                "{ pipe: { path: /run/portcullis/envoy-admin.sock, mode: 0600 } }",
                "{ socket_address: { address: 0.0.0.0, port_value: 9901 } }",
            ),
        ),
        // The manager.
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

#[test]
fn every_rule_fires_on_its_edit_and_no_other_rule_does() {
    let mut others = Vec::new();
    for (code, severity, (from, to)) in firing() {
        let text = edit(&sidecar(), &from, &to);
        let report = checked(&text);
        if codes(&report) != [(severity, code)] {
            others.push(format!("{code} for {to}\n{}", report.text(Style::default())));
            continue;
        }
        let finding = &report.findings[0];
        let first = text.lines().zip(sidecar().lines()).take_while(|(edited, before)| edited == before).count() + 1;
        assert!(finding.location.line > 0 && finding.location.column > 0, "{finding:?}");
        // Where something is missing, the place is that of what it is missing in: before the edit.
        let is_there = !to.is_empty() && to.contains(&from);
        assert!(!is_there || finding.location.line + 3 >= first, "{code}: line {} for an edit of line {first}", finding.location.line);
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// Kinds whose edits bring more than one finding about, and those of other forms.
fn firing_together() -> Vec<(&'static str, Severity, String)> {
    use Severity::{Error, Note, Warning};
    let base = sidecar();
    let one = |edits: &[(String, String)]| edits.iter().fold(base.clone(), |text, (from, to)| edit(&text, from, to));
    let authz = base.find("                  - name: envoy.filters.http.ext_authz").unwrap();
    let router = base.find(ROUTER).unwrap();
    let end = base.find("                route_config:").unwrap();
    let (filter_text, router_text) = (&base[authz..router], &base[router..end]);
    let (before_filters, behind_filters) = (&base[..authz], &base[end..]);
    let tcp = |content: &str| {
        format!(
            "static_resources:\n  listeners:\n    - name: tcp\n      address: {{ socket_address: {{ address: 127.0.0.1, port_value: 1 }} }}\n      filter_chains: [{{ filters: [{content}] }}]\n"
        )
    };
    let proxy = format!("{{ name: tcp, typed_config: {{ \"@type\": {TYPE}.network.tcp_proxy.v3.TcpProxy, cluster: x }} }}");
    let network = |more: &str| {
        format!(
            "{{ name: a, typed_config: {{ \"@type\": {TYPE}.network.ext_authz.v3.ExtAuthz, stat_prefix: a, grpc_service: {{ timeout: 0.1s, envoy_grpc: {{ cluster_name: a }} }}{more} }} }}"
        )
    };
    let rules = base.find("                      decoder_header_mutation_rules").unwrap();
    let rules_end = base.find("                      clear_route_cache").unwrap();
    let health = base.find("      health_checks:").unwrap();
    let health_end = base.find("      common_lb_config").unwrap();
    let grpc = base.find("                      grpc_service:").unwrap();
    let grpc_end = base.find("                      failure_mode_allow").unwrap();
    let http = |more: &str| {
        format!(
            "{}                      http_service: {{ server_uri: {{ uri: \"http://x\", cluster: authz, timeout: 0.1s }}{more} }}\n{}",
            &base[..grpc],
            &base[grpc_end..]
        )
    };
    let inner = format!("{{ \"@type\": {TYPE}.http.ext_authz.v3.ExtAuthz }}");
    let conditional = format!(
        "                  - name: conditional\n                    typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher, xds_matcher: {{}}, extension_config: {{ name: a, typed_config: {inner} }} }}\n"
    );
    vec![
        ("no-ext-authz", Error, format!("{before_filters}{router_text}{behind_filters}")),
        ("behind-router", Error, format!("{before_filters}{router_text}{filter_text}{behind_filters}")),
        ("conditional-check", Error, format!("{before_filters}{conditional}{router_text}{behind_filters}")),
        ("no-service", Error, format!("{}{}", &base[..grpc], &base[grpc_end..])),
        ("mutation-rules", Warning, format!("{}{}", &base[..rules], &base[rules_end..])),
        ("authorizer-health", Note, format!("{}{}", &base[..health], &base[health_end..])),
        ("identity-not-passed-on", Warning, http("")),
        ("all-headers-to-client", Note, http("")),
        ("headers-hidden", Warning, one(&[filter("allowed_headers: { patterns: [{ exact: authorization }] }")])),
        ("credential-hidden", Error, one(&[filter("allowed_headers: { patterns: [{ prefix: x- }] }")])),
        ("identity-not-passed-on", Warning, http(", authorization_response: { allowed_upstream_headers_to_append: {} }")),
        (
            "upgrade-without-check",
            Error,
            one(&[manager(&format!(
                "upgrade_configs: [{{ upgrade_type: websocket, filters: [{{ name: router, typed_config: {{ \"@type\": {TYPE}.http.router.v3.Router }} }}] }}]"
            ))]),
        ),
        (
            "connect-upgrade",
            Warning,
            one(&[(format!("- match: {{ path_separated_prefix: /blog }}\n"), "- match: { connect_matcher: {} }\n".into())]),
        ),
        (
            "body-more-than-read",
            Note,
            one(&[filter("with_request_body: { max_request_bytes: 100000, pack_as_bytes: true, allow_partial_message: true }")]),
        ),
        (
            "body-buffer",
            Warning,
            one(&[filter("with_request_body: { max_request_bytes: 65536, pack_as_bytes: true, allow_partial_message: true }")]),
        ),
        (
            "authorizer-unverified",
            Warning,
            one(&[
                swap("pipe: { path: /run/portcullis/authz.sock }", "socket_address: { address: 10.0.0.9, port_value: 9191 }"),
                swap(
                    "- name: authz\n",
                    "- name: authz\n      transport_socket: { name: tls, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext } }\n",
                ),
            ]),
        ),
        (
            "asked-elsewhere",
            Warning,
            one(&[per_route("check_settings: { grpc_service: { envoy_grpc: { cluster_name: another }, timeout: 0.1s } }")]),
        ),
        ("tcp-unchecked", Warning, tcp(&proxy)),
        ("tcp-ext-authz", Warning, tcp(&format!("{}, {proxy}", network("")))),
        ("failure-mode-allow", Error, tcp(&format!("{}, {proxy}", network(", failure_mode_allow: true")))),
        ("shadow-mode", Error, tcp(&format!("{}, {proxy}", network(", shadowMode: true")))),
        ("metadata-switch", Error, tcp(&format!("{}, {proxy}", network(", filter_enabled_metadata: {}")))),
        ("not-seen", Warning, tcp("{ name: x, config_discovery: {} }")),
        ("not-seen", Warning, format!("{}                rds: {{ route_config_name: services }}\n", &base[..end])),
        (
            "not-seen",
            Warning,
            one(&[(
                format!("                  {filter_text}").trim_start().to_string(),
                format!("- name: authz\n                    config_discovery: {{ type_urls: [{TYPE}.http.ext_authz.v3.ExtAuthz] }}\n"),
            )]),
        ),
        ("unreadable", Error, String::new()),
    ]
}

#[test]
fn rules_fire_where_more_than_one_thing_is_wrong() {
    let mut missing = Vec::new();
    for (code, severity, text) in firing_together() {
        let report = checked(&text);
        if !codes(&report).contains(&(severity, code)) {
            missing.push(format!("{code}, {severity:?}\n{}", report.text(Style::default())));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_kind_is_shown_to_fire() {
    let shown: HashSet<&str> = firing().iter().map(|(code, ..)| *code).chain(firing_together().iter().map(|(code, ..)| *code)).collect();
    // Those that compare with a configuration of Portcullis have tests of their own (`pair`).
    let missing: Vec<&str> =
        all_kinds().map(|kind| kind.code).filter(|code| !shown.contains(code) && !pair::CODES.contains(code)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn what_is_right_is_not_found() {
    let harmless = [
        // Other ways to write what is there.
        swap("normalize_path: true", "normalizePath: { value: true }"),
        swap("merge_slashes: true", "mergeSlashes: \"true\""),
        swap("_action: REJECT_REQUEST\n                strip", "_action: unescape_and_redirect\n                strip"),
        swap("transport_api_version: V3", "transportApiVersion: 2"),
        swap(CHECK, "failure_mode_allow: off"),
        swap(CHECK, "failure_mode_allow: ~"),
        swap("clear_route_cache: false", "clear_route_cache_headers: [x]"),
        swap("timeout: 0.1s\n                      failure", "timeout: { nanos: 100000000 }\n                      failure"),
        swap("code: ServiceUnavailable", "code: 503"),
        swap("strip_any_host_port: true", "strip_matching_host_port: true"),
        swap("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: DROP_HEADER"),
        swap("use_remote_address: true", "original_ip_detection_extensions: [{ name: x }]"),
        swap("{ http2_protocol_options: {} }", "{ http2ProtocolOptions: {} }"),
        // What is fine beside the check.
        before("jwt_authn.v3.JwtAuthentication", ""),
        before("rbac.v3.RBAC", ""),
        before("lua.v3.Lua", ""),
        before("grpc_json_transcoder.v3.GrpcJsonTranscoder", ""),
        before("health_check.v3.HealthCheck", ", pass_through_mode: true"),
        behind("local_ratelimit.v3.LocalRateLimit"),
        behind("rbac.v3.RBAC"),
        behind("cors.v3.Cors"),
        filter("filter_enabled: { default_value: { numerator: 100 } }"),
        filter("filter_enabled: { default_value: { numerator: 1000000, denominator: MILLION } }"),
        filter("disallowed_headers: { patterns: [{ exact: x-debug }] }"),
        filter("with_request_body: { max_request_bytes: 8192, pack_as_bytes: true, allow_partial_message: true }"),
        filter("deny_at_disable: { default_value: { value: true }, runtime_key: x }"),
        per_route("disabled: false"),
        per_route("check_settings: { context_extensions: { a: b } }"),
        per_route("check_settings: { grpc_service: { envoy_grpc: { cluster_name: authz }, timeout: 0.1s } }"),
        manager("upgrade_configs: [{ upgrade_type: websocket, enabled: false }]"),
        manager("internal_address_config: { cidr_ranges: [{ address_prefix: 192.0.2.0, prefix_len: 24 }] }"),
        route(", auto_host_rewrite: false"),
        swap(
            "{ pipe: { path: /run/portcullis/envoy-admin.sock, mode: 0600 } }",
            "{ socket_address: { address: \"::1\", port_value: 9901 } }",
        ),
        swap("pipe: { path: /run/portcullis/authz.sock }", "socket_address: { address: 127.0.0.1, port_value: 9191 }"),
        swap(ROUTE, "redirect: { path_redirect: / }"),
    ];
    for (from, to) in harmless {
        let report = checked(&edit(&sidecar(), &from, &to));
        assert_eq!(report.findings, vec![], "{to}\n{}", report.text(Style::default()));
    }
}
