//! Roles: names in the token, meanings in the configuration or with the tenant.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::attribute::Attributes;
use super::permission::PermissionSet;
use super::target::Target;
use super::tenant::TenantId;

/// A role as somebody has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The role's name.
    pub role: Box<str>,
    /// It counts only where what the request is about has these attributes; empty: everywhere.
    pub boundary: Attributes,
}

/// What a role stands for.
#[derive(Debug, Clone)]
pub struct Role {
    /// What its holders may do.
    pub permissions: PermissionSet,
    /// Whether its holders may act in a tenant that is not theirs.
    pub crosses_tenants: bool,
    /// Whether its holders may act on behalf of others (RFC 8693 section 4.1).
    pub acts_for_others: bool,
    /// Whether others may act on behalf of its holders.
    pub acted_for: bool,
    /// Attributes that an assignment must have in its boundary; without them it counts nowhere.
    pub bounded_by: Vec<Box<str>>,
    /// Whom its holders manage; `None`: nobody.
    pub manages: Option<ManageRule>,
    /// How old a token with this role may be; `None`: as old as its `exp` lets it be.
    pub max_token_age: Option<Duration>,
}

impl Role {
    /// Whether an assignment of the role counts at all.
    #[must_use]
    pub fn may_be_assigned(&self, boundary: &Attributes) -> bool {
        self.bounded_by.iter().all(|attribute| boundary.get(attribute).is_some())
    }
}

/// Whom the holders of a role manage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManageRule {
    /// People whose roles are all among these; `None`: people of any roles.
    pub roles: Option<Vec<Box<str>>>,
    /// How far away.
    pub within: Within,
}

/// How far a holder's management reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// Over the tenant in which the request takes place.
    Tenant,
    /// Over people with the holder's value of this attribute.
    Attribute(Arc<str>),
}

impl ManageRule {
    /// Whether somebody's roles are among those that are managed. Who also has another role is above or beside, and so is who has
    /// none.
    #[must_use]
    pub fn covers(&self, target: &Target) -> bool {
        match &self.roles {
            None => true,
            Some(managed) => !target.roles.is_empty() && target.roles.iter().all(|role| managed.contains(role)),
        }
    }
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

    /// The role of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.by_name.get(name)
    }

    /// Whether one of these roles may cross tenants. One with a boundary within a tenant cannot.
    #[must_use]
    pub fn cross_tenants(&self, assignments: &[RoleAssignment]) -> bool {
        self.unbounded(assignments).any(|role| role.crosses_tenants)
    }

    /// Whether one of these roles may act on behalf of others. One with a boundary cannot.
    #[must_use]
    pub fn act_for_others(&self, assignments: &[RoleAssignment]) -> bool {
        self.unbounded(assignments).any(|role| role.acts_for_others)
    }

    /// Whether others may act on behalf of who has these roles.
    #[must_use]
    pub fn acted_for(&self, assignments: &[RoleAssignment]) -> bool {
        self.of(assignments).all(|role| role.acted_for)
    }

    /// The least age that any of these roles allows its tokens.
    #[must_use]
    pub fn max_token_age(&self, assignments: &[RoleAssignment]) -> Option<Duration> {
        self.of(assignments).filter_map(|role| role.max_token_age).min()
    }

    fn of<'r>(&'r self, assignments: &'r [RoleAssignment]) -> impl Iterator<Item = &'r Role> {
        assignments.iter().filter_map(|assignment| self.get(&assignment.role))
    }

    fn unbounded<'r>(&'r self, assignments: &'r [RoleAssignment]) -> impl Iterator<Item = &'r Role> {
        let unbounded = assignments.iter().filter(|assignment| assignment.boundary.is_empty());
        unbounded.filter_map(|assignment| self.get(&assignment.role)).filter(|role| role.bounded_by.is_empty())
    }
}

/// The roles that tenants defined for themselves, as they were pulled from the identity service.
#[derive(Debug, Clone, Default)]
pub struct TenantRoles {
    by_tenant: HashMap<TenantId, HashMap<Box<str>, PermissionSet, RandomState>, RandomState>,
}

impl TenantRoles {
    /// Adds or replaces a role of a tenant.
    pub fn insert(&mut self, tenant: TenantId, role: &str, permissions: PermissionSet) {
        self.by_tenant.entry(tenant).or_default().insert(role.into(), permissions);
    }

    /// What a role of a tenant grants.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, role: &str) -> Option<&PermissionSet> {
        self.by_tenant.get(tenant)?.get(role)
    }

    /// How many roles there are, of all tenants together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_tenant.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
