//! Acting for another: a token of the other's rights that names both (token exchange, RFC 8693).

use super::Identity;
use super::error::ApiError;
use super::grant::{Grant, Origin, TokenResponse};
use super::store::{ActingFor, Acts};
use super::token::{AccessClaims, Actor, VerifiedToken};

impl Identity {
    /// A token that lets the bearer of `actor` act for `subject` in `tenant` (`None`: the platform). It belongs to the
    /// actor's session, and does not outlive the actor's token.
    ///
    /// An actor who is logged in to a tenant stays in it. Only a user of the platform may act for users of any tenant.
    ///
    /// # Errors
    /// `access_denied` when the actor may not; whether there is such a subject shows only to those who may.
    pub async fn exchange(&self, actor: VerifiedToken, subject: String, tenant: Option<String>) -> Result<TokenResponse, ApiError> {
        let AccessClaims { sub: actor, sid, tenant_id, exp, auth_time, amr, act, .. } = actor.claims;
        if act.is_some() {
            return Err(ApiError::access_denied("a token that acts for another is not exchanged again"));
        }
        let (Some(session), Some(auth_time)) = (sid, auth_time) else {
            return Err(ApiError::access_denied("only a user who is logged in acts for another"));
        };
        // Roles as they are now: one that was taken away does not count until the token expires.
        let membership = self.store.membership(actor.clone(), tenant_id.clone()).await?.unwrap_or_default();
        let rules = self.rules();
        let leaves_own_tenant = tenant_id.is_some() && tenant_id != tenant;
        if !rules.may_act_for_others(&membership.roles) || leaves_own_tenant {
            tracing::warn!(actor, subject, tenant, session, "refused to act for another");
            return Err(ApiError::access_denied("this user may not act for others there"));
        }
        if subject == actor {
            return Err(ApiError::invalid_request("'subject' is the actor; log in instead"));
        }

        let now = self.clock.now();
        let remaining = exp.saturating_sub(now);
        if remaining <= 0 {
            return Err(ApiError::invalid_token());
        }
        let acting = ActingFor { session: session.clone(), subject: subject.clone(), tenant: tenant.clone(), until: exp };
        let of_subject = match self.store.act_for(acting, now).await? {
            Acts::For(membership) => membership,
            Acts::NoMembership | Acts::Revoked => {
                tracing::info!(actor, subject, tenant, session, "nobody there to act for");
                return Err(ApiError::access_denied("there is no such user there, or the user is revoked"));
            }
        };
        tracing::info!(actor, subject, tenant, session, "acts for another");
        let roles = membership.roles.iter().filter(|role| role.is_unbounded()).map(|role| role.name().clone()).collect();
        let grant = Grant {
            sub: subject,
            tenant,
            rights: rules.rights(of_subject),
            access_ttl: remaining,
            origin: Origin::Session { id: session, auth_time, amr, actor: Some(Actor { sub: actor, roles }) },
        };
        self.issue(grant, None, now)
    }
}
