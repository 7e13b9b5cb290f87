//! What has to be met for a request to pass, besides who asks and for which tenant. All parts of a requirement count.

use std::sync::Arc;

use smallvec::SmallVec;

use super::condition::authentication::AuthenticationRule;
use super::condition::body::AllowedFields;
use super::condition::caller::CallerRule;
use super::condition::expression::Expression;
use super::condition::graphql::GraphqlRule;
use super::value::Revealed;
use crate::pdp::scope::RequiredPermission;

/// A requirement. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requirement {
    /// The permissions that are needed, all of them.
    pub permissions: SmallVec<[RequiredPermission; 1]>,
    /// What the request reveals of what it is about, so that scopes and boundaries can be compared with it.
    pub scope: ScopeRule,
    /// How they must have authenticated.
    pub authentication: AuthenticationRule,
    /// Which workloads of the mesh may ask.
    pub callers: Vec<CallerRule>,
    /// Targets that the caller must be, by number.
    pub is_self: Vec<usize>,
    /// Targets that the caller must manage, by number.
    pub manages: Vec<usize>,
    /// The fields that a JSON body may have; empty: it is not looked at.
    pub body: Vec<AllowedFields>,
    /// What each root field of a GraphQL request needs.
    pub graphql: Option<GraphqlRule<RequiredPermission>>,
    /// What else has to hold.
    pub conditions: Vec<Expression>,
}

impl Requirement {
    /// All permissions that it can ask for.
    pub fn all_permissions(&self) -> impl Iterator<Item = &RequiredPermission> {
        self.permissions.iter().chain(self.graphql.iter().flat_map(GraphqlRule::all_permissions))
    }
}

/// How the scope of a permission is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeRule {
    /// The service behind filters by the scope that it is told.
    pub by_service: bool,
    /// Whom the request is about.
    pub subject: Option<Revealed>,
    /// Which attributes what it is about has.
    pub attributes: Vec<(Arc<str>, Revealed)>,
}

impl ScopeRule {
    /// Where the request reveals this attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Revealed> {
        self.attributes.iter().find(|(other, _)| **other == *name).map(|(_, revealed)| revealed)
    }
}
