//! What one issuer's tokens must look like (RFC 8725 section 3, RFC 9068).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use crate::pdp::json::{Json, Object};
use crate::pdp::permission::{PermissionSet, PermissionSyntax};
use crate::pdp::tenant::TenantId;

/// Identifies where keys or revocations come from: equal ids mean that what was fetched for one is good for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u128);

/// Identifies everything that a token's verification depended on besides its key; another policy is another fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyFingerprint(pub u128);

/// What happens when the revocation list is older than its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStale {
    /// Nothing can be decided: 503. The default.
    Deny,
    /// The last list that was seen goes on being used; each such decision is marked.
    FailOpen,
}

/// One of the sources of an issuer's revocations. Each of them has to be within its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRule {
    /// What it is called in metrics and dumps: its kind, and a number where there are several of it.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: SourceId,
    /// What happens when it is too old.
    pub when_stale: WhenStale,
}

/// A status list that an issuer's tokens may refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusListName {
    /// What tokens call it, compared exactly.
    pub uri: Box<str>,
    /// Where it comes from.
    pub source: SourceId,
}

/// Whether a token has to name its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyIdPolicy {
    /// A token without `kid` is refused. The default.
    Required,
    /// A token without `kid` is accepted if exactly one key fits.
    Optional,
}

/// Which `typ` values are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptedTypes {
    /// `at+jwt`, and, unless the claims show that it is an ID token or the like, `JWT` or none.
    AccessTokens,
    /// These alone, in the form of [`super::jws::media_type`].
    Listed(Vec<Box<str>>),
}

/// Where in the payload a claim stands: a member, or a path of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<Box<str>>);

impl ClaimPath {
    /// Looks the claim up. `null` counts as absent.
    #[must_use]
    pub fn find<'p>(&self, payload: &'p Object) -> Option<&'p Json> {
        let (first, others) = self.0.split_first()?;
        let mut value = payload.get(first)?;
        for name in others {
            let Json::Object(object) = value else { return None };
            value = object.get(name)?;
        }
        (*value != Json::Null).then_some(value)
    }
}

/// Which claims hold what is not standardized. `None`: this issuer's tokens do not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimNames {
    /// The tenant that the token is for.
    pub tenant: Option<ClaimPath>,
    /// The permissions that it carries.
    pub permissions: Option<ClaimPath>,
    /// The roles of its subject.
    pub roles: Option<ClaimPath>,
    /// One role of its subject, which is no list.
    pub role: Option<ClaimPath>,
    /// The session that it belongs to.
    pub session: Option<ClaimPath>,
    /// `system` or `tenant`.
    pub realm: Option<ClaimPath>,
    /// The services that its tenant has paid for.
    pub services: Option<ClaimPath>,
    /// Roles that its tenant defined.
    pub tenant_roles: Option<ClaimPath>,
    /// Attributes of its subject, by the names that the configuration gives them.
    pub attributes: Vec<(Box<str>, ClaimPath)>,
}

/// Whose word is needed for an actor (`act`) to act on behalf of a token's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActingPolicy {
    /// That of the configuration: one of the actor's roles acts for others. The default.
    Role,
    /// The issuer's is enough.
    Issuer,
    /// No word is: tokens with actors are refused.
    Refused,
}

/// Roles that tenants define for themselves.
#[derive(Debug, Clone, Default)]
pub struct TenantRolePolicy {
    /// Where they are pulled from; `None`: tokens carry them, or there are none.
    pub source: Option<SourceId>,
    /// They grant nothing beyond this; `None`: whatever they say.
    pub within: Option<Arc<PermissionSet>>,
}

/// Claims that must be there although they are optional by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequiredClaims {
    /// `iat`.
    pub issued_at: bool,
    /// `nbf`.
    pub not_before: bool,
    /// `jti`.
    pub token_id: bool,
    /// The session claim.
    pub session: bool,
    /// `client_id`.
    pub client_id: bool,
    /// The tenant claim.
    pub tenant: bool,
    /// `status`, with a place in a status list.
    pub status: bool,
}

/// One issuer, and what is asked of its tokens.
#[derive(Debug, Clone)]
pub struct IssuerPolicy {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// `iss`, compared exactly.
    pub issuer: Box<str>,
    /// One of these must be in `aud`, compared exactly.
    pub audiences: Vec<Box<str>>,
    /// The algorithms that are allowed.
    pub algorithms: Vec<Algorithm>,
    /// The `typ` values that are accepted.
    pub types: AcceptedTypes,
    /// Whether `kid` is needed.
    pub key_id: KeyIdPolicy,
    /// Claims that must be there.
    pub required: RequiredClaims,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The longest `exp - iat`.
    pub max_lifetime: Option<Duration>,
    /// The longest token, in bytes.
    pub max_token_bytes: usize,
    /// Whether `*` in a token's permissions is a wildcard.
    pub wildcards: bool,
    /// The only tenants that this issuer speaks for; `None`: all.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// Where the other claims stand.
    pub claims: ClaimNames,
    /// How permissions are written.
    pub syntax: Arc<PermissionSyntax>,
    /// Where its keys come from.
    pub keys: SourceId,
    /// What its tokens can be revoked by.
    pub revocations: Box<[RevocationRule]>,
    /// Its status lists, each of which is one of those too. Without any, the claim `status` is not looked at.
    pub status_lists: Vec<StatusListName>,
    /// Whether tokens with actors are accepted.
    pub acting: ActingPolicy,
    /// All of the above in short.
    pub fingerprint: PolicyFingerprint,
    /// What its tenants' own roles may be. No token's verification depends on it.
    pub tenant_roles: TenantRolePolicy,
}
