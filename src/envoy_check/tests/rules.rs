//! Each rule fires on an edit of the shipped configuration, and on nothing else.

mod edits;
mod several;

use edits::*;
use several::firing_together;

use super::*;

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
fn a_listener_that_only_redirects_needs_no_check() {
    let manager = |routes: &str| {
        format!(
            "static_resources: {{ listeners: [{{ name: redirect, filter_chains: [{{ filters: [{{ typed_config: {{ \"@type\": {TYPE}.network.http_connection_manager.v3.HttpConnectionManager, route_config: {{ virtual_hosts: [{routes}] }} }} }}] }}] }}] }}"
        )
    };
    let severity = |routes: &str| {
        let report = checked(&manager(routes));
        report.findings.iter().find(|finding| finding.kind.code == "no-ext-authz").map(|finding| finding.severity)
    };
    let redirect = "{ match: { prefix: / }, redirect: { https_redirect: true } }";
    assert_eq!(severity(&format!("{{ name: a, domains: [a], routes: [{redirect}] }}")), Some(Severity::Note));
    for routes in [
        String::new(),
        format!("{{ name: a, domains: [a], routes: [{redirect}, {{ match: {{ prefix: / }}, route: {{ cluster: a }} }}] }}"),
        format!("{{ name: a, domains: [a], routes: [{redirect}] }}, {{ name: b, domains: [b], matcher: {{}} }}"),
    ] {
        assert_eq!(severity(&routes), Some(Severity::Error), "{routes}");
    }
}

#[test]
fn where_the_check_is_off_identity_headers_may_be_taken_away() {
    let removed = "\n                          request_headers_to_remove: [x-user-id]";
    let (from, to) = per_route("disabled: true");
    let report = checked(&edit(&sidecar(), &from, &format!("{to}{removed}")));
    assert_eq!(codes(&report), [(Severity::Error, "check-disabled")]);
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
        behind_if("rbac.v3.RBAC"),
        of_router("upstream_codec.v3.UpstreamCodec"),
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
