//! Logging in, refreshing, and ending sessions.

use std::net::IpAddr;

use serde::Serialize;

use super::Identity;
use super::clock::UnixTime;
use super::error::ApiError;
use super::id::{Email, random_id, random_secret};
use super::password::Password;
use super::settings::sha256;
use super::store::{Membership, NewSession, Opened, Refreshed};
use super::token::{self, AccessClaims, Realm, VerifiedToken};

/// What a login needs.
#[derive(Debug)]
pub struct Login {
    /// The user's e-mail address.
    pub email: String,
    /// The user's password.
    pub password: Password,
    /// The tenant to log in to; `None` for the platform.
    pub tenant: Option<String>,
    /// What the user calls the device.
    pub device: Option<String>,
    /// A shorter lifetime of this session's access tokens, in seconds.
    pub access_ttl: Option<u32>,
    /// The address that the login came from.
    pub ip: IpAddr,
    /// The client's `user-agent`.
    pub user_agent: Option<String>,
}

/// The answer to a login or refresh (RFC 6749 section 5.1).
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    /// Lifetime of the access token, in seconds.
    expires_in: i64,
    refresh_token: String,
    session_id: String,
}

impl Identity {
    /// Logs a user in to one tenant, in a new session.
    ///
    /// # Errors
    /// `invalid_grant` when e-mail address and password do not belong together (which of them was wrong shows neither in
    /// the answer nor in the time it takes); `access_denied` when the user may not log in to that tenant.
    pub async fn login(&self, login: Login) -> Result<TokenResponse, ApiError> {
        let wrong = || ApiError::invalid_grant("the e-mail address or the password is wrong");
        if login.password.is_too_long() {
            return Err(wrong());
        }
        let access_ttl = match login.access_ttl {
            None => self.settings.access_ttl,
            Some(0) => {
                return Err(ApiError::invalid_request("'access_ttl' must be at least 1 second"));
            }
            Some(seconds) => i64::from(seconds).min(self.settings.access_ttl),
        };
        let account = self.store.account(Email::lookup_key(&login.email)).await?;
        let (user, hash) = account.map(|account| (account.user, account.password_hash)).unzip();
        let matches = self.passwords.verify(login.password, hash).await?;
        let Some(user) = user.filter(|_| matches) else {
            tracing::info!(ip = %login.ip, "login refused: wrong e-mail address or password");
            return Err(wrong());
        };

        let now = self.clock.now();
        let refresh_token = random_secret()?;
        let session = NewSession {
            id: random_id()?,
            user,
            tenant: login.tenant,
            device: login.device,
            ip: login.ip.to_string(),
            user_agent: login.user_agent,
            access_ttl,
            expires_at: now.saturating_add(self.settings.refresh_ttl),
        };
        let opened = self.store.open_session(session.clone(), sha256(refresh_token.as_bytes()), now).await?;
        let denied = match opened {
            Opened::Open(membership) => {
                tracing::info!(user = session.user, session = session.id, "logged in");
                let grant =
                    Grant { session: session.id, user: session.user, tenant: session.tenant, access_ttl, auth_time: now, membership };
                return self.issue(grant, refresh_token, now);
            }
            Opened::NoMembership => "no membership",
            Opened::Revoked => "revoked",
        };
        tracing::info!(user = session.user, reason = denied, "login refused");
        Err(ApiError::access_denied("this user may not log in there"))
    }

    /// Uses up a refresh token and answers with the next one and an access token for the user's present rights.
    ///
    /// # Errors
    /// `invalid_grant` when the token is unknown, expired or of an ended session, and when it was used before: then
    /// somebody has a copy, and the whole session is ended (RFC 9700 section 4.14.2).
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenResponse, ApiError> {
        let now = self.clock.now();
        let next = random_secret()?;
        let refreshed = self
            .store
            .rotate_refresh_token(
                sha256(refresh_token.as_bytes()),
                sha256(next.as_bytes()),
                now.saturating_add(self.settings.refresh_ttl),
                now,
            )
            .await?;
        match refreshed {
            Refreshed::Rotated(session, membership) => {
                let grant = Grant {
                    session: session.id,
                    user: session.user,
                    tenant: session.tenant,
                    // The limit may have been lowered since the login.
                    access_ttl: session.access_ttl.min(self.settings.access_ttl),
                    auth_time: session.created_at,
                    membership,
                };
                return self.issue(grant, next, now);
            }
            Refreshed::Reused(session) => {
                tracing::warn!(session, "a used refresh token was presented again; the session is ended");
            }
            Refreshed::Ended(session) => {
                tracing::info!(session, "the user may not be there any more; the session is ended");
            }
            Refreshed::Invalid => {}
        }
        Err(ApiError::invalid_grant("the refresh token is unknown, used, expired or revoked"))
    }

    /// The token, if it verifies and counts now.
    ///
    /// # Errors
    /// `invalid_token`, whatever the cause.
    pub async fn authenticate(&self, compact: &str) -> Result<VerifiedToken, ApiError> {
        let now = self.clock.now();
        let token = VerifiedToken::verify(compact, &self.keys.current(), &self.settings, now).ok_or_else(ApiError::invalid_token)?;
        if self.store.is_active(token.ids(), now).await? { Ok(token) } else { Err(ApiError::invalid_token()) }
    }

    fn issue(&self, grant: Grant, refresh_token: String, now: UnixTime) -> Result<TokenResponse, ApiError> {
        let claims = AccessClaims {
            iss: self.settings.issuer.as_str().to_owned(),
            sub: grant.user,
            aud: self.settings.audiences.clone(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(grant.access_ttl),
            jti: random_id()?,
            sid: grant.session.clone(),
            scope: Realm::of(grant.tenant.as_deref()),
            tenant_id: grant.tenant,
            roles: grant.membership.roles,
            permissions: grant.membership.permissions,
            services: grant.membership.services,
            auth_time: grant.auth_time,
            amr: vec!["pwd".to_owned()],
        };
        let access_token = token::sign(&claims, self.keys.current().signing()).map_err(ApiError::internal)?;
        Ok(TokenResponse { access_token, token_type: "Bearer", expires_in: grant.access_ttl, refresh_token, session_id: grant.session })
    }
}

/// What an access token is issued for.
struct Grant {
    session: String,
    user: String,
    tenant: Option<String>,
    access_ttl: i64,
    auth_time: UnixTime,
    membership: Membership,
}
