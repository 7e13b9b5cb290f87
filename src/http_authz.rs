//! The HTTP front door, for proxies that ask with a request of their own whether one of their clients' may pass: nginx (`auth_request`),
//! Caddy (`forward_auth`), Traefik (ForwardAuth), and Envoy's `ext_authz` over HTTP.
//!
//! How a proxy describes its client's request is a [`Dialect`]. It is configured and never guessed: whatever marks one dialect, a client
//! can send through a proxy that speaks another. What the proxy says is needed, and there once; a description that cannot be
//! read is a refusal. From there on a check goes the way of all others ([`ext_authz`](crate::ext_authz)).

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::Full;

use crate::ext_authz::{AuthorizationServer, PlainRequest};

mod answer;
mod dialect;
mod read;

pub use dialect::Dialect;
pub use read::Unreadable;

/// Answers the requests of proxies that come through one listener.
#[derive(Debug, Clone)]
pub struct FrontDoor {
    checks: AuthorizationServer,
    dialect: Dialect,
    timeout: Duration,
}

impl FrontDoor {
    /// A front door for proxies that speak this dialect and wait for so long.
    #[must_use]
    pub fn new(checks: &AuthorizationServer, dialect: Dialect, timeout: Duration) -> Self {
        Self { checks: checks.for_plain(), dialect, timeout }
    }

    /// The dialect's name.
    #[must_use]
    pub const fn dialect(&self) -> &'static str {
        self.dialect.name()
    }

    /// Answers one request of a proxy, from its head: a body is of no use here. Whatever happens, there is an answer.
    pub async fn answer(&self, head: &Parts) -> http::Response<Full<Bytes>> {
        let call = self.checks.begin_within(self.timeout);
        let request = self.read(head).inspect_err(|error| {
            tracing::info!(dialect = self.dialect.name(), %error, "a proxy's request cannot be read");
        });
        let answer = call.answer_plain(request.ok()).await;
        answer::encode(&self.dialect, answer)
    }

    fn read(&self, head: &Parts) -> Result<PlainRequest, Unreadable> {
        let request = self.dialect.read(head)?;
        if !self.dialect.removes_headers()
            && let Some(name) = self.checks.another_spelling(&request)
        {
            return Err(Unreadable::Spelling(name.to_string()));
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
