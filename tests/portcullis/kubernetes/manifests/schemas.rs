//! Every object is one that an API server takes, strictly: fields that it would drop are problems, too.

use serde_json::{Value, json};

use super::{all, kustomize};
use crate::harness::schemas::{OLDEST, VERSIONS, custom_problems, is_custom, problems};

/// What came after the oldest version, which `break-glass` says of itself.
const NEWER: [&str; 2] = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

#[test]
fn every_object_is_what_the_oldest_and_the_newest_kubernetes_take() {
    let all = all();
    let objects: Vec<(&str, &Value)> = all.iter().flat_map(|(name, objects)| objects.iter().map(|object| (*name, object))).collect();
    let (custom, own): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(_, object)| is_custom(object));

    let values: Vec<Value> = custom.iter().map(|(_, object)| (*object).clone()).collect();
    for ((folder, object), problems) in custom.iter().zip(custom_problems(&values)) {
        assert_eq!(problems, <[String; 0]>::default(), "{folder}: {}", kustomize::title(object));
    }
    for version in VERSIONS {
        let mut good = 0;
        for (folder, object) in &own {
            let kind = object["kind"].as_str().expect("a kind");
            if version == OLDEST && NEWER.contains(&kind) {
                assert_eq!(*folder, "break-glass");
                assert_eq!(problems(object, version), [format!("Kubernetes {version} has no {kind} of admissionregistration.k8s.io/v1")]);
                continue;
            }
            assert_eq!(problems(object, version), <[String; 0]>::default(), "{folder} on {version}: {}", kustomize::title(object));
            good += 1;
        }
        println!("Kubernetes {version}: {good} manifests and {} custom resources validated", custom.len());
        assert!(good >= 50, "{good} on {version}");
    }
    assert!(custom.len() >= 6, "{}", custom.len());
}

/// Changes that no API server takes: the field that is set (or taken away, if it is null).
const SPOILT: [(&str, &str, &str, &str); 14] = [
    ("base", "Deployment", "/spec/template/spec/containers/0/imagee", r#""a""#),
    ("base", "Deployment", "/spec/replicas", r#""two""#),
    ("base", "Deployment", "/spec/selector", "null"),
    ("base", "Deployment", "/spec/template/spec/containers/0/name", "null"),
    ("base", "Deployment", "/spec/template/spec/securityContext/runAsNonroot", "true"),
    ("base", "Service", "/spec/ports/0/port", "null"),
    ("base", "Service", "/spec/selectors", "{}"),
    ("base", "MutatingWebhookConfiguration", "/webhooks/0/sideEffects", "null"),
    ("base", "MutatingWebhookConfiguration", "/webhooks/0/failurepolicy", r#""Fail""#),
    ("base", "MutatingWebhookConfiguration", "/webhooks/0/rules/0/operations", r#""CREATE""#),
    ("base", "NetworkPolicy", "/spec/podSelectors", "{}"),
    ("base", "PodDisruptionBudget", "/spec/minAvailable", "true"),
    ("example", "ConfigMap", "/data/number", "1"),
    ("base", "ServiceAccount", "/automountServiceAccountToken", r#""false""#),
];

#[test]
fn a_spoilt_object_is_none_that_kubernetes_takes() {
    for (folder, kind, pointer, value) in SPOILT {
        let objects = kustomize::shipped(folder);
        let spoilt = spoil(kustomize::of_kind(&objects, kind).next().expect(kind), pointer, value);
        for version in VERSIONS {
            assert_ne!(problems(&spoilt, version), <[String; 0]>::default(), "{version}: {kind} with {pointer} = {value}");
        }
    }
    let spoilt = [
        ("cert-manager", "Certificate", "/spec/issuerRef", "null"),
        ("cert-manager", "Certificate", "/spec/dnsName", r#"["a"]"#),
        ("cert-manager", "Issuer", "/spec/selfSignd", "{}"),
        ("monitoring", "ServiceMonitor", "/spec/selector", "null"),
        ("monitoring", "PodMonitor", "/spec/podMetricsEndpoints/0/ports", r#""a""#),
        ("monitoring", "PodMonitor", "/spec/namespaceSelector/any", r#""yes""#),
    ];
    let objects = spoilt.map(|(folder, kind, pointer, value)| {
        spoil(kustomize::of_kind(&kustomize::shipped(folder), kind).next().expect(kind), pointer, value)
    });
    for (spoilt, problems) in spoilt.iter().zip(custom_problems(&objects)) {
        assert_ne!(problems, <[String; 0]>::default(), "{spoilt:?}");
    }
}

fn spoil(object: &Value, pointer: &str, value: &str) -> Value {
    let mut object = object.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")).as_object_mut().expect("an object");
    match serde_json::from_str(value).expect("JSON") {
        Value::Null => drop(parent.remove(name).unwrap_or_else(|| panic!("no {pointer}"))),
        value => drop(parent.insert(name.to_string(), value)),
    }
    object
}

#[test]
fn nothing_is_said_twice() {
    for (folder, objects) in all() {
        let mut names: Vec<String> = objects.iter().map(kustomize::title).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{folder}");
        // Whatever is not in a namespace is there once for the cluster, and says whose it is.
        for object in objects.iter().filter(|object| object["metadata"]["namespace"].is_null() && folder != "network-policy") {
            let name = object["metadata"]["name"].as_str().expect("a name");
            assert!(name.contains("portcullis"), "{folder}: {}", kustomize::title(object));
            assert_ne!(object["metadata"]["labels"], json!(null), "{folder}: {}", kustomize::title(object));
        }
    }
}
