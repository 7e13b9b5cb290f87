//! The shipped MutatingWebhookConfiguration, the webhook behind it, and real `kubectl` that creates pods.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::pod;
use crate::harness::api_server::selector::selects;
use crate::harness::api_server::{ApiServer, Called, Mutation, Setup};
use crate::harness::authority::{Authority, write_pem};
use crate::harness::kubectl::{self, Ran};
use crate::harness::webhook::Webhook;

/// Namespaces and what they are labelled with.
const NAMESPACES: [(&str, &[(&str, &str)]); 7] = [
    ("shop", &[("portcullis.dev/inject", "true")]),
    ("plain", &[]),
    ("off", &[("portcullis.dev/inject", "false")]),
    // Whatever their labels say: without these there is no cluster, and no webhook.
    ("kube-system", &[("portcullis.dev/inject", "true")]),
    ("kube-node-lease", &[("portcullis.dev/inject", "true")]),
    ("portcullis-system", &[("portcullis.dev/inject", "true")]),
    ("odd", &[("portcullis.dev/inject", "yes")]),
];

/// The configuration as it is shipped, with a certificate authority as the overlays put one in.
fn configuration(authority: &Authority) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/base/webhook-configuration.yaml");
    let text = std::fs::read_to_string(&file).expect("the shipped configuration");
    let mut configuration: Value = serde_saphyr::from_str(&text).expect("YAML");
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = folder.path().join("ca.crt");
    write_pem(&bundle, "CERTIFICATE", &authority.certificate);
    let bundle = STANDARD.encode(std::fs::read(bundle).expect("a file"));
    for webhook in configuration["webhooks"].as_array_mut().expect("webhooks") {
        webhook["clientConfig"]["caBundle"] = json!(bundle);
    }
    configuration
}

struct Cluster {
    webhook: Webhook,
    api: ApiServer,
    _folder: TempDir,
}

impl Cluster {
    async fn start(others: Vec<(&'static str, Mutation)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let webhook = Webhook::start(folder.path(), &[]).await;
        let setup = Setup {
            configuration: configuration(&webhook.authority),
            others,
            service: webhook.address,
            namespaces: NAMESPACES.map(|(name, labels)| (name, labels.to_vec())).to_vec(),
        };
        Self { api: ApiServer::start(setup).await, webhook, _folder: folder }
    }

    /// `kubectl VERB` with a manifest on standard input.
    async fn kubectl(&self, arguments: &[&str], namespace: &str, object: &Value) -> Ran {
        let server = format!("http://{}", self.api.address);
        let all = [&["--server", &server, "--namespace", namespace], arguments, &["--validate=false", "-f", "-"]].concat();
        let all: Vec<String> = all.into_iter().map(String::from).collect();
        let input = object.to_string();
        let run = move || kubectl::run(&all.iter().map(String::as_str).collect::<Vec<_>>(), &input);
        tokio::task::spawn_blocking(run).await.expect("kubectl runs")
    }

    async fn create(&self, namespace: &str, pod: &Value) -> Ran {
        self.kubectl(&["create", "-o", "json"], namespace, pod).await
    }
}

/// A pod with this label, or with none of ours.
fn labelled(inject: Option<&str>) -> Value {
    let mut pod = pod();
    pod["metadata"]["labels"] = inject.map_or(json!({ "app": "shop" }), |inject| json!({ "app": "shop", "portcullis.dev/inject": inject }));
    pod
}

/// The names of the containers that run beside those that were there.
fn has_sidecar(pod: &Value) -> bool {
    let inits = pod["spec"]["initContainers"].as_array();
    let sidecars = inits.into_iter().flatten().filter(|container| container["name"] == "portcullis").count();
    assert!(sidecars <= 1, "{pod}");
    if sidecars == 1 {
        assert_eq!(pod["spec"]["initContainers"][0]["name"], "portcullis");
        assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
    }
    sidecars == 1
}

fn called(webhook: &str, is_again: bool, changed: bool, outcome: &str) -> Called {
    let annotations = json!({ "outcome": outcome });
    Called { webhook: format!("{webhook}.portcullis.dev"), is_again, changed, dry_run: false, annotations }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opts_in_is_injected_and_nobody_else_is_asked_about() {
    let cluster = Cluster::start(Vec::new()).await;
    let (by_namespace, by_pod) = (Some("inject-namespace"), Some("inject-pod"));
    let rows = [
        ("shop", None, by_namespace),
        ("shop", Some("true"), by_namespace),
        ("shop", Some("false"), None),
        ("plain", None, None),
        ("plain", Some("true"), by_pod),
        ("plain", Some("false"), None),
        ("off", None, None),
        ("off", Some("true"), by_pod),
        ("odd", None, by_namespace),
        ("odd", Some("false"), None),
        ("kube-system", None, None),
        ("kube-system", Some("true"), None),
        ("kube-node-lease", Some("true"), None),
        ("portcullis-system", None, None),
        ("portcullis-system", Some("true"), None),
    ];
    for (namespace, label, webhook) in rows {
        let ran = cluster.create(namespace, &labelled(label)).await;
        assert!(ran.is_ok, "{namespace} {label:?}: {}", ran.told);
        let created = ran.json();
        assert_eq!(has_sidecar(&created), webhook.is_some(), "{namespace} {label:?}");
        // A name was made for it, and the server's own additions are in the sidecar as well.
        assert!(created["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("shop-6d4cf56db6-")));
        // The server itself has changed the sidecar meanwhile (the token of the service account), so it is shown once more.
        let calls = webhook.map_or(Vec::new(), |name| vec![called(name, false, true, "injected"), called(name, true, false, "injected")]);
        assert_eq!(cluster.api.calls(), calls, "{namespace} {label:?}");
        assert_eq!(ran.told, "", "{namespace} {label:?}");
    }
    assert_eq!(cluster.api.pods().len(), rows.len());
    println!("{} pods created by kubectl, each valid on the oldest and the newest Kubernetes", rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opts_in_is_seen_by_a_webhook_and_nobody_else_is() {
    let configuration = configuration(&Authority::new());
    let webhooks = configuration["webhooks"].as_array().expect("webhooks");
    let labels = |value: Option<&str>, own: &[(&str, &str)]| {
        let label = value.map(|value| ("portcullis.dev/inject", value));
        label.into_iter().chain(own.iter().copied()).map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    let values = [None, Some("true"), Some("false"), Some("yes"), Some("")];
    for namespace in values {
        for pod in values {
            let (of_namespace, of_pod) = (labels(namespace, &[("kubernetes.io/metadata.name", "shop")]), labels(pod, &[]));
            let seen = webhooks
                .iter()
                .filter(|webhook| selects(&webhook["namespaceSelector"], &of_namespace) && selects(&webhook["objectSelector"], &of_pod));
            // Whatever else is on a pod or a namespace was meant to be something.
            let says_so = |label: Option<&str>| label.is_some_and(|label| label != "false");
            let opts_in = (says_so(pod) || says_so(namespace)) && pod != Some("false");
            let seen = seen.count();
            assert_eq!(seen > 0, opts_in, "namespace {namespace:?}, pod {pod:?}");
            // To be asked twice does no harm; with the labels that are documented, nobody is.
            let is_documented = |label: Option<&str>| label.is_none_or(|label| ["true", "false"].contains(&label));
            assert!(seen < 2 || !is_documented(namespace), "namespace {namespace:?}, pod {pod:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_says_what_is_wrong_with_an_annotation_and_what_to_beware_of() {
    let cluster = Cluster::start(Vec::new()).await;
    let mut bad = labelled(None);
    bad["metadata"]["annotations"] = json!({ "portcullis.dev/memory-limit": "256" , "portcullis.dev/admin-prot": "1" });
    let ran = cluster.create("shop", &bad).await;
    assert!(!ran.is_ok);
    let says = "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"inject-namespace.portcullis.dev\" denied the \
                request: there is no annotation 'portcullis.dev/admin-prot'";
    assert!(ran.told.starts_with(says), "{}", ran.told);

    for (namespace, webhook) in [("plain", "inject-pod"), ("shop", "inject-namespace")] {
        let ran = cluster.create(namespace, &labelled(Some("True"))).await;
        let says = format!(
            "admission webhook \"{webhook}.portcullis.dev\" denied the request: label 'portcullis.dev/inject' must be 'true' or 'false'"
        );
        assert!(!ran.is_ok && ran.told.contains(&says), "{}", ran.told);
    }

    let mut alone = labelled(Some("true"));
    alone["spec"]["containers"] = json!([{ "name": "shop", "image": "shop:1" }]);
    let ran = cluster.create("plain", &alone).await;
    assert!(ran.is_ok && has_sidecar(&ran.json()), "{}", ran.told);
    assert!(ran.told.starts_with("Warning: portcullis: no container of this pod has the sidecar's socket"), "{}", ran.told);
    assert_eq!(cluster.api.pods().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_an_apply_are_shown_to_the_webhook_like_a_creation() {
    let cluster = Cluster::start(Vec::new()).await;
    let mut named = labelled(None);
    named["metadata"]["name"] = json!("shop");
    named["metadata"].as_object_mut().expect("an object").remove("generateName");
    for (arguments, is_kept) in [
        (&["create", "--dry-run=server", "-o", "json"][..], false),
        (&["apply", "--server-side", "-o", "json"], true),
        (&["apply", "-o", "json"], true),
    ] {
        let before = cluster.api.pods().len();
        let ran = cluster.kubectl(arguments, "shop", &named).await;
        assert!(ran.is_ok, "{arguments:?}: {}", ran.told);
        assert!(has_sidecar(&ran.json()), "{arguments:?}");
        assert_eq!(cluster.api.pods().len() - before, usize::from(is_kept), "{arguments:?}");
        let calls = cluster.api.calls();
        assert!(!calls.is_empty() && calls.iter().all(|call| call.dry_run != is_kept), "{calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_webhook_is_away_no_pod_that_opted_in_is_created_and_the_break_glass_works() {
    let mut cluster = Cluster::start(Vec::new()).await;
    cluster.webhook.process.kill();
    for (namespace, label, webhook) in [("shop", None, "inject-namespace"), ("plain", Some("true"), "inject-pod")] {
        let ran = cluster.create(namespace, &labelled(label)).await;
        assert!(!ran.is_ok, "{namespace}: {}", ran.out);
        let says = format!(
            "Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed calling webhook \
             \"{webhook}.portcullis.dev\": failed to call webhook: Post \
             \"https://portcullis-webhook.portcullis-system.svc:443/inject?timeout=5s\": dial tcp"
        );
        assert!(ran.told.starts_with(&says) && ran.told.contains("onnection refused"), "{}", ran.told);
    }
    // Nobody is held up who did not opt in, nor who opted out: that is the break-glass.
    for (namespace, label) in [("plain", None), ("off", None), ("shop", Some("false")), ("kube-system", None), ("portcullis-system", None)]
    {
        let ran = cluster.create(namespace, &labelled(label)).await;
        assert!(ran.is_ok && !has_sidecar(&ran.json()), "{namespace}: {}", ran.told);
    }
    assert_eq!(cluster.api.pods().len(), 5);
    cluster.webhook.restart().await;
    let ran = cluster.create("shop", &labelled(None)).await;
    assert!(ran.is_ok && has_sidecar(&ran.json()), "{}", ran.told);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_trust_the_webhook_creates_nothing() {
    let cluster = Cluster::start(Vec::new()).await;
    cluster.webhook.secret.renew(&Authority::new().for_host(crate::harness::webhook::NAME));
    let told = crate::harness::wait::until("the other certificate to be shown", crate::harness::wait::PATIENCE, async || {
        let ran = cluster.create("shop", &labelled(None)).await;
        (!ran.is_ok).then_some(ran.told)
    })
    .await;
    assert!(told.contains("failed calling webhook") && told.contains("tls: invalid peer certificate"), "{told}");
}

/// What Istio's webhook does, as far as it matters: a native sidecar, a volume of its own, and the mounts that it was told of.
fn istio(pod: &mut Value) {
    let asked = pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "true";
    let spec = &pod["spec"];
    if !asked || spec["initContainers"].as_array().is_some_and(|inits| inits.iter().any(|init| init["name"] == "istio-proxy")) {
        return;
    }
    let told = pod["metadata"]["annotations"]["sidecar.istio.io/userVolumeMount"].as_str();
    let told: Value = told.map_or(json!({}), |text| serde_json::from_str(text).expect("Istio takes JSON"));
    let mut mounts = vec![json!({ "name": "istio-envoy", "mountPath": "/etc/istio/proxy" })];
    match told {
        Value::Object(by_name) => mounts.extend(by_name.into_iter().map(|(name, mut mount)| {
            mount["name"] = json!(name);
            mount
        })),
        Value::Array(list) => mounts.extend(list),
        other => panic!("Istio does not take {other}"),
    }
    let proxy = json!({ "name": "istio-proxy", "image": "proxyv2:1.30", "restartPolicy": "Always", "volumeMounts": mounts });
    let spec = pod["spec"].as_object_mut().expect("a spec");
    for (key, item) in [("initContainers", proxy), ("volumes", json!({ "name": "istio-envoy", "emptyDir": { "medium": "Memory" } }))] {
        spec.entry(key).or_insert_with(|| json!([])).as_array_mut().expect("a list").push(item);
    }
    pod["metadata"]["annotations"]["sidecar.istio.io/status"] = json!("{\"containers\":[\"istio-proxy\"]}");
}

#[tokio::test(flavor = "multi_thread")]
async fn istios_proxy_gets_the_socket_whether_it_comes_before_or_after() {
    for name in ["istio-sidecar-injector", "z-istio-sidecar-injector"] {
        let cluster = Cluster::start(vec![(name, istio)]).await;
        let mut pod = labelled(None);
        pod["metadata"]["labels"]["sidecar.istio.io/inject"] = json!("true");
        pod["spec"]["containers"] = json!([{ "name": "shop", "image": "shop:1" }]);
        let ran = cluster.create("shop", &pod).await;
        assert!(ran.is_ok, "{name}: {}", ran.told);
        let created = ran.json();
        assert!(has_sidecar(&created), "{name}");
        let inits = created["spec"]["initContainers"].as_array().expect("a list");
        let names: Vec<&str> = inits.iter().filter_map(|init| init["name"].as_str()).collect();
        assert_eq!(names, ["portcullis", "istio-proxy"], "{name}");
        let sockets = |container: &Value| {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            mounts.filter(|mount| mount["name"] == "portcullis-socket" && mount["mountPath"] == "/run/portcullis").count()
        };
        assert_eq!((sockets(&inits[0]), sockets(&inits[1]), sockets(&created["spec"]["containers"][0])), (1, 1, 0), "{name}");
        let calls = cluster.api.calls();
        assert_eq!(calls.iter().map(|call| call.is_again).collect::<Vec<_>>(), [false, true], "{name}: {calls:?}");
        // What is made of a finished pod is the same pod.
        let again = cluster.kubectl(&["create", "--dry-run=server", "-o", "json"], "shop", &created).await;
        assert!(again.is_ok, "{name}: {}", again.told);
        assert_eq!(again.json()["spec"], created["spec"], "{name}");
    }
}
