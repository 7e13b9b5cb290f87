//! Access tokens: what is in them, and whether one that comes back is ours.
//!
//! The profile is RFC 9068 (`typ: at+jwt`) with this project's claims for tenant, session and permissions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use super::clock::UnixTime;
use super::id::GrantName;
use super::keys::{Key, KeyError, KeySet};
use super::role::{Attributes, Role};
use super::rules::RolePermissions;
use super::settings::Settings;
use super::store::{Entitlements, TokenIds};

/// The longest token that is made or looked at, in bytes.
const MAX_TOKEN: usize = 64 * 1024;

/// The `typ` of an access token (RFC 9068 section 2.1).
const TYPE: &str = "at+jwt";

/// The level of the two-level tenancy that a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Realm {
    /// One tenant.
    Tenant,
    /// The platform itself.
    System,
}

impl Realm {
    /// The realm of a membership or session in `tenant`.
    pub fn of(tenant: Option<&str>) -> Self {
        if tenant.is_some() { Self::Tenant } else { Self::System }
    }
}

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer (RFC 7519 section 4.1.1).
    pub iss: String,
    /// Subject: the user or client (RFC 7519 section 4.1.2).
    pub sub: String,
    /// Audience (RFC 7519 section 4.1.3).
    pub aud: Vec<String>,
    /// Issued at (RFC 7519 section 4.1.6).
    pub iat: UnixTime,
    /// Not before (RFC 7519 section 4.1.5).
    pub nbf: UnixTime,
    /// Expiration time (RFC 7519 section 4.1.4).
    pub exp: UnixTime,
    /// This token (RFC 7519 section 4.1.7).
    pub jti: String,
    /// Its session (OpenID Connect Front-Channel Logout 1.0 section 3); the actor's if it acts for another. A client's token
    /// has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The client that got it for itself (RFC 8693 section 4.3). A user's token has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its tenant; null for the platform's.
    pub tenant_id: Option<String>,
    /// Its realm.
    pub scope: Realm,
    /// Roles in the tenant, each everywhere or within a boundary.
    pub roles: Vec<Role>,
    /// Permissions in the tenant.
    pub permissions: Vec<GrantName>,
    /// What describes the user in the tenant.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// What those roles stand for that the tenant has defined for itself.
    #[serde(default, skip_serializing_if = "RolePermissions::is_empty")]
    pub custom_roles: RolePermissions,
    /// What the tenant has paid for.
    pub services: Entitlements,
    /// When the user logged in (OpenID Connect Core 1.0 section 2); the actor if it acts for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<UnixTime>,
    /// How the user logged in (RFC 8176); the actor if it acts for another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Who acts for the subject (RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// Who acts for the subject of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// The actor.
    pub sub: String,
    /// The roles that the actor holds without a boundary.
    pub roles: Vec<GrantName>,
}

#[derive(Serialize)]
struct JoseHeader<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

/// The compact form (RFC 7515 section 7.1) of an access token, signed with `key`.
///
/// # Errors
/// When the claims cannot be written, are too large for a token, or the key refuses.
pub fn sign(claims: &AccessClaims, key: &Key) -> Result<String, KeyError> {
    let unwritable = |_| KeyError("cannot write claims as JSON");
    let header = JoseHeader { alg: "RS256", kid: &key.kid, typ: TYPE };
    let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(unwritable)?);
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).map_err(unwritable)?));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    if token.len() > MAX_TOKEN {
        return Err(KeyError("the claims are too many for a token of 64 KiB"));
    }
    Ok(token)
}

/// The claims of a token that we signed, for this issuer and audience, and that is in date. Whether it has been revoked
/// is the store's to say.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// The claims.
    pub claims: AccessClaims,
    kid: String,
}

impl VerifiedToken {
    /// Verifies a compact token. `None` for every token that does not count, whatever the cause.
    pub fn verify(compact: &str, keys: &KeySet, settings: &Settings, now: UnixTime) -> Option<Self> {
        if compact.len() > MAX_TOKEN {
            return None;
        }
        let header = jsonwebtoken::decode_header(compact).ok()?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return None;
        }
        let key = keys.find(&header.kid?)?;

        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[settings.issuer.as_str()]);
        validation.set_audience(&settings.audiences);
        // Time is compared below: the library reads the clock itself, and this service has but one.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = jsonwebtoken::decode::<AccessClaims>(compact, &key.verification, &validation).ok()?.claims;
        let in_date = claims.nbf <= now && now < claims.exp;
        in_date.then(|| Self { claims, kid: key.kid.clone() })
    }

    /// What revocations may name it by.
    pub fn ids(&self) -> TokenIds {
        TokenIds {
            kid: self.kid.clone(),
            jti: self.claims.jti.clone(),
            sid: self.claims.sid.clone(),
            sub: self.claims.sub.clone(),
            client: self.claims.client_id.clone(),
            tenant: self.claims.tenant_id.clone(),
            iat: self.claims.iat,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::keys::KeyRing;
    use super::super::password::Cost;
    use super::super::settings::{IssuerUrl, ServiceAccess};
    use super::super::store::{Database, Store};
    use super::*;

    fn settings() -> Settings {
        Settings {
            issuer: IssuerUrl::parse("https://id.example.com").unwrap(),
            audiences: vec!["demo".to_owned()],
            access_ttl: 60,
            refresh_ttl: 600,
            admin_token: None,
            service_access: ServiceAccess::Refused,
            password_cost: Cost::TEST,
        }
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            iss: "https://id.example.com".to_owned(),
            sub: "alice".to_owned(),
            aud: vec!["demo".to_owned()],
            iat: 1000,
            nbf: 1000,
            exp: 1060,
            jti: "j".to_owned(),
            sid: Some("s".to_owned()),
            client_id: None,
            tenant_id: None,
            scope: Realm::System,
            roles: serde_json::from_str(r#"["admin",{"role":"sales","department":"d1"}]"#).unwrap(),
            permissions: Vec::new(),
            attributes: serde_json::from_str(r#"{"department":"d1"}"#).unwrap(),
            custom_roles: serde_json::from_str(r#"{"lead":["a"]}"#).unwrap(),
            services: Entitlements::new(),
            auth_time: Some(1000),
            amr: vec!["pwd".to_owned()],
            act: Some(Actor { sub: "root".to_owned(), roles: Vec::new() }),
        }
    }

    async fn keys() -> Arc<KeySet> {
        let store = Store::open(&Database::Memory, 60).await.unwrap();
        KeyRing::load(&store, 1).await.unwrap().current()
    }

    #[tokio::test]
    async fn own_token_verifies_within_its_dates_alone() {
        let keys = keys().await;
        let token = sign(&claims(), keys.signing()).unwrap();
        let verify = |now| VerifiedToken::verify(&token, &keys, &settings(), now);
        assert_eq!(verify(1000).unwrap().claims, claims());
        assert!(verify(1059).is_some());
        assert!(verify(1060).is_none());
        assert!(verify(999).is_none());
    }

    #[tokio::test]
    async fn platform_users_token_says_null_for_its_tenant() {
        let written = serde_json::to_value(claims()).unwrap();
        assert_eq!(written["tenant_id"], serde_json::Value::Null);
        assert_eq!(written["scope"], "system");
    }

    #[tokio::test]
    async fn claims_that_say_nothing_are_left_out() {
        let plain = AccessClaims {
            sid: None,
            attributes: Attributes::default(),
            custom_roles: RolePermissions::default(),
            auth_time: None,
            amr: Vec::new(),
            act: None,
            ..claims()
        };
        let written = serde_json::to_value(&plain).unwrap();
        for name in ["sid", "client_id", "attributes", "custom_roles", "auth_time", "amr", "act"] {
            assert!(written.get(name).is_none(), "{name}");
        }
        let keys = keys().await;
        let token = sign(&plain, keys.signing()).unwrap();
        assert_eq!(VerifiedToken::verify(&token, &keys, &settings(), 1000).unwrap().claims, plain);
    }

    #[tokio::test]
    async fn token_that_nobody_would_look_at_is_not_made() {
        let amr = vec!["x".repeat(MAX_TOKEN)];
        assert!(sign(&AccessClaims { amr, ..claims() }, keys().await.signing()).is_err());
    }

    #[tokio::test]
    async fn token_of_another_key_issuer_or_audience_is_refused() {
        let keys = keys().await;
        let verify = |token: &str| VerifiedToken::verify(token, &keys, &settings(), 1000).is_some();
        let stranger = self::keys().await;
        assert!(!verify(&sign(&claims(), stranger.signing()).unwrap()));
        let other_issuer = AccessClaims { iss: "https://other".to_owned(), ..claims() };
        assert!(!verify(&sign(&other_issuer, keys.signing()).unwrap()));
        let other_audience = AccessClaims { aud: vec!["other".to_owned()], ..claims() };
        assert!(!verify(&sign(&other_audience, keys.signing()).unwrap()));
    }

    #[tokio::test]
    async fn tampered_token_is_refused() {
        let keys = keys().await;
        let token = sign(&claims(), keys.signing()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let richer = AccessClaims { sub: "root".to_owned(), ..claims() };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&richer).unwrap());
        let none = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{}"}}"#, keys.signing().kid));
        let hs256 = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, keys.signing().kid));
        for forged in [
            format!("{}.{payload}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{hs256}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}.x"),
            String::new(),
            "x".repeat(MAX_TOKEN + 1),
        ] {
            assert!(VerifiedToken::verify(&forged, &keys, &settings(), 1000).is_none(), "{forged}");
        }
    }
}
