//! The cluster of the authorizer, and what clusters do to requests after the check.

use super::Needs;
use super::document::Resources;
use super::kinds::cluster as kinds;
use super::kinds::file as files;
use super::manager::is_loopback;
use super::node::Node;
use super::order;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// How often an idle sidecar has to be looked at, in seconds.
const OFTEN: f64 = 5.0;

/// Looks at the cluster that is asked: `at` names it.
pub(super) fn asked(at: &Node<'_>, name: &str, is_grpc: bool, resources: &Resources<'_>, needs: Option<&Needs>) {
    let Some(cluster) = resources.cluster(name) else {
        if resources.more_clusters.is_some() {
            at.find(&files::NOT_SEEN, name, format!("the authorizer's cluster '{name}' comes from elsewhere (CDS): not looked at"));
        } else {
            at.find(&kinds::MISSING, name, format!("there is no cluster '{name}'"));
        }
        return;
    };
    if is_grpc {
        http2(cluster, name);
    }
    health(cluster, name);
    const TYPES: [(&str, u32); 5] = [("STATIC", 0), ("STRICT_DNS", 1), ("LOGICAL_DNS", 2), ("EDS", 3), ("ORIGINAL_DST", 4)];
    match cluster.choice("type", &TYPES) {
        Some(4) => cluster.find(&kinds::ORIGINAL_DST, name, format!("the authorizer's cluster '{name}' is of type ORIGINAL_DST")),
        Some(3) => {
            cluster.find(&files::NOT_SEEN, name, format!("where the authorizer's cluster '{name}' leads comes from elsewhere (EDS)"));
        }
        _ => {}
    }
    addresses(cluster, name, is_grpc, needs);
}

/// gRPC needs HTTP/2.
fn http2(cluster: &Node<'_>, name: &str) {
    if cluster.has("http2_protocol_options") {
        return;
    }
    let options = cluster.at(&["typed_extension_protocol_options", HTTP_OPTIONS]);
    if let Some(options) = &options {
        if options.at(&["explicit_http_config", "http2_protocol_options"]).is_some() {
            return;
        }
        // With ALPN, the server chooses; what the client uses is only HTTP/2 where the client does.
        if options.has("auto_config") && cluster.has("transport_socket") {
            return;
        }
    }
    let at = options.unwrap_or_else(|| cluster.clone());
    at.find(&kinds::HTTP1, name, format!("the authorizer's cluster '{name}' does not speak HTTP/2"));
}

fn health(cluster: &Node<'_>, name: &str) {
    let checks = cluster.list("health_checks");
    if checks.is_empty() {
        cluster.find(&kinds::NO_HEALTH_CHECK, name, format!("the authorizer's cluster '{name}' has no health check"));
        return;
    }
    for check in checks {
        let idle = check.get("no_traffic_interval");
        let seconds = idle.as_ref().map_or(Some(60.0), |idle| idle.as_duration().map(|span| span.as_secs_f64()));
        if let Some(seconds) = seconds.filter(|seconds| *seconds > OFTEN) {
            let message = format!("the authorizer's cluster '{name}' is looked at every {seconds} s while it is idle");
            idle.as_ref().unwrap_or(&check).find(&kinds::HEALTH_INTERVAL, name, message);
        }
    }
    let threshold = cluster.at(&["common_lb_config", "healthy_panic_threshold"]);
    let percent = threshold.as_ref().map_or(Some(50.0), |threshold| threshold.number("value").or(Some(0.0)));
    if percent.is_some_and(|percent| percent > 0.0) {
        let message =
            format!("the authorizer's cluster '{name}' uses unhealthy hosts when fewer than {} % are healthy", percent.unwrap_or(50.0));
        threshold.as_ref().unwrap_or(cluster).find(&kinds::PANIC, name, message);
    }
}

/// Where a host is.
enum Host<'a> {
    Pipe(&'a str),
    Socket(&'a str, u32),
}

fn hosts<'a>(cluster: &Node<'a>) -> Vec<(Node<'a>, Host<'a>)> {
    let mut hosts = Vec::new();
    for group in cluster.get("load_assignment").iter().flat_map(|assignment| assignment.list("endpoints")) {
        for endpoint in group.list("lb_endpoints") {
            let Some(address) = endpoint.at(&["endpoint", "address"]) else { continue };
            if let Some(pipe) = address.get("pipe") {
                hosts.extend(pipe.text("path").map(|path| (pipe.clone(), Host::Pipe(path))));
            } else if let Some(socket) = address.get("socket_address") {
                let port = socket.number("port_value").unwrap_or(0.0);
                hosts.extend(socket.text("address").map(|text| (socket.clone(), Host::Socket(text, port as u32))));
            }
        }
    }
    hosts
}

fn addresses(cluster: &Node<'_>, name: &str, is_grpc: bool, needs: Option<&Needs>) {
    let hosts = hosts(cluster);
    let leaves = hosts.iter().find_map(|(node, host)| match host {
        Host::Socket(address, _) if !is_loopback(address) => Some((node, *address)),
        _ => None,
    });
    if let Some((node, address)) = leaves {
        match cluster.at(&["transport_socket"]).or_else(|| cluster.list("transport_socket_matches").first().cloned()) {
            None => {
                let message = format!("the authorizer's cluster '{name}' leads to {address} in the clear");
                node.find(&kinds::PLAINTEXT, name, message);
            }
            Some(socket) => verified(&socket, name, address),
        }
    }
    let Some(needs) = needs.filter(|_| is_grpc) else { return };
    for (node, host) in hosts {
        let (is_listened_on, shown) = match host {
            Host::Pipe(path) => (needs.sockets.iter().any(|socket| socket == path), format!("unix:{path}")),
            // Another address of the same machine, or a name for it, cannot be told from another machine: the port can.
            Host::Socket(address, port) => (needs.ports.contains(&port), format!("{address}:{port}")),
        };
        if !is_listened_on {
            let message = format!("the authorizer's cluster '{name}' leads to {shown}, and the configuration listens on {}", needs.shown());
            node.find(&kinds::ADDRESS, name, message);
        }
    }
}

/// Whether TLS asks who is at the other end.
fn verified(socket: &Node<'_>, name: &str, address: &str) {
    let Some((kind, tls)) = socket.any_in("typed_config") else { return };
    if kind != "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" {
        return;
    }
    let common = tls.get("common_tls_context");
    let from_elsewhere = [
        "validation_context_sds_secret_config",
        "validation_context_certificate_provider",
        "validation_context_certificate_provider_instance",
        "combined_validation_context",
    ];
    let is_verified = common.as_ref().is_some_and(|common| {
        common.get("validation_context").is_some_and(|context| {
            ["trusted_ca", "system_root_certs", "ca_certificate_provider_instance", "verify_certificate_spki", "verify_certificate_hash"]
                .iter()
                .any(|field| context.has(field))
        }) || from_elsewhere.iter().any(|field| common.has(field))
    });
    if !is_verified {
        let message = format!("the authorizer's cluster '{name}' leads to {address} with TLS that takes any certificate");
        common.as_ref().unwrap_or(&tls).find(&kinds::UNVERIFIED, name, message);
    }
}

/// Filters of a cluster run after the check.
pub(super) fn filters(cluster: &Node<'_>) {
    let name = cluster.text("name").unwrap_or_default();
    let Some(options) = cluster.get("typed_extension_protocol_options").and_then(|options| options.get(HTTP_OPTIONS)) else { return };
    upstream_filters(&options, "http_filters", &format!("cluster '{name}'"), name);
}

/// Filters for requests that are on their way to a service, of a cluster or of the router (`of`, called `name` for short).
pub(super) fn upstream_filters(node: &Node<'_>, field: &str, of: &str, name: &str) {
    for filter in node.list(field) {
        let written = filter.text("name").unwrap_or_default();
        if let Some(discovery) = filter.get("config_discovery") {
            let message = format!("the filter '{written}' of {of} comes from elsewhere (ECDS): not looked at");
            discovery.find(&files::NOT_SEEN, name, message);
        } else if let Some((kind, _)) = filter.any_in("typed_config")
            && order::can_change(kind)
        {
            filter.find(&kinds::UPSTREAM_FILTER, name, format!("the filter '{written}' ({kind}) of {of} runs after the check"));
        }
    }
}
