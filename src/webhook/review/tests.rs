use json_patch::Patch;
use serde_json::json;

use super::*;

/// A review as an API server sends it.
fn review(pod: Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "requestKind": { "group": "", "version": "v1", "kind": "Pod" },
            "requestResource": { "group": "", "version": "v1", "resource": "pods" },
            "name": "",
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"] },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    })
}

fn pod() -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": { "generateName": "shop-" },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }], "initContainers": [{ "name": "first", "image": "first:1" }] },
    })
}

/// Puts something in front and changes something, as an injection does.
fn injects(pod: &mut Value, _: Option<&str>) -> Result<inject::Outcome, Refusal> {
    pod["metadata"]["annotations"] = json!({ "portcullis.dev/status": "{}" });
    let spec = pod["spec"].as_object_mut().unwrap();
    let inits = spec.entry("initContainers").or_insert_with(|| json!([])).as_array_mut().unwrap();
    if inits.first().is_none_or(|first| first["name"] != "portcullis") {
        inits.insert(0, json!({ "name": "portcullis" }));
    }
    Ok(inject::Outcome::Injected { warnings: Vec::new() })
}

fn nothing(_: &mut Value, _: Option<&str>) -> Result<inject::Outcome, Refusal> {
    Ok(inject::Outcome::Injected { warnings: Vec::new() })
}

fn ask(review: &Value, inject: impl Inject) -> (Outcome, Value) {
    let verdict = answer(&serde_json::to_vec(review).unwrap(), inject);
    let answer = serde_json::from_slice(&verdict.answer.expect("an addressed answer")).unwrap();
    (verdict.outcome, answer)
}

fn edited(pointer: &str, value: Option<Value>) -> Value {
    let mut review = review(pod());
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = review.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.into(), value),
        None => parent.remove(name),
    };
    review
}

#[test]
fn a_pod_is_answered_with_a_patch_in_base64_that_makes_the_injected_pod_of_it() {
    let (outcome, answer) = ask(&review(pod()), injects);
    assert_eq!(outcome, Outcome::Injected);
    let response = &answer["response"];
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    assert_eq!(response["auditAnnotations"], json!({ "outcome": "injected" }));
    assert_eq!(response.get("warnings"), None);
    let patch: Patch = serde_json::from_slice(&STANDARD.decode(response["patch"].as_str().unwrap()).unwrap()).unwrap();
    let (mut patched, mut injected) = (pod(), pod());
    json_patch::patch(&mut patched, &patch).unwrap();
    injects(&mut injected, None).unwrap();
    assert_eq!(patched, injected);
}

#[test]
fn what_is_injected_already_gets_no_patch() {
    let mut done = pod();
    injects(&mut done, None).unwrap();
    let (outcome, answer) = ask(&review(done), injects);
    assert_eq!(outcome, Outcome::Unchanged);
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!((answer["response"].get("patch"), answer["response"].get("patchType")), (None, None));
}

#[test]
fn warnings_are_handed_on_and_the_namespace_is_the_requests() {
    let (_, answer) = ask(&review(pod()), |_: &mut Value, namespace: Option<&str>| {
        Ok(inject::Outcome::Injected { warnings: vec![format!("in {}", namespace.unwrap_or("nowhere"))] })
    });
    assert_eq!(answer["response"]["warnings"], json!(["in shop"]));
    assert_eq!(answer["response"]["allowed"], true);
}

#[test]
fn a_dry_run_is_answered_as_the_real_one_would_be() {
    let real = ask(&review(pod()), injects);
    assert_eq!(ask(&edited("/request/dryRun", Some(json!(true))), injects), real);
}

#[test]
fn a_panic_is_a_refusal() {
    let (outcome, answer) = ask(&review(pod()), |_: &mut Value, _: Option<&str>| panic!("a breakdown that is meant to be"));
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(answer["response"]["status"]["message"], "the injection broke down; the log of the webhook says where");
}

#[test]
fn a_review_of_anything_but_a_pod_that_is_created_is_refused() {
    let kind = |group: &str, version: &str, kind: &str| Some(json!({ "group": group, "version": version, "kind": kind }));
    let resource = |group: &str, version: &str, resource: &str| Some(json!({ "group": group, "version": version, "resource": resource }));
    for (pointer, value, message) in [
        ("/request/operation", Some(json!("UPDATE")), "UPDATE of 'pods' (Pod)"),
        ("/request/operation", Some(json!("DELETE")), "DELETE of 'pods' (Pod)"),
        ("/request/operation", Some(json!("CONNECT")), "CONNECT of 'pods' (Pod)"),
        ("/request/subResource", Some(json!("ephemeralcontainers")), "CREATE of 'pods/ephemeralcontainers' (Pod)"),
        ("/request/subResource", Some(json!("exec")), "CREATE of 'pods/exec' (Pod)"),
        ("/request/kind", kind("apps", "v1", "Deployment"), "CREATE of 'pods' (Deployment)"),
        ("/request/kind", kind("", "v1", "Binding"), "CREATE of 'pods' (Binding)"),
        ("/request/kind", kind("", "v2", "Pod"), "CREATE of 'pods' (Pod)"),
        ("/request/resource", resource("apps", "v1", "deployments"), "CREATE of 'deployments.apps' (Pod)"),
        ("/request/resource", resource("pods.example", "v1", "pods"), "CREATE of 'pods.pods.example' (Pod)"),
    ] {
        let (outcome, answer) = ask(&edited(pointer, value), injects);
        let status = &answer["response"]["status"];
        assert_eq!((outcome, &answer["response"]["allowed"]), (Outcome::Misdirected, &json!(false)), "{pointer}");
        assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
        let said = status["message"].as_str().unwrap();
        assert!(said.contains(message) && said.contains("should name CREATE of pods"), "{said}");
        assert_eq!(answer["response"].get("patch"), None);
    }
}

#[test]
fn what_cannot_be_understood_but_says_whose_it_is_gets_an_answer_that_refuses() {
    for (pointer, value, message) in [
        ("/apiVersion", Some(json!("admission.k8s.io/v1beta1")), "apiVersion 'admission.k8s.io/v1beta1'"),
        ("/apiVersion", None, "apiVersion ''"),
        ("/kind", Some(json!("Review\u{1b}[31m")), "kind 'Review?[31m'"),
        ("/request/object", None, "'request.object' is no Pod of v1"),
        ("/request/object", Some(Value::Null), "'request.object' is no Pod of v1"),
        ("/request/object", Some(json!([1, 2])), "'request.object' is no Pod of v1"),
        ("/request/object", Some(json!({ "kind": "Deployment", "apiVersion": "apps/v1" })), "'request.object' is no Pod of v1"),
        ("/request/object", Some(json!({ "kind": "Pod", "apiVersion": "v2" })), "'request.object' is no Pod of v1"),
        ("/request/operation", Some(json!("EXECUTE")), "unknown variant `EXECUTE`"),
        ("/request/operation", None, "missing field `operation`"),
        ("/request/kind", None, "missing field `kind`"),
        ("/request/resource", Some(json!("pods")), "'request' cannot be understood"),
        ("/request/userInfo", Some(json!("root")), "'request' cannot be understood"),
        ("/request/namespace", Some(json!(7)), "'request' cannot be understood"),
    ] {
        let (outcome, answer) = ask(&edited(pointer, value), injects);
        assert_eq!((outcome, &answer["response"]["allowed"]), (Outcome::Invalid, &json!(false)), "{pointer}");
        let said = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
        assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    }
}

#[test]
fn what_belongs_to_no_known_request_is_an_error_in_words() {
    let text = |review: Value| review.to_string().into_bytes();
    let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    for (body, message) in [
        (Vec::new(), "the body is no JSON: EOF"),
        (b"{".to_vec(), "the body is no JSON: EOF"),
        (b"\xff\xfe".to_vec(), "the body is no JSON"),
        (b"{}{}".to_vec(), "the body is no JSON: trailing characters"),
        (deep(10_000), "the body is no JSON: recursion limit"),
        (b"null".to_vec(), "the body has kind '' and apiVersion ''"),
        (b"[]".to_vec(), "the body has kind '' and apiVersion ''"),
        (text(json!({ "kind": "Pod", "apiVersion": "v1" })), "the body has kind 'Pod' and apiVersion 'v1'"),
        (text(edited("/request", None)), "the review has no 'request'"),
        (text(edited("/request", Some(json!("x")))), "the review has no 'request'"),
        (text(edited("/request/uid", None)), "missing field `uid`"),
        (text(edited("/request/uid", Some(json!("")))), "'request.uid' is missing, empty"),
        (text(edited("/request/uid", Some(json!("u".repeat(257))))), "longer than 256 bytes"),
        (text(edited("/request/uid", Some(json!(7)))), "'request' cannot be understood"),
    ] {
        let verdict = answer(&body, injects);
        let said = verdict.answer.expect_err("an answer that is addressed to nobody");
        assert_eq!(verdict.outcome, Outcome::Invalid);
        assert!(said.contains(message), "{said}");
    }
}

#[test]
fn no_prefix_of_a_review_and_no_changed_byte_lets_a_pod_through_untouched() {
    let body = serde_json::to_vec(&review(pod())).unwrap();
    for length in 0..body.len() {
        assert!(answer(&body[..length], nothing).answer.is_err(), "{length}");
    }
    for at in 0..body.len() {
        let mut changed = body.clone();
        changed[at] ^= 1;
        let verdict = answer(&changed, injects);
        let answer: Option<Value> = verdict.answer.ok().map(|answer| serde_json::from_slice(&answer).unwrap());
        let allowed = answer.is_some_and(|answer| answer["response"]["allowed"] == true);
        assert_eq!(allowed, verdict.outcome == Outcome::Injected, "{at}: {:?}", verdict.outcome);
    }
}
