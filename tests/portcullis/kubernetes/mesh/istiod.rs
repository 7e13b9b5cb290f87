//! What istiod makes of a provider and a policy. There is no istiod here: the filters are put together as
//! `pilot/pkg/security/authz/builder` and `pilot/pkg/networking/core` of istio/istio do it (commit 86c9f01, August 2026).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{connection_manager, document, provider};

/// What tells the second filter that the first one has matched.
const POLICY_ID: &str = "istio_ext_authz_shadow_effective_policy_id";

/// Rules as `builder.build` makes them; for connections without those parts that only requests have.
pub fn rules(policy: &Value, provider_name: &str, for_tcp: bool) -> Value {
    let namespace = "shop";
    let name = policy["metadata"]["name"].as_str().expect("a name");
    let mut policies = json!({});
    for (index, rule) in policy["spec"]["rules"].as_array().expect("rules").iter().enumerate() {
        let empty = vec![json!({ "operation": {} })];
        let mut permissions = Vec::new();
        for to in rule["to"].as_array().unwrap_or(&empty) {
            let mut all = Vec::new();
            for (key, values) in to["operation"].as_object().expect("an operation") {
                let one = |value: &Value| {
                    let text = value.as_str().expect("a text");
                    match key.as_str() {
                        "ports" | "notPorts" => json!({ "destination_port": text.parse::<u16>().expect("a port") }),
                        "paths" | "notPaths" => json!({ "url_path": { "path": { "exact": text } } }),
                        other => panic!("this test does not know what Istio makes of {other}"),
                    }
                };
                if for_tcp && key.ends_with("aths") {
                    continue;
                }
                let any: Vec<Value> = values.as_array().expect("a list").iter().map(one).collect();
                let any = json!({ "or_rules": { "rules": any } });
                all.push(if key.starts_with("not") { json!({ "not_rule": any }) } else { any });
            }
            if all.is_empty() {
                all.push(json!({ "any": true }));
            }
            permissions.push(json!({ "and_rules": { "rules": all } }));
        }
        let id = format!("istio-ext-authz-{provider_name}-ns[{namespace}]-policy[{name}]-rule[{index}]");
        policies[id] = json!({ "permissions": permissions, "principals": [{ "and_ids": { "ids": [{ "any": true }] } }] });
    }
    json!({ "action": "DENY", "policies": policies })
}

/// On condition that the first filter has matched.
fn enabled(filter: &str, provider_name: &str) -> Value {
    let prefix = format!("istio-ext-authz-{provider_name}");
    json!({ "filter": filter, "path": [{ "key": POLICY_ID }], "value": { "string_match": { "prefix": prefix } } })
}

/// The name of the cluster that Istio makes of a service.
fn cluster_name(provider: &Value) -> String {
    let service = provider["service"].as_str().expect("a service");
    let host = service.split_once('/').map_or(service, |(_, host)| host);
    format!("outbound|{}||{host}", provider["port"])
}

fn grpc_service(provider: &Value) -> Value {
    let service = provider["service"].as_str().expect("a service");
    let authority = service.split_once('/').map_or(service, |(_, host)| host);
    json!({ "envoy_grpc": { "cluster_name": cluster_name(provider), "authority": authority }, "timeout": provider["timeout"] })
}

/// The two filters of `builder.buildHTTP`.
fn http_filters(name: &str, provider: &Value, policy: &Value) -> [Value; 2] {
    let mut check = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "failure_mode_allow": provider["failOpen"],
        "grpc_service": grpc_service(provider),
        "filter_enabled_metadata": enabled("envoy.filters.http.rbac", name),
        "transport_api_version": "V3",
        "status_on_error": { "code": provider["statusOnError"].as_str().expect("a status").parse::<u16>().expect("a status") },
    });
    if let Some(body) = provider.get("includeRequestBodyInCheck") {
        check["with_request_body"] = body.clone();
    }
    let mark = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "shadow_rules": rules(policy, name, false),
        "shadow_rules_stat_prefix": "istio_ext_authz_",
    });
    [
        json!({ "name": "envoy.filters.http.rbac", "typed_config": mark }),
        json!({ "name": "envoy.filters.http.ext_authz", "typed_config": check }),
    ]
}

/// The two filters of `builder.buildTCP`.
fn tcp_filters(name: &str, provider: &Value, policy: &Value) -> [Value; 2] {
    let mark = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
        "shadow_rules": rules(policy, name, true),
        "stat_prefix": "tcp.",
        "shadow_rules_stat_prefix": "istio_ext_authz_",
    });
    let check = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
        "stat_prefix": "tcp.",
        "failure_mode_allow": provider["failOpen"],
        "transport_api_version": "V3",
        "grpc_service": grpc_service(provider),
        "filter_enabled_metadata": enabled("envoy.filters.network.rbac", name),
    });
    let named = |name: &str, config| json!({ "name": name, "typed_config": config });
    [named("envoy.filters.network.rbac", mark), named("envoy.filters.network.ext_authz", check)]
}

/// The connection manager of an inbound listener (`buildSidecarInboundHTTPOpts`, `buildHTTPConnectionManager`).
pub fn inbound(config: &mut Value) {
    let normalization = &document("deploy/istio/mesh-config.yaml")["meshConfig"]["pathNormalization"]["normalization"];
    assert_eq!(normalization, "MERGE_SLASHES", "the test says what Istio makes of this one");
    // Istio leaves Envoy's own bound of 1 MiB.
    let listener = config["static_resources"]["listeners"][0].as_object_mut().expect("a listener");
    listener.remove("per_connection_buffer_limit_bytes");
    let manager = connection_manager(config);
    let ours = manager.clone();
    *manager = json!({
        "@type": ours["@type"], "stat_prefix": "inbound",
        "use_remote_address": false,
        "forward_client_cert_details": "APPEND_FORWARD",
        "set_current_client_cert_details": { "subject": true, "uri": true, "dns": true },
        "server_name": "istio-envoy",
        "normalize_path": true, "merge_slashes": true, "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "stream_idle_timeout": "0s",
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
        "route_config": ours["route_config"],
        // For the tests to find what was decided.
        "always_set_request_id_in_response": true, "access_log": ours["access_log"],
    });
    manager["route_config"]["virtual_hosts"][0]["domains"] = json!(["*"]);
}

/// The cluster of a ServiceEntry, whose endpoints istiod sends apart.
fn service_cluster(config: &mut Value, name: &str, endpoint: &Value, folder: &Path) {
    let file = folder.join("endpoints.json");
    let assignment = json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": endpoint } }] }],
    });
    std::fs::write(&file, json!({ "resources": [assignment] }).to_string()).expect("endpoints");
    let clusters = config["static_resources"]["clusters"].as_array_mut().expect("clusters");
    clusters.retain(|cluster| cluster["name"] != "authz");
    clusters.push(json!({
        "name": name, "type": "EDS", "connect_timeout": "10s",
        "eds_cluster_config": { "service_name": name, "eds_config": { "path_config_source": { "path": file.display().to_string() } } },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        } },
    }));
}

/// The endpoint of a ServiceEntry, with the tests' socket or port in the place of its own.
fn endpoint(entry: &Value, socket: &Path, port: u16) -> Value {
    let address = entry["spec"]["endpoints"][0]["address"].as_str().expect("an address");
    match address.strip_prefix("unix://") {
        Some(path) => {
            assert_eq!(path, "/run/portcullis/authz.sock", "where the injector has the socket");
            json!({ "pipe": { "path": socket } })
        }
        None => json!({ "socket_address": { "address": address, "port_value": port } }),
    }
}

/// Makes of the tests' Envoy what Istio makes of a pod's, for this provider, this ServiceEntry and this policy. `grpc` is the port on
/// which the sidecar answers.
pub fn configure(config: &mut Value, name: &str, entry: &str, policy: &Value, grpc: u16) {
    let provider = patient_provider(name);
    let socket = socket(config);
    let folder = socket.parent().expect("a folder").to_path_buf();
    inbound(config);
    service_cluster(config, &cluster_name(&provider), &endpoint(&document(entry), &socket, grpc), &folder);
    // Custom authorization comes first.
    let filters = connection_manager(config)["http_filters"].as_array_mut().expect("filters");
    filters.splice(0..0, http_filters(name, &provider, policy));
    // Who asks for endpoints has to say who it is.
    config["node"] = json!({ "id": "sidecar~10.0.0.1~blog.shop~shop.svc.cluster.local", "cluster": "blog.shop" });
}

/// How busy the machine of the tests is, is not what is tested.
fn patient_provider(name: &str) -> Value {
    let mut provider = provider(name);
    provider["timeout"] = json!("10s");
    provider
}

/// The port of a pod that carries something else than HTTP.
pub fn add_tcp_listener(config: &mut Value, name: &str, policy: &Value, port: u16) {
    let mut chain = tcp_filters(name, &patient_provider(name), policy).to_vec();
    chain.push(tcp_proxy());
    let listeners = config["static_resources"]["listeners"].as_array_mut().expect("listeners");
    listeners.push(tcp_listener(port, &chain));
}

/// Sends what a connection carries on to a service.
pub fn tcp_proxy() -> Value {
    let proxy = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "blog" });
    json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": proxy })
}

pub fn tcp_listener(port: u16, filters: &[Value]) -> Value {
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    json!({ "name": "tcp", "address": address, "filter_chains": [{ "filters": filters }] })
}

/// The socket of the tests' sidecar.
pub fn socket(config: &mut Value) -> PathBuf {
    let endpoint = &super::cluster(config, "authz")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    PathBuf::from(endpoint["address"]["pipe"]["path"].as_str().expect("a socket"))
}
