//! The operator API: keys, revocations, tenants. It exists only when the operator has set a token for it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::super::Identity;
use super::super::clock::UnixTime;
use super::super::error::ApiError;
use super::super::id::{Email, GrantName, Identifier};
use super::super::password::Password;
use super::super::role::{Attributes, Role};
use super::super::rules::RolePermissions;
use super::super::store::{Cursor, Entitlements, KeyRemoval, NewMembership, NewTenant, NewUser, RevocationType, TenantCreation};
use super::authentication::bearer;
use super::input::{Body, Segment};
use super::method_not_allowed;

/// The longest value of a revoked claim, in bytes.
const MAX_CLAIM: usize = 512;

/// How far in the future the bound of a revocation may lie, in seconds: a year.
const MAX_BOUND: i64 = 366 * 24 * 60 * 60;

/// Everything below `/v1/admin`, guarded as a whole: what does not exist looks like what may not be seen.
pub fn router(identity: &Arc<Identity>) -> Router<Arc<Identity>> {
    Router::new()
        .route("/keys", get(list_keys))
        .route("/keys/rotate", post(rotate_keys))
        .route("/keys/{kid}", delete(remove_key))
        .route("/revocations", post(revoke))
        .route("/tenants", post(create_tenant))
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(identity), operator_only))
}

async fn operator_only(State(identity): State<Arc<Identity>>, request: Request, next: Next) -> Result<Response, ApiError> {
    let expected = identity.settings.admin_token.as_ref().ok_or_else(ApiError::not_found)?;
    if expected.matches(bearer(request.headers())?) {
        Ok(next.run(request).await)
    } else {
        tracing::warn!("operator API: wrong token");
        Err(ApiError::invalid_token())
    }
}

// === keys ===

#[derive(Serialize)]
struct KeyList {
    keys: Vec<KeyView>,
}

#[derive(Serialize)]
struct KeyView {
    kid: String,
    created_at: UnixTime,
    signing: bool,
}

/// `GET /v1/admin/keys`
async fn list_keys(State(identity): State<Arc<Identity>>) -> Json<KeyList> {
    let current = identity.keys.current();
    let signing = &current.signing().kid;
    let keys =
        current.iter().map(|key| KeyView { kid: key.kid.clone(), created_at: key.created_at, signing: key.kid == *signing }).collect();
    Json(KeyList { keys })
}

#[derive(Serialize)]
struct Rotated {
    kid: String,
}

/// `POST /v1/admin/keys/rotate`
async fn rotate_keys(State(identity): State<Arc<Identity>>) -> Result<Json<Rotated>, ApiError> {
    let kid = identity.keys.rotate(&identity.store, identity.clock.now()).await?;
    tracing::info!(kid, "a new key signs");
    Ok(Json(Rotated { kid }))
}

/// `DELETE /v1/admin/keys/{kid}`
async fn remove_key(State(identity): State<Arc<Identity>>, Segment(kid): Segment) -> Result<StatusCode, ApiError> {
    match identity.keys.remove(&identity.store, kid.clone()).await? {
        KeyRemoval::Removed => {
            tracing::info!(kid, "key removed");
            Ok(StatusCode::NO_CONTENT)
        }
        KeyRemoval::Signing => Err(signing_key()),
        KeyRemoval::Unknown => Err(ApiError::not_found()),
    }
}

fn signing_key() -> ApiError {
    ApiError::conflict("this key signs new tokens; rotate first")
}

// === revocations ===

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationBody {
    #[serde(rename = "type")]
    kind: RevocationType,
    id: String,
    before: Option<UnixTime>,
}

#[derive(Serialize)]
struct Revoked {
    cursor: Cursor,
}

/// `POST /v1/admin/revocations`
async fn revoke(State(identity): State<Arc<Identity>>, Body(body): Body<RevocationBody>) -> Result<(StatusCode, Json<Revoked>), ApiError> {
    let RevocationBody { kind, id, before } = body;
    let now = identity.clock.now();
    if id.is_empty() || id.len() > MAX_CLAIM || id.chars().any(char::is_control) {
        return Err(ApiError::invalid_request("'id' must be 1 to 512 bytes without control characters"));
    }
    if before.is_some() && !kind.outlives_its_tokens() {
        return Err(ApiError::invalid_request("'before' belongs to the types sub, tenant and client; leave it out"));
    }
    if before.is_some_and(|bound| !(0..=now.saturating_add(MAX_BOUND)).contains(&bound)) {
        return Err(ApiError::invalid_request("'before' must be a time in unix seconds, at most a year ahead"));
    }
    // Tokens signed with it after the entry is forgotten would count again.
    if kind == RevocationType::Kid && identity.keys.current().signing().kid == id {
        return Err(signing_key());
    }
    let cursor = identity.store.revoke(kind, id.clone(), before, now).await?;
    tracing::info!(kind = kind.as_str(), id, before, "revoked");
    Ok((StatusCode::CREATED, Json(Revoked { cursor })))
}

// === tenants ===

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantBody {
    id: Identifier,
    name: String,
    #[serde(default)]
    services: Entitlements,
    #[serde(default)]
    roles: RolePermissions,
    owner: OwnerBody,
}

/// The first member: an existing user by `id` alone, or a new one with `email` and `password`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerBody {
    id: Identifier,
    email: Option<Email>,
    password: Option<Password>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    permissions: Vec<GrantName>,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Serialize)]
struct TenantView {
    id: String,
    owner: String,
}

/// `POST /v1/admin/tenants`
async fn create_tenant(
    State(identity): State<Arc<Identity>>,
    Body(body): Body<TenantBody>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    let TenantBody { id: tenant, name, services, roles: tenant_roles, owner } = body;
    let OwnerBody { id, email, password, roles, permissions, attributes } = owner;
    if roles.is_empty() && permissions.is_empty() {
        return Err(ApiError::invalid_request("'owner' has neither roles nor permissions; nobody could do anything in this tenant"));
    }
    if let Some(role) = tenant_roles.keys().find(|role| identity.rules().roles.contains_key(*role)) {
        return Err(ApiError::invalid_request(format!(
            "'roles': {:?} is a role that every tenant has; choose another name",
            role.as_str()
        )));
    }
    let user = match (&email, password) {
        (_, None) => None,
        (None, Some(_)) => {
            return Err(ApiError::invalid_request("'owner' has a password but no email"));
        }
        (Some(email), Some(password)) => {
            if password.is_empty() || password.is_too_long() {
                return Err(ApiError::invalid_request("'password' is empty or too long"));
            }
            let password_hash = identity.passwords.hash(password).await?;
            Some(NewUser { id: id.clone(), email: email.clone(), password_hash, totp: None })
        }
    };
    let view = TenantView { id: tenant.as_str().to_owned(), owner: id.as_str().to_owned() };
    let owner = NewMembership { user: id, tenant: Some(tenant.clone()), roles, permissions, attributes };
    let tenant = NewTenant { id: tenant, name, services, roles: tenant_roles };
    let created = identity.store.create_tenant(tenant, user, email, owner, identity.clock.now()).await?;
    match created {
        TenantCreation::Created => {
            tracing::info!(tenant = view.id, owner = view.owner, "tenant created");
            Ok((StatusCode::CREATED, Json(view)))
        }
        TenantCreation::TenantExists => Err(ApiError::conflict("there is such a tenant already")),
        TenantCreation::OwnerUnknown => {
            Err(ApiError::invalid_request("'owner' is no existing user; send email and password to create one"))
        }
        TenantCreation::OwnerConflict => Err(ApiError::conflict(
            "'owner' contradicts an existing user: send the id alone for one that exists, and a free email for a new one",
        )),
    }
}
