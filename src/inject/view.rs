//! What has to be known of a pod before it is changed. Everything else of it is left alone, known or not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerPort, PodOS, VolumeMount};
use serde::Deserialize;
use serde_json::Value;

use super::Refusal;

/// A pod or a pod template.
#[derive(Debug, Deserialize)]
pub(super) struct PodView {
    kind: Option<String>,
    metadata: Option<MetadataView>,
    pub spec: SpecView,
}

#[derive(Debug, Default, Deserialize)]
struct MetadataView {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Its `spec`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpecView {
    pub host_network: Option<bool>,
    pub share_process_namespace: Option<bool>,
    #[serde(rename = "hostPID")]
    pub host_pid: Option<bool>,
    pub restart_policy: Option<String>,
    pub os: Option<PodOS>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub containers: Vec<ContainerView>,
    pub init_containers: Option<Vec<ContainerView>>,
    pub ephemeral_containers: Option<Vec<ContainerView>>,
    pub volumes: Option<Vec<VolumeView>>,
}

/// One of its containers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerView {
    pub name: String,
    pub ports: Option<Vec<ContainerPort>>,
    pub volume_mounts: Option<Vec<VolumeMount>>,
}

/// One of its volumes.
#[derive(Debug, Deserialize)]
pub(super) struct VolumeView {
    pub name: String,
}

impl PodView {
    /// Reads it, or says why this can be no pod.
    pub fn read(pod: &Value) -> Result<Self, Refusal> {
        let view: Self = serde_path_to_error::deserialize(pod).map_err(|error| {
            let (path, message) = (error.path().to_string(), error.inner());
            match path.as_str() {
                "." => Refusal::new(format!("this is no pod: {message}")),
                _ => Refusal::new(format!("this is no pod: {path}: {message}")),
            }
        })?;
        match &view.kind {
            Some(kind) if kind != "Pod" => Err(Refusal::new(format!("this is no pod, but of kind '{kind}'"))),
            _ if view.spec.containers.is_empty() => Err(Refusal::new("this pod has no containers, and Kubernetes takes none without any")),
            _ => Ok(view),
        }
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        self.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default()
    }

    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.metadata.as_ref().and_then(|metadata| metadata.annotations.clone()).unwrap_or_default()
    }
}

impl SpecView {
    /// Init containers first, as they are started.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerView> {
        self.init_containers.iter().flatten().chain(&self.containers)
    }

    /// Whether it asks for nodes with Windows.
    pub fn is_for_windows(&self) -> bool {
        let selector = |key: &str| self.node_selector.as_ref().and_then(|selector| selector.get(key)).is_some_and(|os| os == "windows");
        self.os.as_ref().is_some_and(|os| os.name == "windows") || selector("kubernetes.io/os") || selector("beta.kubernetes.io/os")
    }
}

impl ContainerView {
    pub fn mounts(&self) -> &[VolumeMount] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }
}
