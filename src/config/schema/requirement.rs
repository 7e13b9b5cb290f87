//! What a method needs: a requirement, or one of several (`any`).

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Map, Node};

use super::place::{self, RevealedSchema};
use super::requirements::{self, AuthenticationSchema};

/// A method and its rule.
#[derive(Debug)]
pub(crate) struct MethodSchema {
    pub method: Located<String>,
    pub access: AccessSchema,
    pub acting: Option<Located<bool>>,
    pub answer: Option<AnswerSchema>,
    pub all: RequirementSchema,
    pub any: Vec<RequirementSchema>,
}

/// Who may, before anything else is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessSchema {
    Public,
    Optional,
    Authenticated,
}

/// What Portcullis answers by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnswerSchema {
    Permissions,
}

/// All of these.
#[derive(Debug, Default)]
pub(crate) struct RequirementSchema {
    pub permissions: Vec<Located<String>>,
    pub scope: Option<Located<ScopeSchema>>,
    pub authentication: Option<AuthenticationSchema>,
    pub callers: Vec<Vec<Located<String>>>,
    pub is_self: Option<Located<String>>,
    pub manages: Option<Located<String>>,
    /// The fields that a JSON body may have; `None`: it is not looked at.
    pub body_only: Option<Located<Vec<Located<String>>>>,
    pub graphql: Option<Located<GraphqlSchema>>,
    pub conditions: Vec<Located<String>>,
}

/// `graphql`: what each root field needs, by the kind of operation.
#[derive(Debug, Default)]
pub(crate) struct GraphqlSchema {
    pub query: Vec<RootFieldSchema>,
    pub mutation: Vec<RootFieldSchema>,
    pub subscription: Vec<RootFieldSchema>,
}

/// A root field, and the permissions that it needs.
pub(crate) type RootFieldSchema = (Located<String>, Vec<Located<String>>);

/// `scope`: by what a scope or a boundary is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeSchema {
    pub by_service: bool,
    /// Names of scopes or of attributes, and where the request reveals them.
    pub bindings: Vec<(Located<String>, Located<RevealedSchema>)>,
}

impl RequirementSchema {
    /// Whether it asks for nothing that it could be refused for.
    fn is_empty(&self) -> bool {
        self.authentication.is_none() && self.asks_only_how_one_authenticated()
    }

    fn asks_only_how_one_authenticated(&self) -> bool {
        self.permissions.is_empty()
            && self.callers.is_empty()
            && self.is_self.is_none()
            && self.manages.is_none()
            && self.body_only.is_none()
            && self.graphql.is_none()
            && self.conditions.is_empty()
    }

    fn take(map: &mut Map<'_>, problems: &mut Problems) -> Self {
        let permissions = map.take("permission").and_then(|node| {
            let permissions = node.strings(problems)?;
            if permissions.is_empty() {
                node.problem(problems, "there must be at least one permission; 'access: authenticated' asks for none");
            }
            Some(permissions)
        });
        Self {
            permissions: permissions.unwrap_or_default(),
            scope: map.take("scope").and_then(|node| scope(&node, problems)),
            authentication: requirements::authentication(map, problems),
            callers: map.take("principals").and_then(|node| requirements::callers(&node, problems)).into_iter().collect(),
            is_self: map.take("self").and_then(|node| node.string(problems)),
            manages: map.take("manages").and_then(|node| node.string(problems)),
            body_only: map.take("body").and_then(|node| body(&node, problems)),
            graphql: map.take("graphql").and_then(|node| graphql(&node, problems)),
            conditions: map.take("when").map(|node| requirements::conditions(&node, problems)).unwrap_or_default(),
        }
    }
}

/// `body: { only: [avatar, address.street] }`
fn body(node: &Node<'_>, problems: &mut Problems) -> Option<Located<Vec<Located<String>>>> {
    let mut map = node.map(problems)?;
    let only = map
        .require(problems, "only", "the fields that may be there, such as '[avatar, address.street]'")
        .and_then(|node| node.strings(problems));
    map.finish(problems);
    Some(node.locate(only?))
}

/// `graphql: { query: { users: ADMIN_USER_MANAGEMENT, me: [] } }`
fn graphql(node: &Node<'_>, problems: &mut Problems) -> Option<Located<GraphqlSchema>> {
    let mut map = node.map(problems)?;
    let mut fields = |kind| {
        let entries = map.take(kind).and_then(|node| node.entries(problems)).unwrap_or_default();
        entries.into_iter().filter_map(|(field, node)| Some((field, node.strings(problems)?))).collect()
    };
    let schema = GraphqlSchema { query: fields("query"), mutation: fields("mutation"), subscription: fields("subscription") };
    map.finish(problems);
    Some(node.locate(schema))
}

/// Reads `scope`.
pub(super) fn scope(node: &Node<'_>, problems: &mut Problems) -> Option<Located<ScopeSchema>> {
    let mut scope = ScopeSchema::default();
    for (name, node) in node.entries(problems)? {
        if name.value == "by" {
            scope.by_service = node.choice(problems, &[("service", true)])?;
        } else if let Some(revealed) = place::revealed(&node, problems) {
            scope.bindings.push((name, revealed));
        }
    }
    if !scope.by_service && scope.bindings.is_empty() {
        node.problem(
            problems,
            "say what the request reveals, such as '{ own: { path: user } }', or '{ by: service }' if the service behind filters",
        );
        return None;
    }
    Some(node.locate(scope))
}

/// Reads a method's rule.
pub(super) fn method(method: Located<String>, node: &Node<'_>, problems: &mut Problems) -> Option<MethodSchema> {
    let mut map = node.map(problems)?;
    let both = map.has("permission") && map.has("access");
    let before = problems.len();
    let all = RequirementSchema::take(&mut map, problems);
    let any = map.take("any").map(|node| alternatives(&node, problems));
    let acting = map.take("acting").and_then(|node| requirements::acting(&node, problems));
    let answer = map.take("answer").and_then(|node| node.choice(problems, &[("permissions", AnswerSchema::Permissions)]));
    let access = map.take("access").map(|node| {
        let choices =
            [("public", AccessSchema::Public), ("optional", AccessSchema::Optional), ("authenticated", AccessSchema::Authenticated)];
        node.choice(problems, &choices)
    });
    map.finish(problems);
    // A part that could not be read must not look as if it were not there.
    if problems.len() > before && access.is_none() && all.is_empty() && any.is_none() {
        return None;
    }
    let asks = !all.is_empty() || any.is_some();
    let access = match access {
        Some(access) => access?,
        None if asks => AccessSchema::Authenticated,
        None => {
            node.problem(problems, "say what is needed: 'permission: ...', or 'access: authenticated', 'optional' or 'public'");
            return None;
        }
    };
    if both {
        node.problem(problems, "there can be 'access' or 'permission', not both: a permission always needs somebody who has it");
        return None;
    }
    if access == AccessSchema::Public && (asks || answer.is_some() || acting.is_some()) {
        node.problem(problems, "what is public asks nobody for anything; leave out either that or the rest");
        return None;
    }
    if access == AccessSchema::Optional && !(all.asks_only_how_one_authenticated() && any.is_none()) {
        node.problem(
            problems,
            "whoever comes without a token would not be asked for this; write 'access: authenticated' (or 'principals' at the route)",
        );
        return None;
    }
    if access == AccessSchema::Optional && answer.is_some() {
        node.problem(problems, "an answer about the caller's permissions needs a caller; write 'access: authenticated'");
        return None;
    }
    Some(MethodSchema { method, access, acting, answer, all, any: any.unwrap_or_default() })
}

fn alternatives(node: &Node<'_>, problems: &mut Problems) -> Vec<RequirementSchema> {
    let nodes = node.items(problems).unwrap_or_default();
    if nodes.len() < 2 {
        node.problem(problems, "'any' lists two or more requirements, one of which has to be met");
    }
    let alternative = |node: &Node<'_>| {
        let mut map = node.map(problems)?;
        let requirement = RequirementSchema::take(&mut map, problems);
        map.finish(problems);
        if requirement.is_empty() {
            node.problem(problems, "this alternative asks for nothing, so everybody would meet it");
        }
        Some(requirement)
    };
    nodes.iter().filter_map(alternative).collect()
}
