//! Services that get tokens for themselves (client credentials, RFC 6749 section 4.4).

use super::Identity;
use super::error::ApiError;
use super::grant::{Grant, Origin, TokenResponse};
use super::password::Password;

impl Identity {
    /// A token for the client itself. There is no session and no refresh token: the client can ask again at any time.
    ///
    /// # Errors
    /// `invalid_client` when identifier and secret do not belong together, or the client is revoked (which of these shows
    /// neither in the answer nor in the time it takes).
    pub async fn client_token(&self, id: String, secret: Password) -> Result<TokenResponse, ApiError> {
        if secret.is_too_long() {
            return Err(ApiError::invalid_client());
        }
        let hash = self.store.client_secret_hash(id.clone()).await?;
        let matches = self.passwords.verify(secret, hash).await?;
        let now = self.clock.now();
        let client = if matches { self.store.client(id, now).await? } else { None };
        let Some(client) = client else {
            tracing::info!("client refused: wrong identifier or secret, or revoked");
            return Err(ApiError::invalid_client());
        };
        tracing::info!(client = client.id, tenant = client.tenant, "token for a client");
        let grant = Grant {
            sub: client.id,
            tenant: client.tenant,
            rights: self.rules().rights(client.membership),
            access_ttl: self.settings.access_ttl,
            origin: Origin::Client,
        };
        self.issue(grant, None, now)
    }
}
