//! Host patterns of routes.

use std::fmt;

use crate::pdp::request::Host;

/// Which hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host alone.
    Exact(Host),
    /// `*.suffix`: every host with at least one label before the suffix, which is kept without its leading dot.
    Suffix(Box<str>),
    /// Every host.
    Any,
}

/// Why a host pattern is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPatternError;

impl fmt::Display for HostPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host is a name without port ('blog.example.com'), an address, or '*.' and a name")
    }
}

impl HostPattern {
    /// Reads `name`, `*.name` or `*`.
    ///
    /// # Errors
    /// Everything else, ports included: the port of a request is ignored.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            let suffix = Host::from_name(suffix).map_err(|_| HostPatternError)?;
            return Ok(Self::Suffix(suffix.as_str().into()));
        }
        let host = if text.starts_with('[') && text.ends_with(']') { Host::parse(text) } else { Host::from_name(text) };
        host.map(Self::Exact).map_err(|_| HostPatternError)
    }
}

/// The labels before `.suffix`, if the host has any there.
pub(super) fn subdomain_of<'h>(host: &'h Host, suffix: &str) -> Option<&'h str> {
    host.as_str().strip_suffix(suffix)?.strip_suffix('.').filter(|labels| !labels.is_empty())
}
