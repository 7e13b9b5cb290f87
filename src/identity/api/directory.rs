//! What services ask: who somebody is in a tenant, and what the tenants' own roles stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::super::Identity;
use super::super::error::ApiError;
use super::super::id::GrantName;
use super::super::role::{Attributes, Role};
use super::super::rules::RolePermissions;
use super::super::settings::{ServiceAccess, sha256};
use super::super::store::Membership;
use super::authentication::bearer;
use super::input::{Parameters, Segment};
use super::revocations::if_none_match;

/// A caller who may ask: one with the secret, or, where none is set, anyone on this machine.
pub struct ServiceCaller;

impl FromRequestParts<Arc<Identity>> for ServiceCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, identity: &Arc<Identity>) -> Result<Self, ApiError> {
        match &identity.settings.service_access {
            ServiceAccess::Open => Ok(Self),
            // Not 404: here that says that there is no such user.
            ServiceAccess::Refused => Err(ApiError::access_denied("no service token is set, and this listener is not on loopback")),
            ServiceAccess::WithSecret(secret) if secret.matches(bearer(&parts.headers)?) => Ok(Self),
            ServiceAccess::WithSecret(_) => {
                tracing::warn!("directory: wrong service token");
                Err(ApiError::invalid_token())
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryQuery {
    tenant: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Entry {
    user: String,
    tenant: Option<String>,
    roles: Vec<GrantName>,
    attributes: Attributes,
}

/// `GET /v1/directory/{user}?tenant=`; without `tenant`, who the user is on the platform.
pub async fn entry(
    State(identity): State<Arc<Identity>>,
    _: ServiceCaller,
    Segment(user): Segment,
    Parameters(DirectoryQuery { tenant }): Parameters<DirectoryQuery>,
) -> Result<Json<Entry>, ApiError> {
    let membership = identity.store.membership(user.clone(), tenant.clone()).await?.ok_or_else(ApiError::not_found)?;
    let Membership { roles, attributes, .. } = membership;
    Ok(Json(Entry { user, tenant, attributes: merged(attributes, &roles), roles: names(&roles) }))
}

/// The roles' names, each once: whoever holds a role anywhere counts as its holder.
fn names(roles: &[Role]) -> Vec<GrantName> {
    let mut names: Vec<GrantName> = Vec::new();
    for role in roles {
        if !names.contains(role.name()) {
            names.push(role.name().clone());
        }
    }
    names
}

/// The member's attributes, and besides what the boundaries of all roles agree on: whoever holds every role in one
/// department is of that department. Where they differ, or one has no boundary, nothing follows.
fn merged(mut attributes: Attributes, roles: &[Role]) -> Attributes {
    let Some((first, others)) = roles.split_first() else { return attributes };
    for name in first.bound_names() {
        if let Some(value) = first.bound(name)
            && others.iter().all(|role| role.bound(name) == Some(value))
        {
            // What the membership itself says stands.
            let _ = attributes.add(name.clone(), value.clone());
        }
    }
    attributes
}

#[derive(Serialize)]
struct TenantRoles {
    tenants: BTreeMap<String, RolePermissions>,
}

/// `GET /v1/roles`: what the tenants' own roles stand for, with an entity tag.
pub async fn roles(State(identity): State<Arc<Identity>>, _: ServiceCaller, headers: HeaderMap) -> Result<Response, ApiError> {
    let document = TenantRoles { tenants: identity.store.tenant_roles().await? };
    let body = serde_json::to_vec(&document).map_err(ApiError::internal)?;
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(&body)));
    let not_modified = if_none_match(&headers).contain(&etag);
    let caching = [(header::ETAG, etag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok(if not_modified { (StatusCode::NOT_MODIFIED, caching).into_response() } else { (caching, content_type, body).into_response() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn boundaries_count_as_attributes_where_all_roles_agree() {
        for (attributes, roles, expected) in [
            (json!({}), json!([{"role": "a", "department": "d1"}]), json!({"department": "d1"})),
            (json!({}), json!([{"role": "a", "department": "d1"}, {"role": "b", "department": "d1"}]), json!({"department": "d1"})),
            (json!({}), json!([{"role": "a", "department": "d1"}, {"role": "b", "department": "d2"}]), json!({})),
            (json!({}), json!([{"role": "a", "department": "d1"}, "b"]), json!({})),
            (json!({}), json!(["b", {"role": "a", "department": "d1"}]), json!({})),
            (json!({"department": "d9"}), json!([{"role": "a", "department": "d1"}]), json!({"department": "d9"})),
            (json!({"branch": "b"}), json!([]), json!({"branch": "b"})),
        ] {
            let read: Vec<Role> = serde_json::from_value(roles.clone()).unwrap();
            let merged: Value = serde_json::to_value(merged(serde_json::from_value(attributes).unwrap(), &read)).unwrap();
            assert_eq!(merged, expected, "{roles}");
        }
    }

    #[test]
    fn holder_of_a_role_within_a_boundary_holds_the_role() {
        let roles: Vec<Role> = serde_json::from_value(json!(["b", {"role": "a", "x": "1"}, {"role": "a", "x": "2"}, "b"])).unwrap();
        assert_eq!(serde_json::to_value(names(&roles)).unwrap(), json!(["b", "a"]));
    }
}
