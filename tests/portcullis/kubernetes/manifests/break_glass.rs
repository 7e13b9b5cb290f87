//! The rules of the break-glass, evaluated by another implementation of CEL than the API server's.

use std::collections::BTreeSet;
use std::sync::Arc;

use cel::objects::Value as CelValue;
use cel::{Context, Env};
use serde_json::{Value, json};

use super::kustomize;
use crate::harness::kustomize::{named, of_kind};

/// Everything that pods are made from: group, resource, kind, and where the pod's template is.
const MAKERS: [(&str, &str, &str, &str); 9] = [
    ("", "pods", "Pod", ""),
    ("", "podtemplates", "PodTemplate", "/template"),
    ("", "replicationcontrollers", "ReplicationController", "/spec/template"),
    ("apps", "deployments", "Deployment", "/spec/template"),
    ("apps", "statefulsets", "StatefulSet", "/spec/template"),
    ("apps", "daemonsets", "DaemonSet", "/spec/template"),
    ("apps", "replicasets", "ReplicaSet", "/spec/template"),
    ("batch", "jobs", "Job", "/spec/template"),
    ("batch", "cronjobs", "CronJob", "/spec/jobTemplate/spec/template"),
];

/// An object whose pods have this label.
fn made_by((_, _, kind, place): (&str, &str, &str, &str), label: Option<&str>) -> Value {
    let mut pod = json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "containers": [{ "name": "a" }] } });
    if let Some(label) = label {
        pod["metadata"]["labels"]["portcullis.dev/inject"] = label.into();
    }
    if place.is_empty() {
        pod["kind"] = kind.into();
        return pod;
    }
    let mut object = place.rsplit('/').filter(|name| !name.is_empty()).fold(pod, |inner, name| json!({ name: inner }));
    // Labels of the object itself say nothing about its pods.
    object["kind"] = kind.into();
    object["metadata"] = json!({ "name": "a", "labels": { "portcullis.dev/inject": "false" } });
    object
}

/// What a policy is asked.
struct Asked {
    request: Value,
    object: Value,
    old: Value,
    granted: bool,
}

/// What it says: nothing to object, not its business, or the message.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Fine { audited: String },
    NotAsked,
    Refused(String),
}

fn decide(policy: &Value, asked: &Asked) -> Said {
    let environment = Arc::new(Env::stdlib());
    let mut variables = json!({});
    let evaluate = |expression: &str, variables: &Value| -> CelValue {
        let mut context = Context::with_env(Arc::clone(&environment));
        for (name, value) in [("request", &asked.request), ("object", &asked.object), ("oldObject", &asked.old), ("variables", variables)] {
            context.add_variable_from_value(name, cel::to_value(value).expect("a value"));
        }
        let program = environment.compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        program.execute(&context).unwrap_or_else(|error| panic!("{expression}: {error}"))
    };
    let spec = &policy["spec"];
    for condition in spec["matchConditions"].as_array().into_iter().flatten() {
        if evaluate(condition["expression"].as_str().expect("an expression"), &variables) == CelValue::Bool(false) {
            return Said::NotAsked;
        }
    }
    for variable in spec["variables"].as_array().into_iter().flatten() {
        let (name, expression) = (variable["name"].as_str().expect("a name"), variable["expression"].as_str().expect("an expression"));
        let value = match name {
            // Only an API server knows.
            "granted" => CelValue::Bool(asked.granted),
            _ => evaluate(expression, &variables),
        };
        variables[name] = json_of(&value);
    }
    for validation in spec["validations"].as_array().expect("validations") {
        match evaluate(validation["expression"].as_str().expect("an expression"), &variables) {
            CelValue::Bool(true) => {}
            CelValue::Bool(false) => return Said::Refused(validation["message"].as_str().expect("a message").to_string()),
            other => panic!("{other:?}"),
        }
    }
    let audited = spec.pointer("/auditAnnotations/0/valueExpression").map(|expression| {
        let value = evaluate(expression.as_str().expect("an expression"), &variables);
        json_of(&value).as_str().expect("text").to_string()
    });
    Said::Fine { audited: audited.unwrap_or_default() }
}

fn json_of(value: &CelValue) -> Value {
    match value {
        CelValue::Bool(value) => json!(value),
        CelValue::String(text) => json!(text.as_ref()),
        CelValue::List(items) => items.iter().map(json_of).collect(),
        CelValue::Map(map) => {
            map.map.iter().map(|(key, value)| (key.to_string(), json_of(value))).collect::<serde_json::Map<_, _>>().into()
        }
        other => panic!("{other:?} in these policies"),
    }
}

/// Whether the API server asks this policy at all.
fn is_asked(policy: &Value, group: &str, resource: &str, operation: &str) -> bool {
    let rules = policy["spec"]["matchConstraints"]["resourceRules"].as_array().expect("rules");
    let names =
        |rule: &Value, list: &str, wanted: &str| rule[list].as_array().expect("a list").iter().any(|name| name == wanted || name == "*");
    rules.iter().any(|rule| names(rule, "apiGroups", group) && names(rule, "resources", resource) && names(rule, "operations", operation))
}

fn asked(kind: &str, operation: &str, user: &str, groups: &[&str], object: Value, old: Value, granted: bool) -> Asked {
    let request = json!({
        "kind": { "kind": kind }, "operation": operation, "namespace": "shop", "userInfo": { "username": user, "groups": groups },
    });
    Asked { request, object, old, granted }
}

#[test]
fn whoever_leaves_pods_out_needs_the_right_and_is_written_down() {
    let objects = kustomize::shipped("break-glass");
    let policy = named(&objects, "ValidatingAdmissionPolicy", "pods.break-glass.portcullis.dev");
    let people = ["system:authenticated"];
    let mut count = 0;
    for maker in MAKERS {
        let (group, resource, kind, _) = maker;
        assert!(is_asked(policy, group, resource, "CREATE") && is_asked(policy, group, resource, "UPDATE"), "{resource}");
        let mut says = |operation, groups: &[&str], user, old: Option<Option<&str>>, new, granted| {
            count += 1;
            let old = old.map_or(Value::Null, |label| made_by(maker, label));
            decide(policy, &asked(kind, operation, user, groups, made_by(maker, new), old, granted))
        };
        let fine = || Said::Fine { audited: String::new() };
        let refused = |said: Said| matches!(said, Said::Refused(message) if message.contains("portcullis-break-glass"));

        assert_eq!(says("CREATE", &people, "eve", None, None, false), fine(), "{kind}");
        assert_eq!(says("CREATE", &people, "eve", None, Some("true"), false), fine(), "{kind}");
        assert!(refused(says("CREATE", &people, "eve", None, Some("false"), false)), "{kind}");
        assert_eq!(says("CREATE", &people, "ann", None, Some("false"), true), Said::Fine { audited: "ann".into() }, "{kind}");
        // A change of something else, and the change that matters.
        assert_eq!(says("UPDATE", &people, "eve", Some(Some("false")), Some("false"), false), fine(), "{kind}");
        assert_eq!(says("UPDATE", &people, "eve", Some(Some("false")), None, false), fine(), "{kind}");
        assert!(refused(says("UPDATE", &people, "eve", Some(None), Some("false"), false)), "{kind}");
        assert!(refused(says("UPDATE", &people, "eve", Some(Some("true")), Some("false"), false)), "{kind}");
        // Who carries on what somebody else wrote.
        let controllers = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
        let controller = "system:serviceaccount:kube-system:replicaset-controller";
        assert_eq!(says("CREATE", &controllers, controller, None, Some("false"), false), Said::NotAsked, "{kind}");
        assert_eq!(says("CREATE", &people, "system:kube-controller-manager", None, Some("false"), false), Said::NotAsked, "{kind}");
        // A controller from elsewhere is somebody.
        let others = ["system:serviceaccounts", "system:serviceaccounts:rollouts"];
        let other = "system:serviceaccount:rollouts:kube-system";
        assert!(refused(says("CREATE", &others, other, None, Some("false"), false)), "{kind}");
    }
    // Templates without labels, or without metadata.
    for pod in [json!({}), json!({ "metadata": {} }), json!({ "metadata": { "labels": {} } })] {
        let object = json!({ "kind": "Deployment", "metadata": {}, "spec": { "template": pod } });
        let asked = asked("Deployment", "UPDATE", "eve", &people, object.clone(), object, false);
        assert_eq!(decide(policy, &asked), Said::Fine { audited: String::new() });
        count += 1;
    }
    println!("{count} requests judged by the break-glass rules");
}

#[test]
fn a_namespace_keeps_its_label_unless_somebody_has_the_right() {
    let objects = kustomize::shipped("break-glass");
    let policy = named(&objects, "ValidatingAdmissionPolicy", "namespaces.break-glass.portcullis.dev");
    for resource in ["namespaces", "namespaces/status", "namespaces/finalize"] {
        assert!(is_asked(policy, "", resource, "UPDATE"), "{resource}");
    }
    let namespace = |label: Option<&str>| match label {
        Some(label) => json!({ "kind": "Namespace", "metadata": { "name": "shop", "labels": { "portcullis.dev/inject": label } } }),
        None => json!({ "kind": "Namespace", "metadata": { "name": "shop" } }),
    };
    let says = |old, new, granted| {
        decide(policy, &asked("Namespace", "UPDATE", "eve", &["system:authenticated"], namespace(new), namespace(old), granted))
    };
    for (old, new) in
        [(None, None), (None, Some("true")), (Some("true"), Some("true")), (Some("false"), None), (Some("false"), Some("true"))]
    {
        assert_eq!(says(old, new, false), Said::Fine { audited: String::new() }, "{old:?} {new:?}");
    }
    // Whatever is no "false" opts in, so it stays opted in by any other spelling, and out of none of them does anybody get alone.
    for old in [Some("true"), Some("yes")] {
        for new in [Some("True"), Some("")] {
            assert_eq!(says(old, new, false), Said::Fine { audited: String::new() }, "{old:?} {new:?}");
        }
        for new in [None, Some("false")] {
            assert!(matches!(says(old, new, false), Said::Refused(_)), "{old:?} {new:?}");
            assert_eq!(says(old, new, true), Said::Fine { audited: "eve".into() }, "{old:?} {new:?}");
        }
    }
}

#[test]
fn a_guarded_pod_without_its_container_is_refused_whatever_became_of_the_webhook() {
    let objects = kustomize::shipped("break-glass");
    let policy = named(&objects, "ValidatingAdmissionPolicy", "require-sidecar.portcullis.dev");
    assert!(is_asked(policy, "", "pods", "CREATE"));
    let says = |spec: Value| {
        let object = json!({ "kind": "Pod", "metadata": {}, "spec": spec });
        decide(policy, &asked("Pod", "CREATE", "eve", &[], object, Value::Null, false))
    };
    let with = json!([{ "name": "portcullis" }, { "name": "a" }]);
    let without = json!([{ "name": "portcullis-debug" }, { "name": "a" }]);
    let fine = Said::Fine { audited: String::new() };
    assert_eq!(says(json!({ "initContainers": with, "containers": without })), fine);
    assert_eq!(says(json!({ "containers": with })), fine);
    for spec in [json!({ "containers": without }), json!({ "initContainers": without, "containers": without }), json!({})] {
        assert!(matches!(says(spec), Said::Refused(message) if message.contains("MutatingWebhookConfiguration")));
    }
}

#[test]
fn the_rules_are_in_force_for_what_they_are_about_and_the_role_grants_what_they_ask_for() {
    let objects = kustomize::shipped("break-glass");
    let policies: BTreeSet<&str> =
        of_kind(&objects, "ValidatingAdmissionPolicy").map(|policy| policy["metadata"]["name"].as_str().expect("a name")).collect();
    let bindings: Vec<&Value> = of_kind(&objects, "ValidatingAdmissionPolicyBinding").collect();
    let bound: BTreeSet<&str> = bindings.iter().map(|binding| binding["spec"]["policyName"].as_str().expect("a name")).collect();
    assert_eq!(policies, bound);
    for binding in &bindings {
        assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
    }
    for policy in of_kind(&objects, "ValidatingAdmissionPolicy") {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    }
    // The same pods that the webhooks are asked about, one binding for each.
    let base = kustomize::shipped("base");
    let webhooks = named(&base, "MutatingWebhookConfiguration", "portcullis")["webhooks"].as_array().expect("webhooks");
    let selectors = |value: &Value| (value["namespaceSelector"].clone(), value["objectSelector"].clone());
    let of_webhooks: Vec<_> = webhooks.iter().map(selectors).collect();
    let requires = bindings.iter().filter(|binding| binding["spec"]["policyName"] == "require-sidecar.portcullis.dev");
    let of_bindings: Vec<_> = requires.map(|binding| selectors(&binding["spec"]["matchResources"])).collect();
    assert_eq!(of_bindings.len(), 2);
    assert!(of_webhooks.iter().all(|webhook| of_bindings.contains(webhook)), "{of_bindings:?}");
    // The right by its name.
    let rule = &named(&objects, "ClusterRole", "portcullis-break-glass")["rules"][0];
    let text = |list: &str| rule[list][0].as_str().expect("text");
    let check = format!(r#"authorizer.group("{}").resource("{}")"#, text("apiGroups"), text("resources"));
    for name in ["pods.break-glass.portcullis.dev", "namespaces.break-glass.portcullis.dev"] {
        let variables = named(&objects, "ValidatingAdmissionPolicy", name)["spec"]["variables"].as_array().expect("variables");
        let granted =
            variables.iter().find(|variable| variable["name"] == "granted").expect("a variable")["expression"].as_str().expect("text");
        assert!(granted.starts_with(&check) && granted.ends_with(&format!(r#".check("{}").allowed()"#, text("verbs"))), "{granted}");
        assert!(Env::stdlib().compile(granted).is_ok());
    }
}
