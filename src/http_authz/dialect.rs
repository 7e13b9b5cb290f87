//! How each kind of proxy describes its client's request.

use http::request::Parts;

use super::read::{self, Unreadable};
use crate::ext_authz::PlainRequest;

/// A way to describe a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// nginx's `auth_request`, whose configuration sets `X-Original-Method`, `X-Original-URI`, `Host` and `X-Real-IP`.
    Nginx,
    /// Caddy's `forward_auth` and Traefik's ForwardAuth: `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For`.
    ForwardAuth {
        /// How many proxies that are known stand before the one that asks: so many addresses at the end of `X-Forwarded-For` are theirs.
        trusted_hops: usize,
    },
    /// Envoy's `ext_authz` with `http_service`: method, path and host of its request are the client's, and its configuration sets
    /// `X-Real-IP`. (Envoy's `X-Forwarded-For` ends with its own address where the client is on the same machine.)
    Envoy {
        /// What Envoy puts before the path (`path_prefix`); empty: nothing.
        path_prefix: String,
    },
}

impl Dialect {
    /// As it is written in configurations and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::ForwardAuth { .. } => "forward_auth",
            Self::Envoy { .. } => "envoy",
        }
    }

    /// Whether the proxy can be told with each answer which of the client's headers to take away.
    pub(super) const fn removes_headers(&self) -> bool {
        matches!(self, Self::Envoy { .. })
    }

    /// Reads what the proxy says. Its own headers are left out: conditions see what the client sent.
    pub(super) fn read(&self, head: &Parts) -> Result<PlainRequest, Unreadable> {
        match self {
            Self::Nginx => nginx(head),
            Self::ForwardAuth { trusted_hops } => forward_auth(head, *trusted_hops),
            Self::Envoy { path_prefix } => envoy(head, path_prefix),
        }
    }
}

fn nginx(head: &Parts) -> Result<PlainRequest, Unreadable> {
    let headers = &head.headers;
    Ok(PlainRequest {
        method: read::method(headers, read::ORIGINAL_METHOD)?.into(),
        target: read::once(headers, read::ORIGINAL_URI)?.into(),
        authority: read::host(headers)?.into(),
        headers: read::rest(headers, &[read::ORIGINAL_METHOD, read::ORIGINAL_URI, read::REAL_IP]),
        address: read::address(headers, read::REAL_IP)?,
    })
}

fn forward_auth(head: &Parts, trusted_hops: usize) -> Result<PlainRequest, Unreadable> {
    let headers = &head.headers;
    // The scheme decides nothing. A proxy that does not say it is configured otherwise than is needed here.
    if !["http", "https", "ws", "wss"].contains(&read::once(headers, read::FORWARDED_PROTO)?) {
        return Err(Unreadable::Odd(read::FORWARDED_PROTO));
    }
    let described_by = [read::FORWARDED_METHOD, read::FORWARDED_URI, read::FORWARDED_HOST, read::FORWARDED_PROTO, read::FORWARDED_FOR];
    Ok(PlainRequest {
        method: read::method(headers, read::FORWARDED_METHOD)?.into(),
        target: read::once(headers, read::FORWARDED_URI)?.into(),
        authority: read::once(headers, read::FORWARDED_HOST)?.into(),
        headers: read::rest(headers, &described_by),
        address: read::hop(headers, read::FORWARDED_FOR, trusted_hops)?,
    })
}

fn envoy(head: &Parts, path_prefix: &str) -> Result<PlainRequest, Unreadable> {
    let headers = &head.headers;
    let is_origin_form = head.uri.scheme().is_none() && head.uri.authority().is_none();
    let target = head.uri.path_and_query().filter(|_| is_origin_form).ok_or(Unreadable::Target)?.as_str();
    let target = target.strip_prefix(path_prefix).filter(|rest| rest.starts_with('/')).ok_or(Unreadable::Target)?;
    Ok(PlainRequest {
        method: head.method.as_str().into(),
        target: target.into(),
        authority: read::host(headers)?.into(),
        headers: read::rest(headers, &[read::REAL_IP, read::ENVOY_INTERNAL, read::ENVOY_TIMEOUT]),
        address: read::address(headers, read::REAL_IP)?,
    })
}
