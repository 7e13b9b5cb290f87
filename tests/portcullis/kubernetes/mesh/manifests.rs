//! Whether a cluster takes the manifests, and whether they mean what they say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{document, documents, path, read};
use crate::harness::schemas;

const FOLDERS: [&str; 2] = ["deploy/istio", "deploy/envoy-gateway"];

/// All YAML files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below the repository").display().to_string());
        }
    }
    found.sort();
    found
}

/// Files that are values for Istio's chart.
const VALUES: [&str; 2] = ["deploy/istio/injection-template.yaml", "deploy/istio/mesh-config.yaml"];

fn all_files() -> Vec<String> {
    FOLDERS.iter().flat_map(|folder| files(&path(folder))).collect()
}

/// Every object in the files, with the file's name.
fn objects() -> Vec<(String, Value)> {
    let files = all_files().into_iter().filter(|name| !VALUES.contains(&name.as_str()) && !name.ends_with("kustomization.yaml"));
    files.flat_map(|name| documents(&read(&name)).into_iter().map(move |object| (name.clone(), object))).collect()
}

/// What `kubectl kustomize` makes of a folder.
fn rendered(folder: &str) -> Vec<Value> {
    let output = Command::new("kubectl").arg("kustomize").arg(path(folder)).output();
    let output = output.expect("no kubectl: apt-get install kubernetes-client");
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).expect("text"))
}

fn folders_with_kustomization() -> Vec<String> {
    all_files().iter().filter_map(|name| name.strip_suffix("/kustomization.yaml").map(str::to_string)).collect()
}

/// The validators are made from an older Envoy Gateway. `statusOnError` came with 1.8.0, for the statuses 400 to 511 that are registered
/// (envoyproxy/gateway api/v1alpha1/ext_auth_types.go).
fn without_newer_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == "SecurityPolicy"
        && let Some(auth) = object.pointer_mut("/spec/extAuth").and_then(Value::as_object_mut)
    {
        assert_eq!(auth.remove("statusOnError"), Some(json!(503)));
    }
    object
}

#[test]
fn a_cluster_takes_every_object_and_every_folder() {
    let mut named: Vec<(String, Value)> = objects();
    let in_files = named.len();
    let folders = folders_with_kustomization();
    for folder in &folders {
        let objects = rendered(folder);
        assert!(!objects.is_empty(), "{folder} renders to nothing");
        named.extend(objects.into_iter().map(|object| (folder.clone(), object)));
    }
    assert!(named.iter().all(|(_, object)| schemas::is_custom(object)), "these folders hold custom resources only");
    let objects: Vec<Value> = named.iter().map(|(_, object)| without_newer_fields(object)).collect();
    for ((name, object), problems) in named.iter().zip(schemas::custom_problems(&objects)) {
        assert!(problems.is_empty(), "{name}: {}: {problems:?}", object["kind"]);
    }
    println!("{in_files} objects in files, {} rendered from {} folders", objects.len() - in_files, folders.len());
}

#[test]
fn every_file_belongs_to_a_folder_and_says_when_and_how() {
    let mut resources = BTreeSet::new();
    for folder in folders_with_kustomization() {
        let text = read(&format!("{folder}/kustomization.yaml"));
        assert!(text.starts_with("# "), "{folder} does not say what it is for");
        for resource in documents(&text)[0]["resources"].as_array().expect("resources") {
            resources.insert(format!("{folder}/{}", resource.as_str().expect("a name")));
        }
    }
    for name in all_files().iter().filter(|name| !name.ends_with("kustomization.yaml")) {
        assert!(read(name).starts_with("# "), "{name} does not say what it is for");
        assert!(VALUES.contains(&name.as_str()) || resources.contains(name), "{name} is in no kustomization");
    }
}

#[test]
fn what_is_not_known_is_not_taken() {
    let mut bad = Vec::new();
    for (name, object) in objects() {
        // A field that there is not, and no fields at all.
        let mut unknown = object.clone();
        unknown["spec"]["failOpenn"] = json!(true);
        bad.push((name.clone(), unknown));
        let mut wrong = object.clone();
        wrong["spec"] = json!("text");
        bad.push((name, wrong));
    }
    let edits = [
        ("deploy/istio/workload/authorization-policy.yaml", "/spec/action", json!("ASK")),
        ("deploy/istio/workload/authorization-policy.yaml", "/spec/rules/0/to/0/operation", json!({ "notPort": ["9193"] })),
        ("deploy/istio/mesh/service-entry-unix.yaml", "/spec/resolution", json!("UNIX")),
        ("deploy/istio/envoy-filter/envoy-filter.yaml", "/spec/configPatches/0/patch/operation", json!("INSERT")),
        ("deploy/istio/strict-mtls/peer-authentication.yaml", "/spec/mtls/mode", json!("ON")),
        ("deploy/envoy-gateway/central/security-policy.yaml", "/spec/extAuth/timeout", json!("fast")),
        ("deploy/envoy-gateway/central/security-policy.yaml", "/spec/extAuth/failOpen", json!("never")),
        ("deploy/envoy-gateway/common/client-traffic-policy.yaml", "/spec/path/escapedSlashesAction", json!("Refuse")),
        ("deploy/envoy-gateway/sidecar/backend.yaml", "/spec/endpoints", json!([])),
    ];
    for (name, pointer, value) in edits {
        let mut object = document(name);
        *object.pointer_mut(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}")) = value;
        bad.push((format!("{name} {pointer}"), object));
    }
    let objects: Vec<Value> = bad.iter().map(|(_, object)| without_newer_fields(object)).collect();
    for ((name, object), problems) in bad.iter().zip(schemas::custom_problems(&objects)) {
        assert!(!problems.is_empty(), "{name}: taken, and should not be: {object}");
    }
    println!("{} objects refused", objects.len());
}

/// Fields of `MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationGrpcProvider` and of what is in it, in
/// istio/api mesh/v1alpha1/config.proto, July 2026 (commit b8f8791). There is no schema to ask: MeshConfig is no resource.
const GRPC_PROVIDER: [&str; 7] =
    ["service", "port", "timeout", "failOpen", "clearRouteCache", "statusOnError", "includeRequestBodyInCheck"];
const REQUEST_BODY: [&str; 3] = ["maxRequestBytes", "allowPartialMessage", "packAsBytes"];
/// `MeshConfig.ProxyPathNormalization.NormalizationType`.
const NORMALIZATIONS: [&str; 5] = ["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().map(String::as_str).collect()
}

fn known(object: &Value, fields: &[&str]) {
    let unknown: Vec<&str> = keys(object).into_iter().filter(|key| !fields.contains(key)).collect();
    assert!(unknown.is_empty(), "Istio knows no {unknown:?}");
}

#[test]
fn every_provider_fails_closed_within_a_bound_and_asks_somebody_who_is_there() {
    let config = document("deploy/istio/mesh-config.yaml");
    assert_eq!(keys(&config), BTreeSet::from(["meshConfig"]));
    assert_eq!(keys(&config["meshConfig"]), BTreeSet::from(["pathNormalization", "extensionProviders"]));
    let normalization = &config["meshConfig"]["pathNormalization"];
    known(normalization, &["normalization"]);
    assert!(NORMALIZATIONS.iter().any(|name| normalization["normalization"] == *name));

    // Who may be asked, by the name that Istio knows them by.
    let mut hosts = BTreeSet::from([central()]);
    for object in rendered("deploy/istio/mesh") {
        assert_eq!((&object["kind"], &object["spec"]["resolution"]), (&json!("ServiceEntry"), &json!("STATIC")));
        assert_eq!(object["spec"]["endpoints"].as_array().map(Vec::len), Some(1), "one sidecar in each pod");
        assert_eq!((&object["spec"]["ports"][0]["number"], &object["spec"]["ports"][0]["protocol"]), (&json!(9191), &json!("GRPC")));
        let name = |value: &Value| value.as_str().expect("a name").to_string();
        hosts.insert(format!("{}/{}", name(&object["metadata"]["namespace"]), name(&object["spec"]["hosts"][0])));
    }
    let mut asked = BTreeSet::new();
    let mut names = BTreeSet::new();
    for provider in config["meshConfig"]["extensionProviders"].as_array().expect("providers") {
        known(provider, &["name", "envoyExtAuthzGrpc"]);
        let name = provider["name"].as_str().expect("a name");
        // Istio refuses every request where the name is not a label as in DNS.
        assert!(name.len() <= 63 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert!(names.insert(name.to_string()), "{name} twice");
        let grpc = &provider["envoyExtAuthzGrpc"];
        known(grpc, &GRPC_PROVIDER);
        assert_eq!(grpc["timeout"], "0.1s", "{name}: without one Istio waits for 600 s");
        assert_eq!((&grpc["failOpen"], &grpc["statusOnError"], &grpc["port"]), (&json!(false), &json!("503"), &json!(9191)), "{name}");
        assert_ne!(grpc["clearRouteCache"], true, "{name}");
        if let Some(body) = grpc.get("includeRequestBodyInCheck") {
            known(body, &REQUEST_BODY);
            assert_eq!(body["packAsBytes"], true, "{name}");
        }
        asked.insert(grpc["service"].as_str().expect("a service").to_string());
    }
    assert_eq!(asked, hosts);

    for file in ["deploy/istio/workload/authorization-policy.yaml", "deploy/istio/waypoint/authorization-policy.yaml"] {
        let policy = document(file);
        assert_eq!(policy["spec"]["action"], "CUSTOM");
        assert!(names.contains(policy["spec"]["provider"]["name"].as_str().expect("a provider")), "{file}");
        assert!(policy["spec"].get("selector").is_none(), "{file}: a label that is taken away must not open a pod");
    }
}

/// The host of the central Portcullis, by its own manifest.
fn central() -> String {
    let service = document("deploy/kubernetes/central/service.yaml");
    let metadata = |key: &str| service["metadata"][key].as_str().expect("a name").to_string();
    assert!(service["spec"]["ports"].as_array().expect("ports").iter().any(|port| port["port"] == 9191));
    let (name, namespace) = (metadata("name"), metadata("namespace"));
    format!("{namespace}/{name}.{namespace}.svc.cluster.local")
}

#[test]
fn envoy_gateway_asks_somebody_who_is_there_and_fails_closed_within_a_bound() {
    for folder in ["deploy/envoy-gateway/central", "deploy/envoy-gateway/sidecar"] {
        let objects = rendered(folder);
        let of_kind = |kind: &str| -> Vec<&Value> { objects.iter().filter(|object| object["kind"] == kind).collect() };
        let [policy] = of_kind("SecurityPolicy")[..] else { panic!("{folder}: one SecurityPolicy") };
        let [gateway] = of_kind("Gateway")[..] else { panic!("{folder}: one Gateway") };
        let [traffic] = of_kind("ClientTrafficPolicy")[..] else { panic!("{folder}: one ClientTrafficPolicy") };
        let auth = &policy["spec"]["extAuth"];
        assert_eq!(
            (&auth["failOpen"], &auth["statusOnError"], &auth["timeout"]),
            (&json!(false), &json!(503), &json!("100ms")),
            "{folder}"
        );
        for policy in [policy, traffic] {
            assert_eq!(policy["spec"]["targetRefs"][0]["name"], gateway["metadata"]["name"], "{folder}");
            assert_eq!(policy["metadata"]["namespace"], gateway["metadata"]["namespace"], "{folder}");
        }
        let backend = &auth["grpc"]["backendRefs"][0];
        let namespace = backend.get("namespace").unwrap_or(&policy["metadata"]["namespace"]);
        if backend["kind"] == "Service" {
            let host = format!(
                "{ns}/{}.{ns}.svc.cluster.local",
                backend["name"].as_str().expect("a name"),
                ns = namespace.as_str().expect("a name")
            );
            assert_eq!((host, &backend["port"]), (central(), &json!(9191)), "{folder}");
            // From another namespace it may only be named with leave.
            let [grant] = of_kind("ReferenceGrant")[..] else { panic!("{folder}: one ReferenceGrant") };
            assert_eq!(&grant["metadata"]["namespace"], namespace);
            assert_eq!(grant["spec"]["from"][0]["namespace"], policy["metadata"]["namespace"]);
            assert_eq!(grant["spec"]["to"][0]["name"], backend["name"]);
        } else {
            let [found] = of_kind("Backend")[..] else { panic!("{folder}: one Backend") };
            assert_eq!((&found["metadata"]["name"], &found["metadata"]["namespace"]), (&backend["name"], namespace), "{folder}");
            let [proxy] = of_kind("EnvoyProxy")[..] else { panic!("{folder}: one EnvoyProxy") };
            assert_eq!(gateway["spec"]["infrastructure"]["parametersRef"]["name"], proxy["metadata"]["name"]);
        }
    }
}
