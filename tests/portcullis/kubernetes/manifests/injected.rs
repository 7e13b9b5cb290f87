//! The example as the webhook leaves it, and as a person does who breaks the glass.

use std::env;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use portcullis::inject::{self, Outcome, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{kustomize, page};
use crate::harness::kustomize::{containers, named, pod_template};
use crate::harness::schemas::{VERSIONS, problems};
use crate::harness::{pod_security, process};

/// The example's Deployment with what the webhook adds to its pods.
fn injected() -> Value {
    let mut deployment = named(&kustomize::shipped("example"), "Deployment", "blog").clone();
    let outcome = inject::inject_pod(&mut deployment["spec"]["template"], Some("portcullis-example"), &Settings::default());
    assert_eq!(outcome, Ok(Outcome::Injected { warnings: Vec::new() }));
    deployment
}

#[test]
fn the_injected_example_is_let_in_and_finds_what_it_needs() {
    let deployment = injected();
    for version in VERSIONS {
        assert_eq!(problems(&deployment, version), <[String; 0]>::default(), "{version}");
    }
    let pod = pod_template(&deployment).expect("a pod");
    assert_eq!(pod_security::problems(pod), <[String; 0]>::default());

    let objects = kustomize::shipped("example");
    let container = |name: &str| containers(pod).find(|container| container["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let mount = |name: &str, volume: &str| {
        let mounts = container(name)["volumeMounts"].as_array().expect("mounts");
        mounts.iter().find(|mount| mount["name"] == volume).map(|mount| mount["mountPath"].as_str().expect("a path"))
    };
    // The socket for Envoy, the configuration for the sidecar, and neither for the service.
    assert_eq!(mount("envoy", inject::SOCKET_VOLUME), Some("/run/portcullis"));
    assert_eq!(mount("portcullis", inject::SOCKET_VOLUME), Some("/run/portcullis"));
    assert_eq!(mount("blog", inject::SOCKET_VOLUME), None);
    assert_eq!(mount("portcullis", inject::CONFIG_VOLUME), Some("/etc/portcullis"));
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let configuration = volumes.iter().find(|volume| volume["name"] == inject::CONFIG_VOLUME).expect("a volume");
    named(&objects, "ConfigMap", configuration["configMap"]["name"].as_str().expect("a name"));
    // Prometheus asks the port by its name, the network policy lets it by its number.
    let port = &container("portcullis")["ports"][0];
    let monitor = kustomize::shipped("monitoring");
    assert_eq!(named(&monitor, "PodMonitor", "portcullis")["spec"]["podMetricsEndpoints"][0]["port"], port["name"]);
    let policy = named(&objects, "NetworkPolicy", "portcullis-sidecar");
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], port["containerPort"]);
    // What the policies of the API server look for, and the image of the manifests.
    assert_eq!(container("portcullis")["image"], json!(format!("portcullis:{}", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_central_portcullis_runs_as_the_injected_one_does() {
    let (deployment, central) = (injected(), kustomize::shipped("central"));
    let sidecar =
        containers(pod_template(&deployment).expect("a pod")).find(|container| container["name"] == "portcullis").expect("a sidecar");
    let pod = pod_template(named(&central, "Deployment", "portcullis-authz")).expect("a pod");
    let alone = &pod["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(alone[probe]["exec"], sidecar[probe]["exec"], "{probe}");
    }
    let arguments = |container: &Value| container["args"].as_array().expect("arguments")[..5].to_vec();
    assert_eq!(arguments(alone), arguments(sidecar));
    assert_eq!(alone["securityContext"]["capabilities"], sidecar["securityContext"]["capabilities"]);
    assert_eq!(pod["spec"]["securityContext"]["runAsUser"], sidecar["securityContext"]["runAsUser"]);
}

#[test]
fn broken_glass_leaves_the_pods_guarded() {
    let folder = TempDir::new().expect("a folder");
    let deployment = named(&kustomize::shipped("example"), "Deployment", "blog").clone();
    fs::write(folder.path().join("blog.yaml"), deployment.to_string()).expect("a file");
    let page = page::page();
    let block = page::blocks(&page).into_iter().find(|block| block.contains("kubectl patch --local")).expect("the commands");
    let (pipeline, applied) = block.trim().rsplit_once(" |\n").expect("a pipeline");
    assert_eq!(applied.trim(), "kubectl apply -f -");
    let programs = process::programs::portcullis().parent().expect("a folder");
    let path = env::join_paths([programs.to_path_buf()].into_iter().chain(env::split_paths(&env::var_os("PATH").expect("a PATH"))))
        .expect("a PATH");
    let output = Command::new("sh").args(["-ec", pipeline]).current_dir(folder.path()).env("PATH", path).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_saphyr::from_slice(&output.stdout).expect("YAML");

    let mut expected = injected();
    expected["spec"]["template"]["metadata"]["labels"]["portcullis.dev/inject"] = "false".into();
    assert_eq!(result["spec"], expected["spec"]);
    for version in VERSIONS {
        assert_eq!(problems(&result, version), <[String; 0]>::default(), "{version}");
    }
}

#[test]
fn all_manifests_go_through_inject_and_only_workloads_change() {
    for folder in ["example", "central", "base"] {
        let objects = kustomize::shipped(folder);
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": &**objects });
        let mut child = process::command(process::programs::portcullis())
            .args(["inject", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("portcullis");
        child.stdin.take().expect("a pipe").write_all(list.to_string().as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        if folder != "example" {
            // The webhook's own namespace: refused, or passed through as it is; never injected.
            assert!(!String::from_utf8_lossy(&output.stdout).contains(inject::CONFIG_VOLUME), "{folder}");
            continue;
        }
        let result: Value = serde_json::from_slice(&output.stdout).expect("JSON, as it was given");
        let after = result["items"].as_array().expect("items");
        for (before, after) in objects.iter().zip(after) {
            let is_workload = before["kind"] == "Deployment";
            assert_eq!(before != after, is_workload, "{}", kustomize::title(before));
        }
        assert_eq!(kustomize::named(after, "Deployment", "blog"), &injected());
    }
}
