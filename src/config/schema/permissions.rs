//! `permissions`: how they are written, their scopes, and named sets of them.

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};
use crate::pdp::permission::PermissionSyntax;

use super::Schema;

/// Whether `permissions` was there, and what could be read of it.
#[derive(Debug, Default)]
pub(crate) enum PermissionsSchema {
    #[default]
    Absent,
    Broken,
    Read(SyntaxSchema),
}

/// How permissions are written.
#[derive(Debug)]
pub(crate) struct SyntaxSchema {
    pub syntax: Located<PermissionSyntax>,
    /// From the narrowest to the widest.
    pub scopes: Option<Located<Vec<RungSchema>>>,
    /// Attributes that only roles' boundaries have.
    pub boundaries: Vec<Located<String>>,
}

/// A scope, and what it is bound to.
#[derive(Debug)]
pub(crate) struct RungSchema {
    pub name: Located<String>,
    /// `subject`, or an attribute; `None`: nothing.
    pub bound: Option<Located<String>>,
}

/// A named set of permissions, for roles to be composed of.
#[derive(Debug)]
pub(crate) struct PermissionSetSchema {
    pub name: Located<String>,
    pub permissions: Vec<Located<String>>,
}

pub(super) fn read(node: &Node<'_>, schema: &mut Schema, problems: &mut Problems) {
    if let PermissionsSchema::Read(first) = &schema.permissions {
        node.problem(problems, format!("this is there already, at {}; keep one of them", first.syntax.location));
        return;
    }
    schema.permissions = PermissionsSchema::Broken;
    let Some(mut map) = node.map(problems) else { return };
    let syntax = map
        .require(problems, "syntax", "how permissions are written, such as 'service:resource.action'")
        .and_then(|node| node.string(problems))
        .and_then(|text| {
            text.convert(problems, |text| {
                PermissionSyntax::parse(&text).map_err(|error| {
                    format!(
                        "'{text}' is no permission syntax: {error}. Write the names of the segments with ':' or '.' between them, such as \
                         'service:resource.action', 'resource:action:scope', or 'name'"
                    )
                })
            })
        });
    let scopes = map.take("scopes").map(|node| scopes(&node, problems).map(|scopes| node.locate(scopes)));
    let boundaries = map.take("boundaries").and_then(|node| node.strings(problems)).unwrap_or_default();
    if let Some(syntax) = syntax
        && scopes.as_ref().is_none_or(Option::is_some)
    {
        schema.permissions = PermissionsSchema::Read(SyntaxSchema { syntax, scopes: scopes.flatten(), boundaries });
    }
    if let Some(node) = map.take("sets") {
        for (name, set) in node.entries(problems).unwrap_or_default() {
            let permissions = set.strings(problems).unwrap_or_default();
            schema.permission_sets.push(PermissionSetSchema { name, permissions });
        }
    }
    map.finish(problems);
}

/// Names, or names with what they are bound to: `[own: subject, department: department, all]`.
fn scopes(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<RungSchema>> {
    let mut rungs: Vec<RungSchema> = Vec::new();
    let before = problems.len();
    for item in node.items(problems)? {
        let rung = if item.is_string() {
            item.string(problems).map(|name| RungSchema { name, bound: None })
        } else {
            let mut entries = item.entries(problems)?.into_iter();
            match (entries.next(), entries.next()) {
                (Some((name, bound)), None) => bound.string(problems).map(|bound| RungSchema { name, bound: Some(bound) }),
                _ => {
                    item.problem(problems, "write one scope in each item: its name, or '<name>: subject' or '<name>: <attribute>'");
                    None
                }
            }
        };
        let Some(rung) = rung else { continue };
        if !rung.name.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) || rung.name.value == "by" {
            let message =
                "a scope's name is made of letters, digits, '_' and '-', and is not 'by'; '*' is always there, wider than all others";
            rung.name.problem(problems, message);
        } else if let Some(first) = rungs.iter().find(|other| other.name.value == rung.name.value) {
            rung.name.problem(problems, format!("the scope '{}' is there already, at {}", rung.name.value, first.name.location));
        } else {
            rungs.push(rung);
        }
    }
    if rungs.is_empty() && problems.len() == before {
        node.problem(problems, "there must be at least one scope, such as '[own: subject, all]'");
    }
    (problems.len() == before).then_some(rungs)
}
