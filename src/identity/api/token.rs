//! `POST /v1/token`: a new access token for a refresh token, for a client's secret, or for a token of somebody who acts for
//! another.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::super::Identity;
use super::super::error::ApiError;
use super::super::grant::TokenResponse;
use super::super::id::Identifier;
use super::super::password::Password;
use super::authentication::bearer;
use super::input::Body;

/// What stands for a token exchange (RFC 8693 section 2.1).
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The members of all kinds of request; which of them a request has depends on its `grant_type`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    grant_type: Option<String>,
    refresh_token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Password>,
    subject: Option<Identifier>,
    tenant: Option<Identifier>,
}

/// `POST /v1/token`
pub async fn token(
    State(identity): State<Arc<Identity>>,
    headers: HeaderMap,
    Body(body): Body<TokenBody>,
) -> Result<Json<TokenResponse>, ApiError> {
    let TokenBody { grant_type, refresh_token, client_id, client_secret, subject, tenant } = body;
    // One pattern per kind names all members, so that none is accepted and ignored.
    match (grant_type.as_deref(), refresh_token, client_id, client_secret, subject, tenant) {
        (None | Some("refresh_token"), Some(refresh_token), None, None, None, None) => identity.refresh(&refresh_token).await.map(Json),
        (Some("client_credentials"), None, Some(id), Some(secret), None, None) => identity.client_token(id, secret).await.map(Json),
        (Some(TOKEN_EXCHANGE), None, None, None, Some(subject), tenant) => {
            let actor = identity.authenticate(bearer(&headers)?).await?;
            let tenant = tenant.map(|tenant| tenant.as_str().to_owned());
            identity.exchange(actor, subject.as_str().to_owned(), tenant).await.map(Json)
        }
        (None | Some("refresh_token"), ..) => Err(ApiError::invalid_request("send 'refresh_token', and nothing but 'grant_type' with it")),
        (Some("client_credentials"), ..) => Err(ApiError::invalid_request("send 'client_id' and 'client_secret', and nothing else")),
        (Some(TOKEN_EXCHANGE), ..) => Err(ApiError::invalid_request("send 'subject' and 'tenant', and nothing else")),
        (Some(_), ..) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "'grant_type' is not refresh_token, client_credentials or urn:ietf:params:oauth:grant-type:token-exchange",
        )),
    }
}
