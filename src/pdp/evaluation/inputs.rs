//! What conditions in CEL read: the request, the caller, the targets.

use std::borrow::Cow;
use std::sync::Arc;

use super::Evaluation;
use crate::pdp::json::Json;
use crate::pdp::path::{self, QueryValue};
use crate::pdp::policy::condition::expression::{Entry, Inputs, ListVariable, TableVariable, TextVariable, TimeVariable};
use crate::pdp::request::HeaderValue;
use crate::pdp::role::RoleAssignment;
use crate::pdp::target::Target;
use crate::pdp::tenant::{Realm, TenantId};
use crate::pdp::time::UnixTime;

/// The values of one request for one expression.
pub(super) struct ExpressionInputs<'e, 'a, 'r, 'p> {
    pub evaluation: &'e Evaluation<'a, 'r, 'p>,
    /// The targets that the expression reads, by number.
    pub targets: Vec<(usize, Arc<Target>)>,
    /// The body, if the expression reads it.
    pub body: Option<&'e Json>,
}

impl ExpressionInputs<'_, '_, '_, '_> {
    fn target(&self, number: usize) -> Option<&Target> {
        self.targets.iter().find(|(other, _)| *other == number).map(|(_, target)| &**target)
    }
}

fn known(value: Option<&str>) -> Entry<'_> {
    value.map_or(Entry::Absent, |value| Entry::Value(Cow::Borrowed(value)))
}

fn borrowed(texts: &[Box<str>]) -> Vec<Cow<'_, str>> {
    texts.iter().map(|text| Cow::Borrowed(&**text)).collect()
}

impl Inputs for ExpressionInputs<'_, '_, '_, '_> {
    fn text(&self, variable: TextVariable) -> Option<Cow<'_, str>> {
        let (at, claims) = (&self.evaluation.at, self.evaluation.claims);
        let not_empty = |text: &'_ str| Some(text.to_string()).filter(|text| !text.is_empty()).map(Cow::Owned);
        let text = match variable {
            TextVariable::Method => Some(at.request.method),
            TextVariable::RequestPath => at.request.target.split('?').next(),
            TextVariable::Host => Some(at.host.as_str()),
            TextVariable::Subject => Some(&*claims.subject),
            TextVariable::Tenant => claims.tenant.as_ref().map(TenantId::as_str),
            TextVariable::Issuer => Some(&*claims.issuer),
            TextVariable::Session => claims.session.as_deref(),
            TextVariable::Client => claims.client_id.as_deref(),
            TextVariable::Actor => claims.actor.as_ref().map(|actor| &*actor.subject),
            TextVariable::Realm => claims.realm.map(Realm::as_str),
            TextVariable::AuthenticationContext => claims.authentication_class.as_deref(),
            TextVariable::PeerAddress => return not_empty(at.request.peer.address),
            TextVariable::PeerPrincipal => return not_empty(at.request.peer.principal),
            TextVariable::PathParameter(number) => {
                let (_, position) = at.route.parameters.get(number)?;
                at.path.segments().get(*position).map(AsRef::as_ref)
            }
            TextVariable::TargetId(number) => return self.evaluation.target_id(number).ok(),
        };
        text.map(Cow::Borrowed)
    }

    fn list(&self, variable: ListVariable) -> Vec<Cow<'_, str>> {
        let claims = self.evaluation.claims;
        match variable {
            // A role with a boundary is not that role.
            ListVariable::Roles => {
                let unbounded = claims.roles.iter().filter(|assignment| assignment.boundary.is_empty());
                unbounded.map(|RoleAssignment { role, .. }| Cow::Borrowed(&**role)).collect()
            }
            ListVariable::Permissions => claims.permissions_text.split(',').filter(|text| !text.is_empty()).map(Cow::Borrowed).collect(),
            ListVariable::Services => borrowed(&claims.services),
            ListVariable::AuthenticationMethods => borrowed(&claims.authentication_methods),
            ListVariable::TargetRoles(number) => self.target(number).map(|target| borrowed(&target.roles)).unwrap_or_default(),
        }
    }

    fn time(&self, variable: TimeVariable) -> Option<UnixTime> {
        let claims = self.evaluation.claims;
        match variable {
            TimeVariable::Now => Some(self.evaluation.at.now),
            TimeVariable::AuthenticatedAt => claims.authenticated_at,
            TimeVariable::IssuedAt => claims.issued_at,
            TimeVariable::Expires => Some(claims.expires),
        }
    }

    fn entry(&self, table: TableVariable, name: &str) -> Entry<'_> {
        let at = &self.evaluation.at;
        match table {
            TableVariable::Headers => match at.request.headers.single_in_any_spelling(name) {
                HeaderValue::One(value) => std::str::from_utf8(value).map_or(Entry::Unclear, |value| Entry::Value(Cow::Borrowed(value))),
                HeaderValue::Several => Entry::Unclear,
                HeaderValue::Absent => Entry::Absent,
            },
            TableVariable::Query => match path::query_value(at.path.query(), name) {
                QueryValue::One(value) => Entry::Value(Cow::Owned(value)),
                QueryValue::Ambiguous => Entry::Unclear,
                QueryValue::Absent => Entry::Absent,
            },
            TableVariable::PrincipalAttributes => known(self.evaluation.claims.attributes.get(name).filter(|_| at.principal.is_at_home())),
            TableVariable::TargetAttributes(number) => known(self.target(number).and_then(|target| target.attributes.get(name))),
        }
    }

    fn names(&self, table: TableVariable) -> Option<Vec<Cow<'_, str>>> {
        let at = &self.evaluation.at;
        let mut names: Vec<Cow<'_, str>> = match table {
            TableVariable::Headers => at.request.headers.iter().map(|(name, _)| Cow::Borrowed(name)).collect(),
            TableVariable::Query => path::query_names(at.path.query())?.into_iter().map(Cow::Owned).collect(),
            TableVariable::PrincipalAttributes if !at.principal.is_at_home() => Vec::new(),
            TableVariable::PrincipalAttributes => self.evaluation.claims.attributes.iter().map(|(name, _)| Cow::Borrowed(name)).collect(),
            TableVariable::TargetAttributes(number) => {
                let attributes = self.target(number).map(|target| target.attributes.iter().map(|(name, _)| Cow::Borrowed(name)).collect());
                attributes.unwrap_or_default()
            }
        };
        names.sort();
        names.dedup();
        Some(names)
    }

    fn crossed_tenants(&self) -> bool {
        !self.evaluation.at.principal.is_at_home()
    }

    fn body(&self) -> Option<&Json> {
        self.body
    }
}
