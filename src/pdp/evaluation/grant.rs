//! What the caller was granted: by the token and by roles, in which scope, within which boundary.

use std::sync::Arc;

use super::{Evaluation, Refusal};
use crate::pdp::attribute::Attributes;
use crate::pdp::decision::{Granted, Reason};
use crate::pdp::permission::{Permission, PermissionSet};
use crate::pdp::policy::requirement::{Requirement, ScopeRule};
use crate::pdp::role::ManageRule;
use crate::pdp::scope::{Holds, Level, RequiredPermission};

/// How permissions were granted: of several, as the narrowest one was.
#[derive(Debug, Default)]
pub(in crate::pdp) struct Grant {
    /// The number of the level: the widest one is 0. `None`: no permission was asked for.
    place: Option<usize>,
    /// In which scope, where permissions have scopes.
    pub scope: Option<Arc<str>>,
    /// By a role with this boundary.
    pub boundary: Option<Attributes>,
}

impl Grant {
    /// The narrower one of two.
    pub fn and(self, other: Self) -> Self {
        if other.place > self.place { other } else { self }
    }
}

/// Something that gives the caller permissions: the token, or a role.
pub(super) struct Holder<'a> {
    pub permissions: &'a PermissionSet,
    /// It grants nothing beyond this.
    pub within: Option<&'a PermissionSet>,
    /// It counts only where what the request is about has these attributes.
    pub boundary: Option<&'a Attributes>,
    pub manages: Option<&'a ManageRule>,
}

impl Holder<'_> {
    fn allows(&self, permission: &Permission) -> bool {
        self.permissions.allows(permission) && self.within.is_none_or(|within| within.allows(permission))
    }

    /// The number of the widest level that is granted.
    fn widest(&self, required: &RequiredPermission) -> Option<usize> {
        required.levels().iter().position(|level| self.allows(&level.permission))
    }
}

/// A level at which a permission is granted.
struct Found<'h, 'q> {
    /// Its number: the widest one is 0.
    place: usize,
    level: &'q Level,
    /// The boundary of the role that grants it.
    boundary: Option<&'h Attributes>,
}

impl<'a> Evaluation<'a, '_, '_> {
    /// Collects what the token's roles grant.
    pub(super) fn add_roles(&mut self) {
        let (claims, roles) = (self.claims, &self.at.view.snapshot.roles);
        // What is said of somebody in their own tenant says nothing in another.
        let at_home = self.at.principal.is_at_home();
        for assignment in &claims.roles {
            let boundary = Some(&assignment.boundary).filter(|boundary| !boundary.is_empty());
            let (holder, counts_abroad) = match roles.get(&assignment.role) {
                Some(role) if !role.may_be_assigned(&assignment.boundary) => continue,
                Some(role) => {
                    let manages = role.manages.as_ref();
                    (Holder { permissions: &role.permissions, within: None, boundary, manages }, boundary.is_none())
                }
                None => match self.tenants_own(&assignment.role) {
                    Some(permissions) => {
                        let within = self.at.issuer.tenant_roles.within.as_deref();
                        (Holder { permissions, within, boundary, manages: None }, false)
                    }
                    None => {
                        self.unknown_roles += 1;
                        continue;
                    }
                },
            };
            if at_home || counts_abroad {
                self.holders.push(holder);
            }
        }
    }

    /// A role that the token's tenant defined for itself.
    fn tenants_own(&self, role: &str) -> Option<&'a PermissionSet> {
        let claims = self.claims;
        let carried = claims.tenant_roles.iter().find(|(name, _)| **name == *role).map(|(_, permissions)| permissions);
        carried.or_else(|| self.at.tenant_roles?.get(claims.tenant.as_ref()?, role))
    }

    /// Whether there may be more permissions than are known.
    fn roles_are_missing(&self) -> bool {
        self.unknown_roles > 0 && self.at.issuer.tenant_roles.source.is_some() && self.at.tenant_roles.is_none()
    }

    /// All permissions of a requirement; gives how the narrowest one was granted.
    pub fn check_permissions(&self, requirement: &Requirement) -> Result<Grant, Refusal> {
        self.narrowest(requirement.permissions.iter(), &requirement.scope)
    }

    pub(super) fn narrowest<'q>(&self, all: impl Iterator<Item = &'q RequiredPermission>, rule: &ScopeRule) -> Result<Grant, Refusal> {
        let mut narrowest: Option<Found<'_, 'q>> = None;
        for required in all {
            let found = self.check_permission(required, rule)?;
            if narrowest.as_ref().is_none_or(|narrowest| found.place > narrowest.place) {
                narrowest = Some(found);
            }
        }
        Ok(narrowest.map_or_else(Grant::default, |Found { place, level, boundary }| Grant {
            place: Some(place),
            scope: level.scope.as_ref().map(|scope| Arc::clone(&scope.name)),
            boundary: boundary.cloned(),
        }))
    }

    /// The widest level at which a permission is granted and what the request is about is within its scope.
    fn check_permission<'q>(&self, required: &'q RequiredPermission, rule: &ScopeRule) -> Result<Found<'_, 'q>, Refusal> {
        let mut best: Option<Found<'_, 'q>> = None;
        let mut granted = false;
        let mut undecided = None;
        for holder in &self.holders {
            let Some(widest) = holder.widest(required) else { continue };
            granted = true;
            match self.is_within_boundary(holder, rule) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(refusal) => {
                    undecided.get_or_insert(refusal);
                    continue;
                }
            }
            // A wider grant includes the narrower ones.
            for (place, level) in required.levels().iter().enumerate().skip(widest) {
                if best.as_ref().is_some_and(|best| best.place <= place) {
                    break;
                }
                match self.is_in_scope(level, holder, rule) {
                    Ok(true) => {
                        best = Some(Found { place, level, boundary: holder.boundary });
                        break;
                    }
                    Ok(false) => {}
                    Err(refusal) => {
                        undecided.get_or_insert(refusal);
                    }
                }
            }
        }
        match (best, undecided) {
            (Some(best), _) => Ok(best),
            (None, Some(refusal)) => Err(refusal),
            (None, None) if self.roles_are_missing() => Err(Reason::RolesUnavailable.into()),
            (None, None) if granted => Err(Reason::ScopeInsufficient.into()),
            (None, None) => Err(Reason::PermissionMissing.into()),
        }
    }

    fn is_within_boundary(&self, holder: &Holder<'_>, rule: &ScopeRule) -> Result<bool, Refusal> {
        for (name, value) in holder.boundary.into_iter().flat_map(Attributes::iter) {
            // What the request does not reveal cannot be within.
            let Some(revealed) = rule.attribute(name) else { return Ok(false) };
            if self.revealed(revealed)?.as_deref() != Some(value) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_in_scope(&self, level: &Level, holder: &Holder<'_>, rule: &ScopeRule) -> Result<bool, Refusal> {
        let Some(scope) = &level.scope else { return Ok(true) };
        if rule.by_service {
            return Ok(true);
        }
        let (revealed, own) = match &scope.holds {
            Holds::Everywhere => return Ok(true),
            Holds::Subject => (rule.subject.as_ref(), Some(&*self.claims.subject)),
            Holds::Attribute(name) => (rule.attribute(name), self.own_attribute(holder, name)),
        };
        let (Some(revealed), Some(own)) = (revealed, own) else { return Ok(false) };
        Ok(self.revealed(revealed)?.as_deref() == Some(own))
    }

    /// The caller's attribute: within an assignment with a boundary, the boundary's.
    pub(super) fn own_attribute<'h>(&'h self, holder: &Holder<'h>, name: &str) -> Option<&'h str> {
        let bounded = holder.boundary.and_then(|boundary| boundary.get(name));
        bounded.or_else(|| self.claims.attributes.get(name).filter(|_| self.at.principal.is_at_home()))
    }

    /// Of all permissions that routes ask for, those that the caller has: the widest scope that holds everywhere, and what a role with
    /// a boundary adds to that.
    pub fn permissions(&self) -> Vec<Granted> {
        let mut all = Vec::new();
        for required in &self.at.view.snapshot.permissions {
            let of = |bounded: bool| self.holders.iter().filter(move |holder| holder.boundary.is_some() == bounded);
            let granted = |place: usize, boundary: Option<&Attributes>| Granted {
                permission: Arc::clone(required.name()),
                scope: required.levels().get(place).and_then(|level| level.scope.as_ref()).map(|scope| Arc::clone(&scope.name)),
                boundary: boundary.cloned().unwrap_or_default(),
            };
            let everywhere = of(false).filter_map(|holder| holder.widest(required)).min();
            all.extend(everywhere.map(|place| granted(place, None)));
            for holder in of(true) {
                let adds = |place: &usize| everywhere.is_none_or(|everywhere| *place < everywhere);
                let addition = holder.widest(required).filter(adds).map(|place| granted(place, holder.boundary));
                all.extend(addition.filter(|addition| !all.contains(addition)));
            }
        }
        all
    }

    /// The caller's attributes where a grant of a role with a boundary replaces some of them: `name=value`, joined by commas.
    pub fn attributes_within(&self, boundary: &Attributes) -> Box<str> {
        let own = self.claims.attributes.iter().filter(|(name, _)| boundary.get(name).is_none());
        let all: Vec<String> = own.chain(boundary.iter()).map(|(name, value)| format!("{name}={value}")).collect();
        all.join(",").into()
    }
}
