//! Issuing: from what somebody was granted to the access token that says so.

use serde::Serialize;

use super::Identity;
use super::clock::UnixTime;
use super::error::ApiError;
use super::id::random_id;
use super::rules::Rights;
use super::token::{self, AccessClaims, Actor, Realm};

/// What an access token is issued for.
#[derive(Debug)]
pub struct Grant {
    /// The user or client.
    pub sub: String,
    /// In which tenant; `None` for the platform.
    pub tenant: Option<String>,
    /// What the subject may do there.
    pub rights: Rights,
    /// The longest lifetime, in seconds; rights and settings may shorten it.
    pub access_ttl: i64,
    /// How the token came about.
    pub origin: Origin,
}

/// How a token came about.
#[derive(Debug)]
pub enum Origin {
    /// By a login of its subject, or by one of its actor.
    Session {
        /// The session that began with the login.
        id: String,
        /// When that was.
        auth_time: UnixTime,
        /// How the user logged in.
        amr: Vec<String>,
        /// Who acts for the subject, if that is not the one who logged in.
        actor: Option<Actor>,
    },
    /// By a client's own credentials.
    Client,
}

/// An access token, and what there is to know of it (RFC 6749 section 5.1).
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    access_token: String,
    /// What was issued (RFC 8693 section 2.2.1): only said where a token was exchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    token_type: &'static str,
    /// Lifetime of the access token, in seconds.
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
}

/// The type of an exchanged token (RFC 8693 section 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Identity {
    /// Makes the access token of a grant.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(&self, grant: Grant, refresh_token: Option<String>, now: UnixTime) -> Result<TokenResponse, ApiError> {
        let Grant { sub, tenant, rights, access_ttl, origin } = grant;
        let Rights { roles, permissions, attributes, custom_roles, services, access_ttl: of_roles } = rights;
        let expires_in = access_ttl.min(self.settings.access_ttl).min(of_roles.unwrap_or(i64::MAX));
        let (sid, client_id, auth_time, amr, act) = match origin {
            Origin::Session { id, auth_time, amr, actor } => (Some(id), None, Some(auth_time), amr, actor),
            Origin::Client => (None, Some(sub.clone()), None, Vec::new(), None),
        };
        let exchanged = act.is_some();
        let claims = AccessClaims {
            iss: self.settings.issuer.as_str().to_owned(),
            sub,
            aud: self.settings.audiences.clone(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(expires_in),
            jti: random_id()?,
            sid: sid.clone(),
            client_id,
            scope: Realm::of(tenant.as_deref()),
            tenant_id: tenant,
            roles,
            permissions,
            attributes,
            custom_roles,
            services,
            auth_time,
            amr,
            act,
        };
        Ok(TokenResponse {
            access_token: token::sign(&claims, self.keys.current().signing()).map_err(ApiError::internal)?,
            issued_token_type: exchanged.then_some(ACCESS_TOKEN),
            token_type: "Bearer",
            expires_in,
            refresh_token,
            session_id: sid,
        })
    }
}
