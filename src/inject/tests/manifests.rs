//! Documents: which are changed, which stay, and what is said.

use serde_json::{Value, json};

use super::super::{Action, Finding, Settings, manifest};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: envoy, image: 'a:1'}]}\n";

fn inject(text: &str) -> super::super::Injected {
    manifest(text, &Settings::default(), Action::Inject).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn problems(text: &str) -> Vec<String> {
    let problems = manifest(text, &Settings::default(), Action::Inject).map(|done| panic!("{}", done.text)).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_changed_stays_letter_by_letter() {
    let others = "# a comment\n\n---\napiVersion: v1 # another\nkind: ConfigMap\nmetadata: {name: a}\ndata: {\"b\": 'yes'}\n--- # and one more\n---\n{\"kind\": \"Service\",  \"apiVersion\": \"v1\"}\n";
    let done = inject(others);
    assert_eq!(done.text, others);
    assert_eq!(
        done.entries.iter().map(|entry| entry.place.to_string()).collect::<Vec<_>>(),
        ["document 1, ConfigMap 'a'", "document 2, Service"]
    );
    let mixed = inject(&format!("{others}---\n{POD}"));
    assert!(mixed.text.starts_with(&format!("{others}---\napiVersion: v1\nkind: Pod\n")), "{}", mixed.text);
    // What is injected is not changed any more, whatever it looks like.
    let again = mixed.text.replace("\nkind: Pod\n", "\nkind:   Pod # here\n");
    let twice = inject(&again);
    assert_eq!(twice.text, again);
    assert_eq!(twice.entries.last().unwrap().finding, Finding::AlreadyInjected);
    let crlf = others.replace('\n', "\r\n");
    assert_eq!(inject(&crlf).text, crlf);
}

#[test]
fn json_stays_json() {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" }, "spec": { "containers": [{ "name": "envoy", "image": "a:1" }] } });
    let other = "{\"apiVersion\":\"v1\", \"kind\":\"Service\"}";
    for (text, ends) in [
        (format!("{other}{pod}{other}\n"), "}\n{\"apiVersion\""),
        (format!("\n{other}\n\n{pod}\n"), "}\n"),
        (format!("{other}\n---\n{pod}"), "}\n"),
    ] {
        let done = inject(&text);
        let documents: Vec<Value> =
            serde_json::Deserializer::from_str(&done.text.replace("---\n", "")).into_iter().map(Result::unwrap).collect();
        assert_eq!(documents, done.objects);
        assert!(done.text.trim_start().starts_with(other) && done.text.contains(ends), "{}", done.text);
        assert_eq!(inject(&done.text).text, done.text);
    }
}

#[test]
fn every_kind_with_pods_is_known_and_others_are_told_of() {
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "envoy", "image": "a:1" }] } });
    let spec = json!({ "template": template });
    let objects = [
        ("v1", "Pod", json!({ "metadata": { "name": "a" }, "spec": template["spec"] })),
        ("v1", "PodTemplate", json!({ "template": template })),
        ("v1", "ReplicationController", json!({ "spec": spec })),
        ("apps/v1", "Deployment", json!({ "spec": spec })),
        ("apps/v1", "ReplicaSet", json!({ "spec": spec })),
        ("apps/v1", "StatefulSet", json!({ "spec": spec })),
        ("apps/v1", "DaemonSet", json!({ "spec": spec })),
        ("batch/v1", "Job", json!({ "spec": spec })),
        ("batch/v1", "CronJob", json!({ "spec": { "jobTemplate": { "spec": spec } } })),
    ]
    .map(|(version, kind, mut object)| {
        object["apiVersion"] = json!(version);
        object["kind"] = json!(kind);
        object
    });
    for object in &objects {
        let done = inject(&object.to_string());
        assert_eq!(done.entries[0].finding, Finding::Injected, "{object}");
        assert_eq!(done.text.matches("\"name\": \"portcullis\"").count(), 2, "{}", done.text);
        let back = manifest(&done.text, &Settings::default(), Action::Uninject).unwrap();
        assert_eq!(back.objects[0], *object);
    }
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "items": [objects[0], { "apiVersion": "v1", "kind": "List", "items": objects }] });
    let done = inject(&list.to_string());
    assert_eq!(done.entries.len(), 10);
    assert_eq!(done.entries[3].place.to_string(), "document 1, item 2, item 3, ReplicationController");
    assert_eq!(done.entries.iter().filter(|entry| entry.finding == Finding::Injected).count(), 10);
    // The items of a typed list need not say what they are.
    let typed = json!({ "apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{ "metadata": { "name": "a" }, "spec": spec }] });
    assert_eq!(inject(&typed.to_string()).entries[0].place.to_string(), "document 1, item 1, Deployment 'a'");
    // Others are left alone, and it is said if pods seem to be in them.
    for (version, kind, finding) in
        [("argoproj.io/v1alpha1", "Rollout", Finding::NotFollowed), ("apps.kruise.io/v1", "Deployment", Finding::NotFollowed)]
    {
        let object = json!({ "apiVersion": version, "kind": kind, "spec": { "template": { "spec": { "containers": [{ "name": "envoy", "image": "a:1" }] } } } });
        let done = inject(&object.to_string());
        assert_eq!((&done.entries[0].finding, done.text), (&finding, object.to_string()));
    }
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let bad = format!(
        "{POD}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {{replicas: 1}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{generateName: a-, name: ''}}\nspec: {{hostNetwork: yes, containers: [{{name: a}}]}}\n---\na: 1\n---\n- a\n---\na: 1\na: 2\n--- x\n"
    );
    assert_eq!(
        problems(&bad),
        [
            "document 2, Deployment 'web': 'spec.template' is missing, where its pods are described",
            "document 3, Pod 'a-*': this pod is in the network of its node ('hostNetwork'), where the sidecar's port may belong to somebody else and loopback to everybody",
            "document 4: there is no 'kind' in it, so this is nothing that Kubernetes takes",
            "document 5: this must be an object with 'apiVersion' and 'kind'",
            "document 6: line 21, column 1: the key 'a' is there twice; keep one of them",
            "document 7: line 22: after '---' there must be nothing on its line, and there is 'x'",
        ]
    );
    for empty in ["", "\n", "---\n---\n# nothing\n", "null\n"] {
        assert_eq!(problems(empty), ["there is no document in it; give it a manifest"], "{empty:?}");
    }
    assert_eq!(
        problems("{\"kind\": \"Pod\", \"kind\": \"Pod\"}"),
        ["document 1: line 1, column 17: the key 'kind' is there twice; keep one of them"]
    );
    let list = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"kind\": \"Pod\"}]}";
    assert_eq!(problems(list), ["document 1, item 1: there is no 'apiVersion' in it, so this is nothing that Kubernetes takes"]);
}

#[test]
fn what_is_said_in_a_place_where_nobody_looks_is_warned_of() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, annotations: {portcullis.dev/image: 'b:1'}, labels: {portcullis.dev/inject: 'false'}}\nspec: {template: {spec: {containers: [{name: envoy}]}}}\n";
    assert_eq!(
        inject(text).entries[0].warnings,
        [
            "'portcullis.dev/image' has no effect here; it belongs into 'spec.template.metadata'",
            "'portcullis.dev/inject' has no effect here; it belongs into 'spec.template.metadata'",
        ]
    );
}
