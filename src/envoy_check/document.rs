//! Where listeners, routes and clusters stand: in a bootstrap, in what the admin interface dumps, in a file of xDS resources.
//!
//! All files that are given count as one: what one of them refers to by name may stand in another.

use std::collections::HashMap;
use std::sync::Arc;

use super::kinds;
use super::node::{Node, Sheet};
use super::tree::{self, Unreadable, Value, shorten};
use super::{EnvoyFile, Finding, Location};

/// A file that could be read.
pub(super) struct Read {
    pub name: Arc<str>,
    pub root: Arc<Value>,
}

/// Reads all files. What cannot be read is noted.
pub(super) fn read(files: &[EnvoyFile], sheet: &Sheet) -> Vec<Read> {
    let mut read = Vec::new();
    for file in files {
        let name: Arc<str> = file.name.as_str().into();
        let content = file.content.as_ref().map_err(|error| Unreadable { place: None, message: error.clone() });
        match content.and_then(|content| tree::read(content)) {
            Ok(root) => read.push(Read { name, root }),
            Err(error) => {
                let (line, column) = error.place.map_or((0, 0), |place| (place.line, place.column));
                let kind = &kinds::file::UNREADABLE;
                let location = Location { file: name, line, column };
                let (at, subject, message) = (String::new(), String::new(), error.message);
                sheet.note(Finding { kind, severity: kind.severity, location, at, subject, message, accepted: false });
            }
        }
    }
    read
}

/// What the files hold.
#[derive(Default)]
pub(super) struct Resources<'a> {
    pub listeners: Vec<Node<'a>>,
    pub clusters: Vec<Node<'a>>,
    pub admin: Vec<Node<'a>>,
    routes: HashMap<&'a str, Node<'a>>,
    /// Filters that are configured apart (ECDS): their content by name.
    filters: HashMap<&'a str, Node<'a>>,
    /// Where it says that there are more listeners or clusters than can be seen.
    pub more_listeners: Option<Node<'a>>,
    pub more_clusters: Option<Node<'a>>,
}

/// What a bootstrap can have at its top (Envoy 1.40).
const BOOTSTRAP: [&str; 14] = [
    "node",
    "static_resources",
    "dynamic_resources",
    "cluster_manager",
    "stats_sinks",
    "stats_config",
    "stats_flush_interval",
    "watchdogs",
    "layered_runtime",
    "admin",
    "overload_manager",
    "bootstrap_extensions",
    "default_regex_engine",
    "application_log_config",
];

impl<'a> Resources<'a> {
    /// What all files hold together.
    pub fn of(read: &'a [Read], sheet: &'a Sheet) -> Self {
        let mut resources = Self::default();
        let mut is_known = false;
        for file in read {
            is_known |= resources.take_file(&Node::root(&file.root, &file.name, sheet));
        }
        if is_known
            && resources.listeners.is_empty()
            && resources.more_listeners.is_none()
            && let Some(first) = read.first()
        {
            let message = "there is no listener in it, so there is nothing to look at";
            Node::root(&first.root, &first.name, sheet).find(&kinds::file::UNREADABLE, "", message);
        }
        resources
    }

    /// Whether it is an Envoy configuration.
    fn take_file(&mut self, root: &Node<'a>) -> bool {
        if !root.is_map() {
            root.find(&kinds::file::UNREADABLE, "", "this is no Envoy configuration: it must be a mapping");
            return false;
        }
        if root.has("configs") {
            self.take_dump(root);
            return true;
        }
        if root.has("resources") {
            for item in root.list("resources") {
                self.take_resource(&item);
            }
            return true;
        }
        if BOOTSTRAP.iter().any(|field| root.has(field)) {
            self.take_bootstrap(root);
            return true;
        }
        let message = if root.has("apiVersion") && root.has("kind") {
            "this is a resource of Kubernetes, and Envoy reads another form of it; give what Envoy itself has: \
             the answer of its admin interface's /config_dump (`istioctl proxy-config all POD -o json`)"
                .to_string()
        } else {
            let names: Vec<String> = root.names().iter().take(5).map(|name| format!("'{}'", shorten(name))).collect();
            let seen = if names.is_empty() { "nothing".to_string() } else { names.join(", ") };
            format!(
                "this is no Envoy configuration: it has {seen} at its top, and neither 'static_resources' or 'dynamic_resources' \
                 (a bootstrap) nor 'configs' (a /config_dump) nor 'resources' (xDS)"
            )
        };
        root.find(&kinds::file::UNREADABLE, "", message);
        false
    }

    fn take_bootstrap(&mut self, root: &Node<'a>) {
        self.admin.extend(root.get("admin"));
        if let Some(fixed) = root.get("static_resources") {
            self.listeners.extend(fixed.list("listeners"));
            self.clusters.extend(fixed.list("clusters"));
        }
        self.take_dynamic(root);
    }

    fn take_dynamic(&mut self, root: &Node<'a>) {
        let Some(dynamic) = root.get("dynamic_resources") else { return };
        let first = |fields: [&str; 2]| fields.iter().find_map(|field| dynamic.get(field));
        self.more_listeners = first(["lds_config", "lds_resources_locator"]).or(self.more_listeners.take());
        self.more_clusters = first(["cds_config", "cds_resources_locator"]).or(self.more_clusters.take());
    }

    fn take_resource(&mut self, item: &Node<'a>) {
        let Some((name, content)) = item.any() else { return };
        match name {
            "envoy.service.discovery.v3.Resource" => {
                if let Some(inner) = content.get("resource") {
                    self.take_resource(&inner);
                }
            }
            "envoy.config.listener.v3.Listener" => self.listeners.push(content),
            "envoy.config.cluster.v3.Cluster" => self.clusters.push(content),
            "envoy.config.route.v3.RouteConfiguration" => self.take_routes(content),
            "envoy.config.core.v3.TypedExtensionConfig" => self.take_filter(&content),
            _ => {}
        }
    }

    fn take_routes(&mut self, routes: Node<'a>) {
        if let Some(name) = routes.text("name") {
            self.routes.insert(name, routes);
        }
    }

    fn take_filter(&mut self, filter: &Node<'a>) {
        if let (Some(name), Some(content)) = (filter.text("name"), filter.get("typed_config")) {
            self.filters.insert(name, content);
        }
    }

    fn take_dump(&mut self, root: &Node<'a>) {
        let mut bootstrap = None;
        for part in root.list("configs") {
            let Some((name, part)) = part.any() else { continue };
            match name.strip_prefix("envoy.admin.v3.").unwrap_or(name) {
                "BootstrapConfigDump" => bootstrap = part.get("bootstrap"),
                "ListenersConfigDump" => {
                    self.listeners.extend(part.list("static_listeners").iter().filter_map(|item| item.get("listener")));
                    self.listeners.extend(part.list("dynamic_listeners").iter().filter_map(dynamic_listener));
                }
                "ListenersConfigDump.DynamicListener" => self.listeners.extend(dynamic_listener(&part)),
                "ListenersConfigDump.StaticListener" => self.listeners.extend(part.get("listener")),
                "ClustersConfigDump" => {
                    for field in ["static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters"] {
                        self.clusters.extend(part.list(field).iter().filter_map(|item| item.get("cluster")));
                    }
                }
                "ClustersConfigDump.StaticCluster" | "ClustersConfigDump.DynamicCluster" => self.clusters.extend(part.get("cluster")),
                "RoutesConfigDump" => {
                    for field in ["static_route_configs", "dynamic_route_configs"] {
                        part.list(field).iter().filter_map(|item| item.get("route_config")).for_each(|routes| self.take_routes(routes));
                    }
                }
                "RoutesConfigDump.StaticRouteConfig" | "RoutesConfigDump.DynamicRouteConfig" => {
                    part.get("route_config").into_iter().for_each(|routes| self.take_routes(routes));
                }
                "EcdsConfigDump" => {
                    part.list("ecds_filters")
                        .iter()
                        .filter_map(|item| item.get("ecds_filter"))
                        .for_each(|filter| self.take_filter(&filter));
                }
                "EcdsConfigDump.EcdsFilterConfig" => part.get("ecds_filter").iter().for_each(|filter| self.take_filter(filter)),
                // A dump that was asked for one kind of resource has them as they are.
                _ => self.take_resource(&part),
            }
        }
        // The parts of a bootstrap stand in the dump once more, as they are in force.
        let Some(bootstrap) = bootstrap else { return };
        self.admin.extend(bootstrap.get("admin"));
        let fixed = bootstrap.get("static_resources");
        if self.listeners.is_empty() {
            self.listeners = fixed.iter().flat_map(|fixed| fixed.list("listeners")).collect();
        }
        if self.clusters.is_empty() {
            self.clusters = fixed.iter().flat_map(|fixed| fixed.list("clusters")).collect();
        }
        if self.listeners.is_empty() {
            self.take_dynamic(&bootstrap);
        }
    }

    /// The routes of this name.
    pub fn routes(&self, name: &str) -> Option<&Node<'a>> {
        self.routes.get(name)
    }

    /// The filter of this name that is configured apart.
    pub fn filter(&self, name: &str) -> Option<&Node<'a>> {
        self.filters.get(name)
    }

    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&Node<'a>> {
        self.clusters.iter().find(|cluster| cluster.text("name") == Some(name))
    }
}

/// A listener as it is in force, or else as it will be.
fn dynamic_listener<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    ["active_state", "warming_state"].iter().find_map(|state| item.get(state)).and_then(|state| state.get("listener"))
}
