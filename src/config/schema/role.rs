//! `roles`: what the names in tokens stand for.

use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};

use super::{DAY, SECOND};

#[derive(Debug)]
pub(crate) struct RoleSchema {
    pub name: Located<String>,
    pub permissions: Vec<Located<String>>,
    pub sets: Vec<Located<String>>,
    pub includes: Vec<Located<String>>,
    pub crosses_tenants: bool,
    pub acts_for_others: bool,
    pub acted_for: bool,
    pub bounded_by: Vec<Located<String>>,
    pub manages: Option<ManagesSchema>,
    pub max_token_age: Option<Duration>,
}

/// `manages`.
#[derive(Debug)]
pub(crate) struct ManagesSchema {
    pub roles: Vec<Located<String>>,
    /// `tenant`, or an attribute; `None`: the tenant.
    pub within: Option<Located<String>>,
}

pub(super) fn read(name: Located<String>, node: &Node<'_>, problems: &mut Problems) -> Option<RoleSchema> {
    let mut map = node.map(problems)?;
    let mut list = |name, problems: &mut Problems| map.take(name).map(|node| node.strings(problems).unwrap_or_default());
    let lists = [list("permissions", problems), list("sets", problems), list("includes", problems)];
    if lists.iter().all(Option::is_none) {
        node.problem(
            problems,
            "'permissions' is missing: what the role may do; '[]' for nothing. 'sets' and 'includes' give permissions too",
        );
    }
    let [permissions, sets, includes] = lists.map(Option::unwrap_or_default);
    let mut flag = |name, default| map.take(name).and_then(|node| node.bool(problems)).unwrap_or(default);
    let (crosses_tenants, acts_for_others) = (flag("crosses_tenants", false), flag("acts_for_others", false));
    let acted_for = flag("acted_for", true);
    let bounded_by = map.take("bounded_by").and_then(|node| node.strings(problems)).unwrap_or_default();
    let manages = map.take("manages").and_then(|node| manages(&node, problems));
    let max_token_age = map.take("max_token_age").and_then(|node| node.duration(problems, SECOND..=10 * DAY));
    map.finish(problems);
    Some(RoleSchema { name, permissions, sets, includes, crosses_tenants, acts_for_others, acted_for, bounded_by, manages, max_token_age })
}

fn manages(node: &Node<'_>, problems: &mut Problems) -> Option<ManagesSchema> {
    let mut map = node.map(problems)?;
    let roles = map.require(problems, "roles", "whose holders it manages, such as '[EMPLOYEE]', or '[\"*\"]' for any").and_then(|node| {
        let roles = node.strings(problems)?;
        if roles.is_empty() {
            node.problem(problems, "there must be at least one role; leave 'manages' out for nobody");
        }
        Some(roles)
    });
    let within = map.take("within").and_then(|node| node.string(problems));
    map.finish(problems);
    Some(ManagesSchema { roles: roles?, within })
}
