//! Routes: where the check is turned off, and what the router does after it.

use super::document::Resources;
use super::finding::Severity;
use super::kinds::routes as kinds;
use super::kinds::{file as files, manager as managers};
use super::node::Node;
use super::order::Filters;
use super::{Counts, Needs, fields, manager, per_route};
use crate::pdp::obligation::IdentityField;

/// What is the same for all routes of a manager.
pub(super) struct Around<'r, 'a> {
    pub filters: &'r Filters<'a>,
    pub resources: &'r Resources<'a>,
    pub needs: Option<&'r Needs>,
}

/// Looks at a `RouteConfiguration`.
pub(super) fn check(
    node: &Node<'_>,
    listener: &str,
    filters: &Filters<'_>,
    resources: &Resources<'_>,
    needs: Option<&Needs>,
    counts: &mut Counts,
) {
    let around = Around { filters, resources, needs };
    let name = node.text("name").unwrap_or("without a name");
    if let Some(vhds) = node.get("vhds") {
        vhds.find(&files::NOT_SEEN, name, format!("virtual hosts of routes '{name}' come from elsewhere (VHDS): not looked at"));
    }
    if let Some(header) = node.get("vhost_header") {
        let written = header.as_text().unwrap_or_default();
        header.find(&managers::VHOST_HEADER, name, format!("routes '{name}': the header '{written}' chooses the virtual host"));
    }
    unseen(node, "route_specifiers", name);
    let is_off = per_route::check(node, &format!("all routes of '{name}'"), name, false, &around);
    added_headers(node, name, is_off, &around);
    for host in node.list("virtual_hosts") {
        virtual_host(&host, listener, &around, counts);
    }
}

/// Extensions that choose or change routes.
fn unseen(node: &Node<'_>, field: &str, name: &str) {
    for item in node.list(field) {
        let extension = item.text("name").unwrap_or_default();
        item.find(&files::NOT_SEEN, name, format!("'{name}': the extension '{extension}' ({field}) is not known to this check"));
    }
}

fn virtual_host(node: &Node<'_>, listener: &str, around: &Around<'_, '_>, counts: &mut Counts) {
    fields::check(node, &fields::VIRTUAL_HOST, listener);
    let name = node.text("name").unwrap_or("without a name");
    for (domain, text) in node.texts("domains") {
        if text == "*" {
            domain.find(&managers::ANY_DOMAIN, name, format!("virtual host '{name}' takes any host ('*')"));
        }
    }
    unseen(node, "route_specifiers", name);
    let is_off = per_route::check(node, &format!("virtual host '{name}'"), name, false, around);
    added_headers(node, name, is_off, around);
    for item in node.list("routes") {
        route(&item, around, counts);
    }
    if let Some(matcher) = node.get("matcher") {
        let mut found = Vec::new();
        matcher.walk(&mut |node| {
            if node.is_map()
                && node.has("@type")
                && let Some((kind, content)) = node.any()
            {
                match kind {
                    "envoy.config.route.v3.Route" => found.push(content),
                    "envoy.config.route.v3.RouteList" => found.extend(content.list("routes")),
                    _ => {}
                }
            }
        });
        found.iter().for_each(|item| route(item, around, counts));
    }
}

/// Whether Envoy answers a route's requests by itself, so that there is nothing behind the check.
fn answers_alone(route: &Node<'_>) -> bool {
    (route.has("direct_response") || route.has("redirect")) && !route.has("route_specifiers")
}

/// Whether Envoy answers all requests by itself, as in a listener that redirects to HTTPS.
pub(super) fn all_answer_alone(routes: &Node<'_>) -> bool {
    let hosts = routes.list("virtual_hosts");
    let is_open = |node: &Node<'_>| ["vhds", "matcher", "route_specifiers"].iter().any(|field| node.has(field));
    let goes_on = |host: &Node<'_>| host.list("routes").iter().any(|route| !answers_alone(route));
    !hosts.is_empty() && !is_open(routes) && !hosts.iter().any(|host| is_open(host) || goes_on(host))
}

/// A route's name for people: what it matches.
fn named(node: &Node<'_>) -> String {
    let Some(matched) = node.get("match") else { return node.text("name").unwrap_or("without a match").to_string() };
    let simple = ["path", "path_separated_prefix"].iter().find_map(|field| matched.text(field)).map(str::to_string);
    simple
        .or_else(|| matched.text("prefix").map(|prefix| format!("{prefix}*")))
        .or_else(|| matched.get("safe_regex").and_then(|regex| regex.text("regex")).map(|regex| format!("~{regex}")))
        .or_else(|| matched.has("connect_matcher").then(|| "CONNECT".to_string()))
        .unwrap_or_else(|| node.text("name").unwrap_or("without a path").to_string())
}

fn route(node: &Node<'_>, around: &Around<'_, '_>, counts: &mut Counts) {
    counts.routes += 1;
    fields::check(node, &fields::ROUTE, "");
    let name = named(node);
    unseen(node, "route_specifiers", &name);
    let is_off = per_route::check(node, &format!("route '{name}'"), &name, answers_alone(node), around);
    added_headers(node, &name, is_off, around);
    if let Some(connect) = node.at(&["match"]).and_then(|matched| matched.get("connect_matcher")) {
        connect.find(&managers::CONNECT, &name, format!("route '{name}' takes CONNECT"));
    }
    let Some(action) = node.get("route") else { return };
    fields::check(&action, &fields::ROUTE_ACTION, &name);
    rewrites(&action, &name);
    if let Some(header) = action.get("cluster_header") {
        let written = header.as_text().unwrap_or_default();
        header.find(&kinds::CLUSTER_FROM_HEADER, &name, format!("route '{name}': the header '{written}' chooses the cluster"));
    }
    for upgrade in action.list("upgrade_configs") {
        if upgrade.bool("enabled") != Some(false) {
            let kind = upgrade.text("upgrade_type").unwrap_or_default();
            manager::upgrade_found(&upgrade, kind, &name, &format!("route '{name}' takes the upgrade '{kind}'"));
        }
    }
    let plugin = ["cluster_specifier_plugin", "inline_cluster_specifier_plugin"].iter().find_map(|field| action.get(field));
    if let Some(plugin) = plugin {
        plugin.find(&files::NOT_SEEN, &name, format!("route '{name}': an extension chooses the cluster, which this check does not know"));
    }
    for cluster in action.get("weighted_clusters").iter().flat_map(|weighted| weighted.list("clusters")) {
        let of = cluster.text("name").unwrap_or_default();
        let is_off = per_route::check(&cluster, &format!("cluster '{of}' of route '{name}'"), &name, false, around);
        added_headers(&cluster, &name, is_off, around);
        if let Some(header) = cluster.get("cluster_header") {
            header.find(&kinds::CLUSTER_FROM_HEADER, &name, format!("route '{name}': a header chooses one of its clusters"));
        }
    }
}

/// What the router changes once the check is done.
fn rewrites(action: &Node<'_>, name: &str) {
    for field in [
        "prefix_rewrite",
        "regex_rewrite",
        "path_rewrite_policy",
        "path_rewrite",
        "host_rewrite_literal",
        "auto_host_rewrite",
        "host_rewrite_path_regex",
        "host_rewrite",
    ] {
        let Some(found) = action.get(field) else { continue };
        if field == "auto_host_rewrite" && found.as_bool() != Some(true) {
            continue;
        }
        found.find(&kinds::REWRITTEN, name, format!("route '{name}' has {field}"));
    }
    if let Some(header) = action.get("host_rewrite_header") {
        let written = header.as_text().unwrap_or_default();
        header.find(&kinds::HOST_FROM_HEADER, name, format!("route '{name}': the header '{written}' becomes the host"));
    }
}

/// Identity headers that the router sets, adds to or takes away. Where the check is off, somebody has to take them away.
fn added_headers(node: &Node<'_>, name: &str, is_off: bool, around: &Around<'_, '_>) {
    let is_identity = |header: &str| {
        let folded = header.to_ascii_lowercase().replace('_', "-");
        match around.needs {
            Some(needs) => needs.identity_headers.iter().any(|identity| **identity == *folded),
            None => IdentityField::ALL.iter().any(|(_, _, identity)| *identity == folded),
        }
    };
    for added in node.list("request_headers_to_add") {
        if let Some(header) = added.at(&["header", "key"]).and_then(|key| key.as_text())
            && is_identity(header)
        {
            added.find(&kinds::IDENTITY_SET, name, format!("'{name}': the router sets the identity header '{header}'"));
        }
    }
    for (removed, header) in node.texts("request_headers_to_remove") {
        if is_identity(header) && !is_off {
            let message = format!("'{name}': the router takes the identity header '{header}' away");
            removed.find_as(Severity::Note, &kinds::IDENTITY_SET, name, message);
        }
    }
}
