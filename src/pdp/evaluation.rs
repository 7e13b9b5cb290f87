//! Whether somebody, who is known by now, meets what a method requires.

use std::borrow::Cow;
use std::cell::OnceCell;

use smallvec::SmallVec;

use super::View;
use super::decision::{Effect, Reason};
use super::json::Json;
use super::path::NormalizedPath;
use super::policy::RoutePolicy;
use super::policy::condition::authentication::{AuthenticationEvent, StepUp};
use super::policy::condition::body::{BodyError, field_text, json_body};
use super::policy::condition::expression::Expression;
use super::policy::condition::graphql::{GraphqlRule, RootFields, root_fields};
use super::policy::requirement::{Requirement, ScopeRule};
use super::policy::value::{self, RequestValue, Revealed};
use super::principal::Principal;
use super::request::{AccessRequest, Host};
use super::role::TenantRoles;
use super::scope::RequiredPermission;
use super::target::TargetKey;
use super::time::UnixTime;
use super::token::claims::Claims;
use super::token::profile::IssuerPolicy;

mod grant;
mod inputs;
mod target;

pub(super) use grant::Grant;
use grant::Holder;
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
    /// What a GraphQL request asks for, once that was looked at.
    root_fields: OnceCell<RootFields>,
}

impl<'a, 'r, 'p> Evaluation<'a, 'r, 'p> {
    pub fn new(at: Context<'a, 'r, 'p>) -> Self {
        let claims = at.principal.token().claims();
        let token = Holder { permissions: &claims.permissions, within: None, boundary: None, manages: None };
        let mut evaluation = Self {
            claims,
            holders: SmallVec::from_iter([token]),
            unknown_roles: 0,
            body: OnceCell::new(),
            root_fields: OnceCell::new(),
            at,
        };
        evaluation.add_roles();
        evaluation
    }

    /// How many of the token's roles nobody knows. They grant nothing.
    pub fn unknown_roles(&self) -> usize {
        self.unknown_roles
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

    /// What was at hand.
    pub fn context(&self) -> &Context<'a, 'r, 'p> {
        &self.at
    }

    /// What a GraphQL request asks for, as far as that was looked at.
    pub fn into_root_fields(self) -> Option<RootFields> {
        self.root_fields.into_inner()
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
        // All rules of a method look at one body.
        let fields = self.root_fields.get_or_init(|| fields);
        let required = rule.required(fields).map_err(|_| Reason::GraphqlFieldNotListed)?;
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
            let met = self.check_permissions(requirement).and_then(|grant| Ok(grant.and(self.check_conditions(requirement)?)));
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
}
