//! The real `kubectl`.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use super::process::command;

/// The oldest minor version of kubectl 1 with which the tests were thought through.
const OLDEST: u32 = 24;

/// Makes sure once that there is one which is not too old.
fn look() {
    static LOOKED: LazyLock<Result<(), String>> = LazyLock::new(|| {
        let install = format!(
            "the tests need kubectl 1.{OLDEST} or newer: apt-get install kubectl (from the packages of Kubernetes or of Google Cloud; \
             Debian's kubernetes-client is too old)"
        );
        let version = command(Path::new("kubectl")).args(["version", "--client", "--output=json"]).output();
        let version = version.map_err(|error| format!("there is no kubectl ({error}); {install}"))?;
        let version: Value =
            serde_json::from_slice(&version.stdout).map_err(|error| format!("kubectl has no version ({error}); {install}"))?;
        let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
        let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
        match digits.parse::<u32>() {
            Ok(minor) if minor >= OLDEST => Ok(()),
            _ => Err(format!("this kubectl is 1.{minor}; {install}")),
        }
    });
    if let Err(message) = &*LOOKED {
        panic!("{message}");
    }
}

/// What a run of kubectl came to.
#[derive(Debug)]
pub struct Ran {
    pub is_ok: bool,
    pub out: String,
    /// Errors and warnings.
    pub told: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { is_ok: output.status.success(), out: text(output.stdout), told: text(output.stderr) }
    }
}

impl Ran {
    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("kubectl printed no JSON ({error}): {self:?}"))
    }
}

/// Runs it with this on standard input. It knows no cluster but the one that the arguments name. Blocks.
pub fn run(arguments: &[&str], input: &str) -> Ran {
    look();
    let mut kubectl = command(Path::new("kubectl"));
    // Neither the tester's clusters nor their cache.
    let nowhere = tempfile::tempdir().expect("a folder");
    kubectl.env("KUBECONFIG", "/dev/null").env("HOME", nowhere.path()).env_remove("KUBERNETES_SERVICE_HOST");
    let mut child =
        kubectl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl starts");
    // One that complains about its arguments may end before it reads.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("kubectl ends").into()
}

/// What Kubernetes' own code makes of an object with a JSON Patch. Blocks.
pub fn patched(object: &Value, patch: &Value) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let (object_file, patch_file) = (folder.path().join("object.json"), folder.path().join("patch.json"));
    std::fs::write(&object_file, object.to_string()).expect("a file");
    std::fs::write(&patch_file, patch.to_string()).expect("a file");
    let [object_file, patch_file] = [object_file, patch_file].map(|path| path.display().to_string());
    let ran = run(&["patch", "--local", "--type=json", "--patch-file", &patch_file, "-f", &object_file, "-o", "json"], "");
    assert!(ran.is_ok, "{}", ran.told);
    ran.json()
}
