//! The policy decision point: values in, a [`Decision`] out. Nothing here talks to the world, and the time is an argument.
//!
//! The checks run in this order, and the first one that fails decides:
//! canonical request → route → credential → signature and claims → time → revocation → age → session → realm → tenant →
//! entitlement → permission → authentication → network → schedule.

use std::sync::Arc;

pub mod credential;
pub mod decision;
pub mod obligation;
pub mod path;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod request;
pub mod revocation;
pub mod role;
pub mod route;
pub mod snapshot;
pub mod tenant;
pub mod time;
pub mod token;

use credential::{BearerToken, CredentialError};
use decision::{Decision, Effect, Reason, TokenLookup, UnknownKey};
use path::{NormalizedPath, QueryValue};
use policy::condition::authentication::{AuthenticationEvent, StepUp};
use policy::{Access, MethodRule, RoutePolicy};
use principal::Principal;
use request::{AccessRequest, HeaderValue, Host};
use revocation::RevocationList;
use route::RouteMatch;
use snapshot::Snapshot;
use tenant::{BoundTenant, TenantBinding, TenantId};
use time::UnixTime;
use token::cache::{TokenCache, TokenDigest};
use token::jws::CompactJws;
use token::key::KeySet;
use token::profile::{IssuerPolicy, SourceId, WhenStale};
use token::verify::{self, VerifiedToken};

/// What is known of an issuer's revocations.
#[derive(Debug, Clone)]
pub enum Revocations {
    /// The list is within its freshness bound.
    Fresh(Arc<RevocationList>),
    /// It is older, and this is the last one that was seen.
    Stale(Arc<RevocationList>),
    /// There is none.
    Missing,
}

/// What was pulled from the identity services, as of now. Implementations answer from memory and never wait.
pub trait Facts {
    /// The issuer's keys, if they are within their freshness bound.
    fn keys(&self, source: SourceId) -> Option<Arc<KeySet>>;
    /// The issuer's revocations.
    fn revocations(&self, source: SourceId) -> Revocations;
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
}

impl From<Permit> for Reason {
    fn from(permit: Permit) -> Self {
        match permit {
            Permit::Allowed => Self::Allowed,
            Permit::Public => Self::Public,
            Permit::Anonymous => Self::Anonymous,
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
    if let Some(reason) = &route.lockdown {
        notes.lockdown = Some(Arc::clone(reason));
        return Err(Reason::LockedDown);
    }
    let rule = route.rule(request.method).ok_or(Reason::MethodNotAllowed)?;
    check_upgrade(route, request)?;

    let permit = admit(view, request, now, &found, &path, rule, notes)?;
    // What asks for nobody in particular counts for everybody, on public routes too.
    if !route.networks.iter().all(|network| network.admits(request)) {
        return Err(Reason::NetworkNotAllowed);
    }
    if !route.schedules.iter().all(|schedule| schedule.admits(now)) {
        return Err(Reason::OutsideSchedule);
    }
    Ok(permit)
}

/// Who is asking, and whether they may.
fn admit(
    view: &View<'_>,
    request: &AccessRequest<'_>,
    now: UnixTime,
    found: &RouteMatch<'_, '_, RoutePolicy>,
    path: &NormalizedPath<'_>,
    rule: &MethodRule,
    notes: &mut Decision,
) -> Result<Permit, Reason> {
    let route = found.payload;
    let required = match &rule.access {
        Access::Public => return Ok(Permit::Public),
        Access::Optional | Access::Authenticated => &[][..],
        Access::Permissions(required) => required,
    };
    let credential = credential::bearer_token(&request.headers).map_err(|error| match error {
        CredentialError::Repeated => Reason::CredentialRepeated,
        CredentialError::Malformed => Reason::CredentialMalformed,
    })?;
    let (token, issuer) = match credential {
        Some(credential) => active_token(view, credential, now, notes)?,
        None if rule.access == Access::Optional => return Ok(Permit::Anonymous),
        None => return Err(Reason::CredentialMissing),
    };

    let claims = token.claims();
    let roles = &view.snapshot.roles;
    notes.unknown_roles = roles.unknown(&claims.roles);
    let principal = notes.principal.insert(Principal { token: Arc::clone(&token), acting_in: None });

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
        BoundTenant::Named(tenant) if roles.cross_tenants(&claims.roles) => {
            principal.acting_in = Some(tenant);
            notes.crossed_tenants = true;
        }
        BoundTenant::Named(_) if claims.tenant.is_none() => return Err(Reason::TenantMissing),
        BoundTenant::Named(_) => return Err(Reason::TenantMismatch),
    }
    if route.service.as_ref().is_some_and(|service| !claims.services.contains(service)) {
        return Err(Reason::ServiceNotEntitled);
    }
    let granted = |permission| claims.permissions.allows(permission) || roles.allow(&claims.roles, permission);
    if !required.iter().all(granted) {
        return Err(Reason::PermissionMissing);
    }
    let event = AuthenticationEvent {
        methods: &claims.authentication_methods,
        class: claims.authentication_class.as_deref(),
        at: claims.authenticated_at,
    };
    if let Err(step_up) = rule.authentication.check(&event, issuer.leeway, now) {
        notes.step_up = Some(step_up);
        return Err(Reason::AuthenticationInsufficient);
    }
    Ok(Permit::Allowed)
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

/// From a credential to a token that is verified, in date and not revoked.
fn active_token<'v>(
    view: &View<'v>,
    credential: BearerToken<'_>,
    now: UnixTime,
    notes: &mut Decision,
) -> Result<(Arc<VerifiedToken>, &'v IssuerPolicy), Reason> {
    if credential.as_str().len() > view.snapshot.issuers.longest_token() {
        return Err(Reason::TokenTooLong);
    }
    let digest = TokenDigest::of(credential.as_str());
    let (token, policy) = match remembered_token(view, digest) {
        Some(remembered) => {
            notes.token_lookup = Some(TokenLookup::Hit);
            remembered
        }
        None => {
            notes.token_lookup = Some(TokenLookup::Miss);
            verified_token(view, credential, notes)?
        }
    };
    token.check_time(policy, now)?;
    if notes.token_lookup == Some(TokenLookup::Miss) {
        view.tokens.insert(digest, Arc::clone(&token), now);
    }
    check_revocation(view, policy, &token, notes)?;
    check_age(view, policy, &token, now)?;
    Ok((token, policy))
}

/// A role can ask for younger tokens than their issuer gives. A token that does not say when it was issued is too old.
fn check_age(view: &View<'_>, policy: &IssuerPolicy, token: &VerifiedToken, now: UnixTime) -> Result<(), Reason> {
    let claims = token.claims();
    let Some(limit) = view.snapshot.roles.max_token_age(&claims.roles) else { return Ok(()) };
    let young = claims.issued_at.is_some_and(|issued_at| now.since(issued_at) <= limit.saturating_add(policy.leeway));
    if young { Ok(()) } else { Err(Reason::TokenTooOld) }
}

/// A token that was verified before, if its key and its issuer's policy are still in force.
fn remembered_token<'v>(view: &View<'v>, digest: TokenDigest) -> Option<(Arc<VerifiedToken>, &'v IssuerPolicy)> {
    let token = view.tokens.get(digest)?;
    let in_force = view
        .snapshot
        .issuers
        .by_fingerprint(token.policy())
        .filter(|policy| view.facts.keys(policy.keys).is_some_and(|keys| token.key_is_in(&keys)));
    match in_force {
        Some(policy) => Some((token, policy)),
        None => {
            // It is judged as if it had never been seen, which also finds the right reason.
            view.tokens.forget(digest);
            None
        }
    }
}

fn verified_token<'v>(
    view: &View<'v>,
    credential: BearerToken<'_>,
    notes: &mut Decision,
) -> Result<(Arc<VerifiedToken>, &'v IssuerPolicy), Reason> {
    let jws = CompactJws::parse(credential.as_str()).map_err(|_| Reason::TokenMalformed)?;
    let policy = verify::claimed_issuer(&jws).and_then(|issuer| view.snapshot.issuers.by_issuer(issuer)).ok_or(Reason::IssuerUnknown)?;
    if credential.as_str().len() > policy.max_token_bytes {
        return Err(Reason::TokenTooLong);
    }
    let keys = view.facts.keys(policy.keys).ok_or(Reason::KeysUnavailable)?;
    let token = verify::verify(&jws, policy, &keys).inspect_err(|reason| {
        if *reason == Reason::KeyUnknown {
            notes.unknown_key = jws.header.key_id.clone().map(|key_id| UnknownKey { source: policy.keys, key_id });
        }
    })?;
    Ok((Arc::new(token), policy))
}

fn check_revocation(view: &View<'_>, policy: &IssuerPolicy, token: &VerifiedToken, notes: &mut Decision) -> Result<(), Reason> {
    let Some(rule) = policy.revocations else { return Ok(()) };
    let list = match (view.facts.revocations(rule.source), rule.when_stale) {
        (Revocations::Fresh(list), _) => list,
        (Revocations::Stale(list), WhenStale::FailOpen) => {
            notes.used_stale_revocations = true;
            list
        }
        (Revocations::Stale(_), WhenStale::Deny) | (Revocations::Missing, _) => return Err(Reason::RevocationsStale),
    };
    if list.revokes(token) { Err(Reason::TokenRevoked) } else { Ok(()) }
}

/// Which tenant a request is about, as its route says where to look.
fn bound_tenant(found: &RouteMatch<'_, '_, RoutePolicy>, path: &NormalizedPath<'_>, request: &AccessRequest<'_>) -> BoundTenant {
    let named = |text: Option<&str>| text.and_then(TenantId::parse).map_or(BoundTenant::Unclear, BoundTenant::Named);
    match &found.payload.tenant {
        TenantBinding::None => BoundTenant::Unbound,
        TenantBinding::Token => BoundTenant::FromToken,
        TenantBinding::Path(position) => named(path.segments().get(*position).map(AsRef::as_ref)),
        TenantBinding::Header(name) => match request.headers.single_in_any_spelling(name) {
            HeaderValue::One(value) => named(std::str::from_utf8(value).ok()),
            HeaderValue::Absent | HeaderValue::Several => BoundTenant::Unclear,
        },
        TenantBinding::Query(name) => match path::query_value(path.query(), name) {
            QueryValue::One(value) => named(Some(&value)),
            QueryValue::Absent | QueryValue::Ambiguous => BoundTenant::Unclear,
        },
        TenantBinding::Subdomain => named(found.subdomain.filter(|labels| !labels.contains('.'))),
    }
}
