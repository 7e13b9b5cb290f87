//! Roles and permission sets, resolved: what a role grants is its own permissions, those of the sets that it names, and those
//! of the roles that it includes.
//!
//! Permissions and limits are included; rights such as crossing tenants are not: they stand where they are given.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::permissions::Vocabulary;
use crate::config::problem::{Problem, Problems};
use crate::config::schema::{ManagesSchema, PermissionSetSchema, RoleSchema};
use crate::config::yaml::Located;
use crate::pdp::permission::PermissionSet;
use crate::pdp::role::{ManageRule, Role, RoleTable, Within};

pub(super) fn compile(
    sets: Vec<PermissionSetSchema>,
    roles: Vec<RoleSchema>,
    vocabulary: &Vocabulary,
    problems: &mut Problems,
) -> (RoleTable, Vec<Problem>) {
    let sets = compile_sets(sets, vocabulary, problems);
    let notices = unused(&sets, &roles);
    let mut own: HashMap<&str, OwnRole<'_>> = HashMap::new();
    for role in &roles {
        if let Some(first) = own.get(role.name.value.as_str()) {
            role.name.problem(problems, format!("the role '{}' is there already, at {}", role.name.value, first.schema.name.location));
            continue;
        }
        let mut permissions = vocabulary.grants(&role.permissions, problems);
        for name in &role.sets {
            match sets.get(&name.value) {
                Some((_, set)) => permissions.extend(set),
                None => name.problem(problems, format!("there is no permission set '{}'; {}", name.value, choices("sets", sets.keys()))),
            }
        }
        own.insert(&role.name.value, OwnRole { schema: role, permissions });
    }
    for role in own.values() {
        for name in &role.schema.includes {
            if !own.contains_key(name.value.as_str()) {
                name.problem(problems, format!("there is no role '{}'; {}", name.value, choices("roles", own.keys())));
            }
        }
    }
    let mut table = RoleTable::default();
    for role in &roles {
        // A second role of one name was reported above.
        if own.get(role.name.value.as_str()).is_some_and(|first| std::ptr::eq(first.schema, role)) {
            let mut resolved = Resolved::default();
            resolve(role, &own, &mut Vec::new(), &mut resolved, problems);
            let Resolved { permissions, max_token_age, .. } = resolved;
            let manages = role.manages.as_ref().map(|manages| compile_manages(manages, &own, vocabulary, problems));
            for attribute in &role.bounded_by {
                vocabulary.check_attribute(attribute, "an attribute", problems);
            }
            let bounded_by = role.bounded_by.iter().map(|attribute| attribute.value.as_str().into()).collect();
            let RoleSchema { crosses_tenants, acts_for_others, acted_for, .. } = *role;
            table.insert(
                &role.name.value,
                Role { permissions, crosses_tenants, acts_for_others, acted_for, bounded_by, manages, max_token_age },
            );
        }
    }
    (table, notices)
}

/// A set that no role has grants nothing, which is worth knowing of.
fn unused(sets: &Sets, roles: &[RoleSchema]) -> Vec<Problem> {
    let used: HashSet<&str> = roles.iter().flat_map(|role| &role.sets).map(|name| name.value.as_str()).collect();
    let unused = sets.values().map(|(name, _)| name).filter(|name| !used.contains(name.value.as_str()));
    let mut notices: Vec<Problem> = unused
        .map(|name| {
            let message = format!("no role has the permission set '{}', so it grants nothing", name.value);
            Problem { location: Some(name.location.clone()), key: name.key.clone(), message }
        })
        .collect();
    notices.sort_by(|one, other| one.location.cmp(&other.location));
    notices
}

fn compile_manages(
    manages: &ManagesSchema,
    own: &HashMap<&str, OwnRole<'_>>,
    vocabulary: &Vocabulary,
    problems: &mut Problems,
) -> ManageRule {
    let anybody = manages.roles.iter().any(|role| role.value == "*");
    for role in &manages.roles {
        if anybody && manages.roles.len() > 1 && role.value == "*" {
            role.problem(problems, "'*' is any role; leave the others out");
        } else if !anybody && !own.contains_key(role.value.as_str()) {
            role.problem(problems, format!("there is no role '{}'; {}", role.value, choices("roles", own.keys())));
        }
    }
    let within = match &manages.within {
        None => Within::Tenant,
        Some(within) if within.value == "tenant" => Within::Tenant,
        Some(within) => {
            vocabulary.check_attribute(within, "'tenant' or an attribute", problems);
            Within::Attribute(within.value.as_str().into())
        }
    };
    let roles = (!anybody).then(|| manages.roles.iter().map(|role| role.value.as_str().into()).collect());
    ManageRule { roles, within }
}

/// A role with the permissions that it has without any other role.
struct OwnRole<'s> {
    schema: &'s RoleSchema,
    permissions: PermissionSet,
}

#[derive(Default)]
struct Resolved<'s> {
    permissions: PermissionSet,
    max_token_age: Option<Duration>,
    /// What is in it already: a role that is included twice counts once.
    roles: HashSet<&'s str>,
}

/// Adds a role and, depth first, what it includes. `way` are the roles that led here.
fn resolve<'s>(
    role: &'s RoleSchema,
    own: &HashMap<&'s str, OwnRole<'s>>,
    way: &mut Vec<&'s str>,
    into: &mut Resolved<'s>,
    problems: &mut Problems,
) {
    let name = role.name.value.as_str();
    if let Some(own) = own.get(name) {
        into.permissions.extend(&own.permissions);
    }
    into.max_token_age = [into.max_token_age, role.max_token_age].into_iter().flatten().min();
    into.roles.insert(name);
    way.push(name);
    for included in &role.includes {
        if let Some(at) = way.iter().position(|earlier| *earlier == included.value) {
            // Every role of a circle comes back to itself; one of them tells of it.
            if at == 0 && way.iter().min() == way.first() {
                let circle: Vec<&str> = way.iter().copied().chain([included.value.as_str()]).collect();
                included.problem(problems, format!("roles cannot include each other in a circle: {}", circle.join(" > ")));
            }
            continue;
        }
        if let Some(included) = own.get(included.value.as_str())
            && !into.roles.contains(included.schema.name.value.as_str())
        {
            resolve(included.schema, own, way, into, problems);
        }
    }
    way.pop();
}

type Sets = HashMap<String, (Located<String>, PermissionSet)>;

fn compile_sets(schemas: Vec<PermissionSetSchema>, vocabulary: &Vocabulary, problems: &mut Problems) -> Sets {
    let mut sets = Sets::new();
    for PermissionSetSchema { name, permissions } in schemas {
        if let Some((first, _)) = sets.get(&name.value) {
            name.problem(problems, format!("the permission set '{}' is there already, at {}", name.value, first.location));
            continue;
        }
        let permissions = vocabulary.grants(&permissions, problems);
        sets.insert(name.value.clone(), (name, permissions));
    }
    sets
}

/// The names that there are, for a message about one that there is not.
pub(super) fn choices<S: AsRef<str>>(what: &str, names: impl Iterator<Item = S>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("'{}'", name.as_ref())).collect();
    names.sort();
    if names.is_empty() { format!("there are no {what}") } else { format!("the {what} are {}", names.join(", ")) }
}
