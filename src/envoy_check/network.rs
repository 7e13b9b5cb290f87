//! Filters of connections: the TCP form of ext_authz, and what passes connections on.

use super::document::Resources;
use super::kinds::{filter as filters, manager as kinds};
use super::node::Node;
use super::{fields, service};

/// The network filter.
pub(super) const EXT_AUTHZ: &str = "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz";

/// Whether a network filter connects a client with something behind.
pub(super) fn passes_connections(kind: &str) -> bool {
    const PROXIES: [&str; 8] =
        ["TcpProxy", "RedisProxy", "MongoProxy", "ThriftProxy", "DubboProxy", "GenericProxy", "ZooKeeperProxy", "ReverseTunnel"];
    kind.rsplit('.').next().is_some_and(|name| PROXIES.contains(&name))
}

/// Whether it is known of a network filter of Envoy 1.40 (or Istio's) that it connects nobody.
pub(super) fn connects_nobody(kind: &str) -> bool {
    const KNOWN: [&str; 15] = [
        "connection_limit",
        "direct_response",
        "echo",
        "ext_proc",
        "geoip",
        "kafka_broker",
        "local_ratelimit",
        "mysql_proxy",
        "postgres_proxy",
        "ratelimit",
        "rbac",
        "set_filter_state",
        "sni_cluster",
        "sni_dynamic_forward_proxy",
        "wasm",
    ];
    const ISTIO: [&str; 4] = ["envoy.tcp.metadataexchange.", "io.istio.", "istio.", "stats.PluginConfig"];
    let package = kind.strip_prefix("envoy.extensions.filters.network.").and_then(|rest| rest.split('.').next());
    package.is_some_and(|package| KNOWN.contains(&package)) || ISTIO.iter().any(|known| kind.starts_with(known))
}

/// Looks at the network filter.
pub(super) fn check(node: &Node<'_>, listener: &str, resources: &Resources<'_>) {
    fields::check(node, &fields::NETWORK_EXT_AUTHZ, listener);
    node.find(&kinds::TCP_EXT_AUTHZ, listener, format!("listener '{listener}' has the network filter ext_authz"));
    if let Some(allow) = node.is_true("failure_mode_allow") {
        let message = format!("listener '{listener}': failure_mode_allow is on in the network filter");
        allow.find(&filters::FAILURE_MODE_ALLOW, listener, message);
    }
    if let Some(shadow) = node.is_true("shadow_mode") {
        shadow.find(&filters::SHADOW_MODE, listener, format!("listener '{listener}': shadow_mode is on in the network filter"));
    }
    if let Some(metadata) = node.get("filter_enabled_metadata") {
        let message = format!("listener '{listener}': the network filter asks only for connections with some metadata");
        metadata.find(&filters::METADATA_SWITCH, listener, message);
    }
    match node.get("grpc_service") {
        Some(grpc) => {
            service::grpc(&grpc, listener, resources, None);
        }
        None => node.find(&super::kinds::service::NO_SERVICE, listener, format!("listener '{listener}': the network filter asks nobody")),
    }
}
