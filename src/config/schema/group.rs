//! `groups`: routes with a common prefix and common requirements.

use crate::config::problem::Problems;
use crate::config::yaml::Node;

use super::requirements::Requirements;
use super::route::{self, RouteSchema};

/// How deep groups may be nested.
const MAX_DEPTH: usize = 8;

/// What surrounds a route or a group.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub prefix: String,
    pub requirements: Requirements,
    depth: usize,
}

/// Reads a group and all routes within it.
pub(super) fn read(node: &Node<'_>, around: &Surroundings, routes: &mut Vec<RouteSchema>, problems: &mut Problems) {
    if around.depth == MAX_DEPTH {
        node.problem(problems, format!("groups can be nested {MAX_DEPTH} deep"));
        return;
    }
    let Some(mut map) = node.map(problems) else { return };
    let prefix = map.take("prefix").map(|node| prefix(&node, problems));
    let requirements = Requirements::take(&mut map, problems).within(&around.requirements, problems);
    let inner_routes = map.take("routes");
    let inner_groups = map.take("groups");
    if inner_routes.is_none() && inner_groups.is_none() {
        node.problem(problems, "there are no 'routes' and no 'groups' in this group");
    }
    map.finish(problems);
    // Without its prefix, what is inside would be somewhere else.
    let own = match prefix {
        Some(None) => return,
        Some(Some(prefix)) => prefix,
        None => String::new(),
    };
    let inside = Surroundings { prefix: format!("{}{own}", around.prefix), requirements, depth: around.depth + 1 };
    for node in inner_routes.and_then(|node| node.items(problems)).unwrap_or_default() {
        routes.extend(route::read(&node, &inside, problems));
    }
    for node in inner_groups.and_then(|node| node.items(problems)).unwrap_or_default() {
        read(&node, &inside, routes, problems);
    }
}

fn prefix(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let prefix = node.string(problems)?.convert(problems, |text| {
        if text.starts_with('/') && !text.ends_with('/') && !text.contains("...}") {
            Ok(text)
        } else {
            Err(format!("'{text}' is no prefix: it begins with '/', does not end with one, and has no '{{rest...}}'"))
        }
    });
    prefix.map(|prefix| prefix.value)
}
