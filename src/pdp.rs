//! The policy decision point: values in, a [`Decision`] out. Nothing here talks to the world, and the time is an argument.
//!
//! The checks run in this order, and the first one that fails decides:
//! canonical request → route → credential → signature and claims → time → revocation → age → acting → session → realm → tenant →
//! entitlement → permission → caller → network → schedule → authentication → target → body → condition.

use std::sync::Arc;

mod active;
pub mod attribute;
pub mod credential;
pub mod decision;
mod evaluation;
pub mod json;
pub mod obligation;
pub mod path;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod request;
pub mod revocation;
pub mod role;
pub mod route;
pub mod scope;
pub mod snapshot;
pub mod target;
pub mod tenant;
pub mod time;
pub mod token;

use credential::CredentialError;
use decision::{Decision, Effect, Reason};
use evaluation::{Context, Evaluation, Refusal};
use path::NormalizedPath;
use policy::condition::authentication::StepUp;
use policy::{Access, MethodRule, RoutePolicy, TenantBinding, value};
use principal::Principal;
use request::{AccessRequest, HeaderValue, Host};
use revocation::RevocationData;
use role::TenantRoles;
use route::RouteMatch;
use snapshot::Snapshot;
use target::{TargetFact, TargetKey};
use tenant::{BoundTenant, TenantId};
use time::UnixTime;
use token::cache::TokenCache;
use token::key::KeySet;
use token::profile::{IssuerPolicy, SourceId};

/// What is known from a source of revocations.
#[derive(Debug, Clone)]
pub enum Revocations {
    /// What it said is within its freshness bound.
    Fresh(Arc<RevocationData>),
    /// It is older, and this is the last one that was seen.
    Stale(Arc<RevocationData>),
    /// There is none.
    Missing,
}

/// What was pulled from the identity services, as of now. Implementations answer from memory and never wait.
pub trait Facts {
    /// The issuer's keys, if they are within their freshness bound.
    fn keys(&self, source: SourceId) -> Option<Arc<KeySet>>;
    /// What a source says of revocations.
    fn revocations(&self, source: SourceId) -> Revocations;
    /// The roles that tenants defined for themselves, if they are within their freshness bound.
    fn tenant_roles(&self, source: SourceId) -> Option<Arc<TenantRoles>>;
    /// What a directory says of somebody. Where it was not asked yet, the decision says so, and whoever can wait asks and decides
    /// again.
    fn target(&self, key: &TargetKey) -> TargetFact;
}

/// Everything that one decision rests on besides the request and the time.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The one version of the policy that decides.
    pub snapshot: &'a Snapshot,
    /// Keys and revocations.
    pub facts: &'a dyn Facts,
    /// Tokens that were verified before.
    pub tokens: &'a TokenCache,
}

/// Decides whether a request may pass.
#[must_use]
pub fn decide(view: &View<'_>, request: &AccessRequest<'_>, now: UnixTime) -> Decision {
    let mut decision = Decision::bare(Reason::InternalError);
    decision.reason = match evaluate(view, request, now, &mut decision) {
        Ok(permit) => permit.into(),
        // A refusal can never open, even if a mistake gave it the wrong reason.
        Err(reason) if reason.effect() == Effect::Permit => Reason::InternalError,
        Err(reason) => reason,
    };
    decision
}

/// The ways in which a request can pass.
#[derive(Debug, Clone, Copy)]
enum Permit {
    Allowed,
    Public,
    Anonymous,
    Answered,
}

impl From<Permit> for Reason {
    fn from(permit: Permit) -> Self {
        match permit {
            Permit::Allowed => Self::Allowed,
            Permit::Public => Self::Public,
            Permit::Anonymous => Self::Anonymous,
            Permit::Answered => Self::Answered,
        }
    }
}

fn evaluate(view: &View<'_>, request: &AccessRequest<'_>, now: UnixTime, notes: &mut Decision) -> Result<Permit, Reason> {
    let path = NormalizedPath::parse(request.target).map_err(|_| Reason::PathNotCanonical)?;
    let host = Host::parse(request.authority).map_err(|_| Reason::HostInvalid)?;

    let found = view.snapshot.routes.find(&host, &path).ok_or(Reason::RouteNotFound)?;
    let route = found.payload;
    notes.route = Some(Arc::clone(&route.name));
    notes.overrides.clone_from(&route.overrides);
    notes.audit.clone_from(&route.audit);
    if let Some(reason) = &route.lockdown {
        notes.lockdown = Some(Arc::clone(reason));
        return Err(Reason::LockedDown);
    }
    let rule = route.rule(request.method).ok_or(Reason::MethodNotAllowed)?;
    check_upgrade(route, request)?;

    let caller = identify(view, request, now, &found, &path, rule, notes)?;
    let Caller::Somebody { principal, issuer } = caller else {
        check_surroundings(route, request, now)?;
        return Ok(if rule.access == Access::Public { Permit::Public } else { Permit::Anonymous });
    };
    let tenant_roles = issuer.tenant_roles.source.and_then(|source| view.facts.tenant_roles(source));
    let tenant_roles = tenant_roles.as_deref();
    let evaluation =
        Evaluation::new(Context { view, request, host: &host, path: &path, route, principal: &principal, issuer, tenant_roles, now });
    notes.unknown_roles = evaluation.unknown_roles();
    let outcome = check_requirements(&evaluation, rule, notes);
    notes.root_fields = evaluation.into_root_fields();
    outcome
}

/// What a method asks of somebody.
fn check_requirements(evaluation: &Evaluation<'_, '_, '_>, rule: &MethodRule, notes: &mut Decision) -> Result<Permit, Reason> {
    let grant = evaluation.check_permissions(&rule.all).map_err(|refusal| note(refusal, notes))?;
    let Context { route, request, now, .. } = evaluation.context();
    check_surroundings(route, request, *now)?;
    let grant = grant.and(evaluation.check_conditions(&rule.all).map_err(|refusal| note(refusal, notes))?);
    let grant = match rule.any.as_slice() {
        [] => grant,
        alternatives => grant.and(evaluation.check_any(alternatives).map_err(|refusal| note(refusal, notes))?),
    };
    notes.attributes = grant.boundary.as_ref().map(|boundary| evaluation.attributes_within(boundary));
    notes.scope = grant.scope;
    match rule.answer {
        None => Ok(Permit::Allowed),
        Some(policy::Answer::Permissions) => {
            notes.answer = Some(evaluation.permissions());
            Ok(Permit::Answered)
        }
    }
}

/// Keeps what a refusal says besides its reason.
fn note(refusal: Refusal, notes: &mut Decision) -> Reason {
    notes.step_up = refusal.step_up;
    notes.wanted = refusal.wanted;
    refusal.reason
}

/// What asks for nobody in particular counts for everybody, on public routes too.
fn check_surroundings(route: &RoutePolicy, request: &AccessRequest<'_>, now: UnixTime) -> Result<(), Reason> {
    if !route.callers.iter().all(|callers| callers.admits(request.peer.principal)) {
        return Err(Reason::CallerNotAllowed);
    }
    if !route.networks.iter().all(|network| network.admits(request)) {
        return Err(Reason::NetworkNotAllowed);
    }
    if !route.schedules.iter().all(|schedule| schedule.admits(now)) {
        return Err(Reason::OutsideSchedule);
    }
    Ok(())
}

/// Who is asking.
enum Caller<'v> {
    /// Nobody in particular, where the route lets anybody.
    Anybody,
    /// Somebody, within a session, a realm and a tenant that fit the route.
    Somebody { principal: Principal, issuer: &'v IssuerPolicy },
}

fn identify<'v>(
    view: &View<'v>,
    request: &AccessRequest<'_>,
    now: UnixTime,
    found: &RouteMatch<'_, '_, RoutePolicy>,
    path: &NormalizedPath<'_>,
    rule: &MethodRule,
    notes: &mut Decision,
) -> Result<Caller<'v>, Reason> {
    let route = found.payload;
    if rule.access == Access::Public {
        return Ok(Caller::Anybody);
    }
    let credential = credential::bearer_token(&request.headers).map_err(|error| match error {
        CredentialError::Repeated => Reason::CredentialRepeated,
        CredentialError::Malformed => Reason::CredentialMalformed,
    })?;
    let (token, issuer) = match credential {
        Some(credential) => active::active_token(view, credential, now, notes)?,
        None if rule.access == Access::Optional => return Ok(Caller::Anybody),
        None => return Err(Reason::CredentialMissing),
    };

    let claims = token.claims();
    let principal = notes.principal.insert(Principal { token: Arc::clone(&token), acting_in: None });
    if claims.actor.is_some() && !rule.acting {
        return Err(Reason::ActingNotAllowed);
    }
    if let Some(session) = &route.session {
        let Some(ongoing) = session.check(claims.authenticated_at, now) else {
            notes.step_up = Some(StepUp { max_age: Some(session.max_age.as_secs()), ..StepUp::default() });
            return Err(Reason::SessionExpired);
        };
        notes.session_ends_in = ongoing.ends_in;
    }
    if route.realm.is_some_and(|realm| claims.realm != Some(realm)) {
        return Err(Reason::RealmMismatch);
    }
    match bound_tenant(found, path, request) {
        BoundTenant::Unbound => {}
        BoundTenant::Unclear => return Err(Reason::TenantUnbound),
        BoundTenant::FromToken if claims.tenant.is_some() => {}
        BoundTenant::FromToken => return Err(Reason::TenantMissing),
        BoundTenant::Named(tenant) if claims.tenant.as_ref() == Some(&tenant) => {}
        BoundTenant::Named(tenant) if view.snapshot.roles.cross_tenants(&claims.roles) => {
            principal.acting_in = Some(tenant);
            notes.crossed_tenants = true;
        }
        BoundTenant::Named(_) if claims.tenant.is_none() => return Err(Reason::TenantMissing),
        BoundTenant::Named(_) => return Err(Reason::TenantMismatch),
    }
    if route.service.as_ref().is_some_and(|service| !claims.services.contains(service)) {
        return Err(Reason::ServiceNotEntitled);
    }
    Ok(Caller::Somebody { principal: principal.clone(), issuer })
}

/// Another protocol is judged by what its route says of it, never by what HTTP rules happen to say of the first request.
fn check_upgrade(route: &RoutePolicy, request: &AccessRequest<'_>) -> Result<(), Reason> {
    for name in ["upgrade", ":protocol"] {
        match request.headers.single(name) {
            HeaderValue::Absent => {}
            HeaderValue::One(protocol) if route.websocket && protocol.eq_ignore_ascii_case(b"websocket") => {}
            HeaderValue::One(_) | HeaderValue::Several => return Err(Reason::UpgradeNotAllowed),
        }
    }
    if request.method == "CONNECT" && !route.websocket { Err(Reason::UpgradeNotAllowed) } else { Ok(()) }
}

/// Which tenant a request is about, as its route says where to look.
fn bound_tenant(found: &RouteMatch<'_, '_, RoutePolicy>, path: &NormalizedPath<'_>, request: &AccessRequest<'_>) -> BoundTenant {
    let named = |text: Option<&str>| text.and_then(TenantId::parse).map_or(BoundTenant::Unclear, BoundTenant::Named);
    match &found.payload.tenant {
        TenantBinding::None => BoundTenant::Unbound,
        TenantBinding::Token => BoundTenant::FromToken,
        TenantBinding::Request(place) => named(value::find(place, path, request).as_deref()),
        TenantBinding::Subdomain => named(found.subdomain.filter(|labels| !labels.contains('.'))),
    }
}
