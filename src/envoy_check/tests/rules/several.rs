//! Configurations in which more than one thing is wrong.

use super::edits::*;
use super::*;

/// Kinds whose edits bring more than one finding about, and those of other forms.
pub(super) fn firing_together() -> Vec<(&'static str, Severity, String)> {
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
        ("path-override", Error, http(", path_override: /healthz")),
        ("question-changed", Error, http(", authorization_request: { headers_to_add: [{ key: Authorization, value: a }] }")),
        ("identity-not-passed-on", Warning, http(", authorization_response: { allowed_upstream_headers_to_append: {} }")),
        (
            "upgrade-without-check",
            Error,
            one(&[manager(&format!(
                "upgrade_configs: [{{ upgrade_type: websocket, filters: [{{ name: router, typed_config: {{ \"@type\": {TYPE}.http.router.v3.Router }} }}] }}]"
            ))]),
        ),
        (
            "upgrade-without-check",
            Error,
            one(&[
                manager(&format!(
                    "upgrade_configs: [{{ upgrade_type: websocket, enabled: false, filters: [{{ name: router, typed_config: {{ \"@type\": {TYPE}.http.router.v3.Router }} }}] }}]"
                )),
                route(", upgrade_configs: [{ upgrade_type: websocket }]"),
            ]),
        ),
        (
            "connect-upgrade",
            Warning,
            one(&[("- match: { path_separated_prefix: /blog }\n".to_string(), "- match: { connect_matcher: {} }\n".into())]),
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
        ("unknown-filter", Warning, tcp(&format!("{{ name: a, typed_config: {{ \"@type\": {TYPE}.network.brand_new.v3.BrandNew }} }}"))),
        ("unknown-filter", Warning, tcp("{ name: envoy.filters.network.brand_new }")),
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
        (
            "not-seen",
            Warning,
            one(&[(
                filter_text.to_string(),
                filter_text.replace(&" ".repeat(22), &" ".repeat(26)).replace(
                    "typed_config:",
                    &format!(
                        "config_discovery:\n                      type_urls: [{TYPE}.http.ext_authz.v3.ExtAuthz]\n                      default_config:"
                    ),
                ),
            )]),
        ),
        ("unreadable", Error, String::new()),
    ]
}
