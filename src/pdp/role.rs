//! Roles: names in the token, meanings in the configuration.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::permission::{Permission, PermissionSet};

/// What a role stands for.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// What its holders may do.
    pub permissions: PermissionSet,
    /// Whether its holders may act in a tenant that is not theirs.
    pub crosses_tenants: bool,
    /// How old a token with this role may be; `None`: as old as its `exp` lets it be.
    pub max_token_age: Option<Duration>,
}

/// All configured roles.
#[derive(Debug, Clone, Default)]
pub struct RoleTable {
    by_name: HashMap<Box<str>, Role, RandomState>,
}

impl RoleTable {
    /// Adds or replaces a role.
    pub fn insert(&mut self, name: &str, role: Role) {
        self.by_name.insert(name.into(), role);
    }

    /// How many of these names are no configured roles. They grant nothing.
    #[must_use]
    pub fn unknown(&self, names: &[Box<str>]) -> usize {
        names.iter().filter(|name| !self.by_name.contains_key(*name)).count()
    }

    /// Whether the union of these roles covers the permission.
    #[must_use]
    pub fn allow(&self, names: &[Box<str>], required: &Permission) -> bool {
        self.of(names).any(|role| role.permissions.allows(required))
    }

    /// Whether one of these roles may cross tenants.
    #[must_use]
    pub fn cross_tenants(&self, names: &[Box<str>]) -> bool {
        self.of(names).any(|role| role.crosses_tenants)
    }

    /// The least age that any of these roles allows its tokens.
    #[must_use]
    pub fn max_token_age(&self, names: &[Box<str>]) -> Option<Duration> {
        self.of(names).filter_map(|role| role.max_token_age).min()
    }

    fn of<'r>(&'r self, names: &'r [Box<str>]) -> impl Iterator<Item = &'r Role> {
        names.iter().filter_map(|name| self.by_name.get(name))
    }
}
