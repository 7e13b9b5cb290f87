//! The template for Istio's injector, rendered and merged by the code that Istio uses: Go's templates and Kubernetes' strategic merge,
//! both of which are in kubectl.

use std::path::Path;
use std::process::Command;

use portcullis::inject;
use serde_json::{Value, json};

use super::document;
use crate::harness::{mesh, schemas};

fn kubectl(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("kubectl").current_dir(folder).args(arguments).output().expect("no kubectl: apt-get install kubernetes-client");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What the template makes of a pod with these annotations.
fn rendered(folder: &Path, native_by_default: bool, annotations: &Value) -> String {
    let template = document("deploy/istio/injection-template.yaml")["sidecarInjectorWebhook"]["templates"]["portcullis"].clone();
    std::fs::write(folder.join("template"), template.as_str().expect("a template")).expect("a file");
    // The names that Istio's SidecarTemplateData has.
    let data = json!({
        "apiVersion": "tests/v1", "kind": "Data", "metadata": { "name": "data" },
        "NativeSidecars": native_by_default, "ObjectMeta": { "Annotations": annotations },
    });
    std::fs::write(folder.join("data.json"), data.to_string()).expect("a file");
    kubectl(folder, &["patch", "--local", "-f", "data.json", "--type=merge", "-p", "{}", "-o", "go-template-file=template"])
}

/// A pod as Istio's own template leaves it.
fn pod(native: bool) -> Value {
    let proxy = json!({ "name": "istio-proxy", "image": "proxyv2:1", "volumeMounts": [{ "name": "istio-envoy", "mountPath": "/etc/istio/proxy" }] });
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "blog" },
        "spec": {
            "initContainers": [{ "name": "istio-init", "image": "proxyv2:1" }, { "name": "migrate", "image": "blog:1" }],
            "containers": [{ "name": "blog", "image": "blog:1" }],
            "volumes": [{ "name": "istio-envoy", "emptyDir": { "medium": "Memory" } }],
        },
    });
    let (list, proxy) =
        if native { ("initContainers", merged(&proxy, &json!({ "restartPolicy": "Always" }))) } else { ("containers", proxy) };
    pod["spec"][list].as_array_mut().expect("a list").push(proxy);
    pod
}

fn merged(into: &Value, from: &Value) -> Value {
    let mut into = into.clone();
    super::merge(&mut into, from);
    into
}

fn named<'v>(list: &'v Value, name: &str) -> Option<&'v Value> {
    list.as_array()?.iter().find(|item| item["name"] == name)
}

/// The pod after our template.
fn injected(native: bool, by_default: bool, annotations: &Value) -> Value {
    let folder = mesh::folder();
    let folder = folder.path();
    std::fs::write(folder.join("overlay.yaml"), rendered(folder, by_default, annotations)).expect("a file");
    std::fs::write(folder.join("pod.json"), pod(native).to_string()).expect("a file");
    let patch = ["patch", "--local", "-f", "pod.json", "--type=strategic", "--patch-file", "overlay.yaml", "-o", "json"];
    serde_json::from_str(&kubectl(folder, &patch)).expect("a pod")
}

#[test]
fn the_template_adds_the_sidecar_and_gives_istio_proxy_the_socket_wherever_it_is() {
    let says = |value: &str| json!({ "sidecar.istio.io/nativeSidecar": value });
    for (native, by_default, annotations) in
        [(true, true, json!({})), (false, false, json!({})), (true, false, says("true")), (false, true, says("false"))]
    {
        let pod = injected(native, by_default, &annotations);
        for version in schemas::VERSIONS {
            assert_eq!(schemas::problems(&pod, version), <[String; 0]>::default(), "{version}");
        }
        let spec = &pod["spec"];
        let sidecar = named(&spec["initContainers"], "portcullis").expect("the sidecar");
        assert_eq!(sidecar["restartPolicy"], "Always");
        let (here, there) = if native { ("initContainers", "containers") } else { ("containers", "initContainers") };
        let proxy = named(&spec[here], "istio-proxy").expect("istio-proxy");
        assert_eq!(named(&proxy["volumeMounts"], "portcullis-socket").map(|mount| &mount["mountPath"]), Some(&json!("/run/portcullis")));
        assert!(named(&proxy["volumeMounts"], "istio-envoy").is_some() && proxy["image"] == "proxyv2:1", "what was there stays");
        assert!(named(&spec[there], "istio-proxy").is_none(), "a second istio-proxy");
        for name in ["portcullis-config", "portcullis-socket", "istio-envoy"] {
            assert!(named(&spec["volumes"], name).is_some(), "{name}");
        }
        // The service itself has neither socket nor configuration.
        assert!(named(&spec["containers"], "blog").expect("the service").get("volumeMounts").is_none());
    }
}

/// What `portcullis inject` adds to a pod with this proxy: the sidecar, its volumes, and the proxy's mount.
fn by_the_injector(proxy: &str) -> (Value, Vec<Value>, Value) {
    let mut pod = json!({
        "metadata": { "name": "blog" },
        "spec": { "containers": [{ "name": "blog", "image": "blog:1" }, { "name": proxy, "image": "proxy:1" }] },
    });
    inject::inject_pod(&mut pod, Some("shop"), &inject::Settings::default()).expect("a pod like any other");
    let spec = &pod["spec"];
    let mount = spec["containers"][1]["volumeMounts"][0].clone();
    (spec["initContainers"][0].clone(), spec["volumes"].as_array().expect("volumes").clone(), mount)
}

#[test]
fn the_template_adds_what_the_injector_adds() {
    let (sidecar, volumes, mount) = by_the_injector("istio-proxy");
    let pod = injected(true, true, &json!({}));
    let spec = &pod["spec"];
    assert_eq!(named(&spec["initContainers"], "portcullis"), Some(&sidecar));
    for volume in volumes {
        assert_eq!(named(&spec["volumes"], volume["name"].as_str().expect("a name")), Some(&volume));
    }
    let proxy = named(&spec["initContainers"], "istio-proxy").expect("istio-proxy");
    assert_eq!(named(&proxy["volumeMounts"], "portcullis-socket"), Some(&mount));
}

#[test]
fn the_gateways_pods_get_what_the_injector_adds() {
    let (sidecar, volumes, mount) = by_the_injector("envoy");
    let proxy = document("deploy/envoy-gateway/sidecar/envoy-proxy.yaml");
    let deployment = &proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"];
    assert_eq!(deployment["initContainers"], json!([sidecar]));
    assert_eq!(deployment["pod"]["volumes"], json!(volumes));
    assert_eq!(deployment["container"]["volumeMounts"], json!([mount]));
}
