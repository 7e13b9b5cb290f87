//! Pods of all shapes: what becomes of them, and that they come back.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    CONFIG_VOLUME, CONTAINER, Outcome, PREFIX, SECRET_PATH, SECRET_VOLUME, SOCKET_PATH, SOCKET_VOLUME, STATE_PATH, STATE_VOLUME,
    STATUS_ANNOTATION, Setting, Settings, inject_pod, uninject_pod,
};

mod api_server;
mod manifests;

fn injected(pod: &Value, settings: &Settings) -> (Value, Vec<String>) {
    let mut pod = pod.clone();
    match inject_pod(&mut pod, Some("shop"), settings) {
        Ok(Outcome::Injected { warnings }) => (pod, warnings),
        other => panic!("{other:?}: {pod:#}"),
    }
}

/// A pod without what means the same as nothing: nulls and empty lists and objects where injection may leave none.
fn meant(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let is_nothing =
        |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    let prune = |object: &mut Value, keys: &[&str]| {
        if let Some(entries) = object.as_object_mut() {
            entries.retain(|key, value| !(keys.contains(&key.as_str()) && is_nothing(value)));
        }
    };
    prune(&mut pod["metadata"], &["annotations"]);
    prune(&mut pod, &["metadata"]);
    prune(&mut pod["spec"], &["initContainers", "volumes"]);
    for key in ["initContainers", "containers"] {
        for container in pod["spec"].get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            prune(container, &["volumeMounts"]);
        }
    }
    pod
}

/// Nothing, null, an empty list, or these.
fn list(items: impl Strategy<Value = Value> + 'static, most: usize) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![Just(None), Just(Some(Value::Null)), prop::collection::vec(items, 0..=most).prop_map(|items| Some(Value::from(items)))]
}

fn with(mut object: Value, fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    for (key, value) in fields {
        if let Some(value) = value {
            object[key] = value;
        }
    }
    object
}

fn container(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let mount = ("[a-c]", "/[a-c]{1,3}").prop_map(|(name, path)| json!({ "name": name, "mountPath": path }));
    (prop::sample::select(names), list(mount, 2), any::<bool>()).prop_map(|(name, mounts, unknown)| {
        with(json!({ "name": name, "image": "a:1" }), [("volumeMounts", mounts), ("fieldOfTomorrow", unknown.then(|| json!({ "a": [1] })))])
    })
}

/// The names of containers are unique in Kubernetes; here it is enough that those of proxies may be there once or twice.
fn pods() -> impl Strategy<Value = Value> {
    let annotations = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        prop::collection::btree_map(
            prop::sample::select(vec![
                ("a/b", "c"),
                ("sidecar.istio.io/inject", "true"),
                ("sidecar.istio.io/inject", "false"),
                ("sidecar.istio.io/userVolumeMount", "[ {\"name\": \"a\", \"mountPath\": \"/a\"} ]"),
                ("sidecar.istio.io/userVolumeMount", "{\"a\": {\"mountPath\":\"/a\"}}"),
                ("portcullis.dev/native-sidecar", "false"),
                ("portcullis.dev/proxy-containers", "app,istio-proxy"),
                ("portcullis.dev/config-map", "other"),
            ]),
            Just(()),
            0..4
        )
        .prop_map(|chosen| Some(Value::Object(chosen.into_keys().map(|(key, value)| (key.into(), value.into())).collect()))),
    ];
    let labels = prop_oneof![Just(None), Just(Some(Value::Null)), Just(Some(json!({ "portcullis.dev/inject": "true", "app": "a" })))];
    let metadata = (labels, annotations, any::<bool>()).prop_map(|(labels, annotations, named)| {
        with(json!({}), [("labels", labels), ("annotations", annotations), ("generateName", named.then(|| json!("a-")))])
    });
    let volume = "[a-c]".prop_map(|name| json!({ "name": name, "emptyDir": {} }));
    let spec = (
        prop::collection::vec(container(&["app", "envoy", "istio-proxy", "other"]), 1..4),
        list(container(&["init", "istio-init", "istio-proxy"]), 3),
        list(volume, 2),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(containers, init, volumes, token, shared)| {
            with(
                json!({ "containers": containers }),
                [
                    ("initContainers", init),
                    ("volumes", volumes),
                    ("automountServiceAccountToken", token.then_some(json!(false))),
                    ("shareProcessNamespace", shared.then_some(json!(true))),
                    ("ephemeralContainers", shared.then(|| json!([{ "name": "debugger" }]))),
                ],
            )
        });
    (prop::option::of(metadata), spec).prop_map(|(metadata, spec)| with(json!({ "spec": spec }), [("metadata", metadata)]))
}

/// All containers but ours, without mounts of the socket.
fn others(pod: &Value) -> Vec<Value> {
    let lists = ["initContainers", "containers"].map(|key| pod["spec"][key].as_array().cloned().unwrap_or_default());
    let all = lists.into_iter().flatten().filter(|container| container["name"] != CONTAINER);
    all.map(|mut container| {
        if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
            mounts.retain(|mount| mount["name"] != SOCKET_VOLUME);
        }
        container
    })
    .collect()
}

/// Settings with which there is a volume of each name.
fn with_all_volumes() -> Settings {
    let mut settings = Settings::default();
    for (setting, text) in [(Setting::Secret, "tokens"), (Setting::State, "64Mi")] {
        settings.set(setting, text).unwrap();
    }
    settings
}

#[test]
fn a_secret_and_room_to_keep_things_are_mounted_where_they_are_asked_for() {
    let pod = json!({ "spec": { "containers": [{ "name": "envoy" }], "volumes": [{ "name": "a", "emptyDir": {} }] } });
    let (done, _) = injected(&pod, &with_all_volumes());
    let names = |list: &Value| list.as_array().unwrap().iter().map(|of| of["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&done["spec"]["volumes"]), ["a", CONFIG_VOLUME, SOCKET_VOLUME, SECRET_VOLUME, STATE_VOLUME]);
    assert_eq!(done["spec"]["volumes"][3], json!({ "name": SECRET_VOLUME, "secret": { "secretName": "tokens" } }));
    assert_eq!(done["spec"]["volumes"][4], json!({ "name": STATE_VOLUME, "emptyDir": { "sizeLimit": "64Mi" } }));
    let mounts = &done["spec"]["initContainers"][0]["volumeMounts"];
    assert_eq!(mounts[2], json!({ "name": SECRET_VOLUME, "mountPath": SECRET_PATH, "readOnly": true }));
    assert_eq!(mounts[3], json!({ "name": STATE_VOLUME, "mountPath": STATE_PATH }));
    assert_eq!(names(&done["spec"]["containers"][0]["volumeMounts"]), [SOCKET_VOLUME]);

    // What the injector did not make, it neither takes over nor takes out, whatever else it made.
    let (mut foreign, _) = injected(&pod, &Settings::default());
    foreign["spec"]["volumes"].as_array_mut().unwrap().push(json!({ "name": STATE_VOLUME, "emptyDir": {} }));
    let refusal = inject_pod(&mut foreign.clone(), None, &with_all_volumes()).unwrap_err();
    assert!(refusal.to_string().contains("a volume 'portcullis-state' that the injector did not make"), "{refusal}");
    assert!(uninject_pod(&mut foreign).unwrap());
    assert_eq!(names(&foreign["spec"]["volumes"]), ["a", STATE_VOLUME]);
}

#[test]
fn what_is_fixed_no_annotation_chooses() {
    let settings = Settings { fixed: [Setting::Image].into(), ..Settings::default() };
    let pod = |name: &str, value: &str| json!({ "metadata": { "annotations": { format!("{PREFIX}{name}"): value } }, "spec": { "containers": [{ "name": "envoy" }] } });
    let refusal = inject_pod(&mut pod("image", "allow-all:1"), None, &settings).unwrap_err().to_string();
    let expected = format!(
        "annotation 'portcullis.dev/image': a pod cannot choose this here, where it is '{}'; take the annotation away",
        settings.image
    );
    assert_eq!(refusal, expected);
    // To say what is so anyway, and to choose something else, is nobody's harm.
    for (name, value) in [("image", &*settings.image.clone()), ("config-map", "mine")] {
        assert!(inject_pod(&mut pod(name, value), None, &settings).is_ok(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_pod_comes_back_as_it_was(pod in pods()) {
        for settings in [Settings::default(), with_all_volumes()] {
            let (mut done, _) = injected(&pod, &settings);
            prop_assert!(uninject_pod(&mut done).unwrap());
            prop_assert_eq!(meant(&done), meant(&pod));
            prop_assert!(!uninject_pod(&mut done).unwrap());
        }
    }

    #[test]
    fn twice_is_once_and_other_settings_are_as_if_they_had_been_there_from_the_start(pod in pods()) {
        let (once, warnings) = injected(&pod, &Settings::default());
        prop_assert_eq!(injected(&once, &Settings::default()), (once.clone(), warnings));
        let mut other = Settings::default();
        for (setting, text) in [(Setting::Image, "portcullis:2"), (Setting::ConfigMap, "b"), (Setting::MemoryLimit, "none")] {
            other.set(setting, text).unwrap();
        }
        prop_assert_eq!(injected(&once, &other).0, injected(&pod, &other).0);
        let mut proxies = Settings::default();
        proxies.set(Setting::ProxyContainers, "other").unwrap();
        proxies.set(Setting::NativeSidecar, "false").unwrap();
        for settings in [proxies, with_all_volumes()] {
            let there_and_back = injected(&injected(&once, &settings).0, &Settings::default()).0;
            prop_assert_eq!(meant(&there_and_back), meant(&once));
        }
    }

    #[test]
    fn nothing_of_the_pod_changes_but_what_is_added(pod in pods()) {
        let (done, _) = injected(&pod, &Settings::default());
        let without = |pod: &Value| meant(&json!({ "spec": { "containers": others(pod) } }));
        prop_assert_eq!(without(&done), without(&pod));
        let spec = |pod: &Value| {
            let mut spec = pod["spec"].clone();
            for key in ["containers", "initContainers", "volumes"] {
                spec.as_object_mut().unwrap().remove(key);
            }
            spec
        };
        prop_assert_eq!(spec(&done), spec(&pod));
        let native = pod["metadata"]["annotations"]["portcullis.dev/native-sidecar"] != "false";
        let first = &done["spec"][if native { "initContainers" } else { "containers" }][0];
        prop_assert_eq!(&first["name"], CONTAINER);
        prop_assert_eq!(first["restartPolicy"].as_str(), native.then_some("Always"));
        let volumes: Vec<&Value> = done["spec"]["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
        prop_assert!(volumes.ends_with(&[&json!(CONFIG_VOLUME), &json!(SOCKET_VOLUME)]));
        let proxies: &[&str] = match pod["metadata"]["annotations"]["portcullis.dev/proxy-containers"].as_str() {
            Some(_) => &["app", "istio-proxy"],
            None => &["envoy", "istio-proxy"],
        };
        for list in ["initContainers", "containers"] {
            for container in done["spec"][list].as_array().into_iter().flatten().filter(|container| container["name"] != CONTAINER) {
                let mounts = container["volumeMounts"].as_array().into_iter().flatten();
                let sockets: Vec<&Value> = mounts.filter(|mount| mount["name"] == SOCKET_VOLUME).collect();
                let wanted = json!({ "name": SOCKET_VOLUME, "mountPath": SOCKET_PATH, "readOnly": true });
                let is_proxy = proxies.contains(&container["name"].as_str().unwrap());
                prop_assert_eq!(sockets, if is_proxy { vec![&wanted] } else { vec![] });
            }
        }
        prop_assert!(done["metadata"]["annotations"][STATUS_ANNOTATION].is_string());
    }

    #[test]
    fn a_refused_pod_is_unchanged(mut pod in pods(), which in 0..4) {
        match which {
            0 => pod["spec"]["hostNetwork"] = json!(true),
            1 => pod["spec"]["volumes"] = json!([{ "name": SOCKET_VOLUME, "emptyDir": {} }]),
            2 => pod["spec"]["containers"] = json!("none"),
            _ => pod["metadata"] = json!({ "annotations": { "portcullis.dev/imagee": "a" } }),
        }
        let before = pod.clone();
        prop_assert!(inject_pod(&mut pod, None, &Settings::default()).is_err());
        prop_assert_eq!(pod, before);
    }
}
