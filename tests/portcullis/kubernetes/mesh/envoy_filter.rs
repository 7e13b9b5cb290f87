//! What our EnvoyFilter makes of an inbound listener of Istio's, in the real Envoy.

use std::process::Command;

use serde_json::{Value, json};

use super::walk::{self, Expected};
use super::{cluster, connection_manager, document, documents, istio, istiod, merge, parse_envoy, path, read};
use crate::harness::envoy::find_envoy;
use crate::harness::mesh::{self, Mesh};
use crate::harness::ports;
use crate::harness::sidecar::edit;

const FILE: &str = "deploy/istio/envoy-filter/envoy-filter.yaml";

/// Applies the patches as `pilot/pkg/networking/core/envoyfilter` of istio/istio does (commit 86c9f01, August 2026). Of what can be
/// matched, this knows what our file uses.
fn patch(config: &mut Value, filter: &Value) {
    for patch in filter["spec"]["configPatches"].as_array().expect("patches") {
        assert_eq!(patch["match"]["context"], "SIDECAR_INBOUND");
        let text = |value: &Value| value.as_str().map(str::to_string);
        let network = &patch["match"]["listener"]["filterChain"]["filter"];
        let (operation, value) = (text(&patch["patch"]["operation"]).expect("an operation"), &patch["patch"]["value"]);
        let before = |filters: &mut Vec<Value>, name: &Value| {
            let at = filters.iter().position(|filter| filter["name"] == *name).expect("a filter of this name");
            filters.insert(at, value.clone());
        };
        match (text(&patch["applyTo"]).expect("a kind").as_str(), operation.as_str()) {
            ("CLUSTER", "ADD") => config["static_resources"]["clusters"].as_array_mut().expect("clusters").push(value.clone()),
            ("HTTP_FILTER", "INSERT_BEFORE") => {
                assert_eq!(network["name"], "envoy.filters.network.http_connection_manager");
                let filters = connection_manager(config)["http_filters"].as_array_mut().expect("filters");
                before(filters, &network["subFilter"]["name"]);
            }
            ("NETWORK_FILTER", operation) => {
                for listener in config["static_resources"]["listeners"].as_array_mut().expect("listeners") {
                    let filters = listener["filter_chains"][0]["filters"].as_array_mut().expect("filters");
                    let Some(found) = filters.iter_mut().find(|filter| filter["name"] == network["name"]) else { continue };
                    match operation {
                        "MERGE" => merge(&mut found["typed_config"], &value["typed_config"]),
                        "INSERT_BEFORE" => before(filters, &network["name"]),
                        other => panic!("this test does not know {other}"),
                    }
                }
            }
            other => panic!("this test does not know {other:?}"),
        }
    }
}

/// Istio's inbound listener with one for what is no HTTP beside it, patched.
pub fn patched(text: &str, port: u16) -> Value {
    let mut config = parse_envoy(text);
    let socket = istiod::socket(&mut config);
    // How busy the machine of the tests is, is not what is tested.
    let filter = edit(&edit(&read(FILE), "timeout: 0.1s", "timeout: 10s"), "timeout: 0.5s", "timeout: 5s");
    let filter = documents(&edit(&filter, "/run/portcullis/authz.sock", &socket.display().to_string())).remove(0);
    istiod::inbound(&mut config);
    let clusters = config["static_resources"]["clusters"].as_array_mut().expect("clusters");
    clusters.retain(|cluster| cluster["name"] != "authz");
    let listeners = config["static_resources"]["listeners"].as_array_mut().expect("listeners");
    listeners.push(istiod::tcp_listener(port, &[istiod::tcp_proxy()]));
    patch(&mut config, &filter);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_envoy_filter_lets_pass_and_refuses_as_the_shipped_envoy_does() {
    let port = ports::pick();
    let mut mesh = Mesh::builder().envoy(move |text| patched(&text, port).to_string()).start().await;
    let expected = Expected { refuses_underscores: true, refuses_escaped_slashes: true, two_hosts: 400 };
    let mut requests = walk::through(&mesh, expected).await;

    // What Istio takes for something else than HTTP.
    let served = mesh.upstream.served();
    assert_eq!(istio::over_tcp(port, b"GET /blog/health HTTP/1.1\r\nhost: a\r\n\r\n").await, b"");
    assert_eq!(mesh.upstream.served(), served, "a connection got through");

    requests += walk::without_sidecar(&mut mesh).await + 1;
    println!("{requests} requests through the EnvoyFilter");
}

/// As it is shipped, with nothing replaced in it.
#[test]
fn envoy_takes_what_the_envoy_filter_makes() {
    let folder = mesh::folder();
    let shipped = read("envoy/sidecar.yaml");
    let mut config = parse_envoy(&shipped);
    istiod::inbound(&mut config);
    patch(&mut config, &document(FILE));
    let file = folder.path().join("envoy.json");
    std::fs::write(&file, config.to_string()).expect("a file");
    let validate = || {
        let output = Command::new(find_envoy(&path(""))).args(["--mode", "validate", "--disable-hot-restart", "-c"]).arg(&file).output();
        output.expect("Envoy starts")
    };
    let output = validate();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // It would notice a field that there is not.
    connection_manager(&mut config)["http_filters"][0]["typed_config"]["encode_raw_header"] = json!(true);
    std::fs::write(&file, config.to_string()).expect("a file");
    assert!(!validate().status.success());
}

/// Two places that say the same thing.
#[test]
fn the_check_is_the_one_of_the_shipped_envoy() {
    let filter = document(FILE);
    let patch_of = |kind: &str, name: &str| {
        let patches = filter["spec"]["configPatches"].as_array().expect("patches");
        let found = patches.iter().find(|patch| patch["applyTo"] == kind && patch["patch"]["value"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))["patch"]["value"].clone()
    };
    let mut shipped = parse_envoy(&read("envoy/sidecar.yaml"));
    let mut ours = patch_of("HTTP_FILTER", "portcullis.ext_authz")["typed_config"].clone();
    assert_eq!(ours["include_peer_certificate"], true, "istio-proxy has verified one");
    ours.as_object_mut().expect("an object").remove("include_peer_certificate");
    ours["grpc_service"]["envoy_grpc"]["cluster_name"] = json!("authz");
    assert_eq!(ours, connection_manager(&mut shipped)["http_filters"][0]["typed_config"]);

    let mut ours = patch_of("CLUSTER", "portcullis");
    ours["name"] = json!("authz");
    ours["load_assignment"]["cluster_name"] = json!("authz");
    assert_eq!(&ours, cluster(&mut shipped, "authz"));
}
