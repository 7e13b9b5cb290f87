//! Tenants, and where a request says which one it is about.

use std::fmt;

/// The longest tenant id, in bytes.
pub const MAX_TENANT_BYTES: usize = 128;

/// The id of a tenant: visible ASCII without comma, compared exactly, so that it is safe in a header.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Box<str>);

impl TenantId {
    /// Reads a tenant id; `None` if it is empty, too long, or holds a character that could be read in two ways.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_TENANT_BYTES && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        fits.then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a token or a route is for: the platform's own people, or those of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// Platform users, who belong to no tenant.
    System,
    /// Users within a tenant.
    Tenant,
}

impl Realm {
    /// Reads `system` or `tenant`, exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "system" => Some(Self::System),
            "tenant" => Some(Self::Tenant),
            _ => None,
        }
    }

    /// The realm as it is written in tokens and configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Tenant => "tenant",
        }
    }
}

/// What a binding found in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundTenant {
    /// The route is about no tenant.
    Unbound,
    /// The request leaves the tenant to the token.
    FromToken,
    /// The request names this tenant.
    Named(TenantId),
    /// The request should name a tenant and does not, or names several, or something that is no tenant id.
    Unclear,
}
