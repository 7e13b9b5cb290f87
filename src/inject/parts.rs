//! The container and the volumes on their way into a pod.
//!
//! The API server fills in defaults, and plugins of it add to containers (a token, limits of the namespace), before an injector is asked
//! for a second time. What it made the first time is left as it is then, as long as the settings are the same and nothing of it is missing.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::edit::{LISTS, json, list, name_of};
use super::{CONTAINER, Refusal, Settings, VOLUMES, sidecar};

/// What is added, and where.
pub(super) struct Parts {
    container: Value,
    volumes: Vec<Value>,
    list: &'static str,
    /// Stands for all of it: the same settings and the same version make the same one.
    pub digest: String,
}

impl Parts {
    pub fn new(settings: &Settings) -> Result<Self, Refusal> {
        let container = json(&sidecar::container(settings))?;
        let volumes = sidecar::volumes(settings).iter().map(json).collect::<Result<Vec<_>, _>>()?;
        let list = if settings.native_sidecar { "initContainers" } else { "containers" };
        let whole = format!("{list} {container} {}", Value::Array(volumes.clone()));
        let digest = digest(&SHA256, whole.as_bytes()).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { container, volumes, list, digest })
    }

    /// The names of the volumes.
    pub fn volume_names(&self) -> Vec<String> {
        self.volumes.iter().filter_map(name_of).map(str::to_string).collect()
    }

    /// Puts them in: the container before all others, the volumes in the place of those of their names or at the end. `unchanged` says that
    /// the same was made before.
    pub fn put(&self, spec: &mut Map<String, Value>, unchanged: bool) -> Result<(), Refusal> {
        let kept =
            |there: Option<Value>, wanted: &Value| there.filter(|there| unchanged && covers(there, wanted)).unwrap_or(wanted.clone());
        let mut before = None;
        for key in LISTS {
            let Some(Value::Array(containers)) = spec.get_mut(key) else { continue };
            if let Some(at) = containers.iter().position(|container| name_of(container) == Some(CONTAINER)) {
                let container = containers.remove(at);
                if key == self.list {
                    before = Some(container);
                }
                if containers.is_empty() {
                    spec.remove(key);
                }
            }
        }
        list(spec, self.list)?.insert(0, kept(before, &self.container));
        let volumes = list(spec, "volumes")?;
        // Those of other settings.
        volumes.retain(|volume| {
            let name = name_of(volume);
            !name.is_some_and(|name| VOLUMES.contains(&name)) || self.volumes.iter().any(|wanted| name_of(wanted) == name)
        });
        for wanted in &self.volumes {
            match volumes.iter_mut().find(|volume| name_of(volume) == name_of(wanted)) {
                Some(volume) => *volume = kept(Some(volume.take()), wanted),
                None => volumes.push(wanted.clone()),
            }
        }
        Ok(())
    }
}

/// What an API server and its plugins add by themselves: default values, and the limits of a namespace.
const ADDED: [&str; 13] = [
    "imagePullPolicy",
    "terminationMessagePath",
    "protocol",
    "defaultMode",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "limits",
    "requests",
    "cpu",
    "memory",
    "ephemeral-storage",
];
/// Where they mount the token of the service account.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Whether everything that `wanted` says is in `there`, and besides it only what is added by the API server. Whoever makes a pod can write
/// our note on it, and so into the sidecar whatever they like: a command, a variable, a mount over the program.
fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| there.get(key).is_some_and(|other| covers(other, value)))
                && there.keys().all(|key| wanted.contains_key(key) || ADDED.contains(&key.as_str()))
        }
        (Value::Array(there), Value::Array(wanted)) if wanted.iter().all(Value::is_object) => {
            let is_token = |other: &Value| other.get("mountPath").is_some_and(|path| path == TOKEN_PATH);
            wanted.iter().all(|value| there.iter().any(|other| covers(other, value)))
                && there.iter().all(|other| is_token(other) || wanted.iter().any(|value| covers(other, value)))
        }
        _ => there == wanted,
    }
}
