//! What in an Envoy configuration makes an authorizer useless.
//!
//! Text in, findings out: nothing is fetched, no file is read, no Envoy is asked. [`document`] finds listeners, routes and clusters in a
//! bootstrap, a dump of the admin interface or a file of xDS resources; [`manager`] goes through listeners and connection managers,
//! [`order`] through their filters, [`filter`] looks at ext_authz itself, [`routes`] and [`per_route`] at where it is turned off,
//! [`cluster`] at whom it asks. [`kinds`] has a stable code for everything that can be found. What cannot be seen, or is not known, is a
//! finding too.

mod body;
mod cluster;
mod document;
mod fields;
mod filter;
mod finding;
mod headers;
mod kinds;
mod manager;
mod needs;
mod network;
mod node;
mod order;
mod per_route;
mod report;
mod routes;
mod service;
mod tree;

use std::collections::HashSet;

use document::Resources;
pub use fields::known_fields;
pub use finding::{Finding, Kind, Location, Severity};
pub use kinds::all as all_kinds;
pub use needs::Needs;
use node::Sheet;
pub use report::{Accepted, Report, Style};
pub use tree::MAX_BYTES;

/// A file with an Envoy configuration, or with a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvoyFile {
    /// Its name, for messages.
    pub name: String,
    /// What is in it, or why it could not be read.
    pub content: Result<Vec<u8>, String>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Listeners.
    pub listeners: usize,
    /// HTTP connection managers.
    pub managers: usize,
    /// Filters ext_authz in them.
    pub filters: usize,
    /// Routes.
    pub routes: usize,
}

/// Looks at files that count as one configuration; with what a configuration of Portcullis needs, at how the two fit together.
#[must_use]
pub fn check(files: &[EnvoyFile], needs: Option<&Needs>) -> Report {
    let sheet = Sheet::default();
    let read = document::read(files, &sheet);
    let mut counts = Counts::default();
    {
        let resources = Resources::of(&read, &sheet);
        resources.admin.iter().for_each(manager::admin);
        for listener in &resources.listeners {
            manager::listener(listener, &resources, needs, &mut counts);
        }
        resources.clusters.iter().for_each(cluster::filters);
        if let Some(more) = &resources.more_listeners {
            more.find(&kinds::file::NOT_SEEN, "", "listeners come from elsewhere (LDS): not looked at");
        }
    }
    let mut findings = sheet.into_findings();
    findings.sort_by(|a, b| (&a.location, b.severity, a.kind.code).cmp(&(&b.location, a.severity, b.kind.code)));
    // Routes and clusters that several managers use are looked at once for each.
    let mut told = HashSet::new();
    findings.retain(|finding| told.insert((finding.location.to_string(), finding.kind.code, finding.message.clone())));
    Report { findings, counts }
}

#[cfg(test)]
mod tests;
