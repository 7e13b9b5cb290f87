//! The example and the central Portcullis: their configurations are good, and Envoy is set up as the shipped one is.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::kustomize;
use crate::harness::envoy::find_envoy;
use crate::harness::kustomize::{named, of_kind, pod_template};
use crate::harness::process;

/// The file that a ConfigMap holds, as pods see it.
pub(super) fn file_of(folder: &str, map: &str, file: &str) -> String {
    let objects = kustomize::shipped(folder);
    // Names of generated ConfigMaps may have a hash behind them.
    let is_it = |name: &str| name == map || name.strip_prefix(map).is_some_and(|rest| rest.starts_with('-'));
    let map = of_kind(&objects, "ConfigMap").find(|object| object["metadata"]["name"].as_str().is_some_and(is_it)).expect(map);
    map["data"][file].as_str().expect(file).to_string()
}

#[test]
fn the_configurations_are_good() {
    for (folder, map) in [("example", "portcullis"), ("central", "portcullis-authz")] {
        let configuration = TempDir::new().expect("a folder");
        fs::write(configuration.path().join("portcullis.yaml"), file_of(folder, map, "portcullis.yaml")).expect("a file");
        let output = process::command(process::programs::portcullis()).arg("check").arg(configuration.path()).output().expect("portcullis");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("is good"), "{folder}: {out}{err}");
    }
}

#[test]
fn the_sidecars_configuration_and_socket_are_where_envoy_and_the_injector_look() {
    let objects = kustomize::shipped("example");
    // The default of `portcullis.dev/config-map`, without a hash: a change reaches the pods that run.
    named(&objects, "ConfigMap", "portcullis");
    let sidecar: Value = serde_saphyr::from_str(&file_of("example", "portcullis", "portcullis.yaml")).expect("YAML");
    let envoy = file_of("example", "envoy", "envoy.yaml");
    let socket = "/run/portcullis/authz.sock";
    assert_eq!(sidecar["listen"]["grpc"], json!([format!("unix:{socket}")]));
    assert!(envoy.contains(&format!("pipe: {{ path: {socket} }}")));
    // Envoy's container has the name that gets the socket by default, and the port of the network policy.
    let pod = pod_template(named(&objects, "Deployment", "blog")).expect("a pod");
    let container = pod["spec"]["containers"].as_array().expect("containers").iter().find(|container| container["name"] == "envoy");
    assert_eq!(container.expect("envoy")["ports"][0]["containerPort"], 10000);
    assert!(envoy.contains("address: 0.0.0.0, port_value: 10000"));
    let policy = named(&objects, "NetworkPolicy", "portcullis-only-envoy");
    assert_eq!(policy["spec"]["ingress"][0]["ports"], json!([{ "port": 10000, "protocol": "TCP" }]));
    // Metrics are to be had from outside of the pod, and by nobody but Prometheus.
    assert_eq!(sidecar["listen"]["admin"], "0.0.0.0:9193");
    let policy = named(&objects, "NetworkPolicy", "portcullis-sidecar");
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], 9193);
    assert!(policy["spec"]["ingress"][0]["from"][0]["namespaceSelector"].is_object());
    // Nothing may reach the service but Envoy beside it.
    let service = pod["spec"]["containers"][1]["command"].to_string();
    assert!(service.contains("127.0.0.1"), "{service}");
    let port = named(&objects, "Service", "blog")["spec"]["ports"][0]["targetPort"].clone();
    assert_eq!(container.expect("envoy")["ports"][0]["name"], port);
}

/// An Envoy configuration without what belongs to where it runs.
fn common(text: &str) -> Value {
    let mut configuration: Value = serde_saphyr::from_str(text).expect("YAML");
    configuration["admin"]["address"]["pipe"]["path"] = Value::Null;
    let listener = &mut configuration["static_resources"]["listeners"][0];
    listener["address"] = Value::Null;
    let host = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0];
    assert!(host["domains"].as_array().expect("domains").iter().all(|domain| domain != "*"));
    let routes = host["routes"].as_array().expect("routes").clone();
    *host = json!({ "last": routes.last() });
    let clusters = configuration["static_resources"]["clusters"].as_array_mut().expect("clusters");
    clusters.retain(|cluster| cluster["name"] == "authz" || cluster["name"] == "blog");
    configuration
}

#[test]
fn envoy_is_set_up_as_the_shipped_one_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = common(&fs::read_to_string(root.join("envoy/sidecar.yaml")).expect("envoy/sidecar.yaml"));
    let here = common(&file_of("example", "envoy", "envoy.yaml"));
    assert_eq!(here, shipped);
    // And is one that Envoy takes.
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("envoy.yaml");
    fs::write(&file, file_of("example", "envoy", "envoy.yaml")).expect("a file");
    let output =
        Command::new(find_envoy(root)).args(["--mode", "validate", "--disable-hot-restart", "-l", "warn", "-c"]).arg(file).output();
    let output = output.expect("Envoy starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
