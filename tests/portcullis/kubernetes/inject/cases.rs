//! Pods to be injected, and pods to be refused. What injects has to do the same to each, whoever asks.

use serde_json::{Value, json};

/// A pod with a name for the case.
pub struct Case {
    pub name: &'static str,
    pub pod: Value,
}

fn case(name: &'static str, metadata: Value, spec: Value) -> Case {
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    // What an API server always has seen to.
    if pod["metadata"]["name"].is_null() && pod["metadata"]["generateName"].is_null() {
        pod["metadata"]["name"] = json!("a");
    }
    Case { name, pod }
}

fn app() -> Value {
    json!({ "name": "app", "image": "app:1" })
}

fn envoy() -> Value {
    json!({ "name": "envoy", "image": "envoyproxy/envoy:v1.40.0" })
}

fn annotated(annotations: Value) -> Value {
    json!({ "name": "a", "annotations": annotations })
}

/// Pods that get the sidecar. All of them are what Kubernetes takes, before and after.
pub fn injected() -> Vec<Case> {
    let both = || json!({ "containers": [app(), envoy()] });
    let with = |fields: Value| {
        let mut spec = both();
        for (key, value) in fields.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        spec
    };
    let istio = |list: &str| {
        let mut spec = json!({ "containers": [app()] });
        let proxy = json!({ "name": "istio-proxy", "image": "istio/proxyv2:1", "volumeMounts": [{ "name": "istio-token", "mountPath": "/var/run/secrets/tokens" }] });
        match list {
            "containers" => spec["containers"] = json!([app(), proxy]),
            _ => {
                let mut proxy = proxy;
                proxy["restartPolicy"] = json!("Always");
                spec["initContainers"] = json!([{ "name": "istio-validation", "image": "istio/proxyv2:1" }, proxy]);
            }
        }
        spec["volumes"] = json!([{ "name": "istio-token", "projected": { "sources": [] } }]);
        spec
    };
    vec![
        case("a proxy and an application", json!({}), both()),
        case("without labels, annotations and a name", json!({ "generateName": "a-" }), both()),
        case(
            "with nulls",
            json!({ "generateName": "a-", "labels": null, "annotations": null }),
            with(json!({ "initContainers": null, "volumes": null })),
        ),
        case("with empty lists", json!({ "labels": {}, "annotations": {} }), with(json!({ "initContainers": [], "volumes": [] }))),
        case("labelled", json!({ "labels": { "portcullis.dev/inject": "true", "app": "a" } }), both()),
        case("no proxy at all", json!({}), json!({ "containers": [app()] })),
        case(
            "with an init container",
            json!({}),
            with(json!({ "initContainers": [{ "name": "wait", "image": "wait:1", "command": ["wait"] }] })),
        ),
        case(
            "with a native sidecar of another kind",
            json!({}),
            with(json!({ "initContainers": [{ "name": "logs", "image": "logs:1", "restartPolicy": "Always" }] })),
        ),
        case(
            "Envoy as a native sidecar",
            json!({}),
            json!({ "initContainers": [{ "name": "envoy", "image": "envoy:1", "restartPolicy": "Always" }], "containers": [app()] }),
        ),
        case("with volumes and mounts", json!({}), {
            let mut spec = with(json!({ "volumes": [{ "name": "data", "emptyDir": {} }] }));
            spec["containers"][1]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
            spec
        }),
        case("a mount at the socket's path in a container that is no proxy", json!({}), {
            let mut spec = with(json!({ "volumes": [{ "name": "data", "emptyDir": {} }] }));
            spec["containers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/run/portcullis" }]);
            spec
        }),
        case("a container that mounts the socket by itself", json!({}), {
            let mut spec = json!({ "containers": [app()] });
            spec["containers"][0]["volumeMounts"] = json!([{ "name": "portcullis-socket", "mountPath": "/run/authz", "readOnly": true }]);
            spec
        }),
        case("Istio's sidecar among the containers", json!({}), istio("containers")),
        case("Istio's sidecar as a native one", json!({}), istio("initContainers")),
        case(
            "Istio's sidecar is to come, by label",
            json!({ "labels": { "sidecar.istio.io/inject": "true" } }),
            json!({ "containers": [app()] }),
        ),
        case(
            "Istio's sidecar is to come, by annotation",
            annotated(json!({ "sidecar.istio.io/inject": "true" })),
            json!({ "containers": [app()] }),
        ),
        case(
            "Istio's sidecar is to come, and mounts something else already",
            annotated(
                json!({ "sidecar.istio.io/inject": "true", "sidecar.istio.io/userVolumeMount": "[{\"name\":\"certs\",\"mountPath\":\"/certs\"}]" }),
            ),
            json!({ "containers": [app()], "volumes": [{ "name": "certs", "emptyDir": {} }] }),
        ),
        case(
            "Istio's sidecar is asked for by name",
            annotated(json!({ "portcullis.dev/proxy-containers": "istio-proxy" })),
            json!({ "containers": [app()] }),
        ),
        case("another proxy, by annotation", annotated(json!({ "portcullis.dev/proxy-containers": "app" })), both()),
        case("a proxy that is not there", annotated(json!({ "portcullis.dev/proxy-containers": "envoyy,envoy" })), both()),
        case("a plain container", annotated(json!({ "portcullis.dev/native-sidecar": "false" })), both()),
        case(
            "another image",
            annotated(
                json!({ "portcullis.dev/image": "registry.example:5000/a/portcullis@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }),
            ),
            both(),
        ),
        case("another ConfigMap", annotated(json!({ "portcullis.dev/config-map": "shop.policies" })), both()),
        case(
            "a Secret and room for a warm start",
            annotated(json!({ "portcullis.dev/secret": "shop-authz", "portcullis.dev/state": "64Mi" })),
            both(),
        ),
        case("neither, and said so", annotated(json!({ "portcullis.dev/secret": "none", "portcullis.dev/state": "none" })), both()),
        case(
            "other amounts",
            annotated(
                json!({ "portcullis.dev/cpu-request": "0.1", "portcullis.dev/cpu-limit": "1", "portcullis.dev/memory-request": "128Mi", "portcullis.dev/memory-limit": "1Gi" }),
            ),
            both(),
        ),
        case("no limits", annotated(json!({ "portcullis.dev/cpu-limit": "none", "portcullis.dev/memory-limit": "none" })), both()),
        case(
            "other logs",
            annotated(json!({ "portcullis.dev/log": "warn,portcullis::decision=debug", "portcullis.dev/log-format": "text" })),
            both(),
        ),
        case("another port", annotated(json!({ "portcullis.dev/admin-port": "9300" })), {
            let mut spec = both();
            spec["containers"][0]["ports"] = json!([{ "containerPort": 9193 }]);
            spec
        }),
        case("the port over UDP", json!({}), {
            let mut spec = both();
            spec["containers"][0]["ports"] = json!([{ "containerPort": 9193, "protocol": "UDP" }]);
            spec
        }),
        case("a job's pod", json!({}), with(json!({ "restartPolicy": "Never" }))),
        case("shared processes", json!({}), with(json!({ "shareProcessNamespace": true }))),
        case("no token", json!({}), with(json!({ "automountServiceAccountToken": false }))),
        case("for Linux", json!({}), with(json!({ "os": { "name": "linux" }, "nodeSelector": { "kubernetes.io/os": "linux" } }))),
        case("a group for its volumes", json!({}), with(json!({ "securityContext": { "fsGroup": 2000, "runAsUser": 0 } }))),
        case("amounts that are numbers", json!({}), {
            let mut spec = both();
            spec["containers"][0]["resources"] = json!({ "limits": { "cpu": 1, "memory": 1_000_000 } });
            spec
        }),
        case("in another namespace", json!({ "name": "a", "namespace": "shop" }), both()),
        case("other annotations", annotated(json!({ "example.com/portcullis.dev": "a", "notportcullis.dev/image": "b" })), both()),
    ]
}

/// A pod, and what has to be in the message.
pub struct Refused {
    pub name: &'static str,
    pub pod: Value,
    pub message: &'static str,
}

fn refused(name: &'static str, metadata: Value, spec: Value, message: &'static str) -> Refused {
    Refused { name, pod: case(name, metadata, spec).pod, message }
}

/// Pods that are refused.
pub fn refusals() -> Vec<Refused> {
    let both = || json!({ "containers": [app(), envoy()] });
    let with = |pointer: &str, value: Value| {
        let mut spec = both();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        spec.pointer_mut(parent).expect("an object")[key] = value;
        spec
    };
    let by = |name: &str, value: Value| annotated(json!({ (format!("portcullis.dev/{name}")): value }));
    let mut all = vec![
        refused("the node's network", json!({}), with("/hostNetwork", json!(true)), "in the network of its node ('hostNetwork')"),
        refused("Windows", json!({}), with("/os", json!({ "name": "windows" })), "for nodes with Windows"),
        refused(
            "Windows by selector",
            json!({}),
            with("/nodeSelector", json!({ "kubernetes.io/os": "windows" })),
            "for nodes with Windows",
        ),
        refused(
            "our name",
            json!({}),
            json!({ "containers": [envoy(), { "name": "portcullis", "image": "a" }] }),
            "a container 'portcullis' that the injector did not make",
        ),
        refused(
            "our name at the start",
            json!({}),
            with("/initContainers", json!([{ "name": "portcullis", "image": "a" }])),
            "a container 'portcullis' that the injector did not make",
        ),
        refused(
            "our volume",
            json!({}),
            with("/volumes", json!([{ "name": "portcullis-config", "emptyDir": {} }])),
            "a volume 'portcullis-config' that the injector did not make",
        ),
        refused(
            "our other volume",
            json!({}),
            with("/volumes", json!([{ "name": "portcullis-socket", "emptyDir": {} }])),
            "a volume 'portcullis-socket' that the injector did not make",
        ),
        refused(
            "our port",
            json!({}),
            with("/containers/0/ports", json!([{ "containerPort": 9193 }])),
            "container 'app' has port 9193, which is the sidecar's; choose another by 'portcullis.dev/admin-port'",
        ),
        refused(
            "our path",
            json!({}),
            with("/containers/1/volumeMounts", json!([{ "name": "a", "mountPath": "/run/portcullis/" }])),
            "container 'envoy' has volume 'a' at /run/portcullis",
        ),
        refused("no containers", json!({}), json!({ "containers": [] }), "this pod has no containers"),
        refused(
            "nobody but us",
            by("status", json!("{\"version\":\"0\",\"container\":\"portcullis\",\"volumes\":[],\"mounts\":[]}")),
            json!({ "containers": [{ "name": "portcullis" }] }),
            "no containers besides the sidecar",
        ),
        refused(
            "containers that are none",
            json!({}),
            json!({ "containers": "app" }),
            "this is no pod: spec.containers: invalid type: string \"app\", expected a sequence",
        ),
        refused(
            "a container without a name",
            json!({}),
            json!({ "containers": [{ "image": "a" }] }),
            "this is no pod: spec.containers[0]: missing field `name`",
        ),
        refused("no containers at all", json!({}), json!({}), "this is no pod: spec: missing field `containers`"),
        refused(
            "a number for a label",
            json!({ "labels": { "app": 1 } }),
            both(),
            "this is no pod: metadata.labels.app: invalid type: integer `1`, expected a string",
        ),
        refused("a boolean for our label", json!({ "labels": { "portcullis.dev/inject": true } }), both(), "expected a string"),
        refused(
            "neither true nor false",
            json!({ "labels": { "portcullis.dev/inject": "no" } }),
            both(),
            "label 'portcullis.dev/inject' must be 'true' or 'false', and it is 'no'",
        ),
        refused(
            "the label as an annotation",
            by("inject", json!("false")),
            both(),
            "'portcullis.dev/inject' is an annotation here and has to be a label",
        ),
        refused(
            "an annotation that is not known",
            by("imagee", json!("a")),
            both(),
            "there is no annotation 'portcullis.dev/imagee'; after 'portcullis.dev/' there can be config-map, secret, state, image, native-sidecar,",
        ),
        refused(
            "a note that is none",
            by("status", json!("injected")),
            both(),
            "annotation 'portcullis.dev/status' is not what the injector wrote",
        ),
        refused("a mirror of a static pod", annotated(json!({ "kubernetes.io/config.mirror": "a" })), both(), "the mirror of a static pod"),
        refused(
            "Istio's list that is none",
            annotated(json!({ "sidecar.istio.io/inject": "true", "sidecar.istio.io/userVolumeMount": "certs" })),
            both(),
            "annotation 'sidecar.istio.io/userVolumeMount' is neither a JSON array nor a JSON object",
        ),
        refused(
            "more than the limit",
            annotated(json!({ "portcullis.dev/memory-request": "1Gi" })),
            both(),
            "annotations of portcullis.dev/: 'memory-request' (1Gi) is more than 'memory-limit' (256Mi)",
        ),
    ];
    for policy in ["Never", "OnFailure"] {
        let mut spec = both();
        spec["restartPolicy"] = json!(policy);
        all.push(refused(
            "a plain container that keeps a job from completing",
            by("native-sidecar", json!("false")),
            spec,
            "from ever completing",
        ));
    }
    for (name, value, message) in [
        ("config-map", "Shop", "'Shop' is no name of a ConfigMap"),
        ("config-map", "", "'' is no name of a ConfigMap"),
        ("secret", "Shop", "'Shop' is no name of a Secret, and not 'none'"),
        ("state", "much", "'much' is no size, such as '64Mi', and not 'none'"),
        ("image", "a b", "'a b' is no name of an image"),
        ("image", "", "'' is no name of an image"),
        ("native-sidecar", "yes", "'yes' must be 'true' or 'false'"),
        ("proxy-containers", "", "'' is no name of a container"),
        ("proxy-containers", "envoy,", "'' is no name of a container"),
        ("proxy-containers", "portcullis", "'portcullis' is the sidecar itself"),
        ("cpu-request", "fast", "'fast' is no quantity of CPU, such as '50m' or '0.5'"),
        ("cpu-limit", "-1", "'-1' is no quantity of CPU"),
        ("memory-request", "64MB", "'64MB' is no quantity of memory, such as '64Mi'"),
        ("memory-limit", "0", "'0' is no quantity of memory"),
        ("log", "portcullis=loud", "'portcullis=loud' is no log filter"),
        ("log", "", "this log filter is empty"),
        ("log-format", "xml", "'xml' must be 'json' or 'text'"),
        ("admin-port", "0", "'0' is no port: a whole number from 1 to 65535"),
        ("admin-port", "http", "'http' is no port"),
    ] {
        all.push(refused("an annotation that cannot be", by(name, json!(value)), both(), message));
    }
    all
}
