//! What is added to a pod, built from the types of Kubernetes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, ExecAction, Probe, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::settings::DEFAULT_ADMIN_PORT;
use super::{
    ADMIN_PORT_NAME, CONFIG_PATH, CONFIG_VOLUME, CONTAINER, SECRET_PATH, SECRET_VOLUME, SOCKET_PATH, SOCKET_VOLUME, STATE_PATH,
    STATE_VOLUME, Settings,
};

/// The user and the group that the sidecar runs as: nobody's on purpose, as in images without a distribution.
const USER: i64 = 65532;

/// The sidecar.
pub(super) fn container(settings: &Settings) -> Container {
    Container {
        name: CONTAINER.into(),
        image: Some(settings.image.clone()),
        args: Some(arguments(settings)),
        // A native sidecar is an init container that is started anew whenever it ends, and that ends after all others.
        restart_policy: settings.native_sidecar.then(|| "Always".into()),
        ports: Some(vec![ContainerPort {
            name: Some(ADMIN_PORT_NAME.into()),
            container_port: i32::from(settings.admin_port),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources(settings)),
        security_context: Some(restricted()),
        // It must not wait until the sidecar is ready. Where its identity service is reached through the mesh, the mesh's proxy is started
        // after it, and the two would wait for each other.
        startup_probe: Some(Probe { period_seconds: Some(1), failure_threshold: Some(60), ..probe(settings, true) }),
        liveness_probe: Some(Probe { period_seconds: Some(10), failure_threshold: Some(3), ..probe(settings, true) }),
        readiness_probe: Some(Probe { period_seconds: Some(5), failure_threshold: Some(2), ..probe(settings, false) }),
        // Why it ended is seen in the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts(settings)),
        ..Container::default()
    }
}

/// The volumes that the sidecar needs.
pub(super) fn volumes(settings: &Settings) -> Vec<Volume> {
    let volume = |name: &str| Volume { name: name.into(), ..Volume::default() };
    let configuration = ConfigMapVolumeSource { name: settings.config_map.clone(), ..ConfigMapVolumeSource::default() };
    let socket =
        EmptyDirVolumeSource { medium: Some("Memory".into()), size_limit: Some(Quantity("1Mi".into())), ..EmptyDirVolumeSource::default() };
    let secret = |name: &String| SecretVolumeSource { secret_name: Some(name.clone()), ..SecretVolumeSource::default() };
    // It outlives the container, and ends with the pod.
    let state = |size: &String| EmptyDirVolumeSource { size_limit: Some(Quantity(size.clone())), ..EmptyDirVolumeSource::default() };
    let mut volumes = vec![
        Volume { config_map: Some(configuration), ..volume(CONFIG_VOLUME) },
        Volume { empty_dir: Some(socket), ..volume(SOCKET_VOLUME) },
    ];
    volumes.extend(settings.secret.as_ref().map(|name| Volume { secret: Some(secret(name)), ..volume(SECRET_VOLUME) }));
    volumes.extend(settings.state.as_ref().map(|size| Volume { empty_dir: Some(state(size)), ..volume(STATE_VOLUME) }));
    volumes
}

/// Where the sidecar sees them. Each as a whole, never a file of it: what is mounted by 'subPath' does not change with the ConfigMap or Secret.
fn mounts(settings: &Settings) -> Vec<VolumeMount> {
    let mut mounts = vec![VolumeMount { read_only: Some(true), ..mount(CONFIG_VOLUME, CONFIG_PATH) }, mount(SOCKET_VOLUME, SOCKET_PATH)];
    mounts.extend(settings.secret.as_ref().map(|_| VolumeMount { read_only: Some(true), ..mount(SECRET_VOLUME, SECRET_PATH) }));
    mounts.extend(settings.state.as_ref().map(|_| mount(STATE_VOLUME, STATE_PATH)));
    mounts
}

/// How a proxy sees the socket's folder. Connecting needs no more than reading, and nobody but the sidecar can put another socket there.
pub(super) fn proxy_mount() -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(SOCKET_VOLUME, SOCKET_PATH) }
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.into(), mount_path: path.into(), ..VolumeMount::default() }
}

/// Who may connect is decided by who mounts the volume: proxies run as users of their own, and the pod's `fsGroup` belongs to its owner.
fn arguments(settings: &Settings) -> Vec<String> {
    let fixed = ["run", "--config", CONFIG_PATH, "--log-format", &settings.log_format, "--socket-mode", "666"];
    let mut arguments: Vec<String> = fixed.map(String::from).into();
    if let Some(filter) = &settings.log {
        // What follows '$(' would be taken for a variable.
        arguments.extend(["--log".into(), filter.replace('$', "$$")]);
    }
    arguments
}

fn resources(settings: &Settings) -> ResourceRequirements {
    let amount = |name: &str, text: &String| (name.to_string(), Quantity(text.clone()));
    let requests = [amount("cpu", &settings.cpu_request), amount("memory", &settings.memory_request)];
    let limits: BTreeMap<String, Quantity> = [("cpu", &settings.cpu_limit), ("memory", &settings.memory_limit)]
        .into_iter()
        .filter_map(|(name, limit)| Some(amount(name, limit.as_ref()?)))
        .collect();
    ResourceRequirements {
        requests: Some(requests.into()),
        limits: (!limits.is_empty()).then_some(limits),
        ..ResourceRequirements::default()
    }
}

/// What the level `restricted` of the Pod Security Standards asks for, and a root file system that cannot be written.
fn restricted() -> SecurityContext {
    SecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        read_only_root_filesystem: Some(true),
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
        ..SecurityContext::default()
    }
}

/// Probes are commands: they come from inside, so that the admin listener can stay on loopback and a mesh has nothing to redirect.
fn probe(settings: &Settings, live_only: bool) -> Probe {
    let mut command = vec!["portcullis".to_string(), "healthcheck".into()];
    if live_only {
        command.push("--live".into());
    }
    if settings.admin_port != DEFAULT_ADMIN_PORT {
        command.extend(["--address".into(), format!("127.0.0.1:{}", settings.admin_port)]);
    }
    Probe { exec: Some(ExecAction { command: Some(command) }), timeout_seconds: Some(3), ..Probe::default() }
}
