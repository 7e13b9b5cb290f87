//! Each case: what Kubernetes takes, what its own code makes of the patch, once and twice, and back.

use portcullis::inject::{Outcome, Settings, inject_pod, uninject_pod};
use serde_json::{Value, json};

use super::cases::{Refused, injected, refusals};
use crate::harness::{kubectl, schemas};

fn inject(pod: &Value) -> Value {
    let mut done = pod.clone();
    match inject_pod(&mut done, pod["metadata"]["namespace"].as_str(), &Settings::default()) {
        Ok(Outcome::Injected { .. }) => done,
        other => panic!("{other:?}: {pod:#}"),
    }
}

/// The sidecar of a pod.
fn sidecar(pod: &Value) -> &Value {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let mut all = lists.into_iter().flatten().flatten().filter(|container| container["name"] == "portcullis");
    let sidecar = all.next().expect("a sidecar");
    assert_eq!(all.next(), None, "one sidecar");
    sidecar
}

#[test]
fn every_case_is_injected_once_and_is_what_every_version_of_kubernetes_takes() {
    let cases = injected();
    assert!(cases.len() >= 36, "{}", cases.len());
    for case in &cases {
        let done = inject(&case.pod);
        let template = json!({ "metadata": done["metadata"], "spec": done["spec"] });
        let job = done["spec"]["restartPolicy"] == "Never";
        let labels = json!({ "app": "a" });
        let of_labels = json!({ "selector": { "matchLabels": labels }, "template": template });
        let workload = match job {
            true => json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "a" }, "spec": { "template": template } }),
            false => json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" }, "spec": of_labels }),
        };
        for version in schemas::VERSIONS {
            assert_eq!(schemas::problems(&case.pod, version), [""; 0], "{} before, {version}", case.name);
            assert_eq!(schemas::problems(&done, version), [""; 0], "{}, {version}", case.name);
            assert_eq!(schemas::problems(&workload, version), [""; 0], "{} in a workload, {version}", case.name);
        }
        assert_eq!(inject(&done), done, "{}", case.name);
        let mut back = done.clone();
        assert!(uninject_pod(&mut back).expect("a note that can be read"), "{}", case.name);
        assert!(!back.to_string().contains("/etc/portcullis"), "{}: {back:#}", case.name);
    }
}

/// The rules of the level `restricted` of the Pod Security Standards that are about a container, and what else is promised.
#[test]
fn the_sidecar_keeps_to_what_restricted_asks_for() {
    for case in injected() {
        let done = inject(&case.pod);
        let sidecar = sidecar(&done);
        let context = &sidecar["securityContext"];
        assert_eq!(
            *context,
            json!({
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
            }),
            "{}",
            case.name
        );
        for forbidden in ["env", "envFrom", "lifecycle", "volumeDevices"] {
            assert_eq!(sidecar.get(forbidden), None, "{}", case.name);
        }
        for port in sidecar["ports"].as_array().expect("ports") {
            assert_eq!(port.get("hostPort"), None, "{}", case.name);
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(sidecar[probe]["exec"]["command"][0], "portcullis", "{}", case.name);
        }
        // Who starts after it must not wait for what it waits for.
        assert_eq!(sidecar["startupProbe"]["exec"]["command"][2], "--live", "{}", case.name);
        assert_eq!(done["spec"].get("securityContext"), case.pod["spec"].get("securityContext"), "{}", case.name);
        assert_eq!(done["spec"].get("automountServiceAccountToken"), case.pod["spec"].get("automountServiceAccountToken"), "{}", case.name);
    }
}

#[test]
fn kubernetes_own_code_makes_the_same_of_the_patch() {
    let before: Vec<Value> = injected().into_iter().map(|case| case.pod).collect();
    let after: Vec<Value> = before.iter().map(inject).collect();
    // One object with all cases in it, so that kubectl runs once.
    let all = |cases: &[Value]| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "cases" }, "cases": cases });
    let patch = json_patch::diff(&all(&before), &all(&after));
    let patch = serde_json::to_value(&patch).expect("a patch");
    assert_eq!(kubectl::patched(&all(&before), &patch), all(&after));
}

#[test]
fn every_refusal_says_why_and_changes_nothing() {
    let refusals = refusals();
    assert!(refusals.len() >= 42, "{}", refusals.len());
    for Refused { name, pod, message } in refusals {
        let mut tried = pod.clone();
        let refusal = inject_pod(&mut tried, None, &Settings::default()).expect_err(name).to_string();
        assert!(refusal.contains(message), "{name}: {refusal}");
        assert!(!refusal.contains('\n'), "{name}: {refusal}");
        assert_eq!(tried, pod, "{name}");
    }
    let mut of_ours = injected().remove(0).pod;
    let refusal = inject_pod(&mut of_ours, Some("portcullis-system"), &Settings::default()).expect_err("ours");
    assert_eq!(refusal.to_string(), "pods of the namespace 'portcullis-system' are not injected: the webhook would wait for itself");
    for no_pod in
        [json!(null), json!([]), json!("pod"), json!({}), json!({ "kind": "Deployment", "spec": { "containers": [{ "name": "a" }] } })]
    {
        let refusal = inject_pod(&mut no_pod.clone(), None, &Settings::default()).expect_err("no pod").to_string();
        assert!(refusal.starts_with("this is no pod"), "{refusal}");
    }
}

#[test]
fn a_pod_that_says_so_is_left_out() {
    let mut pod = injected().remove(0).pod;
    pod["metadata"]["labels"] = json!({ "portcullis.dev/inject": "false" });
    // Nothing else about it counts then.
    pod["metadata"]["annotations"] = json!({ "portcullis.dev/imagee": "" });
    pod["spec"]["hostNetwork"] = json!(true);
    let before = pod.clone();
    assert!(matches!(inject_pod(&mut pod, None, &Settings::default()), Ok(Outcome::LeftOut { .. })));
    assert_eq!(pod, before);
}
