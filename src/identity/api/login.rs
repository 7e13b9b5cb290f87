//! `POST /v1/login`: tokens for a password.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use http::{HeaderMap, header};
use serde::Deserialize;

use super::super::Identity;
use super::super::error::ApiError;
use super::super::grant::TokenResponse;
use super::super::password::Password;
use super::super::session::Login;
use super::super::totp::Code;
use super::input::Body;

/// The longest name of a device, in characters.
const MAX_DEVICE: usize = 128;

/// How much of a `user-agent` header is kept, in characters.
const MAX_USER_AGENT: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    email: String,
    password: Password,
    otp: Option<Code>,
    tenant: Option<String>,
    device: Option<String>,
    access_ttl: Option<u32>,
}

/// `POST /v1/login`
pub async fn login(
    State(identity): State<Arc<Identity>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Body(body): Body<LoginBody>,
) -> Result<Json<TokenResponse>, ApiError> {
    let LoginBody { email, password, otp, tenant, device, access_ttl } = body;
    if device.as_ref().is_some_and(|device| !is_device_name(device)) {
        return Err(ApiError::invalid_request("'device' must be 1 to 128 characters without control characters"));
    }
    let user_agent = headers.get(header::USER_AGENT).map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()
    });
    let ip = peer.ip();
    identity.login(Login { email, password, code: otp, tenant, device, access_ttl, ip, user_agent }).await.map(Json)
}

fn is_device_name(text: &str) -> bool {
    (1..=MAX_DEVICE).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
