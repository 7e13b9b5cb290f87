//! What an API server would say of an object's form: Kubernetes' own schemas, and validators compiled from the CRDs of other projects.
//! `make schemas` installs both. In all of them a field that is not known is a problem.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::Value;

/// The oldest version of Kubernetes that is supported: the first in which native sidecars are on.
pub const OLDEST: &str = "1.29";
/// The newest.
pub const NEWEST: &str = "1.37";
/// All that are validated against.
pub const VERSIONS: [&str; 3] = [OLDEST, "1.33", NEWEST];

/// The groups that Kubernetes itself serves; others are custom.
const ENDS_OF_BUILT_IN: &[&str] = &["", "apps", "batch", "autoscaling", "policy", "k8s.io"];

/// What is wrong with an object, on one version of Kubernetes. Custom resources are the same on all.
pub fn problems(object: &Value, version: &str) -> Vec<String> {
    if is_custom(object) { custom_problems(std::slice::from_ref(object)).remove(0) } else { core_problems(object, version) }
}

/// Whether an object is of a custom resource.
pub fn is_custom(object: &Value) -> bool {
    let (group, _) = object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').unwrap_or_default();
    let is_gateway = group == "gateway.networking.k8s.io";
    is_gateway || !ENDS_OF_BUILT_IN.iter().any(|end| group == *end || (end.contains('.') && group.ends_with(&format!(".{end}"))))
}

/// What is wrong with an object of Kubernetes' own.
pub fn core_problems(object: &Value, version: &str) -> Vec<String> {
    match validator(object, version) {
        Ok(validator) => validator.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect(),
        Err(message) => vec![message],
    }
}

/// What is wrong with custom resources; one list for each.
pub fn custom_problems(objects: &[Value]) -> Vec<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/schemas/validate.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .arg(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("no node, with which custom resources are validated: apt-get install nodejs");
    let input = serde_json::to_vec(objects).expect("JSON");
    child.stdin.take().expect("a pipe").write_all(&input).expect("node reads");
    let output = child.wait_with_output().expect("node ends");
    assert!(output.status.success(), "the validators of custom resources failed; their messages are above");
    serde_json::from_slice(&output.stdout).expect("a list of lists")
}

/// Where `make schemas` puts them.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/schemas");
    assert!(folder.join("stamp").is_file(), "no schemas of Kubernetes: run `make schemas`");
    folder
}

type Validators = Mutex<HashMap<(String, PathBuf), Arc<Validator>>>;

/// The validator of an object's kind. Making one takes longer than using it many times.
fn validator(object: &Value, version: &str) -> Result<Arc<Validator>, String> {
    static VALIDATORS: LazyLock<Validators> = LazyLock::new(Mutex::default);
    let text = |name: &str| object[name].as_str().ok_or(format!("there is no {name}"));
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    // `rbac.authorization.k8s.io/v1` and `Role` are in `role-rbac-v1.json`.
    let of_api = match api_version.split_once('/') {
        Some((group, version)) => format!("{}-{version}", group.split('.').next().unwrap_or_default()),
        None => api_version.to_string(),
    };
    let folder = folder().join("kubernetes").join(version);
    let file = folder.join(format!("{}-{of_api}.json", kind.to_lowercase()));
    let key = (version.to_string(), file.clone());
    if let Some(known) = VALIDATORS.lock().expect("no test panics here").get(&key) {
        return Ok(Arc::clone(known));
    }
    let schema = fs::read_to_string(&file).map_err(|_| format!("Kubernetes {version} has no {kind} of {api_version}"))?;
    // One document instead of two that name each other.
    let mut schema: Value = serde_json::from_str(&schema.replace("/api/_definitions.json#/", "#/")).expect("a schema");
    let definitions = fs::read_to_string(folder.join("_definitions.json")).expect("the definitions");
    let mut definitions: Value = serde_json::from_str(&definitions).expect("the definitions");
    schema["$defs"] = definitions["$defs"].take();
    schema.as_object_mut().expect("a schema").remove("$id");
    let validator = Arc::new(jsonschema::draft202012::new(&schema).expect("a schema"));
    VALIDATORS.lock().expect("no test panics here").insert(key, Arc::clone(&validator));
    Ok(validator)
}

mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "a-" }, "spec": { "containers": [{ "name": "a", "image": "a:1" }] } })
    }

    #[test]
    fn what_kubernetes_takes_has_no_problems_and_what_it_does_not_know_has() {
        for version in VERSIONS {
            assert_eq!(problems(&pod(), version), <[String; 0]>::default(), "{version}");
            for (pointer, value) in
                [("/spec/containers/0/imagee", json!("a")), ("/spec/containers", json!({})), ("/metadata/labels", json!({ "a": 1 }))]
            {
                let mut bad = pod();
                let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
                bad.pointer_mut(parent).expect("an object")[name] = value;
                assert_ne!(problems(&bad, version), <[String; 0]>::default(), "{version} {pointer}");
            }
        }
        // This came after the oldest version.
        let mut newer = pod();
        newer["spec"]["containers"][0]["restartPolicyRules"] =
            json!([{ "action": "Restart", "exitCodes": { "operator": "In", "values": [1] } }]);
        assert_ne!(problems(&newer, OLDEST), <[String; 0]>::default());
        assert_eq!(problems(&newer, NEWEST), <[String; 0]>::default());
        assert_eq!(problems(&json!({ "apiVersion": "v1", "kind": "Nothing" }), NEWEST), ["Kubernetes 1.37 has no Nothing of v1"]);
    }

    #[test]
    fn custom_resources_are_held_against_their_definitions() {
        let good = json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": { "name": "a" },
            "spec": { "action": "CUSTOM", "provider": { "name": "a" }, "rules": [{ "to": [{ "operation": { "notPaths": ["/healthz"] } }] }] },
        });
        let mut wrong = good.clone();
        wrong["spec"]["action"] = json!("CUSTOMS");
        let mut unknown = good.clone();
        unknown["spec"]["rules"][0]["to"][0]["operation"] = json!({ "notPath": ["/healthz"] });
        let [good, wrong, unknown] = <[_; 3]>::try_from(custom_problems(&[good, wrong, unknown])).expect("three lists");
        assert_eq!(good, <[String; 0]>::default());
        assert!(wrong.iter().any(|problem| problem.starts_with("/spec/action: enum")), "{wrong:?}");
        assert_eq!(unknown, ["/spec/rules/0/to/0/operation/notPath: there is no such field"]);
        assert_eq!(custom_problems(&[json!({ "apiVersion": "a/v1", "kind": "B" })]), [["there is no schema for B of a/v1"]]);
    }
}
