//! The webhook, as API servers meet it.

mod cases;
mod certificates;
mod cluster;
mod requests;
mod reviews;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::process::{command, programs};

/// A pod as a Deployment makes one, with a proxy in it.
fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "generateName": "shop-6d4cf56db6-", "labels": { "app": "shop", "portcullis.dev/inject": "true" } },
        "spec": { "containers": [{ "name": "shop", "image": "shop:1" }, { "name": "envoy", "image": "envoy:1" }] },
    })
}

/// A review of the creation of this pod, as an API server sends it.
fn review(uid: &str, pod: &Value) -> Value {
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": uid, "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": pod["metadata"]["name"].as_str().unwrap_or_default(), "namespace": pod["metadata"]["namespace"].as_str().unwrap_or("shop"), "operation": "CREATE",
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"] },
            "object": pod, "oldObject": null, "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    })
}

/// What the command makes of a manifest in JSON; or what it has to say.
fn by_command(object: &Value) -> Result<Value, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("manifest.json");
    std::fs::write(&file, object.to_string()).expect("a file");
    let output = command(programs::portcullis()).args(["inject", "--quiet", "-f"]).arg(&file).output().expect("portcullis runs");
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).expect("JSON stays JSON")),
        Some(1) => Err(String::from_utf8(output.stderr).expect("UTF-8")),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The `response` of a review's answer, which has to be for this request.
fn response(answer: &Answer, uid: &str) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let review = answer.json();
    assert_eq!((&review["kind"], &review["apiVersion"]), (&json!("AdmissionReview"), &json!("admission.k8s.io/v1")));
    assert_eq!(review["response"]["uid"], uid);
    review["response"].clone()
}

/// The patch of an answer; an empty one if there is none.
fn patch(response: &Value) -> Value {
    match response["patch"].as_str() {
        None => json!([]),
        Some(patch) => {
            assert_eq!(response["patchType"], "JSONPatch");
            serde_json::from_slice(&STANDARD.decode(patch).expect("Base64")).expect("a patch")
        }
    }
}

/// What the patch of an answer makes of a pod.
fn patched(mut pod: Value, response: &Value) -> Value {
    let patch: Patch = serde_json::from_value(patch(response)).expect("a patch");
    json_patch::patch(&mut pod, &patch).expect("a patch that fits");
    pod
}
