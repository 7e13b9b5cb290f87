//! Whatever names something names what is there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{all, kustomize};
use crate::harness::kustomize::{containers, named, of_kind, pod_template, title};

/// Whether labels are selected (`matchLabels` alone is used for what is ours).
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.get("matchLabels").unwrap_or(selector);
    let wanted = wanted.as_object().expect("labels");
    wanted.iter().all(|(key, value)| labels[key] == *value)
}

/// The pod templates that a selector finds in the same namespace.
fn selected<'o>(objects: &'o [Value], selector: &'o Value, namespace: &'o Value) -> Vec<&'o Value> {
    let there = objects.iter().filter(move |object| object["metadata"]["namespace"] == *namespace);
    there.filter_map(pod_template).filter(|pod| selects(selector, &pod["metadata"]["labels"])).collect()
}

/// The ports that pods have, by name and by number.
fn ports(pods: &[&Value]) -> BTreeSet<String> {
    let ports = pods.iter().flat_map(|pod| containers(pod)).flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.flat_map(|port| [port["name"].as_str().expect("a name").to_string(), port["containerPort"].to_string()]).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[test]
fn selectors_find_what_they_are_for() {
    for (folder, objects) in all() {
        for object in objects.iter() {
            let name = format!("{folder}: {}", title(object));
            let namespace = &object["metadata"]["namespace"];
            match object["kind"].as_str().expect("a kind") {
                "Deployment" => {
                    assert!(selects(&object["spec"]["selector"], &object["spec"]["template"]["metadata"]["labels"]), "{name}");
                    for spread in object["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().expect("constraints") {
                        assert_eq!(spread["labelSelector"], object["spec"]["selector"], "{name}");
                    }
                }
                "Service" => {
                    let pods = selected(&objects, &object["spec"]["selector"], namespace);
                    assert_eq!(pods.len(), 1, "{name}");
                    for port in object["spec"]["ports"].as_array().expect("ports") {
                        assert!(ports(&pods).contains(&text(&port["targetPort"])), "{name}: {port}");
                    }
                }
                "PodDisruptionBudget" => {
                    assert_eq!(selected(&objects, &object["spec"]["selector"], namespace).len(), 1, "{name}");
                }
                // Those of application namespaces are for pods that are not here.
                "NetworkPolicy" if *namespace == "portcullis-system" && object["spec"]["podSelector"] != serde_json::json!({}) => {
                    let pods = selected(&objects, &object["spec"]["podSelector"], namespace);
                    assert_eq!(pods.len(), 1, "{name}");
                    let rules = object["spec"]["ingress"].as_array().expect("rules");
                    for port in rules.iter().flat_map(|rule| rule["ports"].as_array().expect("ports")) {
                        // 15008 is the mesh's, which speaks for the others.
                        assert!(port["port"] == 15008 || ports(&pods).contains(&text(&port["port"])), "{name}: {port}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn what_pods_mount_and_run_as_is_there() {
    for (folder, objects) in all() {
        if folder == "base" {
            continue; // its certificate comes with the overlays
        }
        for object in objects.iter() {
            let Some(pod) = pod_template(object) else { continue };
            let name = format!("{folder}: {}", title(object));
            let namespace = &object["metadata"]["namespace"];
            let has = |kind: &str, wanted: &Value| {
                of_kind(&objects, kind).any(|there| there["metadata"]["name"] == *wanted && there["metadata"]["namespace"] == *namespace)
            };
            let mut volumes = BTreeSet::new();
            for volume in pod["spec"]["volumes"].as_array().expect("volumes") {
                volumes.insert(text(&volume["name"]));
                if let Some(map) = volume.get("configMap") {
                    assert!(has("ConfigMap", &map["name"]), "{name}: {map}");
                }
                if let Some(secret) = volume.get("secret") {
                    let from_certificate =
                        of_kind(&objects, "Certificate").any(|there| there["spec"]["secretName"] == secret["secretName"]);
                    assert!(has("Secret", &secret["secretName"]) || from_certificate, "{name}: {secret}");
                }
            }
            if let Some(account) = pod["spec"].get("serviceAccountName") {
                assert!(has("ServiceAccount", account), "{name}: {account}");
            }
            let mut mounted = BTreeSet::new();
            for container in containers(pod) {
                for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                    mounted.insert(text(&mount["name"]));
                    assert_eq!(mount.get("subPath"), None, "{name}: a subPath is never followed");
                }
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                    for action in ["httpGet", "tcpSocket"] {
                        if let Some(port) = container[probe][action].get("port") {
                            assert!(ports(&[pod]).contains(&text(port)), "{name}: {probe} asks {port}");
                        }
                    }
                }
            }
            assert_eq!(volumes, mounted, "{name}");
        }
    }
}

#[test]
fn the_api_server_calls_a_service_that_is_there_and_every_webhook_is_alike() {
    for (folder, objects) in all() {
        for configuration in of_kind(&objects, "MutatingWebhookConfiguration") {
            let webhooks = configuration["webhooks"].as_array().expect("webhooks");
            for webhook in webhooks {
                let service = &webhook["clientConfig"]["service"];
                let there = named(&objects, "Service", service["name"].as_str().expect("a name"));
                assert_eq!(there["metadata"]["namespace"], service["namespace"], "{folder}");
                let port = there["spec"]["ports"].as_array().expect("ports").iter().find(|port| port["port"] == service["port"]);
                assert_eq!(port.expect("a port")["targetPort"], "https", "{folder}");
                // A pod that was to be guarded is never let through for want of an answer, and never kept waiting for long.
                assert_eq!((&webhook["failurePolicy"], &webhook["sideEffects"]), (&"Fail".into(), &"None".into()), "{folder}");
                assert_eq!(webhook["reinvocationPolicy"], "IfNeeded", "{folder}");
                assert!(webhook["timeoutSeconds"].as_u64().expect("a number") <= 10, "{folder}");
            }
            let [first, second] = &webhooks[..] else { panic!("{} webhooks", webhooks.len()) };
            let without_selectors = |webhook: &Value| {
                let mut webhook = webhook.as_object().expect("an object").clone();
                webhook.retain(|key, _| !["name", "namespaceSelector", "objectSelector"].contains(&key.as_str()));
                webhook
            };
            assert_eq!(without_selectors(first), without_selectors(second), "{folder}");
        }
    }
}

#[test]
fn monitors_find_services_and_ports_that_are_there() {
    let (monitoring, base, central) = (kustomize::shipped("monitoring"), kustomize::shipped("base"), kustomize::shipped("central"));
    let monitor = named(&monitoring, "ServiceMonitor", "portcullis-webhook");
    let service = named(&base, "Service", "portcullis-webhook");
    assert!(selects(&monitor["spec"]["selector"], &service["metadata"]["labels"]));
    assert_eq!(monitor["spec"]["namespaceSelector"]["matchNames"][0], service["metadata"]["namespace"]);
    let names: Vec<&Value> = service["spec"]["ports"].as_array().expect("ports").iter().map(|port| &port["name"]).collect();
    assert!(names.contains(&&monitor["spec"]["endpoints"][0]["port"]), "{names:?}");

    let port = text(&named(&monitoring, "PodMonitor", "portcullis")["spec"]["podMetricsEndpoints"][0]["port"]);
    assert!(port.len() <= 15, "{port}");
    let pod = pod_template(named(&central, "Deployment", "portcullis-authz")).expect("a pod");
    assert!(ports(&[pod]).contains(&port));
}

#[test]
fn every_namespace_of_ours_denies_what_no_policy_names() {
    for folder in ["base", "central", "example"] {
        let objects = kustomize::shipped(folder);
        let workload = of_kind(&objects, "Deployment").next().expect("a Deployment");
        let denies_all = of_kind(&objects, "NetworkPolicy").any(|policy| {
            let spec = &policy["spec"];
            policy["metadata"]["namespace"] == workload["metadata"]["namespace"]
                && spec["podSelector"] == serde_json::json!({})
                && spec["policyTypes"] == serde_json::json!(["Ingress", "Egress"])
                && spec.get("ingress").is_none()
                && spec.get("egress").is_none()
        });
        assert!(denies_all, "{folder}");
    }
    // The webhook itself reaches nothing.
    let base = kustomize::shipped("base");
    let policy = named(&base, "NetworkPolicy", "portcullis-webhook");
    assert_eq!((policy["spec"].get("egress"), &policy["spec"]["policyTypes"][1]), (None, &"Egress".into()));
}
