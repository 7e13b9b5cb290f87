//! The claims of a token, each of a fixed type, size and character set. One wrong shape fails the whole token.

use std::sync::Arc;

use super::jws::JoseHeader;
use super::profile::{AcceptedTypes, ClaimNames, ClaimPath, IssuerPolicy};
use super::status::{self, STATUS_LIST_TYPE, StatusReference};
use crate::pdp::attribute::{Attributes, is_safe_value};
use crate::pdp::decision::Reason;
use crate::pdp::json::{Json, Object};
use crate::pdp::permission::PermissionSet;
use crate::pdp::role::RoleAssignment;
use crate::pdp::tenant::{Realm, TenantId};
use crate::pdp::time::UnixTime;

/// The most roles, permissions, services or audiences.
const MAX_ITEMS: usize = 1024;
/// The most actors that acted for one another.
const MAX_ACTORS: usize = 4;

/// Who acts on behalf of a token's subject (RFC 8693 section 4.1). Of a chain of actors, the one that acts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `sub`.
    pub subject: Box<str>,
    /// The actor's own roles, in the claim that holds the subject's.
    pub roles: Vec<RoleAssignment>,
}

/// What a verified token says.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The configured name of the issuer.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Box<str>,
    /// `exp`.
    pub expires: UnixTime,
    /// `nbf`.
    pub not_before: Option<UnixTime>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// The session.
    pub session: Option<Box<str>>,
    /// `client_id`.
    pub client_id: Option<Box<str>>,
    /// `auth_time`: when the subject authenticated.
    pub authenticated_at: Option<UnixTime>,
    /// `amr`: how.
    pub authentication_methods: Vec<Box<str>>,
    /// `acr`: to which class that belongs.
    pub authentication_class: Option<Box<str>>,
    /// The tenant.
    pub tenant: Option<TenantId>,
    /// `system` or `tenant`.
    pub realm: Option<Realm>,
    /// Roles, possibly with boundaries.
    pub roles: Vec<RoleAssignment>,
    /// The same, joined by commas, boundaries as parameters: `sales;department=d1`.
    pub roles_text: Box<str>,
    /// Roles that the tenant defined, and what they grant.
    pub tenant_roles: Vec<(Box<str>, PermissionSet)>,
    /// Attributes of the subject.
    pub attributes: Attributes,
    /// The same as `name=value`, joined by commas.
    pub attributes_text: Box<str>,
    /// Who acts on the subject's behalf.
    pub actor: Option<Actor>,
    /// The permissions that the token itself carries.
    pub permissions: PermissionSet,
    /// The same as the token wrote them, without the odd ones, joined by commas.
    pub permissions_text: Box<str>,
    /// How many permissions did not fit the syntax and were left out.
    pub odd_permissions: usize,
    /// The services that are enabled.
    pub services: Vec<Box<str>>,
    /// `status`: where it stands whether the token is still good, if its issuer has status lists.
    pub status: Option<StatusReference>,
}

impl Claims {
    /// Checks a payload against an issuer's policy. The time claims are only checked for what does not depend on now.
    ///
    /// # Errors
    /// The reason for which the token is refused.
    pub(super) fn check(header: &JoseHeader, payload: &Object, policy: &IssuerPolicy) -> Result<Self, Reason> {
        match payload.get("iss") {
            Some(Json::String(issuer)) if *issuer == policy.issuer => {}
            _ => return Err(Reason::IssuerUnknown),
        }
        check_type(header, payload, policy)?;
        check_audience(payload, policy)?;
        if payload.get("cnf").is_some() {
            return Err(Reason::SenderConstrained);
        }
        let names = &policy.claims;
        let roles = roles(names, payload)?;
        let attributes = attributes(&names.attributes, payload)?;
        let claims = Self {
            issuer: Arc::clone(&policy.name),
            subject: id(payload.get("sub"))?.ok_or(Reason::ClaimsInvalid)?,
            expires: numeric_date(payload.get("exp"))?.ok_or(Reason::ClaimsInvalid)?,
            not_before: numeric_date(payload.get("nbf"))?,
            issued_at: numeric_date(payload.get("iat"))?,
            token_id: id(payload.get("jti"))?,
            session: id(find(names.session.as_ref(), payload))?,
            client_id: id(payload.get("client_id"))?,
            authenticated_at: numeric_date(payload.get("auth_time"))?,
            authentication_methods: ids(payload.get("amr"))?,
            authentication_class: id(payload.get("acr"))?,
            tenant: tenant(find(names.tenant.as_ref(), payload))?,
            realm: realm(find(names.realm.as_ref(), payload))?,
            roles_text: joined(roles.iter().map(assignment_text)),
            roles,
            tenant_roles: Vec::new(),
            attributes_text: joined(attributes.iter().map(|(name, value)| format!("{name}={value}"))),
            attributes,
            actor: payload.get("act").map(|act| actor(act, policy, 0)).transpose()?,
            permissions: PermissionSet::default(),
            permissions_text: Box::default(),
            odd_permissions: 0,
            services: services(find(names.services.as_ref(), payload))?,
            status: status(payload, policy)?,
        }
        .with_permissions(find(names.permissions.as_ref(), payload), policy)?
        .with_tenant_roles(find(names.tenant_roles.as_ref(), payload), policy)?;
        claims.check_required(policy)?;
        claims.check_lifetime(policy)?;
        claims.check_tenant(policy)?;
        Ok(claims)
    }

    fn with_permissions(mut self, claim: Option<&Json>, policy: &IssuerPolicy) -> Result<Self, Reason> {
        let mut text = String::new();
        for permission in strings(claim)? {
            match policy.syntax.grant(permission, policy.wildcards) {
                Ok(grant) => {
                    self.permissions.insert(grant);
                    if !text.is_empty() {
                        text.push(',');
                    }
                    text.push_str(permission);
                }
                Err(_) => self.odd_permissions += 1,
            }
        }
        self.permissions_text = text.into();
        Ok(self)
    }

    /// `{ "lead": ["blog:posts.read"] }`
    fn with_tenant_roles(mut self, claim: Option<&Json>, policy: &IssuerPolicy) -> Result<Self, Reason> {
        let roles = match claim {
            None => return Ok(self),
            Some(Json::Object(roles)) if roles.iter().count() <= MAX_ITEMS => roles,
            Some(_) => return Err(Reason::ClaimsInvalid),
        };
        for (name, permissions) in roles.iter() {
            if !is_safe_value(name) {
                return Err(Reason::ClaimsInvalid);
            }
            let mut set = PermissionSet::default();
            for permission in strings(Some(permissions))? {
                match policy.syntax.grant(permission, policy.wildcards) {
                    Ok(grant) => set.insert(grant),
                    Err(_) => self.odd_permissions += 1,
                }
            }
            self.tenant_roles.push((name.into(), set));
        }
        Ok(self)
    }

    fn check_required(&self, policy: &IssuerPolicy) -> Result<(), Reason> {
        let required = policy.required;
        let missing = (required.issued_at && self.issued_at.is_none())
            || (required.not_before && self.not_before.is_none())
            || (required.token_id && self.token_id.is_none())
            || (required.session && self.session.is_none())
            || (required.client_id && self.client_id.is_none())
            || (required.tenant && self.tenant.is_none())
            || (required.status && self.status.is_none());
        if missing { Err(Reason::ClaimsInvalid) } else { Ok(()) }
    }

    fn check_lifetime(&self, policy: &IssuerPolicy) -> Result<(), Reason> {
        let Some(longest) = policy.max_lifetime else { return Ok(()) };
        let issued_at = self.issued_at.ok_or(Reason::ClaimsInvalid)?;
        if self.expires.since(issued_at) > longest { Err(Reason::LifetimeTooLong) } else { Ok(()) }
    }

    fn check_tenant(&self, policy: &IssuerPolicy) -> Result<(), Reason> {
        if let Some(allowed) = &policy.tenants
            && !self.tenant.as_ref().is_some_and(|tenant| allowed.contains(tenant))
        {
            return Err(Reason::IssuerNotForTenant);
        }
        // A token that says "within a tenant" and names none, or "of the platform" and names one, contradicts itself.
        match (self.realm, &self.tenant) {
            (Some(Realm::Tenant), None) | (Some(Realm::System), Some(_)) => Err(Reason::ClaimsInvalid),
            _ => Ok(()),
        }
    }

    /// About how many bytes of memory the claims hold.
    #[must_use]
    pub fn weight(&self) -> usize {
        let texts = |texts: &[Box<str>]| texts.iter().map(|text| text.len() + 16).sum::<usize>();
        let roles = |roles: &[RoleAssignment]| {
            roles.iter().map(|role| size_of::<RoleAssignment>() + role.role.len() + role.boundary.weight()).sum::<usize>()
        };
        let ids =
            [self.token_id.as_deref(), self.session.as_deref(), self.client_id.as_deref(), self.tenant.as_ref().map(TenantId::as_str)];
        size_of::<Self>()
            + self.subject.len()
            + ids.into_iter().flatten().map(str::len).sum::<usize>()
            + self.roles_text.len()
            + self.permissions_text.len()
            + self.permissions.weight()
            + roles(&self.roles)
            + self.tenant_roles.iter().map(|(name, set)| name.len() + size_of::<PermissionSet>() + set.weight()).sum::<usize>()
            + self.attributes.weight()
            + self.attributes_text.len()
            + self.actor.as_ref().map_or(0, |actor| actor.subject.len() + roles(&actor.roles))
            + texts(&self.authentication_methods)
            + self.authentication_class.as_ref().map_or(0, |class| class.len())
            + texts(&self.services)
    }
}

/// Kinds of token exclude each other (RFC 8725 section 3.11). A status list is signed by the keys that sign access tokens, so
/// nothing that looks like one passes, whichever types are listed.
fn check_type(header: &JoseHeader, payload: &Object, policy: &IssuerPolicy) -> Result<(), Reason> {
    if header.typ.as_deref() == Some(STATUS_LIST_TYPE) || payload.get("status_list").is_some() {
        return Err(Reason::TypeNotAllowed);
    }
    let fits = match (&policy.types, header.typ.as_deref()) {
        (AcceptedTypes::Listed(listed), Some(typ)) => listed.iter().any(|accepted| **accepted == *typ),
        (AcceptedTypes::Listed(_), None) => false,
        (AcceptedTypes::AccessTokens, Some("at+jwt")) => true,
        (AcceptedTypes::AccessTokens, Some("jwt") | None) => !looks_like_another_kind(payload),
        (AcceptedTypes::AccessTokens, Some(_)) => false,
    };
    if fits { Ok(()) } else { Err(Reason::TypeNotAllowed) }
}

/// Claims that ID tokens (OpenID Connect Core section 2, 3.3.2.11) and logout tokens have and access tokens do not.
fn looks_like_another_kind(payload: &Object) -> bool {
    ["nonce", "at_hash", "c_hash", "s_hash", "events"].iter().any(|name| payload.get(name).is_some())
        || payload.get("token_use").is_some_and(|token_use| *token_use != Json::String("access".into()))
        || payload.get("typ").is_some_and(|typ| {
            // Keycloak names the kind in the payload: `Bearer` for access tokens, these for others.
            let others = ["id", "refresh", "offline", "logout"];
            matches!(typ, Json::String(typ) if others.iter().any(|other| typ.eq_ignore_ascii_case(other)))
        })
}

fn check_audience(payload: &Object, policy: &IssuerPolicy) -> Result<(), Reason> {
    let accepted = |audience: &str| policy.audiences.iter().any(|ours| **ours == *audience);
    match payload.get("aud") {
        Some(Json::String(audience)) if accepted(audience) => Ok(()),
        Some(Json::String(_)) => Err(Reason::AudienceMismatch),
        Some(Json::Array(audiences)) if audiences.len() <= MAX_ITEMS => {
            let mut found = false;
            for audience in audiences {
                let Json::String(audience) = audience else { return Err(Reason::ClaimsInvalid) };
                found |= accepted(audience);
            }
            if found { Ok(()) } else { Err(Reason::AudienceMismatch) }
        }
        None => Err(Reason::AudienceMismatch),
        Some(_) => Err(Reason::ClaimsInvalid),
    }
}

fn find<'p>(path: Option<&ClaimPath>, payload: &'p Object) -> Option<&'p Json> {
    path.and_then(|path| path.find(payload))
}

fn id(claim: Option<&Json>) -> Result<Option<Box<str>>, Reason> {
    match claim {
        None => Ok(None),
        Some(Json::String(text)) if is_safe_value(text) => Ok(Some(text.clone())),
        Some(_) => Err(Reason::ClaimsInvalid),
    }
}

fn strings(claim: Option<&Json>) -> Result<Vec<&str>, Reason> {
    match claim {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) if items.len() <= MAX_ITEMS => items
            .iter()
            .map(|item| match item {
                Json::String(text) => Ok(&**text),
                _ => Err(Reason::ClaimsInvalid),
            })
            .collect(),
        Some(_) => Err(Reason::ClaimsInvalid),
    }
}

fn ids(claim: Option<&Json>) -> Result<Vec<Box<str>>, Reason> {
    strings(claim)?.into_iter().map(|text| if is_safe_value(text) { Ok(text.into()) } else { Err(Reason::ClaimsInvalid) }).collect()
}

/// Those of the list, and the one that stands alone.
fn roles(names: &ClaimNames, claims: &Object) -> Result<Vec<RoleAssignment>, Reason> {
    let mut roles = match find(names.roles.as_ref(), claims) {
        None => Vec::new(),
        Some(Json::Array(items)) if items.len() <= MAX_ITEMS => items.iter().map(assignment).collect::<Result<_, _>>()?,
        Some(_) => return Err(Reason::ClaimsInvalid),
    };
    if let Some(role) = find(names.role.as_ref(), claims) {
        roles.push(assignment(role)?);
    }
    Ok(roles)
}

/// A role's name, or an object of it and its boundary: `{ "role": "sales", "department": "d1" }`.
fn assignment(item: &Json) -> Result<RoleAssignment, Reason> {
    // In the header for the service behind, `;` begins a boundary.
    let safe = |text: &str| is_safe_value(text) && !text.contains(';');
    match item {
        Json::String(role) if safe(role) => Ok(RoleAssignment { role: role.clone(), boundary: Attributes::default() }),
        Json::Object(assignment) => {
            let mut boundary = Attributes::default();
            for (name, value) in assignment.iter().filter(|(name, _)| *name != "role") {
                match value {
                    // A boundary that were left out because it cannot be read would be none.
                    Json::String(value) if safe(name) && safe(value) => boundary.push(name, value),
                    _ => return Err(Reason::ClaimsInvalid),
                }
            }
            let role = id(assignment.get("role"))?.filter(|role| safe(role)).ok_or(Reason::ClaimsInvalid)?;
            Ok(RoleAssignment { role, boundary })
        }
        _ => Err(Reason::ClaimsInvalid),
    }
}

/// RFC 9651 section 3.1.2: parameters behind the name.
fn assignment_text(assignment: &RoleAssignment) -> String {
    let parameters = assignment.boundary.iter().map(|(name, value)| format!(";{name}={value}"));
    std::iter::once(assignment.role.to_string()).chain(parameters).collect()
}

fn joined(texts: impl Iterator<Item = String>) -> Box<str> {
    texts.collect::<Vec<_>>().join(",").into()
}

fn attributes(names: &[(Box<str>, ClaimPath)], payload: &Object) -> Result<Attributes, Reason> {
    let mut attributes = Attributes::default();
    for (name, path) in names {
        if let Some(value) = id(path.find(payload))? {
            attributes.push(name, &value);
        }
    }
    Ok(attributes)
}

/// The actor, and, to be sure that they are well-formed, those before.
fn actor(claim: &Json, policy: &IssuerPolicy, before: usize) -> Result<Actor, Reason> {
    let Json::Object(claim) = claim else { return Err(Reason::ClaimsInvalid) };
    if let Some(earlier) = claim.get("act") {
        if before + 1 == MAX_ACTORS {
            return Err(Reason::ClaimsInvalid);
        }
        actor(earlier, policy, before + 1)?;
    }
    Ok(Actor { subject: id(claim.get("sub"))?.ok_or(Reason::ClaimsInvalid)?, roles: roles(&policy.claims, claim)? })
}

fn tenant(claim: Option<&Json>) -> Result<Option<TenantId>, Reason> {
    match claim {
        None => Ok(None),
        Some(Json::String(text)) => TenantId::parse(text).map(Some).ok_or(Reason::ClaimsInvalid),
        Some(_) => Err(Reason::ClaimsInvalid),
    }
}

fn realm(claim: Option<&Json>) -> Result<Option<Realm>, Reason> {
    match claim {
        None => Ok(None),
        Some(Json::String(text)) => Realm::parse(text).map(Some).ok_or(Reason::ClaimsInvalid),
        Some(_) => Err(Reason::ClaimsInvalid),
    }
}

/// Where a token says whether it is still good is only looked at if somebody knows that list.
fn status(payload: &Object, policy: &IssuerPolicy) -> Result<Option<StatusReference>, Reason> {
    if policy.status_lists.is_empty() { Ok(None) } else { status::reference(payload.get("status"), &policy.status_lists) }
}

/// `{ "blog": { "enabled": true } }`: the names of the services that are enabled.
fn services(claim: Option<&Json>) -> Result<Vec<Box<str>>, Reason> {
    let services = match claim {
        None => return Ok(Vec::new()),
        Some(Json::Object(services)) if services.iter().count() <= MAX_ITEMS => services,
        Some(_) => return Err(Reason::ClaimsInvalid),
    };
    let mut enabled = Vec::new();
    for (name, service) in services.iter() {
        let Json::Object(service) = service else { return Err(Reason::ClaimsInvalid) };
        match service.get("enabled") {
            Some(Json::Bool(true)) => enabled.push(name.into()),
            Some(Json::Bool(false)) | None => {}
            Some(_) => return Err(Reason::ClaimsInvalid),
        }
    }
    Ok(enabled)
}

/// RFC 7519 section 2: a number of seconds, possibly with a fraction.
///
/// # Errors
/// [`Reason::ClaimsInvalid`] for anything else that is there.
pub(in crate::pdp) fn numeric_date(claim: Option<&Json>) -> Result<Option<UnixTime>, Reason> {
    match claim {
        None => Ok(None),
        #[allow(clippy::cast_possible_truncation, reason = "checked to be within the range of dates")]
        Some(Json::Number(seconds)) if *seconds >= 0.0 && seconds * 1000.0 <= UnixTime::MAX.as_millis() as f64 => {
            Ok(Some(UnixTime::from_millis((seconds * 1000.0).floor() as i64)))
        }
        Some(_) => Err(Reason::ClaimsInvalid),
    }
}
