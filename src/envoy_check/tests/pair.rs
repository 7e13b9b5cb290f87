//! Whether Envoy's configuration and that of Portcullis fit together.

use std::sync::Arc;
use std::time::Duration;

use super::*;

/// The kinds that only a comparison finds.
pub(super) const CODES: [&str; 6] =
    ["body-not-sent", "body-too-large", "directory-deadline", "audit-deadline", "request-timeout", "authorizer-address"];

/// A configuration that fits to the shipped one of Envoy.
fn needs() -> Needs {
    Needs {
        request_timeout: Duration::from_secs(10),
        message_bytes: 256 * 1024,
        sockets: vec!["/run/portcullis/authz.sock".into()],
        ports: vec![9191],
        identity_headers: vec!["x-who".into()],
        ..Needs::default()
    }
}

fn found(text: &str, needs: &Needs) -> Vec<(Severity, &'static str)> {
    codes(&check_with(text.as_bytes(), Some(needs)))
}

const CHECK: &str = "failure_mode_allow: false";
const BODY: &str = "with_request_body: { max_request_bytes: 32768, pack_as_bytes: true, allow_partial_message: true }";

#[test]
fn what_fits_is_not_found() {
    assert_eq!(found(&sidecar(), &needs()), []);
    let needs = Needs { directory_deadline: Some(Duration::from_millis(20)), audit_deadline: Some(Duration::from_millis(50)), ..needs() };
    assert_eq!(found(&sidecar(), &needs), []);
    let needs = Needs { body_routes: vec![Arc::from("orders")], headers: vec!["x-tenant".into()], ..needs };
    assert_eq!(found(&edit(&sidecar(), CHECK, &format!("{CHECK}\n                      {BODY}")), &needs), []);
}

#[test]
fn a_deadline_has_to_be_shorter_than_envoys_timeout() {
    let at_timeout = Some(Duration::from_millis(100));
    let (warning, note) = (Severity::Warning, Severity::Note);
    assert_eq!(found(&sidecar(), &Needs { directory_deadline: at_timeout, ..needs() }), [(warning, "directory-deadline")]);
    assert_eq!(found(&sidecar(), &Needs { audit_deadline: at_timeout, ..needs() }), [(warning, "audit-deadline")]);
    assert_eq!(found(&sidecar(), &Needs { request_timeout: Duration::from_millis(99), ..needs() }), [(note, "request-timeout")]);
    // Without a timeout, Envoy's default counts.
    let text = edit(&sidecar(), "timeout: 0.1s\n                      failure", "\n                      failure");
    let needs = Needs { directory_deadline: Some(Duration::from_millis(200)), ..needs() };
    assert_eq!(found(&text, &needs), [(note, "timeout-default"), (warning, "directory-deadline")]);
}

#[test]
fn rules_about_bodies_need_bodies() {
    let needs = Needs { body_routes: vec![Arc::from("orders"), Arc::from("graphql")], ..needs() };
    let report = check_with(sidecar().as_bytes(), Some(&needs));
    assert_eq!(codes(&report), [(Severity::Error, "body-not-sent")]);
    assert!(report.findings[0].message.contains("'orders', 'graphql'"), "{}", report.findings[0].message);
    let with_body = edit(&sidecar(), CHECK, &format!("{CHECK}\n                      {BODY}"));
    let as_text = edit(&with_body, "pack_as_bytes: true", "pack_as_bytes: false");
    assert_eq!(found(&as_text, &needs), [(Severity::Error, "body-as-text")]);
    let small = Needs { message_bytes: 65_536, ..needs.clone() };
    assert_eq!(found(&with_body, &small), [(Severity::Warning, "body-too-large")]);
    let off = edit(
        &with_body,
        "route: { cluster: blog, timeout: 15s }",
        "route: { cluster: blog, timeout: 15s }\n                          typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: { disable_request_body_buffering: true } } }",
    );
    assert_eq!(found(&off, &needs), [(Severity::Warning, "body-off")]);
}

#[test]
fn headers_that_routes_look_at_must_not_be_hidden() {
    let needs = Needs { headers: vec!["x-tenant".into()], ..needs() };
    let hidden =
        edit(&sidecar(), CHECK, &format!("{CHECK}\n                      disallowed_headers: {{ patterns: [{{ suffix: tenant }}] }}"));
    assert_eq!(found(&hidden, &needs), [(Severity::Error, "headers-hidden")]);
    let shown =
        edit(&sidecar(), CHECK, &format!("{CHECK}\n                      disallowed_headers: {{ patterns: [{{ contains: tenants }}] }}"));
    assert_eq!(found(&shown, &needs), []);
}

#[test]
fn the_authorizer_is_the_one_of_the_configuration() {
    let elsewhere = Needs { sockets: vec!["/run/other.sock".into()], ..needs() };
    assert_eq!(found(&sidecar(), &elsewhere), [(Severity::Warning, "authorizer-address")]);
    let tcp = edit(&sidecar(), "pipe: { path: /run/portcullis/authz.sock }", "socket_address: { address: 127.0.0.1, port_value: 9191 }");
    assert_eq!(found(&tcp, &needs()), []);
    assert_eq!(found(&tcp, &Needs { ports: vec![9192], ..needs() }), [(Severity::Warning, "authorizer-address")]);
}

#[test]
fn identity_headers_are_those_of_the_configuration() {
    let set = |name: &str| {
        let to = format!(
            "route: {{ cluster: blog, timeout: 15s }}\n                          request_headers_to_add: [{{ header: {{ key: {name} }} }}]"
        );
        edit(&sidecar(), "route: { cluster: blog, timeout: 15s }", &to)
    };
    assert_eq!(found(&set("X_Who"), &needs()), [(Severity::Warning, "identity-header-set")]);
    assert_eq!(found(&set("x-user-id"), &needs()), []);
}
