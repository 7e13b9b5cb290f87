//! Pods on which an API server, Istio and plugins have worked in between.

use serde_json::{Value, json};

use super::super::{CONTAINER, SOCKET_PATH, SOCKET_VOLUME, Setting, Settings, uninject_pod};
use super::injected;

fn pod() -> Value {
    json!({
        "metadata": { "labels": { "sidecar.istio.io/inject": "true" } },
        "spec": { "containers": [{ "name": "app", "image": "a:1" }] },
    })
}

const TOLD: &str = "sidecar.istio.io/userVolumeMount";

/// What the API server fills in, and what its plugins add, before webhooks are asked once more.
fn defaulted(mut pod: Value) -> Value {
    let container = &mut pod["spec"]["initContainers"][0];
    assert_eq!(container["name"], CONTAINER);
    container["imagePullPolicy"] = json!("IfNotPresent");
    container["terminationMessagePath"] = json!("/dev/termination-log");
    container["livenessProbe"]["successThreshold"] = json!(1);
    container["resources"]["limits"]["cpu"] = json!("1");
    let token = json!({ "name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true });
    container["volumeMounts"].as_array_mut().unwrap().push(token);
    pod["spec"]["volumes"][0]["configMap"]["defaultMode"] = json!(420);
    pod["spec"]["volumes"].as_array_mut().unwrap().push(json!({ "name": "kube-api-access-x", "projected": {} }));
    pod
}

#[test]
fn what_the_api_server_has_filled_in_is_no_reason_to_change_it() {
    let (once, _) = injected(&pod(), &Settings::default());
    let filled = defaulted(once);
    assert_eq!(injected(&filled, &Settings::default()).0, filled);
    // Other settings are: and what was filled in for the old ones goes.
    let mut other = Settings::default();
    other.set(Setting::MemoryLimit, "none").unwrap();
    let changed = injected(&filled, &other).0;
    assert_eq!(changed["spec"]["initContainers"][0]["resources"], json!({ "requests": { "cpu": "50m", "memory": "64Mi" } }));
}

#[test]
fn what_was_changed_by_hand_is_made_anew() {
    let (once, _) = injected(&pod(), &Settings::default());
    let changes: [fn(&mut Value); 5] = [
        |pod| pod["spec"]["initContainers"][0]["image"] = json!("other:1"),
        |pod| pod["spec"]["initContainers"][0]["securityContext"]["runAsUser"] = json!(0),
        |pod| pod["spec"]["initContainers"] = Value::Null,
        |pod| pod["spec"]["volumes"][1] = json!({ "name": SOCKET_VOLUME, "hostPath": { "path": "/run" } }),
        |pod| pod["spec"]["initContainers"].as_array_mut().unwrap().insert(0, json!({ "name": "first", "image": "a:1" })),
    ];
    for change in changes {
        let mut pod = once.clone();
        change(&mut pod);
        let again = injected(&pod, &Settings::default()).0;
        assert_eq!(again["spec"]["initContainers"][0], once["spec"]["initContainers"][0]);
        assert_eq!(again["spec"]["volumes"], once["spec"]["volumes"]);
    }
}

#[test]
fn istio_is_told_while_its_sidecar_is_not_there_and_may_come_before_or_after() {
    let (told, warnings) = injected(&pod(), &Settings::default());
    assert_eq!(warnings, [""; 0]);
    assert_eq!(told["metadata"]["annotations"][TOLD], r#"[{"mountPath":"/run/portcullis","name":"portcullis-socket","readOnly":true}]"#);
    // Istio comes after: it does as it was told, and puts its sidecar first.
    let mut both = told.clone();
    let proxy = json!({ "name": "istio-proxy", "image": "proxy:1", "restartPolicy": "Always", "volumeMounts": [{ "name": SOCKET_VOLUME, "mountPath": SOCKET_PATH, "readOnly": true }] });
    both["spec"]["initContainers"].as_array_mut().unwrap().insert(0, proxy);
    let (again, _) = injected(&both, &Settings::default());
    let names: Vec<&Value> = again["spec"]["initContainers"].as_array().unwrap().iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["portcullis", "istio-proxy"]);
    assert_eq!(again["metadata"], told["metadata"]);
    assert_eq!(again["spec"]["initContainers"][1], both["spec"]["initContainers"][0]);
    assert_eq!(injected(&again, &Settings::default()).0, again);
    // Taken out, it leaves nothing that refers to what is gone.
    let mut without = again;
    assert!(uninject_pod(&mut without).unwrap());
    assert!(!without.to_string().contains("portcullis"), "{without:#}");
    // Istio comes before: its sidecar gets the socket as any proxy does.
    let mut before = pod();
    before["spec"]["initContainers"] = json!([{ "name": "istio-proxy", "image": "proxy:1", "restartPolicy": "Always" }]);
    let (done, _) = injected(&before, &Settings::default());
    assert_eq!(done["metadata"]["annotations"].get(TOLD), None);
    assert_eq!(done["spec"]["initContainers"][1]["volumeMounts"][0]["name"], SOCKET_VOLUME);
}

#[test]
fn what_istio_was_told_by_others_stays() {
    for (before, after) in [
        (
            r#"[ {"name": "a", "mountPath": "/a"} ]"#,
            r#"[{"mountPath":"/a","name":"a"},{"mountPath":"/run/portcullis","name":"portcullis-socket","readOnly":true}]"#,
        ),
        (
            r#"{"a": {"mountPath": "/a"}}"#,
            r#"{"a":{"mountPath":"/a"},"portcullis-socket":{"mountPath":"/run/portcullis","readOnly":true}}"#,
        ),
        (r#"[{"name":"portcullis-socket","mountPath":"/b"}]"#, r#"[{"name":"portcullis-socket","mountPath":"/b"}]"#),
        ("", r#"[{"mountPath":"/run/portcullis","name":"portcullis-socket","readOnly":true}]"#),
    ] {
        let mut pod = pod();
        pod["metadata"]["annotations"] = json!({ TOLD: before });
        let (mut done, _) = injected(&pod, &Settings::default());
        assert_eq!(done["metadata"]["annotations"][TOLD], after);
        // Somebody adds to it later.
        if let Ok(Value::Array(mut mounts)) = serde_json::from_str(after) {
            mounts.push(json!({ "name": "later" }));
            let mut later = done.clone();
            later["metadata"]["annotations"][TOLD] = json!(Value::Array(mounts).to_string());
            let (again, _) = injected(&later, &Settings::default());
            assert_eq!(again["metadata"]["annotations"][TOLD], later["metadata"]["annotations"][TOLD]);
            uninject_pod(&mut later).unwrap();
            assert!(later["metadata"]["annotations"][TOLD].as_str().unwrap().contains("later"));
        }
        assert!(uninject_pod(&mut done).unwrap());
        assert_eq!(done, pod);
    }
}

#[test]
fn who_has_no_socket_is_warned_of() {
    let cases: [(Value, &[&str]); 6] = [
        (
            json!({}),
            &[
                "portcullis: no container of this pod has the sidecar's socket, so nobody can ask it there; name the proxy by 'portcullis.dev/proxy-containers'",
            ],
        ),
        (json!({ "portcullis.dev/proxy-containers": "app" }), &[]),
        (
            json!({ "portcullis.dev/proxy-containers": "app, envoyy" }),
            &["portcullis: there is no container 'envoyy' in this pod, which 'portcullis.dev/proxy-containers' names"],
        ),
        (json!({ "portcullis.dev/proxy-containers": "istio-proxy" }), &[]),
        (json!({ "sidecar.istio.io/inject": "true" }), &[]),
        (
            json!({ "portcullis.dev/proxy-containers": "istio-proxy", "sidecar.istio.io/inject": "false" }),
            &[
                "portcullis: there is no container 'istio-proxy' in this pod, which 'portcullis.dev/proxy-containers' names",
                "portcullis: no container of this pod has the sidecar's socket, so nobody can ask it there; name the proxy by 'portcullis.dev/proxy-containers'",
            ],
        ),
    ];
    for (annotations, expected) in cases {
        let pod = json!({ "metadata": { "annotations": annotations }, "spec": { "containers": [{ "name": "app", "image": "a:1" }] } });
        assert_eq!(injected(&pod, &Settings::default()).1, expected, "{annotations}");
    }
    for (field, message) in [("shareProcessNamespace", "share their processes"), ("hostPID", "sees the processes of its node")] {
        let mut shared = pod();
        shared["spec"][field] = json!(true);
        let (_, warnings) = injected(&shared, &Settings::default());
        assert!(warnings.len() == 1 && warnings[0].contains(message), "{warnings:?}");
    }
}
