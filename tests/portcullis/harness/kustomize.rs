//! Our manifests as `kubectl apply -k` would send them. `kubectl kustomize` is the real thing, and needs no cluster.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

/// Where the manifests are.
pub const FOLDER: &str = "deploy/kubernetes";

/// The objects that a kustomization makes.
pub fn render(folder: &Path) -> Vec<Value> {
    try_render(folder).unwrap_or_else(|message| panic!("{}: {message}", folder.display()))
}

/// The same, or what kubectl has to say.
pub fn try_render(folder: &Path) -> Result<Vec<Value>, String> {
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().expect(
        "no kubectl, which renders the manifests: apt-get install kubectl (from the packages of Kubernetes or of Google Cloud; \
         Debian's kubernetes-client is too old, it takes 1.22)",
    );
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    Ok(serde_saphyr::from_multiple(&text).expect("kubectl writes YAML"))
}

/// What a shipped kustomization makes. Rendered once.
pub fn shipped(name: &str) -> Arc<Vec<Value>> {
    static RENDERED: LazyLock<Mutex<HashMap<String, Arc<Vec<Value>>>>> = LazyLock::new(Mutex::default);
    // Rendered outside of the lock: two tests may do the same work, and none waits for another's.
    let known = || RENDERED.lock().expect("no test panics here").get(name).cloned();
    known().unwrap_or_else(|| {
        let objects = Arc::new(render(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(name)));
        RENDERED.lock().expect("no test panics here").insert(name.to_string(), Arc::clone(&objects));
        objects
    })
}

/// A copy of all manifests, to change something in or to make certificates for. Gives the folder of the kustomizations.
pub fn copy(into: &Path) -> PathBuf {
    let to = into.join(FOLDER);
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER), &to);
    to
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type") {
            // What somebody made there by hand, private keys among it.
            kind if kind.is_dir() && entry.file_name() == "generated" => {}
            kind if kind.is_dir() => copy_folder(&entry.path(), &to),
            _ => drop(fs::copy(entry.path(), &to).expect("a copy")),
        }
    }
}

/// `Kind namespace/name`, for messages.
pub fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    let namespace = text("/metadata/namespace");
    let separator = if namespace.is_empty() { "" } else { "/" };
    format!("{} {namespace}{separator}{}", text("/kind"), text("/metadata/name"))
}

/// The objects of a kind.
pub fn of_kind<'o>(objects: &'o [Value], kind: &'o str) -> impl Iterator<Item = &'o Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The only object of a kind with this name.
pub fn named<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name).collect();
    let [object] = found[..] else { panic!("there are {} of {kind} {name}", found.len()) };
    object
}

/// What pods are made from: a pod itself, or the template of whatever makes them.
pub fn pod_template(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Pod" => Some(object),
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template"),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => object.pointer("/spec/template"),
        _ => None,
    }
}

/// All containers of a pod, those that start first included.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().filter_map(|list| pod["spec"][list].as_array()).flatten()
}
