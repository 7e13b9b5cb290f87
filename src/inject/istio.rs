//! Istio's sidecar that is not in the pod yet: an annotation tells Istio to mount the socket into it.

use serde_json::{Value, json};

use super::{Refusal, SOCKET_PATH, SOCKET_VOLUME};

/// The name of Istio's sidecar.
pub(super) const PROXY: &str = "istio-proxy";
/// The label, and formerly the annotation, by which a pod gets Istio's sidecar or gets none.
pub(super) const INJECT: &str = "sidecar.istio.io/inject";
/// Volume mounts for Istio's sidecar: a JSON array of them, or an object by volume. Istio's template takes both.
pub(super) const USER_VOLUME_MOUNT: &str = "sidecar.istio.io/userVolumeMount";

/// Whether the annotation has the socket mounted already.
pub(super) fn mounts_socket(annotation: &str) -> bool {
    match serde_json::from_str(annotation) {
        Ok(Value::Array(mounts)) => mounts.iter().any(is_socket),
        Ok(Value::Object(mounts)) => mounts.contains_key(SOCKET_VOLUME),
        _ => false,
    }
}

/// The annotation with the socket, in the form that it has.
pub(super) fn with_socket(annotation: Option<&str>) -> Result<String, Refusal> {
    let entry = || json!({ "name": SOCKET_VOLUME, "mountPath": SOCKET_PATH, "readOnly": true });
    let Some(text) = annotation.filter(|text| !text.trim().is_empty()) else { return Ok(json!([entry()]).to_string()) };
    if mounts_socket(text) {
        return Ok(text.into());
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(mut mounts)) => {
            mounts.push(entry());
            Ok(Value::Array(mounts).to_string())
        }
        Ok(Value::Object(mut mounts)) => {
            mounts.insert(SOCKET_VOLUME.into(), json!({ "mountPath": SOCKET_PATH, "readOnly": true }));
            Ok(Value::Object(mounts).to_string())
        }
        _ => Err(Refusal::new(format!(
            "annotation '{USER_VOLUME_MOUNT}' is neither a JSON array nor a JSON object, and the socket has to be added to it"
        ))),
    }
}

/// The annotation as it was before [`with_socket`]; `None` if it was not there. What was changed since then is kept.
pub(super) fn without_socket(annotation: &str, before: Option<&str>) -> Option<String> {
    if with_socket(before).is_ok_and(|extended| extended == annotation) {
        return before.map(str::to_string);
    }
    match serde_json::from_str(annotation) {
        Ok(Value::Array(mut mounts)) => {
            mounts.retain(|mount| !is_socket(mount));
            (!mounts.is_empty()).then(|| Value::Array(mounts).to_string())
        }
        Ok(Value::Object(mut mounts)) => {
            mounts.remove(SOCKET_VOLUME);
            (!mounts.is_empty()).then(|| Value::Object(mounts).to_string())
        }
        _ => Some(annotation.into()),
    }
}

fn is_socket(mount: &Value) -> bool {
    mount.get("name").and_then(Value::as_str) == Some(SOCKET_VOLUME)
}
