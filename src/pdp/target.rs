//! Whom a request is about: the `{user}` of `/employees/{user}`, and what the directory knows of them.

use std::sync::Arc;

use super::attribute::Attributes;
use super::tenant::TenantId;
use super::token::profile::SourceId;

/// The question to a directory: what is this user in this tenant?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetKey {
    /// The directory.
    pub directory: SourceId,
    /// The tenant in which the request takes place; `None`: none.
    pub tenant: Option<TenantId>,
    /// The user's id, as tokens have it in `sub`.
    pub user: Box<str>,
}

/// What a directory says of a user in a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The names of all their roles there.
    pub roles: Vec<Box<str>>,
    /// Their attributes there.
    pub attributes: Attributes,
}

/// What is known at the moment.
#[derive(Debug, Clone)]
pub enum TargetFact {
    /// The directory knows them.
    Known(Arc<Target>),
    /// It says that there is nobody of this id in that tenant.
    Unknown,
    /// It did not answer, or not in a way that counts.
    Failed,
    /// It was not asked yet.
    NotAsked,
}
