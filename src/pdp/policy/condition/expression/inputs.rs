//! What an evaluation reads, handed over only when it is asked for.

use std::borrow::Cow;

use crate::pdp::json::Json;
use crate::pdp::time::UnixTime;

/// The values of one request. Every one can be absent; reading an absent one is an error of the evaluation, and `has` tells. What is
/// there in a way that others may read differently is not absent: even asking whether it is there is an error.
pub trait Inputs {
    /// A text.
    fn text(&self, variable: TextVariable) -> Option<Cow<'_, str>>;

    /// A list of texts; empty where there is none.
    fn list(&self, variable: ListVariable) -> Vec<Cow<'_, str>>;

    /// A moment.
    fn time(&self, variable: TimeVariable) -> Option<UnixTime>;

    /// What a table has under this name.
    fn entry(&self, table: TableVariable, name: &str) -> Entry<'_>;

    /// All names of a table, each once, also those of which the value is unclear. `None`: not even the names are clear.
    fn names(&self, table: TableVariable) -> Option<Vec<Cow<'_, str>>>;

    /// `principal.crossed_tenants`: whether the caller acts in another tenant than the token's.
    fn crossed_tenants(&self) -> bool;

    /// `body`: the whole body.
    fn body(&self) -> Option<&Json>;
}

/// What a table has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'r> {
    /// Nothing.
    Absent,
    /// Several values, or one that is no text.
    Unclear,
    /// One text.
    Value(Cow<'r, str>),
}

/// The texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextVariable {
    /// `request.method`
    Method,
    /// `request.path`, without the query.
    RequestPath,
    /// `request.host`, in lower case, without the port.
    Host,
    /// `principal.subject`
    Subject,
    /// `principal.tenant`: the token's.
    Tenant,
    /// `principal.issuer`
    Issuer,
    /// `principal.session`
    Session,
    /// `principal.client`
    Client,
    /// `principal.actor`: who acts for the subject.
    Actor,
    /// `principal.realm`
    Realm,
    /// `principal.acr`
    AuthenticationContext,
    /// `peer.address`
    PeerAddress,
    /// `peer.principal`
    PeerPrincipal,
    /// `path.NAME`, by its position in [`super::Environment::path_parameters`].
    PathParameter(usize),
    /// `targets.NAME.id`, by its position in [`super::Environment::targets`].
    TargetId(usize),
}

/// The lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListVariable {
    /// `principal.roles`
    Roles,
    /// `principal.permissions`
    Permissions,
    /// `principal.services`
    Services,
    /// `principal.amr`
    AuthenticationMethods,
    /// `targets.NAME.roles`
    TargetRoles(usize),
}

/// The moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeVariable {
    /// `now`
    Now,
    /// `principal.authenticated_at`
    AuthenticatedAt,
    /// `principal.issued_at`
    IssuedAt,
    /// `principal.expires`
    Expires,
}

/// The tables: texts by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableVariable {
    /// `request.headers`, names in lower case; a header that is there several times is unclear.
    Headers,
    /// `request.query`; a parameter that is there several times is unclear.
    Query,
    /// `principal.attributes`
    PrincipalAttributes,
    /// `targets.NAME.attributes`
    TargetAttributes(usize),
}
