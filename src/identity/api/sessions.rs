//! A user's own view: who am I, where am I logged in, log me out there.
//!
//! A token speaks for one tenant, so it shows and ends sessions in that tenant alone, the user's own ones included.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::super::Identity;
use super::super::error::ApiError;
use super::super::id::GrantName;
use super::super::role::{Attributes, Role};
use super::super::rules::RolePermissions;
use super::super::store::{Entitlements, Session};
use super::super::token::{AccessClaims, Actor, Realm};
use super::authentication::Caller;
use super::input::{Parameters, Segment};

#[derive(Serialize)]
pub struct Me {
    sub: String,
    tenant_id: Option<String>,
    scope: Realm,
    session_id: Option<String>,
    roles: Vec<Role>,
    permissions: Vec<GrantName>,
    services: Entitlements,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attributes: Attributes,
    #[serde(skip_serializing_if = "RolePermissions::is_empty")]
    custom_roles: RolePermissions,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Actor>,
}

/// `GET /v1/me`: what the caller's token says.
pub async fn me(caller: Caller) -> Json<Me> {
    let claims = caller.into_claims();
    let AccessClaims { sub, tenant_id, scope, sid: session_id, roles, permissions, services, .. } = claims;
    let AccessClaims { attributes, custom_roles, client_id, act, .. } = claims;
    Json(Me { sub, tenant_id, scope, session_id, roles, permissions, services, attributes, custom_roles, client_id, act })
}

/// `POST /v1/logout`: ends the session that began with the caller's own login.
pub async fn logout(State(identity): State<Arc<Identity>>, caller: Caller) -> Result<StatusCode, ApiError> {
    let AccessClaims { sid, sub, tenant_id, act, .. } = caller.into_claims();
    let Some(session) = sid.filter(|_| act.is_none()) else {
        return Err(ApiError::access_denied("this token is not of a login of its subject; there is nothing to log out of"));
    };
    identity.store.end_session(session, Some(sub), tenant_id, identity.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub struct ListQuery {
    user: Option<String>,
}

#[derive(Serialize)]
pub struct SessionList {
    sessions: Vec<Session>,
}

/// `GET /v1/sessions`
pub async fn list(
    State(identity): State<Arc<Identity>>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<SessionList>, ApiError> {
    let claims = caller.claims();
    let user = query.user.unwrap_or_else(|| claims.sub.clone());
    if user != claims.sub && !is_admin(&identity, claims).await? {
        return Err(ApiError::access_denied("only an admin may see the sessions of others"));
    }
    let tenant = claims.tenant_id.clone();
    let sessions = identity.store.sessions(user, tenant, identity.clock.now()).await?;
    Ok(Json(SessionList { sessions }))
}

/// `DELETE /v1/sessions/{id}`: what the caller may not end does not exist for them.
pub async fn end(State(identity): State<Arc<Identity>>, caller: Caller, Segment(id): Segment) -> Result<StatusCode, ApiError> {
    let claims = caller.claims();
    let owner = if is_admin(&identity, claims).await? { None } else { Some(claims.sub.clone()) };
    let tenant = claims.tenant_id.clone();
    let ended = identity.store.end_session(id, owner, tenant, identity.clock.now()).await?;
    if ended { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found()) }
}

/// Whether the caller is an admin of the token's tenant now: a role that was taken away does not count until the token
/// expires.
async fn is_admin(identity: &Identity, claims: &AccessClaims) -> Result<bool, ApiError> {
    let membership = identity.store.membership(claims.sub.clone(), claims.tenant_id.clone()).await?;
    Ok(membership.is_some_and(|membership| identity.rules().is_admin(&membership.roles)))
}
