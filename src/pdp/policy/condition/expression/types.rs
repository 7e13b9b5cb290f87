//! The types of expressions, and which names have which.

use std::fmt;

use super::environment::Environment;
use super::inputs::{ListVariable, TableVariable, TextVariable, TimeVariable};

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Known only when it is evaluated: what comes from the body, and what is of several types.
    Dyn,
    Null,
    Bool,
    Int,
    Double,
    String,
    Timestamp,
    Duration,
    List(Box<Type>),
    /// Its keys are strings.
    Map(Box<Type>),
}

impl Type {
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    /// Whether values of the two can be equal at all.
    pub fn is_comparable_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.is_comparable_with(b),
            (a, b) => a == b || (a.is_number() && b.is_number()),
        }
    }

    /// The type of what is either.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(*b))),
            (Self::Map(a), Self::Map(b)) => Self::Map(Box::new(a.join(*b))),
            _ => Self::Dyn,
        }
    }
}

/// Its name; with `{:#}` and its article.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            f.write_str(match self {
                Self::Int => "an ",
                Self::Null => "",
                _ => "a ",
            })?;
        }
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(value) => write!(f, "map(string, {value})"),
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Something with members, and no value itself.
    Record(Record),
    Text(TextVariable),
    List(ListVariable),
    Time(TimeVariable),
    Table(TableVariable),
    CrossedTenants,
    Body,
}

/// The groups of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// What stands alone.
    Root,
    Request,
    Principal,
    Path,
    Targets,
    Target(usize),
    Peer,
}

const ROOT: &[(&str, Name)] = &[
    ("request", Name::Record(Record::Request)),
    ("principal", Name::Record(Record::Principal)),
    ("path", Name::Record(Record::Path)),
    ("targets", Name::Record(Record::Targets)),
    ("peer", Name::Record(Record::Peer)),
    ("now", Name::Time(TimeVariable::Now)),
    ("body", Name::Body),
];

const REQUEST: &[(&str, Name)] = &[
    ("method", Name::Text(TextVariable::Method)),
    ("path", Name::Text(TextVariable::RequestPath)),
    ("host", Name::Text(TextVariable::Host)),
    ("headers", Name::Table(TableVariable::Headers)),
    ("query", Name::Table(TableVariable::Query)),
];

const PRINCIPAL: &[(&str, Name)] = &[
    ("subject", Name::Text(TextVariable::Subject)),
    ("tenant", Name::Text(TextVariable::Tenant)),
    ("issuer", Name::Text(TextVariable::Issuer)),
    ("session", Name::Text(TextVariable::Session)),
    ("client", Name::Text(TextVariable::Client)),
    ("actor", Name::Text(TextVariable::Actor)),
    ("realm", Name::Text(TextVariable::Realm)),
    ("acr", Name::Text(TextVariable::AuthenticationContext)),
    ("roles", Name::List(ListVariable::Roles)),
    ("permissions", Name::List(ListVariable::Permissions)),
    ("services", Name::List(ListVariable::Services)),
    ("amr", Name::List(ListVariable::AuthenticationMethods)),
    ("attributes", Name::Table(TableVariable::PrincipalAttributes)),
    ("authenticated_at", Name::Time(TimeVariable::AuthenticatedAt)),
    ("issued_at", Name::Time(TimeVariable::IssuedAt)),
    ("expires", Name::Time(TimeVariable::Expires)),
    ("crossed_tenants", Name::CrossedTenants),
];

const PEER: &[(&str, Name)] = &[("address", Name::Text(TextVariable::PeerAddress)), ("principal", Name::Text(TextVariable::PeerPrincipal))];

const TARGET: &[&str] = &["id", "roles", "attributes"];

impl Record {
    /// What a member of it stands for.
    pub fn member(self, name: &str, environment: &Environment) -> Option<Name> {
        let fixed = |members: &[(&str, Name)]| members.iter().find(|(other, _)| *other == name).map(|(_, found)| *found);
        let declared = |names: &[Box<str>]| names.iter().position(|other| **other == *name);
        match self {
            Self::Root => fixed(ROOT).filter(|found| environment.body || *found != Name::Body),
            Self::Request => fixed(REQUEST),
            Self::Principal => fixed(PRINCIPAL),
            Self::Peer => fixed(PEER),
            Self::Path => declared(&environment.path_parameters).map(|number| Name::Text(TextVariable::PathParameter(number))),
            Self::Targets => declared(&environment.targets).map(|number| Name::Record(Record::Target(number))),
            Self::Target(number) => match name {
                "id" => Some(Name::Text(TextVariable::TargetId(number))),
                "roles" => Some(Name::List(ListVariable::TargetRoles(number))),
                "attributes" => Some(Name::Table(TableVariable::TargetAttributes(number))),
                _ => None,
            },
        }
    }

    /// The names of all members.
    pub fn members(self, environment: &Environment) -> Vec<&str> {
        let fixed = |members: &'static [(&'static str, Name)]| members.iter().map(|(name, _)| *name).collect();
        match self {
            Self::Root => ROOT.iter().map(|(name, _)| *name).filter(|name| environment.body || *name != "body").collect(),
            Self::Request => fixed(REQUEST),
            Self::Principal => fixed(PRINCIPAL),
            Self::Peer => fixed(PEER),
            Self::Path => environment.path_parameters.iter().map(|name| &**name).collect(),
            Self::Targets => environment.targets.iter().map(|name| &**name).collect(),
            Self::Target(_) => TARGET.to_vec(),
        }
    }
}
