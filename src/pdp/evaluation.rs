//! Whether somebody, who is known by now, meets what a method requires.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use smallvec::SmallVec;

use super::View;
use super::attribute::{Attributes, is_safe_value};
use super::decision::{Effect, Granted, Reason};
use super::json::Json;
use super::path::NormalizedPath;
use super::permission::{Permission, PermissionSet};
use super::policy::RoutePolicy;
use super::policy::condition::authentication::{AuthenticationEvent, StepUp};
use super::policy::condition::body::{BodyError, field_text, json_body};
use super::policy::condition::expression::Expression;
use super::policy::condition::graphql::{GraphqlRule, root_fields};
use super::policy::requirement::{Requirement, ScopeRule};
use super::policy::value::{self, RequestValue, Revealed};
use super::principal::Principal;
use super::request::{AccessRequest, Host};
use super::role::{ManageRule, TenantRoles, Within};
use super::scope::{Holds, Level, RequiredPermission};
use super::target::{Target, TargetFact, TargetKey};
use super::time::UnixTime;
use super::token::claims::Claims;
use super::token::profile::IssuerPolicy;

mod inputs;

use inputs::ExpressionInputs;

/// Why a requirement is not met.
#[derive(Debug)]
pub(super) struct Refusal {
    pub reason: Reason,
    /// What the client has to do better, where that is the answer.
    pub step_up: Option<StepUp>,
    /// What a directory has to be asked, where that is missing.
    pub wanted: Option<TargetKey>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, step_up: None, wanted: None }
    }
}

/// How permissions were granted: of several, as the narrowest one was.
#[derive(Debug, Default)]
pub(super) struct Grant {
    /// In which scope, where permissions have scopes.
    pub scope: Option<Arc<str>>,
    /// By a role with this boundary.
    pub boundary: Option<Attributes>,
}

impl Grant {
    /// This grant, or the other one where there was nothing to grant.
    pub fn or(self, other: Self) -> Self {
        if self.scope.is_some() || self.boundary.is_some() { self } else { other }
    }
}

/// Something that gives the caller permissions: the token, or a role.
struct Holder<'a> {
    permissions: &'a PermissionSet,
    /// It grants nothing beyond this.
    within: Option<&'a PermissionSet>,
    /// It counts only where what the request is about has these attributes.
    boundary: Option<&'a Attributes>,
    manages: Option<&'a ManageRule>,
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

/// What is at hand when requirements are checked.
pub(super) struct Context<'a, 'r, 'p> {
    pub host: &'a Host,
    pub view: &'a View<'a>,
    pub request: &'a AccessRequest<'r>,
    pub path: &'a NormalizedPath<'p>,
    pub route: &'a RoutePolicy,
    pub principal: &'a Principal,
    pub issuer: &'a IssuerPolicy,
    /// The roles that tenants defined, if they are pulled from the identity service and within their bound.
    pub tenant_roles: Option<&'a TenantRoles>,
    pub now: UnixTime,
}

/// One caller before one method of one route.
pub(super) struct Evaluation<'a, 'r, 'p> {
    at: Context<'a, 'r, 'p>,
    claims: &'a Claims,
    holders: SmallVec<[Holder<'a>; 8]>,
    unknown_roles: usize,
    /// The body as JSON, once somebody asks for it.
    body: OnceCell<Result<Json, BodyError>>,
}

impl<'a, 'r, 'p> Evaluation<'a, 'r, 'p> {
    pub fn new(at: Context<'a, 'r, 'p>) -> Self {
        let claims = at.principal.token().claims();
        let token = Holder { permissions: &claims.permissions, within: None, boundary: None, manages: None };
        let mut evaluation = Self { claims, holders: SmallVec::from_iter([token]), unknown_roles: 0, body: OnceCell::new(), at };
        evaluation.add_roles();
        evaluation
    }

    fn add_roles(&mut self) {
        let (claims, roles) = (self.claims, &self.at.view.snapshot.roles);
        // What is said of somebody in their own tenant says nothing in another.
        let at_home = self.at.principal.is_at_home();
        for assignment in &claims.roles {
            let boundary = Some(&assignment.boundary).filter(|boundary| !boundary.is_empty());
            let holder = match roles.get(&assignment.role) {
                Some(role) if !role.may_be_assigned(&assignment.boundary) => continue,
                Some(role) => Holder { permissions: &role.permissions, within: None, boundary, manages: role.manages.as_ref() },
                None => match self.tenants_own(&assignment.role) {
                    Some(permissions) => {
                        Holder { permissions, within: self.at.issuer.tenant_roles.within.as_deref(), boundary, manages: None }
                    }
                    None => {
                        self.unknown_roles += 1;
                        continue;
                    }
                },
            };
            if at_home || (boundary.is_none() && roles.get(&assignment.role).is_some()) {
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

    /// How many of the token's roles nobody knows. They grant nothing.
    pub fn unknown_roles(&self) -> usize {
        self.unknown_roles
    }

    /// Whether there may be more permissions than are known.
    fn roles_are_missing(&self) -> bool {
        self.unknown_roles > 0 && self.at.issuer.tenant_roles.source.is_some() && self.at.tenant_roles.is_none()
    }

    /// All permissions of a requirement; gives how the narrowest one was granted.
    pub fn check_permissions(&self, requirement: &Requirement) -> Result<Grant, Refusal> {
        self.narrowest(requirement.permissions.iter(), &requirement.scope)
    }

    fn narrowest<'q>(&self, all: impl Iterator<Item = &'q RequiredPermission>, rule: &ScopeRule) -> Result<Grant, Refusal> {
        let mut narrowest: Option<Found<'_, 'q>> = None;
        for required in all {
            let found = self.check_permission(required, rule)?;
            if narrowest.as_ref().is_none_or(|narrowest| found.place > narrowest.place) {
                narrowest = Some(found);
            }
        }
        Ok(narrowest.map_or_else(Grant::default, |Found { level, boundary, .. }| Grant {
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
    fn own_attribute<'h>(&'h self, holder: &Holder<'h>, name: &str) -> Option<&'h str> {
        let bounded = holder.boundary.and_then(|boundary| boundary.get(name));
        bounded.or_else(|| self.claims.attributes.get(name).filter(|_| self.at.principal.is_at_home()))
    }

    /// What a request reveals. `None`: nothing clear.
    fn revealed(&self, revealed: &Revealed) -> Result<Option<Cow<'_, str>>, Refusal> {
        Ok(match revealed {
            Revealed::Request(place) => self.value(place)?,
            Revealed::TargetId(target) => Some(self.target_id(*target)?),
            Revealed::TargetAttribute(target, name) => {
                self.target(*target)?.attributes.get(name).map(|value| Cow::Owned(value.to_string()))
            }
        })
    }

    fn value(&self, place: &RequestValue) -> Result<Option<Cow<'_, str>>, Refusal> {
        Ok(match place {
            RequestValue::Body(path) => field_text(self.body()?, path).map(Cow::Borrowed),
            other => value::find(other, self.at.path, self.at.request),
        })
    }

    /// The body as JSON.
    fn body(&self) -> Result<&Json, Refusal> {
        let read = || json_body(&self.at.request.headers, self.at.request.body);
        self.body.get_or_init(read).as_ref().map_err(|error| {
            let reason = match error {
                BodyError::Unavailable => Reason::BodyUnavailable,
                BodyError::Malformed => Reason::BodyMalformed,
            };
            reason.into()
        })
    }

    /// Everything of a requirement but its permissions; gives how those of a GraphQL request were granted.
    pub fn check_conditions(&self, requirement: &Requirement) -> Result<Grant, Refusal> {
        let event = AuthenticationEvent {
            methods: &self.claims.authentication_methods,
            class: self.claims.authentication_class.as_deref(),
            at: self.claims.authenticated_at,
        };
        if let Err(step_up) = requirement.authentication.check(&event, self.at.issuer.leeway, self.at.now) {
            return Err(Refusal { step_up: Some(step_up), ..Reason::AuthenticationInsufficient.into() });
        }
        if !requirement.callers.iter().all(|callers| callers.admits(self.at.request.peer.principal)) {
            return Err(Reason::CallerNotAllowed.into());
        }
        for target in &requirement.is_self {
            if self.target_id(*target)? != *self.claims.subject {
                return Err(Reason::TargetNotSelf.into());
            }
        }
        for target in &requirement.manages {
            self.check_manages(*target)?;
        }
        for fields in &requirement.body {
            if !fields.admits(self.body()?) {
                return Err(Reason::BodyFieldNotAllowed.into());
            }
        }
        let grant = match &requirement.graphql {
            Some(rule) => self.check_graphql(rule, &requirement.scope)?,
            None => Grant::default(),
        };
        requirement.conditions.iter().try_for_each(|condition| self.check_expression(condition))?;
        Ok(grant)
    }

    /// The permissions of all root fields that a GraphQL request asks for.
    fn check_graphql(&self, rule: &GraphqlRule<RequiredPermission>, scope: &ScopeRule) -> Result<Grant, Refusal> {
        let query_string = self.at.path.query();
        let fields = root_fields(self.body()?, query_string).map_err(|_| Reason::BodyMalformed)?;
        let required = rule.required(&fields).map_err(|_| Reason::GraphqlFieldNotListed)?;
        self.narrowest(required, scope)
    }

    /// An expression that cannot be evaluated is neither true nor false.
    fn check_expression(&self, expression: &Expression) -> Result<(), Refusal> {
        let targets = expression.targets().iter().map(|number| Ok((*number, self.target(*number)?)));
        let targets = targets.collect::<Result<Vec<_>, Refusal>>()?;
        let body = if expression.reads_body() { Some(self.body()?) } else { None };
        match expression.holds(&ExpressionInputs { evaluation: self, targets, body }) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::ConditionNotMet.into()),
            Err(_) => Err(Reason::ConditionFailed.into()),
        }
    }

    /// One of several requirements. Of those that fail, what could not be decided comes first, then what the client can mend, then the
    /// first one.
    pub fn check_any(&self, alternatives: &[Requirement]) -> Result<Grant, Refusal> {
        let mut refusals = Vec::new();
        for requirement in alternatives {
            let met = self.check_permissions(requirement).and_then(|grant| Ok(self.check_conditions(requirement)?.or(grant)));
            match met {
                Ok(grant) => return Ok(grant),
                Err(refusal) => refusals.push(refusal),
            }
        }
        let weight = |refusal: &Refusal| match refusal.reason.effect() {
            Effect::Indeterminate => 0,
            _ if refusal.step_up.is_some() => 1,
            _ => 2,
        };
        Err(refusals.into_iter().min_by_key(weight).unwrap_or_else(|| Reason::InternalError.into()))
    }

    /// Whether one of the caller's roles manages a target.
    fn check_manages(&self, number: usize) -> Result<(), Refusal> {
        let managing = || self.holders.iter().filter_map(|holder| Some((holder, holder.manages?)));
        // Who manages nobody need not learn whether there is such a person.
        if managing().next().is_none() {
            return Err(Reason::TargetNotManaged.into());
        }
        let target = self.target(number)?;
        let reaches = |(holder, rule): (&Holder<'_>, &ManageRule)| {
            let within_boundary = holder.boundary.into_iter().flat_map(Attributes::iter);
            let within = match &rule.within {
                Within::Tenant => true,
                Within::Attribute(name) => {
                    let own = self.own_attribute(holder, name);
                    own.is_some() && own == target.attributes.get(name)
                }
            };
            within && rule.covers(&target) && within_boundary.into_iter().all(|(name, value)| target.attributes.get(name) == Some(value))
        };
        if managing().any(reaches) { Ok(()) } else { Err(Reason::TargetNotManaged.into()) }
    }

    fn target_id(&self, number: usize) -> Result<Cow<'_, str>, Refusal> {
        let (_, place) = self.at.route.targets.get(number).ok_or(Reason::InternalError)?;
        self.value(place)?.filter(|id| is_safe_value(id)).ok_or_else(|| Reason::TargetUnclear.into())
    }

    /// What the directory says of a target in the tenant in which the request takes place.
    fn target(&self, number: usize) -> Result<Arc<Target>, Refusal> {
        let directory = self.at.view.snapshot.directory.ok_or(Reason::InternalError)?;
        let key = TargetKey { directory, tenant: self.at.principal.tenant().cloned(), user: self.target_id(number)?.into() };
        match self.at.view.facts.target(&key) {
            TargetFact::Known(target) => Ok(target),
            TargetFact::Unknown => Err(Reason::TargetUnknown.into()),
            TargetFact::Failed => Err(Reason::TargetUnavailable.into()),
            TargetFact::NotAsked => Err(Refusal { wanted: Some(key), ..Reason::TargetUnavailable.into() }),
        }
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
