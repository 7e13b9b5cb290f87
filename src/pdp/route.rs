//! Which route a request is for.
//!
//! # Total order
//! Of all routes that match, exactly one decides, and the configuration's order does not matter:
//! 1. host: an exact name before `*.suffix` (the longer suffix first) before any host;
//! 2. path, segment by segment from the left: a static segment before `{param}` before `{rest...}`.
//!
//! Two routes that would tie are an error when the table is built, so there is always one answer.
//! The route found decides alone: a method that it does not list is refused, even if a less specific route lists it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::path::NormalizedPath;
use super::request::Host;

pub mod host;
pub mod template;

pub use host::HostPattern;
pub use template::PathTemplate;
use template::TemplateSegment;

/// A table of routes with a payload of type `P` each.
#[derive(Debug, Clone)]
pub struct RouteTable<P> {
    exact: HashMap<Host, Node<P>, RandomState>,
    /// By length and text: the longest suffix first.
    suffixes: BTreeMap<(Reverse<usize>, Box<str>), Node<P>>,
    any: Node<P>,
}

impl<P> Default for RouteTable<P> {
    fn default() -> Self {
        Self { exact: HashMap::default(), suffixes: BTreeMap::new(), any: Node::default() }
    }
}

/// A place in the tree of path segments.
#[derive(Debug, Clone)]
struct Node<P> {
    statics: HashMap<Box<str>, Node<P>, RandomState>,
    param: Option<Box<Node<P>>>,
    /// The route whose `{rest...}` begins here.
    rest: Option<Arc<P>>,
    /// The route that ends here.
    leaf: Option<Arc<P>>,
}

impl<P> Default for Node<P> {
    fn default() -> Self {
        Self { statics: HashMap::default(), param: None, rest: None, leaf: None }
    }
}

/// A route that matches a request.
#[derive(Debug)]
pub struct RouteMatch<'t, 'h, P> {
    /// What the table holds for the route.
    pub payload: &'t P,
    /// What `*` stands for, where the route's host is `*.suffix`: one or more labels.
    pub subdomain: Option<&'h str>,
}

/// Two routes tie: they have the same host and the same shape of path.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict<P> {
    /// The payload that was there first.
    pub existing: Arc<P>,
}

impl<P> RouteTable<P> {
    /// Adds a route under one host pattern.
    ///
    /// # Errors
    /// When a route of the same host and the same shape of path is there already; nothing is changed then.
    pub fn insert(&mut self, host: &HostPattern, path: &PathTemplate, payload: Arc<P>) -> Result<(), Conflict<P>> {
        let root = match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Suffix(suffix) => self.suffixes.entry((Reverse(suffix.len()), suffix.clone())).or_default(),
        };
        root.insert(path.segments(), payload)
    }

    /// Finds the most specific route for a host and a path.
    #[must_use]
    pub fn find<'t, 'h>(&'t self, host: &'h Host, path: &NormalizedPath<'_>) -> Option<RouteMatch<'t, 'h, P>> {
        let segments = path.segments();
        if let Some(payload) = self.exact.get(host).and_then(|root| root.find(segments)) {
            return Some(RouteMatch { payload, subdomain: None });
        }
        for ((_, suffix), root) in &self.suffixes {
            if let Some(subdomain) = host::subdomain_of(host, suffix)
                && let Some(payload) = root.find(segments)
            {
                return Some(RouteMatch { payload, subdomain: Some(subdomain) });
            }
        }
        self.any.find(segments).map(|payload| RouteMatch { payload, subdomain: None })
    }

    /// What the table holds for all routes, in no order; a route with several hosts comes once for each.
    #[must_use]
    pub fn payloads(&self) -> Vec<&Arc<P>> {
        let mut pending: Vec<&Node<P>> = self.exact.values().chain(self.suffixes.values()).chain([&self.any]).collect();
        let mut payloads = Vec::new();
        while let Some(node) = pending.pop() {
            payloads.extend(node.rest.iter().chain(&node.leaf));
            pending.extend(node.statics.values().chain(node.param.as_deref()));
        }
        payloads
    }
}

impl<P> Node<P> {
    fn insert(&mut self, segments: &[TemplateSegment], payload: Arc<P>) -> Result<(), Conflict<P>> {
        let mut node = self;
        let mut slot_is_rest = false;
        for segment in segments {
            node = match segment {
                TemplateSegment::Static(text) => node.statics.entry(text.clone()).or_default(),
                TemplateSegment::Param(_) => node.param.get_or_insert_default(),
                TemplateSegment::Rest(_) => {
                    slot_is_rest = true;
                    break;
                }
            };
        }
        let slot = if slot_is_rest { &mut node.rest } else { &mut node.leaf };
        match slot {
            Some(existing) => Err(Conflict { existing: Arc::clone(existing) }),
            None => {
                *slot = Some(payload);
                Ok(())
            }
        }
    }

    /// The most specific match below this node. Every node stands at one depth only, so each is looked at once at most.
    fn find<S: AsRef<str>>(&self, segments: &[S]) -> Option<&P> {
        let Some((first, others)) = segments.split_first() else {
            return self.leaf.as_deref();
        };
        let first = first.as_ref();
        if let Some(payload) = self.statics.get(first).and_then(|node| node.find(others)) {
            return Some(payload);
        }
        // A parameter stands for something: the empty segment behind a trailing slash is nothing.
        if first.is_empty() {
            return None;
        }
        if let Some(payload) = self.param.as_ref().and_then(|node| node.find(others)) {
            return Some(payload);
        }
        self.rest.as_deref()
    }
}

#[cfg(test)]
mod tests;
