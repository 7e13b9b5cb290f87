//! The rules of the seed: what roles mean to this service, and what a membership comes to by them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::bounded::BoundedMap;
use super::duration::AccessTtl;
use super::id::GrantName;
use super::role::{Attributes, Role};
use super::store::{Entitlements, Membership};

/// Permissions by the name of a role.
pub type RolePermissions = BoundedMap<GrantName, Vec<GrantName>, 1024>;

/// Lifetimes by the name of a role.
pub type RoleLifetimes = BoundedMap<GrantName, AccessTtl, 1024>;

/// How many sessions a user may have in one tenant at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaxSessions(u32);

impl TryFrom<u32> for MaxSessions {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if (1..=1000).contains(&number) { Ok(Self(number)) } else { Err(format!("'max_sessions' is {number} and must be 1 to 1000")) }
    }
}

impl From<MaxSessions> for u32 {
    fn from(max: MaxSessions) -> Self {
        max.0
    }
}

/// The rules, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Roles that every tenant can use. A tenant's own role of the same name does not count.
    pub roles: RolePermissions,
    /// Whether a token's permissions contain what its roles stand for.
    pub expand_roles: bool,
    /// Roles whose holders may act for others.
    pub impersonators: Vec<GrantName>,
    /// Roles whose holders may see and end the sessions of others in their tenant.
    pub admin_roles: Vec<GrantName>,
    /// The longest lifetime of a token with such a role.
    pub access_ttl: RoleLifetimes,
    /// How many sessions a user may have in one tenant; without it, any number.
    pub max_sessions: Option<MaxSessions>,
}

/// What a token says about rights.
#[derive(Clone, Debug, PartialEq)]
pub struct Rights {
    /// The roles, as the membership has them.
    pub roles: Vec<Role>,
    /// The permissions, each once.
    pub permissions: Vec<GrantName>,
    /// What describes the member.
    pub attributes: Attributes,
    /// What the roles stand for that the tenant itself has defined, as far as `permissions` does not say it.
    pub custom_roles: RolePermissions,
    /// What the tenant has paid for.
    pub services: Entitlements,
    /// The shortest lifetime that one of the roles demands, in seconds.
    pub access_ttl: Option<i64>,
}

impl Rules {
    /// The roles whose holders are admins unless the seed says otherwise.
    pub fn default_admin_roles() -> Vec<GrantName> {
        GrantName::try_from("admin".to_owned()).into_iter().collect()
    }

    /// Whether holders of these roles may act for others.
    pub fn may_act_for_others(&self, roles: &[Role]) -> bool {
        holds_one_of(roles, &self.impersonators)
    }

    /// Whether holders of these roles are admins of their tenant.
    pub fn is_admin(&self, roles: &[Role]) -> bool {
        holds_one_of(roles, &self.admin_roles)
    }

    /// What a membership comes to.
    ///
    /// A role with a boundary is never expanded: its permissions would lose the boundary. It stays in `roles`, and, if it
    /// is the tenant's own, in `custom_roles`, for the verifier to apply.
    pub fn rights(&self, membership: Membership) -> Rights {
        let Membership { roles, mut permissions, attributes, services, tenant_roles } = membership;
        let mut custom_roles = RolePermissions::default();
        for role in &roles {
            let name = role.name();
            if self.expand_roles && role.is_unbounded() {
                let of_role = self.roles.get(name).or_else(|| tenant_roles.get(name));
                permissions.extend(of_role.into_iter().flatten().cloned());
            } else if !self.roles.contains_key(name)
                && let Some(of_role) = tenant_roles.get(name)
            {
                // Added before, when two assignments name it.
                let _ = custom_roles.add(name.clone(), of_role.clone());
            }
        }
        let mut seen = HashSet::new();
        permissions.retain(|permission| seen.insert(permission.clone()));
        let access_ttl = roles.iter().filter_map(|role| self.access_ttl.get(role.name())).min().map(|ttl| ttl.seconds());
        Rights { roles, permissions, attributes, custom_roles, services, access_ttl }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            roles: RolePermissions::default(),
            expand_roles: false,
            impersonators: Vec::new(),
            admin_roles: Self::default_admin_roles(),
            access_ttl: RoleLifetimes::default(),
            max_sessions: None,
        }
    }
}

/// Whether one of `names` is held everywhere in the tenant: a role within a boundary is no power over those beyond it.
fn holds_one_of(roles: &[Role], names: &[GrantName]) -> bool {
    roles.iter().filter(|role| role.is_unbounded()).any(|role| names.contains(role.name()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(changes: &[(&str, Value)]) -> Rules {
        let mut rules = serde_json::to_value(Rules::default()).unwrap();
        for (name, value) in changes {
            rules[*name] = value.clone();
        }
        serde_json::from_value(rules).unwrap()
    }

    fn membership(roles: Value) -> Membership {
        Membership {
            roles: serde_json::from_value(roles).unwrap(),
            permissions: serde_json::from_value(json!(["own"])).unwrap(),
            attributes: Attributes::default(),
            services: Entitlements::new(),
            tenant_roles: serde_json::from_value(json!({"lead": ["l1", "both"], "editor": ["usurped"]})).unwrap(),
        }
    }

    fn summary(rules: &Rules, roles: Value) -> Value {
        let rights = rules.rights(membership(roles));
        json!([rights.permissions, rights.custom_roles])
    }

    #[test]
    fn roles_expand_into_permissions_once_each() {
        let rules = rules(&[("roles", json!({"editor": ["e1", "both", "own"]})), ("expand_roles", json!(true))]);
        assert_eq!(summary(&rules, json!(["editor", "lead", {"role": "lead"}, "unknown"])), json!([["own", "e1", "both", "l1"], {}]));
    }

    #[test]
    fn role_with_a_boundary_is_never_expanded() {
        let rules = rules(&[("roles", json!({"editor": ["e1"]})), ("expand_roles", json!(true))]);
        let roles = json!([{"role": "editor", "department": "d1"}, {"role": "lead", "department": "d1"}]);
        assert_eq!(summary(&rules, roles), json!([["own"], {"lead": ["l1", "both"]}]));
    }

    #[test]
    fn custom_roles_are_those_that_the_membership_names() {
        let roles = json!(["lead", {"role": "lead", "department": "d1"}, "other"]);
        assert_eq!(summary(&Rules::default(), roles), json!([["own"], {"lead": ["l1", "both"]}]));
        assert_eq!(summary(&Rules::default(), json!(["other"])), json!([["own"], {}]));
    }

    #[test]
    fn role_of_everybody_is_not_redefined_by_a_tenant() {
        for expand in [false, true] {
            let rules = rules(&[("roles", json!({"editor": ["e1"]})), ("expand_roles", json!(expand))]);
            assert!(!summary(&rules, json!(["editor"])).to_string().contains("usurped"));
        }
    }

    #[test]
    fn shortest_lifetime_counts() {
        let rules = rules(&[("access_ttl", json!({"a": "5m", "b": "2m", "c": "1s"}))]);
        let ttl = |roles| rules.rights(membership(roles)).access_ttl;
        assert_eq!(ttl(json!(["a", {"role": "b", "department": "d1"}])), Some(120));
        assert_eq!(ttl(json!(["other"])), None);
    }

    #[test]
    fn power_over_others_has_no_boundary() {
        let rules = rules(&[("impersonators", json!(["SUPER"]))]);
        let roles = |roles: Value| serde_json::from_value::<Vec<Role>>(roles).unwrap();
        assert!(rules.may_act_for_others(&roles(json!(["x", "SUPER"]))));
        assert!(!rules.may_act_for_others(&roles(json!([{"role": "SUPER", "department": "d1"}, "admin"]))));
        assert!(rules.is_admin(&roles(json!(["admin"]))));
        assert!(!rules.is_admin(&roles(json!([{"role": "admin", "department": "d1"}]))));
    }
}
