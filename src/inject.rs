//! Puts the sidecar into pods: what `portcullis inject` does to manifests and `portcullis webhook` to pods that are about to be made.
//!
//! ```text
//! manifest ──documents──▶ JSON object ──workload──▶ pod templates ──inject_pod──▶ the same with the sidecar
//!                          pod of an AdmissionReview ─────────────────▲
//! ```
//!
//! The JSON itself is edited. Types of Kubernetes are used to read what has to be known and to build what is added; a pod as a whole never
//! goes through them, because fields that they do not know would be lost.
//!
//! A pod is either injected completely, left out because it says so, or refused with a sentence. Refused means unchanged.

use std::fmt;

use serde_json::Value;

mod documents;
mod edit;
mod istio;
mod json;
mod parts;
mod pod;
mod quantity;
mod settings;
mod sidecar;
mod status;
mod view;
mod workload;
pub mod yaml;

pub use documents::{Action, Entry, Finding, Injected, Place, Problem, manifest};
pub use settings::{Setting, Settings};

#[cfg(test)]
mod tests;

/// What all labels and annotations of ours begin with.
pub const PREFIX: &str = "portcullis.dev/";
/// The label that says whether a pod (or every pod of a namespace) is injected: `"true"` or `"false"`.
pub const INJECT_LABEL: &str = "portcullis.dev/inject";
/// The annotation in which the injector notes what it has added.
pub const STATUS_ANNOTATION: &str = "portcullis.dev/status";
/// The name of the container that is added.
pub const CONTAINER: &str = "portcullis";
/// The volume with the configuration.
pub const CONFIG_VOLUME: &str = "portcullis-config";
/// Where the configuration is in the container.
pub const CONFIG_PATH: &str = "/etc/portcullis";
/// The volume with the socket.
pub const SOCKET_VOLUME: &str = "portcullis-socket";
/// Where the socket's folder is, in the sidecar and in the proxies.
pub const SOCKET_PATH: &str = "/run/portcullis";
/// The volume with the Secret, where there is one.
pub const SECRET_VOLUME: &str = "portcullis-secret";
/// Where the Secret is in the container.
pub const SECRET_PATH: &str = "/etc/portcullis-secret";
/// The volume for what the sidecar keeps, where there is one.
pub const STATE_VOLUME: &str = "portcullis-state";
/// Where that is in the container.
pub const STATE_PATH: &str = "/var/lib/portcullis";
/// All volumes that may be added.
pub const VOLUMES: [&str; 4] = [CONFIG_VOLUME, SOCKET_VOLUME, SECRET_VOLUME, STATE_VOLUME];
/// The port of the admin listener, by name.
pub const ADMIN_PORT_NAME: &str = "authz-admin";
/// The namespace of the webhook. Its pods are never injected: the webhook would wait for itself.
pub const SYSTEM_NAMESPACE: &str = "portcullis-system";

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has the sidecar now, or had it before and nothing was to be changed.
    Injected {
        /// What whoever made the pod should know, one sentence each.
        warnings: Vec<String>,
    },
    /// It was not touched, because it says so.
    LeftOut {
        /// How it says so.
        why: LeftOut,
    },
}

/// Why a pod is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// By the label [`INJECT_LABEL`]` = "false"`.
    Label,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => write!(f, "it has the label {INJECT_LABEL}: \"false\""),
        }
    }
}

/// Why a pod is not injected, and may not be let through as it is: one clear sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Puts the sidecar into a pod, or into a pod template: anything with `metadata` and `spec`. Annotations of the pod win over `settings`.
///
/// Injecting what is injected changes nothing, unless the settings have changed.
///
/// # Errors
/// When this is no pod, when it cannot have the sidecar, or when its labels or annotations make no sense. The pod is unchanged then.
pub fn inject_pod(pod: &mut Value, namespace: Option<&str>, settings: &Settings) -> Result<Outcome, Refusal> {
    pod::inject(pod, namespace, settings)
}

/// Takes out what [`inject_pod`] has put in, and says whether there was anything. Lists that were empty before are gone after it.
///
/// # Errors
/// When the note of what was added ([`STATUS_ANNOTATION`]) cannot be read. The pod is unchanged then.
pub fn uninject_pod(pod: &mut Value) -> Result<bool, Refusal> {
    pod::uninject(pod)
}
