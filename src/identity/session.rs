//! Logging in, refreshing, and ending sessions.

use std::net::IpAddr;

use super::Identity;
use super::error::ApiError;
use super::grant::{Grant, Origin, TokenResponse};
use super::id::{Email, random_id, random_secret};
use super::password::Password;
use super::settings::sha256;
use super::store::{NewSession, Opened, Refreshed};
use super::token::VerifiedToken;
use super::totp::Code;

/// What a login needs.
#[derive(Debug)]
pub struct Login {
    /// The user's e-mail address.
    pub email: String,
    /// The user's password.
    pub password: Password,
    /// A one-time password, if the user uses them and it is to count.
    pub code: Option<Code>,
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

impl Identity {
    /// Logs a user in to one tenant, in a new session.
    ///
    /// # Errors
    /// `invalid_grant` when e-mail address and password do not belong together (which of them was wrong shows neither in
    /// the answer nor in the time it takes), or a one-time password was sent that does not count; `access_denied` when the
    /// user may not log in to that tenant.
    pub async fn login(&self, login: Login) -> Result<TokenResponse, ApiError> {
        let wrong = || ApiError::invalid_grant("the e-mail address, the password or the one-time password is wrong");
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
        let mut amr = vec!["pwd".to_owned()];
        if let Some(code) = login.code {
            if !self.store.use_code(user.clone(), code, now).await? {
                tracing::info!(ip = %login.ip, user, "login refused: wrong or used one-time password, or none expected");
                return Err(wrong());
            }
            amr.push("otp".to_owned());
        }
        let rules = self.rules();
        let refresh_token = random_secret()?;
        let session = NewSession {
            id: random_id()?,
            user,
            tenant: login.tenant,
            device: login.device,
            ip: login.ip.to_string(),
            user_agent: login.user_agent,
            amr,
            access_ttl,
            expires_at: now.saturating_add(self.settings.refresh_ttl),
        };
        let digest = sha256(refresh_token.as_bytes());
        let opened = self.store.open_session(session.clone(), digest, rules.max_sessions.map(u32::from), now).await?;
        let denied = match opened {
            Opened::Open { membership, ended } => {
                tracing::info!(user = session.user, session = session.id, "logged in");
                for ended in ended {
                    tracing::info!(user = session.user, session = ended, "session ended: the user has too many");
                }
                let grant = Grant {
                    sub: session.user,
                    tenant: session.tenant,
                    rights: rules.rights(membership),
                    access_ttl,
                    origin: Origin::Session { id: session.id, auth_time: now, amr: session.amr, actor: None },
                };
                return self.issue(grant, Some(refresh_token), now);
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
                    sub: session.user,
                    tenant: session.tenant,
                    rights: self.rules().rights(membership),
                    access_ttl: session.access_ttl,
                    origin: Origin::Session { id: session.id, auth_time: session.created_at, amr: session.amr, actor: None },
                };
                return self.issue(grant, Some(next), now);
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
}
