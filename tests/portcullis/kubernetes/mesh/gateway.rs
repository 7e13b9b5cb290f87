//! What Envoy Gateway makes of our policies, in the real Envoy. There is no Envoy Gateway here: the configuration is put together as
//! `internal/xds/translator` of envoyproxy/gateway does it (commit d32f282, August 2026).

use serde_json::{Value, json};

use super::walk::{self, Expected};
use super::{cluster, connection_manager, document, parse_envoy};
use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::upstream::Seen;

/// The filter of a SecurityPolicy, which is off until a route turns it on.
fn filter(policy: &Value) -> Value {
    let auth = &policy["spec"]["extAuth"];
    assert_eq!(auth["timeout"], "100ms");
    json!({
        "name": filter_name(policy),
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "failure_mode_allow": auth["failOpen"],
            "clear_route_cache": auth["recomputeRoute"],
            "grpc_service": {
                "envoy_grpc": { "cluster_name": cluster_name(policy), "authority": "portcullis.gateways" },
                // How busy the machine of the tests is, is not what is tested.
                "timeout": "10s",
            },
            "status_on_error": { "code": auth["statusOnError"] },
        },
    })
}

fn owner(policy: &Value) -> String {
    let part = |key: &str| policy["metadata"][key].as_str().expect("a name").to_string();
    format!("securitypolicy/{}/{}", part("namespace"), part("name"))
}

fn filter_name(policy: &Value) -> String {
    format!("envoy.filters.http.ext_authz/{}", owner(policy))
}

fn cluster_name(policy: &Value) -> String {
    format!("{}/extauth/0", owner(policy))
}

/// The connection manager with what a ClientTrafficPolicy says of it.
fn listener(config: &mut Value, traffic: &Value, policy: &Value) {
    let says = |pointer: &str| traffic["spec"].pointer(pointer).cloned().unwrap_or_else(|| panic!("the policy says nothing of {pointer}"));
    assert_eq!(
        (says("/path/escapedSlashesAction"), says("/headers/withUnderscoresAction"), says("/headers/xForwardedClientCert/mode")),
        (json!("RejectRequest"), json!("RejectRequest"), json!("Sanitize")),
        "the test says what Envoy Gateway makes of these"
    );
    let manager = connection_manager(config);
    let ours = manager.clone();
    *manager = json!({
        "@type": ours["@type"], "stat_prefix": "http",
        "use_remote_address": true,
        "forward_client_cert_details": "SANITIZE",
        "normalize_path": true,
        "merge_slashes": says("/path/disableMergeSlashes") == json!(false),
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": { "headers_with_underscores_action": "REJECT_REQUEST" },
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": [filter(policy), ours["http_filters"][1]],
        "route_config": ours["route_config"],
        // For the tests to find what was decided.
        "always_set_request_id_in_response": true, "access_log": ours["access_log"],
    });
    manager["route_config"]["ignore_port_in_host_matching"] = json!(true);
    let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes");
    for route in &mut *routes {
        if route.get("route").is_some() {
            route["route"]["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
        }
        route["typed_per_filter_config"][filter_name(policy)] = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "check_settings": {},
        });
    }
    // A route with a SecurityPolicy of its own, which says nothing of extAuth.
    routes.insert(0, json!({ "match": { "path": "/blog/of-somebody-else" }, "route": { "cluster": "blog" } }));
}

async fn mesh() -> Mesh {
    let policy = document("deploy/envoy-gateway/sidecar/security-policy.yaml");
    let traffic = document("deploy/envoy-gateway/common/client-traffic-policy.yaml");
    let backend = document("deploy/envoy-gateway/sidecar/backend.yaml");
    assert_eq!(backend["spec"]["endpoints"], json!([{ "unix": { "path": "/run/portcullis/authz.sock" } }]));
    let configure = move |text: String| {
        let mut config = parse_envoy(&text);
        listener(&mut config, &traffic, &policy);
        let authz = cluster(&mut config, "authz");
        authz["name"] = json!(cluster_name(&policy));
        authz["load_assignment"]["cluster_name"] = authz["name"].clone();
        // Envoy Gateway adds these only when asked to.
        for key in ["health_checks", "common_lb_config", "circuit_breakers"] {
            authz.as_object_mut().expect("a cluster").remove(key);
        }
        config.to_string()
    };
    Mesh::builder().envoy(configure).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_gateways_form_lets_pass_and_refuses_as_ours_does() {
    let mut mesh = mesh().await;
    let expected = Expected { refuses_underscores: true, refuses_escaped_slashes: true, two_hosts: 404 };
    let requests = walk::through(&mesh, expected).await + walk::without_sidecar(&mut mesh).await;
    println!("{requests} requests through Envoy Gateway's form");
}

/// The trap that the policy warns of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_with_another_security_policy_is_asked_about_by_nobody() {
    let mesh = mesh().await;
    let seen = Seen::of(&mesh.send(&Request::get("/blog/of-somebody-else").header("x-user-id", "root")).await);
    assert_eq!(seen.identity(), [("x-user-id", "root")]);
}
