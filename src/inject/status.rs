//! The note of what was added to a pod, by which it can be replaced and taken out again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Refusal, STATUS_ANNOTATION};

/// What was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// The version of whoever did it.
    pub version: String,
    /// What [`super::parts`] made of the settings then; another one means that it has to be made anew.
    #[serde(default)]
    pub digest: String,
    /// The container.
    pub container: String,
    /// The volumes.
    pub volumes: Vec<String>,
    /// The containers that were given the socket.
    pub mounts: Vec<String>,
    /// If Istio was told to give the socket to its proxy: what it had been told before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<Told>,
}

/// What an annotation said before it was extended; `None` if it was not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub before: Option<String>,
}

impl Status {
    /// The note on a pod, if there is one.
    pub fn read(annotations: &BTreeMap<String, String>) -> Result<Option<Self>, Refusal> {
        let Some(text) = annotations.get(STATUS_ANNOTATION) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            Refusal::new(format!(
                "annotation '{STATUS_ANNOTATION}' is not what the injector wrote ({error}); take it away, and what was injected with it"
            ))
        })
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
