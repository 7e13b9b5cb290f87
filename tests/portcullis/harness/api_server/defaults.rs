//! What an API server adds to pods by itself: default values, and a token of the service account in each container.

use serde_json::{Value, json};

/// Where each container finds its token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_VOLUME: &str = "kube-api-access-x7k2p";

/// Defaults and the plugins that come before webhooks.
pub fn server(pod: &mut Value) {
    fields(pod);
    service_account(pod);
}

/// Default values, as far as sidecars and their neighbours have some. They are filled in again whenever a webhook has changed a pod.
pub fn fields(pod: &mut Value) {
    let spec = &mut pod["spec"];
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
        ("enableServiceLinks", json!(true)),
    ] {
        default(spec, key, value);
    }
    for container in containers(spec) {
        let latest = container["image"].as_str().is_none_or(|image| !image.contains(':') || image.ends_with(":latest"));
        default(container, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
        default(container, "terminationMessagePath", json!("/dev/termination-log"));
        default(container, "terminationMessagePolicy", json!("File"));
        default(container, "resources", json!({}));
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            if let Some(probe) = container.get_mut(probe) {
                for (key, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
                    default(probe, key, json!(value));
                }
            }
        }
        for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            default(port, "protocol", json!("TCP"));
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(source) = volume.get_mut("configMap") {
            default(source, "defaultMode", json!(0o644));
        }
    }
}

fn service_account(pod: &mut Value) {
    let spec = &mut pod["spec"];
    default(spec, "serviceAccountName", json!("default"));
    if spec["automountServiceAccountToken"] == false {
        return;
    }
    let mut mounted = false;
    for container in containers(spec) {
        default(container, "volumeMounts", json!([]));
        let mounts = container["volumeMounts"].as_array_mut().expect("a list");
        if mounts.iter().all(|mount| mount["mountPath"] != TOKEN_PATH) {
            mounts.push(json!({ "name": TOKEN_VOLUME, "readOnly": true, "mountPath": TOKEN_PATH }));
            mounted = true;
        }
    }
    default(spec, "volumes", json!([]));
    let volumes = spec["volumes"].as_array_mut().expect("a list");
    if mounted && volumes.iter().all(|volume| volume["name"] != TOKEN_VOLUME) {
        let token = json!({ "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } });
        volumes.push(json!({ "name": TOKEN_VOLUME, "projected": { "sources": [token], "defaultMode": 0o644 } }));
    }
}

fn containers(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let lists = spec.as_object_mut().expect("a spec").iter_mut().filter(|(key, _)| matches!(&***key, "initContainers" | "containers"));
    lists.filter_map(|(_, list)| list.as_array_mut()).flatten()
}

fn default(object: &mut Value, key: &str, value: Value) {
    let object = object.as_object_mut().expect("an object");
    if object.get(key).is_none_or(Value::is_null) {
        object.insert(key.into(), value);
    }
}
