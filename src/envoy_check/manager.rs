//! Listeners and their HTTP connection managers.

use std::net::IpAddr;

use super::document::Resources;
use super::finding::Severity;
use super::kinds::file as files;
use super::kinds::manager as kinds;
use super::node::Node;
use super::order::Filters;
use super::{Counts, Needs, fields, network, order, routes};

const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// What a listener says of the connection managers in it.
pub(super) struct Surroundings<'n> {
    /// The listener's name.
    pub listener: &'n str,
    /// How much of a connection's data Envoy keeps, in bytes.
    pub buffer: f64,
}

/// Looks at a listener: at every filter chain of it.
pub(super) fn listener(node: &Node<'_>, resources: &Resources<'_>, needs: Option<&Needs>, counts: &mut Counts) {
    let name = node.text("name").unwrap_or("without a name");
    counts.listeners += 1;
    if node.choice("traffic_direction", &[("UNSPECIFIED", 0), ("INBOUND", 1), ("OUTBOUND", 2)]) == Some(2) {
        node.find(&kinds::OUTBOUND, name, format!("listener '{name}' is for what goes out: it was not looked at"));
        return;
    }
    let buffer = node.number("per_connection_buffer_limit_bytes").unwrap_or(1_048_576.0);
    let surroundings = Surroundings { listener: name, buffer };
    if let Some(fcds) = node.get("fcds_config") {
        fcds.find(&files::NOT_SEEN, name, format!("filter chains of listener '{name}' come from elsewhere (FCDS)"));
    }
    if let Some((kind, manager)) = node.get("api_listener").and_then(|api| api.any_in("api_listener"))
        && is_manager(kind)
    {
        check(&manager, &surroundings, resources, needs, counts);
    }
    for chain in node.list("filter_chains").into_iter().chain(node.get("default_filter_chain")) {
        filter_chain(&chain, &surroundings, resources, needs, counts);
    }
}

fn is_manager(kind: &str) -> bool {
    kind == MANAGER
}

fn filter_chain(chain: &Node<'_>, surroundings: &Surroundings<'_>, resources: &Resources<'_>, needs: Option<&Needs>, counts: &mut Counts) {
    let name = surroundings.listener;
    let (mut has_manager, mut passes, mut is_checked) = (false, None, false);
    for filter in chain.list("filters") {
        if let Some(discovery) = filter.get("config_discovery") {
            discovery.find(&files::NOT_SEEN, name, format!("a filter of listener '{name}' comes from elsewhere (ECDS)"));
            is_checked = true;
            continue;
        }
        let Some((kind, content)) = filter.any_in("typed_config") else {
            let written = filter.text("name").unwrap_or_default();
            let message = format!("the network filter '{written}' of listener '{name}' has no typed_config, so it is not known what it is");
            filter.find(&files::UNKNOWN_FILTER, name, message);
            continue;
        };
        if is_manager(kind) {
            has_manager = true;
            check(&content, surroundings, resources, needs, counts);
        } else if kind == network::EXT_AUTHZ {
            is_checked = true;
            network::check(&content, name, resources);
        } else if network::passes_connections(kind) {
            passes = Some((filter, kind));
        } else if !network::connects_nobody(kind) {
            let message = format!("listener '{name}' has the network filter {kind}, which this check does not know");
            filter.find(&files::UNKNOWN_FILTER, name, message);
        }
    }
    if let Some((filter, kind)) = passes
        && !has_manager
        && !is_checked
    {
        let kind = kind.rsplit('.').next().unwrap_or(kind);
        filter.find(&kinds::TCP_UNCHECKED, name, format!("listener '{name}' passes connections on ({kind}) without a check"));
    }
}

/// Looks at an HTTP connection manager, its filters and its routes.
fn check(node: &Node<'_>, surroundings: &Surroundings<'_>, resources: &Resources<'_>, needs: Option<&Needs>, counts: &mut Counts) {
    counts.managers += 1;
    let name = surroundings.listener;
    fields::check(node, &fields::MANAGER, name);
    let filters = order::check(node, "http_filters", surroundings, resources, needs);
    counts.filters += filters.checks.len();
    if filters.checks.is_empty() && !filters.has_unseen {
        let message = format!("the HTTP connection manager of listener '{name}' has no filter ext_authz");
        if node.get("route_config").is_some_and(|routes| routes::all_answer_alone(&routes)) {
            let message = format!("{message}, and Envoy answers all its requests by itself");
            node.find_as(Severity::Note, &kinds::NO_EXT_AUTHZ, name, message);
        } else {
            node.find(&kinds::NO_EXT_AUTHZ, name, message);
        }
    }
    paths(node, name);
    clients(node, name);
    protocol(node, name);
    upgrades(node, name, surroundings, resources);
    routes_of(node, name, &filters, resources, needs, counts);
}

fn paths(node: &Node<'_>, name: &str) {
    if node.bool("normalize_path") != Some(true) {
        node.find(&kinds::NORMALIZE_PATH, name, format!("listener '{name}': normalize_path is not on"));
    }
    if node.bool("merge_slashes") != Some(true) {
        node.find(&kinds::MERGE_SLASHES, name, format!("listener '{name}': merge_slashes is not on"));
    }
    const ACTIONS: [(&str, u32); 5] = [
        ("IMPLEMENTATION_SPECIFIC_DEFAULT", 0),
        ("KEEP_UNCHANGED", 1),
        ("REJECT_REQUEST", 2),
        ("UNESCAPE_AND_REDIRECT", 3),
        ("UNESCAPE_AND_FORWARD", 4),
    ];
    let field = "path_with_escaped_slashes_action";
    let action = node.choice(field, &ACTIONS).unwrap_or(0);
    if !matches!(action, 2 | 3) {
        let written = ACTIONS.iter().find(|(_, number)| *number == action).map_or("unknown", |(name, _)| name);
        let at = node.get(field).unwrap_or_else(|| node.clone());
        at.find(&kinds::ESCAPED_SLASHES, name, format!("listener '{name}': {field} is {written}, so /a%2Fb goes on"));
    }
    if node.bool("strip_any_host_port") != Some(true) && node.bool("strip_matching_host_port") != Some(true) {
        node.find(&kinds::HOST_SPELLING, name, format!("listener '{name}' keeps the port in Host (strip_any_host_port)"));
    }
    if node.bool("strip_trailing_host_dot") != Some(true) {
        node.find(&kinds::HOST_SPELLING, name, format!("listener '{name}' keeps a dot behind Host (strip_trailing_host_dot)"));
    }
    if let Some(scheme) = node.get("scheme_header_transformation") {
        scheme.find(&kinds::SCHEME, name, format!("listener '{name}' rewrites the scheme of requests"));
    }
}

fn clients(node: &Node<'_>, name: &str) {
    if node.bool("use_remote_address") != Some(true) && !node.has("original_ip_detection_extensions") {
        node.find(&kinds::REMOTE_ADDRESS, name, format!("listener '{name}': use_remote_address is not on"));
    }
    for extension in node.list("original_ip_detection_extensions") {
        if let Some((_, content)) = extension.any_in("typed_config").filter(|(kind, _)| kind.ends_with(".CustomHeaderConfig")) {
            let header = content.text("header_name").unwrap_or_default();
            let message = format!("listener '{name}' takes the client's address from the header '{header}'");
            extension.find(&kinds::REMOTE_ADDRESS, name, message);
        }
    }
    if let Some(hops) = node.get("xff_num_trusted_hops")
        && let Some(number) = hops.as_number().filter(|number| *number > 0.0)
    {
        hops.find(&kinds::TRUSTED_HOPS, name, format!("listener '{name}' trusts {number} addresses of x-forwarded-for"));
    }
    if let Some(internal) = node.get("internal_address_config") {
        internal_addresses(&internal, name);
    }
    const FORWARD: [(&str, u32); 5] =
        [("SANITIZE", 0), ("FORWARD_ONLY", 1), ("APPEND_FORWARD", 2), ("SANITIZE_SET", 3), ("ALWAYS_FORWARD_ONLY", 4)];
    if let Some(forward) = node.get("forward_client_cert_details") {
        match forward.as_choice(&FORWARD) {
            Some(4) => {
                let message = format!("listener '{name}': ALWAYS_FORWARD_ONLY passes on a x-forwarded-client-cert of any client");
                forward.find_as(Severity::Error, &kinds::CLIENT_CERT_HEADER, name, message);
            }
            Some(number @ (1 | 2)) => {
                let written = if number == 1 { "FORWARD_ONLY" } else { "APPEND_FORWARD" };
                let message = format!("listener '{name}': {written} passes on what a client with any certificate wrote");
                forward.find(&kinds::CLIENT_CERT_HEADER, name, message);
            }
            _ => {}
        }
    }
}

/// Whom it counts as internal: whole networks are too many.
fn internal_addresses(node: &Node<'_>, name: &str) {
    let ranges = node.list("cidr_ranges");
    if ranges.is_empty() {
        let message = format!("listener '{name}': internal_address_config names no ranges: all private addresses are internal");
        node.find(&kinds::INTERNAL_ADDRESSES, name, message);
    }
    for range in ranges {
        let Some(address) = range.text("address_prefix") else { continue };
        let length = range.number("prefix_len").unwrap_or(0.0);
        let least = if address.contains(':') { 64.0 } else { 24.0 };
        if length < least {
            let message = format!("listener '{name}' takes all of {address}/{length} for internal");
            range.find(&kinds::INTERNAL_ADDRESSES, name, message);
        }
    }
}

fn protocol(node: &Node<'_>, name: &str) {
    const ACTIONS: [(&str, u32); 3] = [("ALLOW", 0), ("REJECT_REQUEST", 1), ("DROP_HEADER", 2)];
    let common = node.get("common_http_protocol_options");
    let action = common.as_ref().and_then(|common| common.choice("headers_with_underscores_action", &ACTIONS)).unwrap_or(0);
    if action == 0 {
        let at = common.unwrap_or_else(|| node.clone());
        at.find(&kinds::UNDERSCORES, name, format!("listener '{name}' lets headers with '_' in their names through"));
    }
    for field in ["request_headers_timeout", "request_timeout"] {
        if node.get(field).is_none_or(|timeout| timeout.as_duration().is_some_and(|timeout| timeout.is_zero())) {
            node.find(&kinds::TIMEOUTS, name, format!("listener '{name}' has no {field}"));
        }
    }
    if let Some(chunked) = node.get("http_protocol_options").and_then(|options| options.is_true("allow_chunked_length")) {
        chunked.find(&kinds::CHUNKED_LENGTH, name, format!("listener '{name}' takes content-length and chunked encoding together"));
    }
    for options in ["http2_protocol_options", "http3_protocol_options"] {
        let field = if options.starts_with("http2") { "allow_connect" } else { "allow_extended_connect" };
        if let Some(connect) = node.get(options).and_then(|options| options.is_true(field)) {
            connect.find(&kinds::UPGRADE, name, format!("listener '{name}' takes extended CONNECT ({options}.{field})"));
        }
    }
}

fn upgrades(node: &Node<'_>, name: &str, surroundings: &Surroundings<'_>, resources: &Resources<'_>) {
    for upgrade in node.list("upgrade_configs") {
        let kind = upgrade.text("upgrade_type").unwrap_or_default();
        // Also where it is off: a route can turn it on, and then it is these that its requests go through.
        if upgrade.has("filters") {
            // What is to say about these filters was said where they are the manager's own, or is that ext_authz is not among them.
            let filters = order::check(&upgrade, "filters", surroundings, resources, None);
            if filters.checks.is_empty() && !filters.has_unseen {
                let message = format!("listener '{name}': the filters of the upgrade '{kind}' have no ext_authz among them");
                upgrade.find(&kinds::UPGRADE_FILTERS, name, message);
            }
        }
        if upgrade.bool("enabled") != Some(false) {
            upgrade_found(&upgrade, kind, name, &format!("listener '{name}' takes the upgrade '{kind}'"));
        }
    }
}

/// Notes an upgrade, of a manager or of a route.
pub(super) fn upgrade_found(node: &Node<'_>, kind: &str, subject: &str, message: &str) {
    let is_tunnel = kind.eq_ignore_ascii_case("connect") || kind.eq_ignore_ascii_case("connect-udp");
    node.find(if is_tunnel { &kinds::CONNECT } else { &kinds::UPGRADE }, subject, message);
}

/// The routes, wherever they are.
fn routes_of(node: &Node<'_>, name: &str, filters: &Filters<'_>, resources: &Resources<'_>, needs: Option<&Needs>, counts: &mut Counts) {
    let mut found = Vec::new();
    found.extend(node.get("route_config"));
    let by_name = |at: &Node<'_>, routes: Option<&str>| {
        let found = routes.and_then(|routes| resources.routes(routes)).cloned();
        if found.is_none() {
            let routes = routes.unwrap_or_default();
            at.find(&files::NOT_SEEN, name, format!("listener '{name}' takes its routes from elsewhere (RDS '{routes}'): not looked at"));
        }
        found
    };
    if let Some(rds) = node.get("rds") {
        found.extend(by_name(&rds, rds.text("route_config_name")));
    }
    if let Some(scoped) = node.get("scoped_routes") {
        if let Some(list) = scoped.get("scoped_route_configurations_list") {
            for scope in list.list("scoped_route_configurations") {
                match scope.get("route_configuration") {
                    Some(routes) => found.push(routes),
                    None => found.extend(by_name(&scope, scope.text("route_configuration_name"))),
                }
            }
        } else {
            scoped.find(&files::NOT_SEEN, name, format!("listener '{name}' takes its routes from elsewhere (SRDS): not looked at"));
        }
    }
    for routes in found {
        routes::check(&routes, name, filters, resources, needs, counts);
    }
}

/// The address of an `envoy.config.core.v3.Address`, if it is one of TCP.
pub(super) fn socket_address<'a>(node: &Node<'a>) -> Option<(Node<'a>, &'a str)> {
    let socket = node.get("socket_address")?;
    let address = socket.text("address")?;
    Some((socket, address))
}

/// Whether an address stays within the machine.
pub(super) fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The admin interface: whoever reaches it can do anything.
pub(super) fn admin(node: &Node<'_>) {
    if let Some((socket, address)) = node.get("address").and_then(|address| socket_address(&address))
        && !is_loopback(address)
    {
        socket.find(&files::ADMIN_EXPOSED, "admin", format!("the admin interface listens on {address}"));
    }
}
