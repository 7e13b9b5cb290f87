//! What was decided, and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::attribute::Attributes;
use super::policy::audit::AuditRule;
use super::policy::condition::authentication::StepUp;
use super::policy::condition::graphql::RootFields;
use super::principal::Principal;
use super::target::TargetKey;
use super::token::profile::SourceId;

/// The three outcomes of XACML 3.0 section 7.2 that there are here. Only the first one opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The request may pass.
    Permit,
    /// It may not.
    Deny,
    /// It could not be decided, so it may not pass either; but that is our fault and not the client's.
    Indeterminate,
}

impl Effect {
    /// As it is written in metadata, metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "allow",
            Self::Deny => "deny",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// What kind of answer a client gets; the front doors know which status and headers that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// The request goes on.
    Pass,
    /// The request was good, and here is what it asked for.
    Answer,
    /// The request itself is not well-formed.
    BadRequest,
    /// A credential is there and is not one (RFC 6750 `invalid_request`).
    BadCredential,
    /// A credential is needed.
    Unauthenticated,
    /// The token is not accepted (RFC 6750 `invalid_token`), whatever the cause.
    InvalidToken,
    /// The client has to authenticate better, or again (RFC 9470).
    StepUp,
    /// The client may not do this (RFC 6750 `insufficient_scope`).
    Forbidden,
    /// Nothing could be decided.
    Unavailable,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $effect:ident, $answer:ident;)+) => {
        /// Why a request was decided as it was. The codes are stable: dashboards, alerts and tests rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// All reasons, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The outcome that it stands for.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect,)+ }
            }

            /// The kind of answer that the client gets.
            #[must_use]
            pub const fn answer(self) -> AnswerKind {
                match self { $(Self::$variant => AnswerKind::$answer,)+ }
            }
        }
    };
}

reasons! {
    /// All checks passed.
    Allowed = "allowed", Permit, Pass;
    /// The route is public; credentials were not looked at.
    Public = "public", Permit, Pass;
    /// The route takes anonymous requests, and this one had no credential.
    Anonymous = "anonymous", Permit, Pass;
    /// All checks passed, and Portcullis answers by itself.
    Answered = "answered", Permit, Answer;

    /// The PEP's message is not a request that could be judged.
    RequestMalformed = "request_malformed", Deny, BadRequest;
    /// The path is not in its one canonical spelling.
    PathNotCanonical = "path_not_canonical", Deny, BadRequest;
    /// The authority does not name exactly one host.
    HostInvalid = "host_invalid", Deny, BadRequest;
    /// No route matches.
    RouteNotFound = "route_not_found", Deny, Forbidden;
    /// An operator has closed the route.
    LockedDown = "locked_down", Deny, Forbidden;
    /// The route does not list the method.
    MethodNotAllowed = "method_not_allowed", Deny, Forbidden;
    /// The request asks for another protocol and the route does not list it.
    UpgradeNotAllowed = "upgrade_not_allowed", Deny, Forbidden;

    /// The route needs a credential and there is none.
    CredentialMissing = "credential_missing", Deny, Unauthenticated;
    /// What should be a credential is not `Bearer` and a token.
    CredentialMalformed = "credential_malformed", Deny, BadCredential;
    /// There is more than one credential.
    CredentialRepeated = "credential_repeated", Deny, BadCredential;

    /// The token is longer than any issuer's may be, or than its issuer's may be.
    TokenTooLong = "token_too_long", Deny, InvalidToken;
    /// The token is not a well-formed compact JWS of two JSON objects.
    TokenMalformed = "token_malformed", Deny, InvalidToken;
    /// `iss` is no configured issuer.
    IssuerUnknown = "issuer_unknown", Deny, InvalidToken;
    /// The issuer's keys are too old, or were never fetched.
    KeysUnavailable = "keys_unavailable", Indeterminate, Unavailable;
    /// `alg` is not one that issuer and key allow.
    AlgorithmNotAllowed = "algorithm_not_allowed", Deny, InvalidToken;
    /// The issuer's tokens must name their key, and this one does not.
    KeyIdMissing = "kid_missing", Deny, InvalidToken;
    /// The issuer has no such key (any more).
    KeyUnknown = "key_unknown", Deny, InvalidToken;
    /// The key did not make this signature.
    SignatureInvalid = "signature_invalid", Deny, InvalidToken;
    /// `typ`, or the claims, say that it is another kind of token.
    TypeNotAllowed = "type_not_allowed", Deny, InvalidToken;
    /// `aud` does not name us.
    AudienceMismatch = "audience_mismatch", Deny, InvalidToken;
    /// The token is bound to a key (`cnf`), and nothing proved that the client has it.
    SenderConstrained = "sender_constrained", Deny, InvalidToken;
    /// A claim is missing, or has the wrong type, size or characters.
    ClaimsInvalid = "claims_invalid", Deny, InvalidToken;
    /// `exp - iat` is more than the issuer's tokens may live.
    LifetimeTooLong = "lifetime_too_long", Deny, InvalidToken;
    /// The issuer does not speak for the token's tenant.
    IssuerNotForTenant = "issuer_not_for_tenant", Deny, InvalidToken;
    /// `exp` has passed.
    TokenExpired = "token_expired", Deny, InvalidToken;
    /// `nbf` or `iat` is still to come.
    TokenNotYetValid = "token_not_yet_valid", Deny, InvalidToken;
    /// The issuer's revocation list is too old, or was never fetched.
    RevocationsStale = "revocations_stale", Indeterminate, Unavailable;
    /// The token, its session, subject, tenant, client or key was revoked.
    TokenRevoked = "token_revoked", Deny, InvalidToken;
    /// The token names a status list that is none of its issuer's.
    StatusListUnknown = "status_list_unknown", Deny, InvalidToken;
    /// The token's index is beyond the end of its status list, which says nothing of it.
    StatusIndexUnknown = "status_index_unknown", Deny, InvalidToken;
    /// One of the token's roles asks for a younger one.
    TokenTooOld = "token_too_old", Deny, InvalidToken;
    /// Somebody acts on behalf of somebody else who may not, for whom nobody may, or on a route that does not let them.
    ActingNotAllowed = "acting_not_allowed", Deny, Forbidden;

    /// The session has lasted as long as the route lets it.
    SessionExpired = "session_expired", Deny, StepUp;
    /// The token is of the other realm than the route.
    RealmMismatch = "realm_mismatch", Deny, Forbidden;
    /// The request does not say, or does not say clearly, which tenant it is about.
    TenantUnbound = "tenant_unbound", Deny, Forbidden;
    /// The route is about a tenant and the token has none.
    TenantMissing = "tenant_missing", Deny, Forbidden;
    /// The request is about another tenant than the token's.
    TenantMismatch = "tenant_mismatch", Deny, Forbidden;
    /// The tenant has not paid for the service.
    ServiceNotEntitled = "service_not_entitled", Deny, Forbidden;
    /// None of the grants covers the permission.
    PermissionMissing = "permission_missing", Deny, Forbidden;
    /// The permission is granted in a narrower scope, or by a role of another boundary, than the request needs.
    ScopeInsufficient = "scope_insufficient", Deny, Forbidden;
    /// None of the grants that are known covers the permission, and the tenant's own roles are too old or were never fetched.
    RolesUnavailable = "roles_unavailable", Indeterminate, Unavailable;

    /// The workload that calls is not known, or not one that may.
    CallerNotAllowed = "caller_not_allowed", Deny, Forbidden;
    /// The client's address is not known or not one that may.
    NetworkNotAllowed = "network_not_allowed", Deny, Forbidden;
    /// It is not the time at which the route is open.
    OutsideSchedule = "outside_schedule", Deny, Forbidden;
    /// The route asks for a stronger or a more recent authentication.
    AuthenticationInsufficient = "authentication_insufficient", Deny, StepUp;
    /// The request does not say clearly whom it is about.
    TargetUnclear = "target_unclear", Deny, Forbidden;
    /// The directory does not know whom it is about.
    TargetUnknown = "target_unknown", Deny, Forbidden;
    /// The directory did not say, or said something that cannot be.
    TargetUnavailable = "target_unavailable", Indeterminate, Unavailable;
    /// It is about somebody whom the caller does not manage.
    TargetNotManaged = "target_not_managed", Deny, Forbidden;
    /// It is about somebody else than the caller.
    TargetNotSelf = "target_not_self", Deny, Forbidden;
    /// The body was not sent along as a whole and as it is.
    BodyUnavailable = "body_unavailable", Deny, Forbidden;
    /// The body is not JSON, or not GraphQL, that can be read in one way only.
    BodyMalformed = "body_malformed", Deny, BadRequest;
    /// The body has a field that it may not have.
    BodyFieldNotAllowed = "body_field_not_allowed", Deny, Forbidden;
    /// A GraphQL request asks for a root field that the route does not list.
    GraphqlFieldNotListed = "graphql_field_not_listed", Deny, Forbidden;
    /// A condition does not hold.
    ConditionNotMet = "condition_not_met", Deny, Forbidden;
    /// A condition could not be evaluated.
    ConditionFailed = "condition_failed", Indeterminate, Unavailable;
    /// The decision could not be recorded, and the route's requests must be.
    AuditUnavailable = "audit_unavailable", Indeterminate, Unavailable;
    /// Portcullis would answer by itself, and the proxy that asks can pass no such answer on.
    AnswerImpossible = "answer_impossible", Indeterminate, Unavailable;
    /// There is no time or place left to decide in.
    Overloaded = "overloaded", Indeterminate, Unavailable;
    /// The caller's deadline passed, or its message did not arrive in time.
    DeadlineExceeded = "deadline_exceeded", Indeterminate, Unavailable;
    /// The caller went away while the decision, or its record, was waited for.
    Cancelled = "cancelled", Indeterminate, Unavailable;
    /// Something broke on our side.
    InternalError = "internal_error", Indeterminate, Unavailable;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A key that a token named and its issuer's set does not have. The core never fetches: the front door passes this on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnknownKey {
    /// Whose set it should be in.
    pub source: SourceId,
    /// `kid`.
    pub key_id: Box<str>,
}

/// Where a token's proof came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenLookup {
    /// It was remembered.
    Hit,
    /// It was verified now.
    Miss,
}

/// A permission that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The permission as routes ask for it.
    pub permission: Arc<str>,
    /// In which scope at the widest; `None`: permissions have no scopes.
    pub scope: Option<Arc<str>>,
    /// Only where what the request is about has these attributes; empty: everywhere.
    pub boundary: Attributes,
}

/// A decision with everything that explains it.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Why; and with it the outcome.
    pub reason: Reason,
    /// The route's name, once there is one.
    pub route: Option<Arc<str>>,
    /// Why the route differs from what its group says, in the words of the configuration.
    pub overrides: Option<Arc<str>>,
    /// Why the route is closed, in the words of who closed it.
    pub lockdown: Option<Arc<str>>,
    /// What has to be recorded of the request before it is answered; `None`: nothing.
    pub audit: Option<Arc<AuditRule>>,
    /// Who asked, as far as it was established, whether or not they may.
    pub principal: Option<Principal>,
    /// A role let the request cross into a tenant that is not the token's.
    pub crossed_tenants: bool,
    /// The revocation list was too old and the configuration says to go on with it.
    pub used_stale_revocations: bool,
    /// How many of the token's roles the configuration does not know.
    pub unknown_roles: usize,
    /// Whether the token was remembered, if there was one to look for.
    pub token_lookup: Option<TokenLookup>,
    /// The scope in which the request was let through, where permissions have scopes.
    pub scope: Option<Arc<str>>,
    /// The caller's attributes within the boundary of the role that let the request through; `None`: the token's own.
    pub attributes: Option<Box<str>>,
    /// What a GraphQL request asks for, if that was looked at.
    pub root_fields: Option<RootFields>,
    /// What Portcullis answers by itself: the permissions that the caller has.
    pub answer: Option<Vec<Granted>>,
    /// A directory has to be asked before this can be decided.
    pub wanted: Option<TargetKey>,
    /// What the client has to do better, where that is the answer.
    pub step_up: Option<StepUp>,
    /// The session ends soon: in how long.
    pub session_ends_in: Option<Duration>,
    /// A key that should be looked for.
    pub unknown_key: Option<UnknownKey>,
}

impl Decision {
    /// A refusal (or admission) that rests on nothing but its reason.
    #[must_use]
    pub const fn bare(reason: Reason) -> Self {
        Self {
            reason,
            route: None,
            overrides: None,
            lockdown: None,
            audit: None,
            principal: None,
            crossed_tenants: false,
            used_stale_revocations: false,
            unknown_roles: 0,
            token_lookup: None,
            scope: None,
            attributes: None,
            root_fields: None,
            answer: None,
            wanted: None,
            step_up: None,
            session_ends_in: None,
            unknown_key: None,
        }
    }

    /// The outcome.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.reason.effect()
    }
}
