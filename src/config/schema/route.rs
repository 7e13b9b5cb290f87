//! `routes`: which requests there are, and what each of them needs.

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Map, Node};
use crate::pdp::route::{HostPattern, PathTemplate};

use super::group::Surroundings;
use super::place::{self, PlaceSchema, Several};
use super::requirement::{self, MethodSchema};
use super::requirements::Requirements;

#[derive(Debug)]
pub(crate) struct RouteSchema {
    pub name: Option<Located<String>>,
    pub path_text: Located<String>,
    pub path: PathTemplate,
    /// Its own, and those of the groups around it.
    pub requirements: Requirements,
    pub websocket: bool,
    pub methods: Vec<MethodSchema>,
}

#[derive(Debug, Clone)]
pub(crate) enum TenantSchema {
    None,
    Token,
    Place(PlaceSchema),
    Subdomain,
}

pub(super) fn read(node: &Node<'_>, around: &Surroundings, problems: &mut Problems) -> Option<RouteSchema> {
    let mut map = node.map(problems)?;
    let name = map.take("name").and_then(|node| name(&node, problems));
    let path_text = path_text(&mut map, around, problems);
    let path = path_text.clone().and_then(|text| {
        text.convert(problems, |text| PathTemplate::parse(&text).map_err(|error| format!("'{text}' is no path template: {error}")))
    });
    let requirements = Requirements::take(&mut map, problems).within(&around.requirements, problems);
    let websocket = map.take("upgrade").and_then(|node| node.choice(problems, &[("websocket", true)]));
    let methods = map
        .require(problems, "methods", "what each method needs, such as '{ GET: { permission: \"blog:posts.read\" } }'")
        .and_then(|node| methods(&node, problems));
    map.finish(problems);
    Some(RouteSchema {
        name,
        path: path?.value,
        path_text: path_text?,
        requirements,
        websocket: websocket.unwrap_or(false),
        methods: methods?,
    })
}

/// The whole path of a route. Within a group with a prefix, a route without a path is the prefix itself.
fn path_text(map: &mut Map<'_>, around: &Surroundings, problems: &mut Problems) -> Option<Located<String>> {
    if around.prefix.is_empty() {
        let node = map.require(problems, "path", "a template such as '/tenants/{tenant}/posts/{id}'")?;
        return node.string(problems);
    }
    match map.take("path") {
        None => Some(map.node.locate(around.prefix.clone())),
        Some(node) => node.string(problems)?.convert(problems, |text| {
            if text.starts_with('/') { Ok(format!("{}{text}", around.prefix)) } else { Err(format!("'{text}' does not begin with '/'")) }
        }),
    }
}

fn name(node: &Node<'_>, problems: &mut Problems) -> Option<Located<String>> {
    node.string(problems)?.convert(problems, |name| {
        let fits = name.len() <= 128 && name.bytes().all(|b| b == b' ' || (b.is_ascii_graphic() && b != b'"'));
        if fits { Ok(name) } else { Err("a route's name is at most 128 visible ASCII characters without '\"'") }
    })
}

pub(super) fn hosts(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Located<HostPattern>>> {
    let texts = node.strings(problems)?;
    if texts.is_empty() {
        node.problem(problems, "there must be at least one host; leave the key out for any host");
    }
    let mut hosts: Vec<Located<HostPattern>> = Vec::new();
    for text in texts {
        let Some(host) = text.clone().convert(problems, |text| HostPattern::parse(&text).map_err(|error| format!("'{text}': {error}")))
        else {
            continue;
        };
        if hosts.iter().any(|other| other.value == host.value) {
            text.problem(problems, format!("the host '{}' is there twice", text.value));
        } else {
            hosts.push(host);
        }
    }
    Some(hosts)
}

pub(super) fn tenant(node: &Node<'_>, problems: &mut Problems) -> Option<TenantSchema> {
    const WAYS: &str = "'token', 'none', or one of { path: parameter }, { header: x-tenant }, { query: tenant }, { host: subdomain }";
    if !node.is_map() {
        let text = node.string(problems)?;
        match text.value.as_str() {
            "token" => return Some(TenantSchema::Token),
            "none" => return Some(TenantSchema::None),
            _ => {}
        }
        text.problem(problems, format!("'{}' is no way to bind a tenant; write {WAYS}", text.value));
        return None;
    }
    let mut map = node.map(problems)?;
    let subdomain = map.take("host").map(|node| node.choice(problems, &[("subdomain", ())]));
    let place = place::take(&mut map, problems);
    map.finish(problems);
    match (subdomain, place) {
        (Some(subdomain), Ok(None)) => subdomain.map(|()| TenantSchema::Subdomain),
        (None, Ok(Some(PlaceSchema::Body(_)))) => {
            node.problem(problems, format!("a tenant is not looked for in the body; write {WAYS}"));
            None
        }
        (None, Ok(Some(place))) => Some(TenantSchema::Place(place)),
        (_, Err(Several::Reported)) => None,
        _ => {
            node.problem(problems, format!("there must be exactly one binding: {WAYS}"));
            None
        }
    }
}

fn methods(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<MethodSchema>> {
    let entries = node.entries(problems)?;
    if entries.is_empty() {
        node.problem(problems, "there must be at least one method: one that is not listed is refused");
    }
    let mut methods = Vec::new();
    for (method, rule) in entries {
        if !is_method(&method.value) {
            let message = if method.value.bytes().any(|b| b.is_ascii_lowercase()) {
                format!("methods are compared exactly; write '{}'", method.value.to_ascii_uppercase())
            } else {
                format!("'{}' is no method", method.value)
            };
            method.problem(problems, message);
            continue;
        }
        methods.extend(requirement::method(method, &rule, problems));
    }
    Some(methods)
}

/// RFC 9110 section 9.1, with capital letters only, as all registered methods are.
fn is_method(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}
