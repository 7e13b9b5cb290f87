//! The change of one pod: what is refused, and what is edited where.

use serde_json::{Map, Value};

use super::edit::{LISTS, containers, json, list, name_of, object, object_in, object_of, remove_named};
use super::parts::Parts;
use super::status::{Status, Told};
use super::view::{PodView, SpecView};
use super::{
    CONTAINER, INJECT_LABEL, LeftOut, Outcome, Refusal, SOCKET_PATH, SOCKET_VOLUME, STATUS_ANNOTATION, SYSTEM_NAMESPACE, Settings, VOLUMES,
    istio, sidecar,
};

/// A pod that the kubelet runs from a file of its node shows in the API with this annotation.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// See [`super::inject_pod`].
pub(super) fn inject(pod: &mut Value, namespace: Option<&str>, settings: &Settings) -> Result<Outcome, Refusal> {
    let view = PodView::read(pod)?;
    let (labels, annotations) = (view.labels(), view.annotations());
    match labels.get(INJECT_LABEL).map(String::as_str) {
        Some("false") => return Ok(Outcome::LeftOut { why: LeftOut::Label }),
        Some("true") | None => {}
        Some(other) => return Err(Refusal::new(format!("label '{INJECT_LABEL}' must be 'true' or 'false', and it is '{other}'"))),
    }
    let settings = settings.with_annotations(&annotations)?;
    let status = Status::read(&annotations)?;
    if namespace == Some(SYSTEM_NAMESPACE) {
        return Err(Refusal::new(format!(
            "pods of the namespace '{SYSTEM_NAMESPACE}' are not injected: the webhook would wait for itself"
        )));
    }
    if annotations.contains_key(MIRROR_ANNOTATION) {
        return Err(Refusal::new("this is the mirror of a static pod: it runs from a file of its node, and can use no ConfigMap"));
    }
    refuse_what_cannot_be(&view.spec, status.as_ref(), &settings)?;

    let told = annotations.get(istio::USER_VOLUME_MOUNT).map(String::as_str);
    let told_by_us = status.as_ref().and_then(|status| status.istio.clone());
    let asks_istio = ["true", "false"].map(|answer| {
        let says = |of: &std::collections::BTreeMap<String, String>| of.get(istio::INJECT).is_some_and(|value| value == answer);
        says(&labels) || says(&annotations)
    });
    let is_proxy = |name: &str| settings.proxy_containers.iter().any(|proxy| proxy == name);
    let has_istio_proxy = view.spec.containers().any(|container| container.name == istio::PROXY);
    let to_come = match asks_istio {
        // It says that it gets none, whatever it was named for.
        [false, true] => false,
        [asked, _] => !has_istio_proxy && (asked || settings.proxies_named),
    };
    let tell_istio = is_proxy(istio::PROXY) && (to_come || told_by_us.is_some());

    let mut next = pod.clone();
    let metadata = object(&mut next, "metadata")?;
    let notes = object_in(metadata, "annotations")?;
    let istio = if tell_istio {
        // What it was told by hand needs no note.
        let extended = istio::with_socket(told)?;
        let by_hand = told_by_us.is_none() && told == Some(extended.as_str());
        notes.insert(istio::USER_VOLUME_MOUNT.into(), Value::String(extended));
        (!by_hand).then(|| told_by_us.unwrap_or_else(|| Told { before: told.map(str::to_string) }))
    } else {
        untell_istio(notes, told, told_by_us.as_ref());
        None
    };

    let parts = Parts::new(&settings)?;
    let unchanged = status.as_ref().is_some_and(|status| status.digest == parts.digest);
    let spec = object(&mut next, "spec")?;
    parts.put(spec, unchanged)?;
    let mounted_before = status.map(|status| status.mounts).unwrap_or_default();
    let mounts = mount_socket(spec, is_proxy, &mounted_before)?;

    let version = env!("CARGO_PKG_VERSION").to_string();
    let volumes = parts.volume_names();
    let status = Status { version, digest: parts.digest, container: CONTAINER.into(), volumes, mounts, istio };
    object_in(object(&mut next, "metadata")?, "annotations")?.insert(STATUS_ANNOTATION.into(), Value::String(status.text()));
    let warnings = warnings(&next, &settings)?;
    *pod = next;
    Ok(Outcome::Injected { warnings })
}

/// See [`super::uninject_pod`].
pub(super) fn uninject(pod: &mut Value) -> Result<bool, Refusal> {
    let view = PodView::read(pod)?;
    let annotations = view.annotations();
    let Some(status) = Status::read(&annotations)? else { return Ok(false) };
    let mut next = pod.clone();
    let metadata = object(&mut next, "metadata")?;
    let notes = object_in(metadata, "annotations")?;
    notes.remove(STATUS_ANNOTATION);
    untell_istio(notes, annotations.get(istio::USER_VOLUME_MOUNT).map(String::as_str), status.istio.as_ref());
    if notes.is_empty() {
        metadata.remove("annotations");
    }
    if metadata.is_empty() {
        object_of(&mut next)?.remove("metadata");
    }
    let spec = object(&mut next, "spec")?;
    for key in LISTS {
        remove_named(spec, key, |name| name == CONTAINER);
    }
    remove_named(spec, "volumes", |name| VOLUMES.contains(&name) && status.volumes.iter().any(|made| made == name));
    for container in containers(spec) {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        // What Istio mounted because it was told to goes with what it was told.
        if status.mounts.iter().any(|mounted| mounted == name) || (status.istio.is_some() && name == istio::PROXY) {
            remove_named(container, "volumeMounts", |name| name == SOCKET_VOLUME);
        }
    }
    *pod = next;
    Ok(true)
}

/// Pods that cannot have the sidecar, and those with something of its names that the injector did not make (`status` says what it made).
fn refuse_what_cannot_be(spec: &SpecView, status: Option<&Status>, settings: &Settings) -> Result<(), Refusal> {
    if spec.containers.iter().all(|container| container.name == CONTAINER) {
        return Err(Refusal::new("this pod has no containers besides the sidecar"));
    }
    if spec.host_network == Some(true) {
        return Err(Refusal::new(
            "this pod is in the network of its node ('hostNetwork'), where the sidecar's port may belong to somebody else and loopback to everybody",
        ));
    }
    if spec.is_for_windows() {
        return Err(Refusal::new("this pod is for nodes with Windows, and the sidecar runs on Linux"));
    }
    if let Some(policy @ ("Never" | "OnFailure")) = spec.restart_policy.as_deref()
        && !settings.native_sidecar
    {
        return Err(Refusal::new(format!(
            "a plain container would keep a pod with 'restartPolicy: {policy}' from ever completing; let it be a native sidecar ('{}')",
            super::Setting::NativeSidecar.annotation()
        )));
    }
    let all = spec.containers().chain(spec.ephemeral_containers.iter().flatten());
    for container in all {
        if container.name == CONTAINER && status.is_none() {
            return Err(Refusal::new(format!(
                "this pod has a container '{CONTAINER}' that the injector did not make; give it another name, or label the pod {INJECT_LABEL}: \"false\""
            )));
        }
        if container.name == CONTAINER {
            continue;
        }
        let port = i32::from(settings.admin_port);
        let taken = |protocol: Option<&str>| matches!(protocol, None | Some("TCP"));
        if container.ports.iter().flatten().any(|other| other.container_port == port && taken(other.protocol.as_deref())) {
            return Err(Refusal::new(format!(
                "container '{}' has port {port}, which is the sidecar's; choose another by '{}', and in the configuration",
                container.name,
                super::Setting::AdminPort.annotation()
            )));
        }
        let elsewhere = container.mounts().iter().find(|mount| is_socket_path(&mount.mount_path) && mount.name != SOCKET_VOLUME);
        if let Some(mount) = elsewhere.filter(|_| settings.proxy_containers.contains(&container.name)) {
            return Err(Refusal::new(format!(
                "container '{}' has volume '{}' at {SOCKET_PATH}, where the socket has to be; mount it somewhere else",
                container.name, mount.name
            )));
        }
    }
    let is_ours = |name: &String| status.is_some_and(|status| status.volumes.contains(name));
    let volume = spec.volumes.iter().flatten().find(|volume| VOLUMES.contains(&volume.name.as_str()) && !is_ours(&volume.name));
    match volume {
        Some(volume) => {
            Err(Refusal::new(format!("this pod has a volume '{}' that the injector did not make; give it another name", volume.name)))
        }
        None => Ok(()),
    }
}

fn is_socket_path(path: &str) -> bool {
    path.trim_end_matches('/') == SOCKET_PATH
}

/// What whoever made the pod should know.
fn warnings(pod: &Value, settings: &Settings) -> Result<Vec<String>, Refusal> {
    let view = PodView::read(pod)?;
    let mut warnings = Vec::new();
    let told = view.annotations().get(istio::USER_VOLUME_MOUNT).is_some_and(|annotation| istio::mounts_socket(annotation));
    let others = || view.spec.containers().filter(|container| container.name != CONTAINER);
    if settings.proxies_named {
        let missing = settings.proxy_containers.iter().filter(|proxy| !others().any(|container| container.name == **proxy));
        for name in missing.filter(|name| !(told && name.as_str() == istio::PROXY)) {
            let annotation = super::Setting::ProxyContainers.annotation();
            warnings.push(format!("portcullis: there is no container '{name}' in this pod, which '{annotation}' names"));
        }
    }
    if !told && !others().any(|container| container.mounts().iter().any(|mount| mount.name == SOCKET_VOLUME)) {
        warnings.push(format!(
            "portcullis: no container of this pod has the sidecar's socket, so nobody can ask it there; name the proxy by '{}'",
            super::Setting::ProxyContainers.annotation()
        ));
    }
    if view.spec.share_process_namespace == Some(true) {
        warnings.push(
            "portcullis: the containers of this pod share their processes, so that one that runs as root can reach into the sidecar".into(),
        );
    }
    if view.spec.host_pid == Some(true) {
        warnings.push(
            "portcullis: this pod sees the processes of its node ('hostPID'), so that one that runs as root can reach into the sidecar"
                .into(),
        );
    }
    Ok(warnings)
}

/// Mounts the socket into the proxies that do not have it, and takes it from those that were given it and are no proxies any more. Gives
/// the names of those that have it from here.
fn mount_socket(spec: &mut Map<String, Value>, is_proxy: impl Fn(&str) -> bool, before: &[String]) -> Result<Vec<String>, Refusal> {
    let mount = json(&sidecar::proxy_mount())?;
    let mut mounted = Vec::new();
    for container in containers(spec) {
        let Some(name) = container.get("name").and_then(Value::as_str).map(str::to_string) else { continue };
        let was_ours = before.contains(&name);
        if name == CONTAINER {
            continue;
        }
        if !is_proxy(&name) {
            if was_ours {
                remove_named(container, "volumeMounts", |name| name == SOCKET_VOLUME);
            }
            continue;
        }
        let mounts = list(container, "volumeMounts")?;
        let has_it = mounts.iter().any(|mount| name_of(mount) == Some(SOCKET_VOLUME));
        if !has_it {
            mounts.push(mount.clone());
        }
        if !has_it || was_ours {
            mounted.push(name);
        }
    }
    Ok(mounted)
}

/// Takes back what Istio was told, if that was us.
fn untell_istio(annotations: &mut Map<String, Value>, told: Option<&str>, by_us: Option<&Told>) {
    let (Some(told), Some(by_us)) = (told, by_us) else { return };
    match istio::without_socket(told, by_us.before.as_deref()) {
        Some(text) => annotations.insert(istio::USER_VOLUME_MOUNT.into(), Value::String(text)),
        None => annotations.remove(istio::USER_VOLUME_MOUNT),
    };
}
