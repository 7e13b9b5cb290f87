//! Who is asking.

use std::sync::Arc;

use super::tenant::TenantId;
use super::token::verify::VerifiedToken;

/// Somebody whose token was verified, in date and not revoked (*active* in the sense of RFC 7662 section 2.2).
#[derive(Debug, Clone)]
pub struct Principal {
    pub(super) token: Arc<VerifiedToken>,
    pub(super) acting_in: Option<TenantId>,
}

impl Principal {
    /// The token that proves it.
    #[must_use]
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// Whether the request is about the token's own tenant, or none.
    #[must_use]
    pub fn is_at_home(&self) -> bool {
        self.acting_in.is_none()
    }

    /// The tenant that the request is about: the token's, unless a role let it cross into another.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.acting_in.as_ref().or(self.token.claims().tenant.as_ref())
    }
}
