//! Reviews, and that their patches lead to what `portcullis inject` makes.

use portcullis::inject::{Outcome, Settings, inject_pod};
use serde_json::{Value, json};

use super::{by_command, patch, patched, pod, response, review};
use crate::harness::kubectl;
use crate::harness::process::{command, programs};
use crate::harness::webhook::Webhook;

/// A change to a pod.
type Edit = fn(&mut Value);

/// Pods of many shapes. Each has to come out of the webhook as it does of the command.
fn pods() -> Vec<(&'static str, Value)> {
    let with = |edit: Edit| {
        let mut pod = pod();
        edit(&mut pod);
        pod
    };
    vec![
        ("as a Deployment makes it", pod()),
        (
            "nothing but a container",
            json!({ "apiVersion": "v1", "kind": "Pod", "spec": { "containers": [{ "name": "a", "image": "a:1" }] } }),
        ),
        (
            "null where lists are",
            with(|pod| {
                pod["metadata"]["annotations"] = Value::Null;
                pod["spec"]["initContainers"] = Value::Null;
                pod["spec"]["volumes"] = Value::Null;
            }),
        ),
        ("no labels and no annotations", with(|pod| pod["metadata"] = json!({ "name": "a" }))),
        (
            "init containers of its own",
            with(|pod| {
                pod["spec"]["initContainers"] = json!([
                    { "name": "first", "image": "a:1", "env": [{ "name": "A", "value": "~/~1 \"\u{e9}\u{1F980}\"" }] },
                    { "name": "second", "image": "b:1", "restartPolicy": "Always" },
                ]);
            }),
        ),
        (
            "volumes and mounts",
            with(|pod| {
                pod["spec"]["volumes"] = json!([{ "name": "data", "emptyDir": {} }]);
                pod["spec"]["containers"][1]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
            }),
        ),
        ("istio-proxy as a container", with(|pod| pod["spec"]["containers"][1]["name"] = json!("istio-proxy"))),
        (
            "istio-proxy as a native sidecar",
            with(|pod| {
                pod["spec"]["initContainers"] = json!([{ "name": "istio-proxy", "image": "proxyv2:1", "restartPolicy": "Always" }]);
            }),
        ),
        (
            "an Istio sidecar to come",
            with(|pod| {
                pod["metadata"]["labels"]["sidecar.istio.io/inject"] = json!("true");
                pod["metadata"]["annotations"] =
                    json!({ "sidecar.istio.io/userVolumeMount": "[{\"name\":\"data\",\"mountPath\":\"/data\"}]" });
            }),
        ),
        ("a plain container", with(|pod| pod["metadata"]["annotations"] = json!({ "portcullis.dev/native-sidecar": "false" }))),
        (
            "all annotations",
            with(|pod| {
                pod["metadata"]["annotations"] = json!({
                    "portcullis.dev/config-map": "other", "portcullis.dev/image": "registry.example/portcullis@sha256:0123", "portcullis.dev/proxy-containers": "shop",
                    "portcullis.dev/cpu-request": "100m", "portcullis.dev/memory-request": "1Gi", "portcullis.dev/cpu-limit": "2",
                    "portcullis.dev/memory-limit": "2Gi", "portcullis.dev/log": "warn", "portcullis.dev/log-format": "text",
                });
            }),
        ),
        (
            "fields that no type knows yet",
            with(|pod| {
                pod["spec"]["fieldOfTomorrow"] = json!({ "a": [1, 2.5, null, i64::MAX] });
                pod["spec"]["containers"][0]["another"] = json!("x");
            }),
        ),
        ("a job's pod", with(|pod| pod["spec"]["restartPolicy"] = json!("OnFailure"))),
        ("nobody to ask", with(|pod| pod["spec"]["containers"] = json!([{ "name": "shop", "image": "shop:1" }]))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_makes_of_the_pod_with_the_patch_is_what_the_command_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let mut connections = [webhook.connect("h2").await, webhook.connect("http/1.1").await];
    assert_eq!(connections.each_ref().map(|connection| connection.is_http2()), [true, false]);
    let pods = pods();
    for (at, (title, pod)) in pods.iter().enumerate() {
        let uid = format!("uid-{at}");
        let connection = &mut connections[at % 2];
        let answer = connection.post("/inject?timeout=5s", review(&uid, pod).to_string()).await.expect("an answer");
        let response = response(&answer, &uid);
        assert_eq!(response["allowed"], true, "{title}: {response}");
        let patched = kubectl::patched(pod, &patch(&response));

        let mut injected = pod.clone();
        let outcome = inject_pod(&mut injected, Some("shop"), &Settings::default());
        let Ok(Outcome::Injected { warnings }) = outcome else { panic!("{title}: {outcome:?}") };
        assert_eq!(patched, injected, "{title}");
        assert_eq!(response["warnings"].as_array().map_or(0, Vec::len), warnings.len(), "{title}");
        assert_eq!(by_command(pod).as_ref(), Ok(&injected), "{title}");

        // And once more with what came out: nothing to do.
        let answer = connection.post("/inject", review("again", &patched).to_string()).await.expect("an answer");
        let again = super::response(&answer, "again");
        assert_eq!((&again["allowed"], again.get("patch")), (&json!(true), None), "{title}: {again}");
        assert_eq!(again["auditAnnotations"], json!({ "outcome": "injected" }));
    }
    let count = pods.len() as f64;
    println!("{count} pods: the webhook's patch by kubectl = the library = the command");
    assert_eq!((webhook.reviews("injected").await, webhook.reviews("unchanged").await), (count, count));
}

#[tokio::test]
async fn the_flags_of_the_webhook_are_the_defaults_of_its_pods() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags =
        ["--image", "registry.example/portcullis:9", "--config-map", "policy", "--native-sidecar", "false", "--proxy-containers", "shop"];
    let webhook = Webhook::start(folder.path(), &flags).await;
    let answer = webhook.connect("h2").await.post("/inject", review("u", &pod()).to_string()).await.expect("an answer");
    let patched = patched(pod(), &response(&answer, "u"));
    let file = folder.path().join("pod.json");
    std::fs::write(&file, pod().to_string()).expect("a file");
    let output = command(programs::portcullis()).arg("inject").args(flags).arg("-f").arg(&file).output().expect("portcullis runs");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), patched);
    assert_eq!(patched["spec"]["containers"][0]["image"], "registry.example/portcullis:9");
}

#[tokio::test]
async fn pods_that_opted_out_are_let_through_as_they_are_and_bad_ones_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let mut connection = webhook.connect("h2").await;
    let edited = |edit: Edit| {
        let mut pod = pod();
        edit(&mut pod);
        pod
    };
    let out = edited(|pod| pod["metadata"]["labels"]["portcullis.dev/inject"] = json!("false"));
    let answer = connection.post("/inject", review("out", &out).to_string()).await.expect("an answer");
    let said = response(&answer, "out");
    assert_eq!((&said["allowed"], said.get("patch")), (&json!(true), None));
    assert_eq!(said["auditAnnotations"], json!({ "outcome": "left_out" }));

    let refused: [(Edit, &str); 7] = [
        (
            |pod| pod["metadata"]["annotations"] = json!({ "portcullis.dev/memory-limt": "1Gi" }),
            "there is no annotation 'portcullis.dev/memory-limt'",
        ),
        (
            |pod| pod["metadata"]["annotations"] = json!({ "portcullis.dev/memory-limit": "much" }),
            "'portcullis.dev/memory-limit': 'much' is no quantity",
        ),
        (|pod| pod["metadata"]["labels"]["portcullis.dev/inject"] = json!("yes"), "must be 'true' or 'false'"),
        (|pod| pod["spec"]["hostNetwork"] = json!(true), "hostNetwork"),
        (|pod| pod["spec"]["containers"][0]["name"] = json!("portcullis"), "a container 'portcullis' that the injector did not make"),
        (|pod| pod["spec"]["volumes"] = json!([{ "name": "portcullis-socket", "emptyDir": {} }]), "a volume 'portcullis-socket'"),
        (|pod| pod["spec"]["containers"] = json!([]), "no containers"),
    ];
    for (edit, message) in refused {
        let answer = connection.post("/inject", review("bad", &edited(edit)).to_string()).await.expect("an answer");
        let said = response(&answer, "bad");
        assert_eq!((&said["allowed"], said.get("patch")), (&json!(false), None));
        assert_eq!((&said["status"]["code"], &said["status"]["reason"]), (&json!(403), &json!("Forbidden")));
        let text = said["status"]["message"].as_str().expect("a message");
        assert!(text.contains(message), "{text}");
    }
    assert_eq!((webhook.reviews("left_out").await, webhook.reviews("refused").await), (1.0, 7.0));
}

#[tokio::test]
async fn a_pod_that_only_claims_to_be_injected_is_injected_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let mut connection = webhook.connect("h2").await;
    let injected = by_command(&pod()).expect("injected");
    let edits: [(&str, Edit); 12] = [
        ("no sidecar", |pod| drop(pod["spec"].as_object_mut().unwrap().remove("initContainers"))),
        ("another image", |pod| pod["spec"]["initContainers"][0]["image"] = json!("other:1")),
        ("another command", |pod| pod["spec"]["initContainers"][0]["command"] = json!(["sleep", "infinity"])),
        ("other arguments", |pod| pod["spec"]["initContainers"][0]["args"] = json!(["run", "--config", "/elsewhere"])),
        ("a variable", |pod| pod["spec"]["initContainers"][0]["env"] = json!([{ "name": "LD_PRELOAD", "value": "/tmp/a.so" }])),
        ("a hook", |pod| {
            pod["spec"]["initContainers"][0]["lifecycle"] = json!({ "postStart": { "exec": { "command": ["rm", "-f", "x"] } } })
        }),
        ("more rights", |pod| pod["spec"]["initContainers"][0]["securityContext"]["capabilities"]["add"] = json!(["NET_ADMIN"])),
        ("a mount over the program", |pod| {
            let mounts = pod["spec"]["initContainers"][0]["volumeMounts"].as_array_mut().unwrap();
            mounts.push(json!({ "name": "portcullis-socket", "mountPath": "/usr/local/bin" }));
        }),
        ("a configuration that need not be there", |pod| pod["spec"]["volumes"][0]["configMap"]["optional"] = json!(true)),
        ("not the first", |pod| {
            let inits = pod["spec"]["initContainers"].as_array_mut().unwrap();
            inits.insert(0, json!({ "name": "first", "image": "a:1" }));
        }),
        ("no volumes", |pod| drop(pod["spec"].as_object_mut().unwrap().remove("volumes"))),
        ("another configuration", |pod| {
            for volume in pod["spec"]["volumes"].as_array_mut().unwrap() {
                if volume["name"] == "portcullis-config" {
                    volume["configMap"]["name"] = json!("lax");
                }
            }
        }),
    ];
    for (title, edit) in edits {
        let mut claims = injected.clone();
        edit(&mut claims);
        let answer = connection.post("/inject", review("u", &claims).to_string()).await.expect("an answer");
        let said = response(&answer, "u");
        if said["allowed"] == true {
            let mut patched = patched(claims, &said);
            patched["spec"]["initContainers"].as_array_mut().unwrap().retain(|init| init["name"] != "first");
            assert_eq!(patched, injected, "{title}: it was let through");
        }
    }
}
