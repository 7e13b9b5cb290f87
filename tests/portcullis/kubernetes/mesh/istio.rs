//! What istiod makes of our provider and policy, in the real Envoy. There is no istiod here: the filters are put together as
//! `pilot/pkg/security/authz/builder` and `pilot/pkg/networking/core` of istio/istio do it (commit 86c9f01, August 2026).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::walk::{self, Expected, POST};
use super::{connection_manager, document, documents, parse_envoy, provider, read};
use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::ports;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::upstream::Seen;
use crate::harness::wait::PATIENCE;

/// What tells the second filter that the first one has matched.
const POLICY_ID: &str = "istio_ext_authz_shadow_effective_policy_id";

/// Rules as `builder.build` makes them; for connections without those parts that only requests have.
fn rules(policy: &Value, provider_name: &str, for_tcp: bool) -> Value {
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
    [json!({ "name": "envoy.filters.http.rbac", "typed_config": mark }), json!({ "name": "envoy.filters.http.ext_authz", "typed_config": check })]
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

/// An Envoy as Istio configures it for this provider, with our policy as changed.
async fn mesh(name: &'static str, entry: &'static str, policy: impl FnOnce(&mut Value), routes: &'static str, tcp: Option<u16>) -> Mesh {
    let mut provider = provider(name);
    // How busy the machine of the tests is, is not what is tested.
    provider["timeout"] = json!("10s");
    let mut authorization = document("deploy/istio/workload/authorization-policy.yaml");
    policy(&mut authorization);
    let entry = document(entry);
    let grpc = ports::pick();
    let builder = Mesh::builder().policy(move |text| {
        let text = edit(&text, "127.0.0.1:0]", &format!("127.0.0.1:{grpc}]"));
        edit(&text, "\nroutes:\n", &format!("\n{routes}"))
    });
    let configure = move |text: String| {
        let mut config = parse_envoy(&text);
        let pipe = super::cluster(&mut config, "authz")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["pipe"].clone();
        let socket = PathBuf::from(pipe["path"].as_str().expect("a socket"));
        let folder = socket.parent().expect("a folder").to_path_buf();
        inbound(&mut config);
        service_cluster(&mut config, &cluster_name(&provider), &endpoint(&entry, &socket, grpc), &folder);
        // Custom authorization comes first.
        let filters = connection_manager(&mut config)["http_filters"].as_array_mut().expect("filters");
        filters.splice(0..0, http_filters(name, &provider, &authorization));
        if let Some(port) = tcp {
            let proxy = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "blog" });
            let mut chain = tcp_filters(name, &provider, &authorization).to_vec();
            chain.push(json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": proxy }));
            config["static_resources"]["listeners"].as_array_mut().expect("listeners").push(json!({
                "name": "tcp", "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
                "filter_chains": [{ "filters": chain }],
            }));
        }
        // Who asks for endpoints has to say who it is.
        config["node"] = json!({ "id": "sidecar~10.0.0.1~blog.shop~shop.svc.cluster.local", "cluster": "blog.shop" });
        config.to_string()
    };
    builder.envoy(configure).start().await
}

const UNIX: &str = "deploy/istio/mesh/service-entry-unix.yaml";
const LOCALHOST: &str = "deploy/istio/mesh/service-entry-localhost.yaml";

/// No routes besides the usual ones.
const USUAL: &str = "routes:\n";

/// What Istio leaves to Portcullis.
const EXPECTED: Expected = Expected { refuses_underscores: false, refuses_escaped_slashes: false, two_hosts: 400 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_form_over_the_socket_lets_pass_and_refuses_as_ours_does() {
    let port = ports::pick();
    let mut mesh = mesh("portcullis-unix", UNIX, |_| {}, USUAL, Some(port)).await;
    let mut requests = walk::through(&mesh, EXPECTED).await;

    // A connection that carries no request of HTTP, or one that nobody recognized as such.
    let served = mesh.upstream.served();
    for first in [&b"\x00\x01\x02"[..], b"GET /blog/health HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        stream.write_all(first).await.expect("sent");
        let mut answer = Vec::new();
        // It is closed, or torn down.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the end of the connection");
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        requests += 1;
    }
    assert_eq!(mesh.upstream.served(), served, "a connection got through");

    requests += walk::without_sidecar(&mut mesh).await;
    println!("{requests} requests through Istio's form, over the socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_form_over_loopback_lets_pass_and_refuses_as_ours_does() {
    let mut mesh = mesh("portcullis-localhost", LOCALHOST, |_| {}, USUAL, None).await;
    let requests = walk::through(&mesh, EXPECTED).await + walk::without_sidecar(&mut mesh).await;
    println!("{requests} requests through Istio's form, over loopback");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_form_with_bodies_judges_whole_ones_and_lets_others_pass_where_nobody_judges() {
    const ROUTES: &str = "\
routes:
  - { path: /blog/profile, methods: { PATCH: { access: authenticated, body: { only: [avatar] } } } }
  - { path: /blog/free, methods: { POST: { access: authenticated } } }
";
    let mesh = mesh("portcullis-unix-body", UNIX, |_| {}, ROUTES, None).await;
    let long = "a".repeat(100_000);
    for (method, path, body, status) in [
        ("PATCH", "/blog/profile", json!({ "avatar": "a.png" }), 200),
        ("PATCH", "/blog/profile", json!({ "avatar": "a.png", "role": "admin" }), 403),
        ("PATCH", "/blog/profile", json!({ "avatar": long }), 403),
        ("POST", "/blog/free", json!({ "anything": long }), 200),
    ] {
        let request = Request::new(method, path).token(&token::mint_second(json!({}))).json(&body);
        assert_eq!(mesh.send(&request).await.status, status, "{method} {path}");
    }
}

/// The trap that the policy warns of, and what to do instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_istio_leaves_out_lets_a_client_say_who_it_is_and_a_public_route_does_not() {
    let leave_out = |policy: &mut Value| policy["spec"]["rules"][0]["to"][0]["operation"]["notPaths"] = json!(["/blog/me"]);
    let mesh = mesh("portcullis-unix", UNIX, leave_out, USUAL, None).await;
    let spoofed = |path: &str| Request::get(path).header("x-user-id", "root");
    let seen = Seen::of(&mesh.send(&spoofed("/blog/me")).await);
    assert_eq!(seen.identity(), [("x-user-id", "root")], "nobody was asked");
    assert_eq!(Seen::of(&mesh.send(&spoofed("/blog/health")).await).identity(), []);
    assert_eq!(mesh.send(&Request::get(POST)).await.status, 401);
    // Other spellings of what is left out are judged as what they are.
    assert_eq!(mesh.send(&Request::get("/blog/me/")).await.status, 403);
}

#[test]
fn the_policy_says_what_it_leaves_out_and_names_the_trap() {
    let text = read("deploy/istio/workload/authorization-policy.yaml");
    assert!(text.contains("notPaths") && text.contains("x-user-id"));
    let operation = &documents(&text)[0]["spec"]["rules"][0]["to"][0]["operation"];
    assert_eq!(operation, &json!({ "notPorts": ["9193"] }), "only the sidecar's own metrics are left out");
}
