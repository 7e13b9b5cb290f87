//! The profile `restricted` of Kubernetes' Pod Security Standards, as its documentation lists the rules (Pod Security Standards,
//! "Baseline" and "Restricted", Kubernetes 1.29 to 1.37, and what the oldest of them allows where they differ). This is what the API server
//! enforces in a namespace with the label `pod-security.kubernetes.io/enforce: restricted`. For pods of Linux.

use serde_json::Value;

use super::kustomize::containers;

/// Volumes that are not on this list are refused.
const VOLUMES: [&str; 8] = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// What a pod may set of the kernel.
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

const SELINUX_TYPES: [&str; 4] = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// What keeps a pod (or a template: `metadata` and `spec`) out of such a namespace. Each begins with the rule's name.
pub fn problems(pod: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    pod_wide(pod, &mut problems);
    for container in containers(pod) {
        of_container(container, &pod["spec"]["securityContext"], &mut problems);
    }
    problems
}

/// The rules about what stands beside the containers.
fn pod_wide(pod: &Value, problems: &mut Vec<String>) {
    let spec = &pod["spec"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if is_set(&spec[field]) && spec[field] != false {
            problems.push(format!("host namespaces: {field}"));
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kind = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).find(|key| *key != "name");
        if !kind.is_some_and(|kind| VOLUMES.contains(&kind)) {
            problems.push(format!("volume types: {} is of {kind:?}", volume["name"]));
        }
    }
    for sysctl in spec["securityContext"]["sysctls"].as_array().into_iter().flatten() {
        if !SYSCTLS.iter().any(|name| sysctl["name"] == *name) {
            problems.push(format!("sysctls: {}", sysctl["name"]));
        }
    }
    for (name, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        let profile = value.as_str().unwrap_or_default();
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && !(profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/"))
        {
            problems.push(format!("AppArmor: the annotation {name}"));
        }
    }
    let context = &spec["securityContext"];
    of_context("the pod", context, problems);
    if context["runAsNonRoot"] == false {
        problems.push("running as non-root: the pod says that it need not".into());
    }
}

/// What may stand in the security context of a pod and of a container alike.
fn of_context(whose: &str, context: &Value, problems: &mut Vec<String>) {
    if is_set(&context["runAsUser"]) && context["runAsUser"] == 0 {
        problems.push(format!("running as non-root user: {whose} runs as 0"));
    }
    let options = &context["seLinuxOptions"];
    let is_empty = |value: &Value| !is_set(value) || *value == "";
    let knows_type = is_empty(&options["type"]) || SELINUX_TYPES.iter().any(|known| options["type"] == *known);
    if !knows_type || !is_empty(&options["user"]) || !is_empty(&options["role"]) {
        problems.push(format!("SELinux: {whose}"));
    }
    if !allows_profile(&context["seccompProfile"]["type"]) {
        problems.push(format!("seccomp: {whose}"));
    }
    if !allows_profile(&context["appArmorProfile"]["type"]) {
        problems.push(format!("AppArmor: {whose}"));
    }
    if context["windowsOptions"]["hostProcess"] == true {
        problems.push(format!("host process: {whose}"));
    }
}

fn allows_profile(kind: &Value) -> bool {
    !is_set(kind) || *kind == "RuntimeDefault" || *kind == "Localhost"
}

fn of_container(container: &Value, of_pod: &Value, problems: &mut Vec<String>) {
    let whose = container["name"].as_str().unwrap_or("a container without a name");
    let context = &container["securityContext"];
    of_context(whose, context, problems);
    if is_set(&context["privileged"]) && context["privileged"] != false {
        problems.push(format!("privileged containers: {whose}"));
    }
    if context["allowPrivilegeEscalation"] != false {
        problems.push(format!("privilege escalation: {whose}"));
    }
    let names = |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect::<Vec<_>>();
    if !names(&context["capabilities"]["drop"]).iter().any(|name| name == "ALL") {
        problems.push(format!("capabilities: {whose} does not drop ALL"));
    }
    if names(&context["capabilities"]["add"]).iter().any(|name| name != "NET_BIND_SERVICE") {
        problems.push(format!("capabilities: {whose} adds some"));
    }
    // A container's own word counts; without it, the pod's.
    let own_or_pods = |field: &str| if is_set(&context[field]) { context[field].clone() } else { of_pod[field].clone() };
    if own_or_pods("runAsNonRoot") != true {
        problems.push(format!("running as non-root: {whose}"));
    }
    if !is_set(&own_or_pods("seccompProfile")["type"]) {
        problems.push(format!("seccomp: {whose} has none"));
    }
    if is_set(&context["procMount"]) && context["procMount"] != "Default" {
        problems.push(format!("/proc mount type: {whose}"));
    }
    for port in container["ports"].as_array().into_iter().flatten() {
        if is_set(&port["hostPort"]) && port["hostPort"] != 0 {
            problems.push(format!("host ports: {whose}"));
        }
    }
    let handlers = ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    for handler in handlers.into_iter().filter_map(|pointer| container.pointer(pointer)) {
        for action in ["httpGet", "tcpSocket"] {
            let host = &handler[action]["host"];
            if is_set(host) && *host != "" {
                problems.push(format!("host probes: {whose} asks {host}"));
            }
        }
    }
}

fn is_set(value: &Value) -> bool {
    !value.is_null()
}

mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": { "annotations": { "container.apparmor.security.beta.kubernetes.io/a": "runtime/default" } },
            "spec": {
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{ "name": "a", "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }],
                "initContainers": [{
                    "name": "b",
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "runAsUser": 65532,
                        "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] },
                    },
                }],
                "volumes": [{ "name": "a", "emptyDir": {} }, { "name": "b", "configMap": { "name": "b" } }],
            },
        })
    }

    #[test]
    fn a_restricted_pod_passes_and_each_rule_keeps_another_one_out() {
        assert_eq!(problems(&pod()), <[String; 0]>::default());
        let own = "/spec/containers/0/securityContext";
        let cases = [
            ("host namespaces", "/spec/hostNetwork", json!(true)),
            ("host namespaces", "/spec/hostPID", json!(true)),
            ("host namespaces", "/spec/hostIPC", json!(true)),
            ("host process", "/spec/securityContext/windowsOptions", json!({ "hostProcess": true })),
            ("host process", "/spec/containers/0/securityContext/windowsOptions", json!({ "hostProcess": true })),
            ("privileged containers", "/spec/initContainers/0/securityContext/privileged", json!(true)),
            ("capabilities", "/spec/containers/0/securityContext/capabilities/add", json!(["NET_ADMIN"])),
            ("capabilities", "/spec/containers/0/securityContext/capabilities/drop", json!(["NET_RAW"])),
            ("capabilities", "/spec/containers/0/securityContext/capabilities", Value::Null),
            ("volume types", "/spec/volumes/0", json!({ "name": "a", "hostPath": { "path": "/" } })),
            ("volume types", "/spec/volumes/0", json!({ "name": "a", "nfs": { "server": "a", "path": "/" } })),
            ("host ports", "/spec/containers/0/ports", json!([{ "containerPort": 80, "hostPort": 80 }])),
            ("host probes", "/spec/containers/0/livenessProbe", json!({ "httpGet": { "host": "169.254.169.254", "port": 80 } })),
            ("host probes", "/spec/containers/0/lifecycle", json!({ "preStop": { "tcpSocket": { "host": "127.0.0.1", "port": 80 } } })),
            ("AppArmor", "/metadata/annotations", json!({ "container.apparmor.security.beta.kubernetes.io/a": "unconfined" })),
            ("AppArmor", "/spec/containers/0/securityContext/appArmorProfile", json!({ "type": "Unconfined" })),
            ("SELinux", "/spec/securityContext/seLinuxOptions", json!({ "type": "spc_t" })),
            ("SELinux", "/spec/containers/0/securityContext/seLinuxOptions", json!({ "role": "sysadm_r" })),
            ("/proc mount type", "/spec/containers/0/securityContext/procMount", json!("Unmasked")),
            ("seccomp", "/spec/securityContext/seccompProfile", json!({ "type": "Unconfined" })),
            ("seccomp", "/spec/securityContext/seccompProfile", Value::Null),
            ("seccomp", "/spec/containers/0/securityContext/seccompProfile", json!({ "type": "Unconfined" })),
            ("sysctls", "/spec/securityContext/sysctls", json!([{ "name": "kernel.msgmax", "value": "1" }])),
            ("privilege escalation", "/spec/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
            ("privilege escalation", "/spec/initContainers/0/securityContext/allowPrivilegeEscalation", Value::Null),
            ("running as non-root", "/spec/securityContext/runAsNonRoot", json!(false)),
            ("running as non-root", "/spec/securityContext/runAsNonRoot", Value::Null),
            ("running as non-root", "/spec/containers/0/securityContext/runAsNonRoot", json!(false)),
            ("running as non-root user", "/spec/securityContext/runAsUser", json!(0)),
            ("running as non-root user", "/spec/initContainers/0/securityContext/runAsUser", json!(0)),
            ("privilege escalation", own, Value::Null),
        ];
        for (rule, pointer, value) in cases {
            let mut bad = pod();
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            let parent = bad.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
            match parent.as_array_mut() {
                Some(list) => list[name.parse::<usize>().expect("an index")] = value,
                None => parent[name] = value,
            }
            let problems = problems(&bad);
            assert!(problems.iter().any(|problem| problem.starts_with(&format!("{rule}: "))), "{rule} at {pointer}: {problems:?}");
        }
    }
}
