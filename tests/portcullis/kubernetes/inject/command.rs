//! The command: what goes in, what comes out, and what is said.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::cases::{injected, refusals};
use crate::harness::kubectl;
use crate::harness::process::{command, programs};

const DEPLOYMENT: &str = "# the shop\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: shop}}\n  template:\n    metadata: {labels: {app: shop}}\n    spec:\n      containers:\n      - {name: shop, image: 'shop:1', env: [{name: SAY, value: 'yes'}, {name: MODE, value: '0644'}]}\n      - {name: envoy, image: 'envoy:1'}\n      volumes:\n      - {name: keys, secret: {secretName: keys, defaultMode: 0640}}\n";
const OTHERS: &str = "apiVersion: v1\nkind: Service # stays as it is\nmetadata: {name: shop}\n---\n";

fn start(arguments: &[&str]) -> Command {
    let mut inject = command(programs::portcullis());
    inject.arg("inject").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    inject
}

fn inject(arguments: &[&str], input: impl AsRef<[u8]>) -> (i32, String, String) {
    let mut child = start(arguments).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Who is refused its arguments reads nothing.
    let _ = stdin.write_all(input.as_ref());
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    (status.code().expect("no signal"), String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"))
}

#[test]
fn kubectl_reads_what_comes_out_and_the_rest_stays() {
    let (status, out, told) = inject(&[], format!("{OTHERS}{DEPLOYMENT}"));
    assert_eq!((status, told.as_str()), (0, "document 2, Deployment 'shop': injected\n"));
    let deployment = out.strip_prefix(OTHERS).expect("the Service stays letter by letter");
    let read = kubectl::run(&["patch", "--local", "--type=json", "-p", "[]", "-f", "-", "-o", "json"], deployment);
    assert!(read.is_ok, "{}", read.told);
    let spec = read.json()["spec"]["template"]["spec"].clone();
    assert_eq!(spec["initContainers"][0]["name"], "portcullis");
    assert_eq!(spec["containers"][0]["env"], json!([{ "name": "SAY", "value": "yes" }, { "name": "MODE", "value": "0644" }]));
    assert_eq!(spec["volumes"][0]["secret"]["defaultMode"], 0o640);
    // Again, and back.
    assert_eq!(inject(&[], &out), (0, out.clone(), "document 2, Deployment 'shop': injected before, nothing to change\n".into()));
    let (status, back, told) = inject(&["--uninject"], &out);
    assert_eq!((status, told.as_str()), (0, "document 2, Deployment 'shop': the sidecar was taken out\n"));
    let plain = |text: &str| kubectl::run(&["patch", "--local", "--type=json", "-p", "[]", "-f", "-", "-o", "json"], text).out;
    assert_eq!(plain(&back), plain(&format!("{OTHERS}{DEPLOYMENT}")));
    // Another image replaces it.
    let (status, other, _) = inject(&["--image", "portcullis:2", "--quiet"], &out);
    assert_eq!(status, 0);
    assert_eq!(other.replace("image: portcullis:2", "image: portcullis:0.1.0").lines().count(), out.lines().count());
    assert!(other.contains("        image: portcullis:2\n") && !other.contains("portcullis:0.1.0"), "{other}");
    assert_eq!(inject(&["--image", "portcullis:2"], format!("{OTHERS}{DEPLOYMENT}")).1, other);
}

#[test]
fn all_cases_at_once_come_out_as_each_of_them_does() {
    let pods: Vec<Value> = injected().into_iter().map(|case| case.pod).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods });
    let (status, out, told) = inject(&["--json"], list.to_string());
    assert_eq!((status, told.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["documents"].as_array().map(Vec::len), Some(pods.len()));
    assert!(report["documents"].as_array().expect("a list").iter().all(|document| document["outcome"] == "injected"));
    for (pod, done) in pods.iter().zip(report["objects"][0]["items"].as_array().expect("a list")) {
        let (status, out, _) = inject(&[], pod.to_string());
        assert_eq!((status, &serde_json::from_str::<Value>(&out).expect("JSON stays JSON")), (0, done));
    }
}

#[test]
fn nothing_is_written_if_anything_is_bad() {
    for (index, refused) in refusals().into_iter().enumerate().step_by(4) {
        let (status, out, told) = inject(&[], format!("{OTHERS}{DEPLOYMENT}---\n{}\n", refused.pod));
        assert_eq!((status, out.as_str()), (1, ""), "{}", refused.name);
        let first = told.lines().next().unwrap_or_default();
        assert!(first.starts_with("document 3, Pod 'a': ") && first.contains(refused.message), "{index} {}: {told}", refused.name);
        assert!(told.ends_with("standard input has 1 problem; nothing was written\n"), "{told}");
    }
    let (status, out, told) = inject(&["--json"], "a: 1\n---\nb: [");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((status, told.as_str(), report["problems"].as_array().map(Vec::len)), (1, "", Some(2)));
    assert_eq!(report["problems"][0]["document"], 1);
    for (input, message) in [
        (&b""[..], "there is no document in it; give it a manifest"),
        (b"---\n", "there is no document in it; give it a manifest"),
        (b"kind: \xff", "standard input is no text in UTF-8: byte 7 is not"),
    ] {
        let (status, out, told) = inject(&[], input);
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(told.starts_with(message), "{told}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (status, _, told) = inject(&["-f", &folder.path().display().to_string()], "");
    assert!(status == 1 && told.contains("is a folder; give it a file"), "{told}");
    let (status, _, told) = inject(&["-f", "/nowhere.yaml"], "");
    assert!(status == 1 && told.starts_with("/nowhere.yaml: No such file"), "{told}");
}

#[test]
fn flags_are_held_to_what_annotations_are() {
    for (flag, value, message) in [
        ("--image", "a b", "'a b' is no name of an image"),
        ("--native-sidecar", "maybe", "'maybe' must be 'true' or 'false'"),
        ("--memory-limit", "1KB", "'1KB' is no quantity of memory"),
        ("--memory-limit", "1Ki", "'memory-request' (64Mi) is more than 'memory-limit' (1Ki)"),
        ("--admin-port", "99999", "'99999' is no port"),
        ("--fixed", "image,configmap", "there is no setting 'configmap'; there are config-map, secret, state, image, "),
    ] {
        let (status, out, told) = inject(&[flag, value], DEPLOYMENT);
        assert_eq!((status, out.as_str()), (2, ""), "{flag} {value}");
        assert!(told.contains(message), "{told}");
    }
    // An annotation wins over a flag.
    let annotated = DEPLOYMENT.replace("metadata: {labels:", "metadata: {annotations: {portcullis.dev/image: 'b:2'}, labels:");
    let (_, out, _) = inject(&["--image", "a:1", "--config-map", "policies"], annotated);
    assert!(out.contains("image: b:2\n") && out.contains("name: policies\n"), "{out}");
}

#[test]
fn what_is_not_injected_is_told() {
    let left_out = DEPLOYMENT.replace("labels: {app: shop}", "labels: {app: shop, portcullis.dev/inject: 'false'}");
    let (status, out, told) = inject(&[], &left_out);
    assert_eq!(
        (status, out, told.as_str()),
        (0, left_out, "document 1, Deployment 'shop': left out: it has the label portcullis.dev/inject: \"false\"\n")
    );
    let rollout = DEPLOYMENT.replace("apps/v1", "argoproj.io/v1alpha1").replace("Deployment", "Rollout");
    let (status, out, told) = inject(&["--quiet"], &rollout);
    assert_eq!((status, out), (0, rollout));
    assert!(told.starts_with("document 1, Rollout 'shop': left alone: pods seem to be in it"), "{told}");
    let (_, _, told) = inject(&[], OTHERS);
    assert_eq!(told, "there are no pods in it; nothing was changed\n");
    let (_, _, told) = inject(&["-q"], DEPLOYMENT.replace("name: envoy", "name: other"));
    assert!(
        told.starts_with("document 1, Deployment 'shop': warning: portcullis: no container of this pod has the sidecar's socket"),
        "{told}"
    );
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let many = format!("{DEPLOYMENT}---\n").repeat(400);
    let mut child = start(&["-q"]).spawn().expect("it starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(many.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// What is put into pods is a command line of this program.
#[test]
fn the_program_takes_the_arguments_and_the_probes_that_are_injected() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "a", "annotations": { "portcullis.dev/log": "warn", "portcullis.dev/admin-port": "1" } },
        "spec": { "containers": [{ "name": "envoy", "image": "a:1" }] },
    });
    let (_, out, _) = inject(&[], pod.to_string());
    let pod: Value = serde_json::from_str(&out).expect("JSON");
    let sidecar = &pod["spec"]["initContainers"][0];
    let words =
        |list: &Value| list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word").to_string()).collect::<Vec<_>>();
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| words(&sidecar[probe]["exec"]["command"]).split_off(1));
    for arguments in [words(&sidecar["args"])].into_iter().chain(probes) {
        // Nobody listens on that port here, and there is no such folder: but the command line is good.
        let arguments = arguments.into_iter().map(|word| word.replace("/etc/portcullis", "/nowhere"));
        let output = command(programs::portcullis()).args(arguments.clone()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{:?}: {}", arguments.collect::<Vec<_>>(), String::from_utf8_lossy(&output.stderr));
    }
}
