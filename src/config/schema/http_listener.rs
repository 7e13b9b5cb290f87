//! `listen.http`: where proxies ask that do not speak Envoy's protocol, and how they describe their clients' requests.

use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{Map, Node};

use super::issuer::duration_or;
use super::{GrpcAddress, SECOND};

/// How long a proxy waits unless the configuration says otherwise.
const TIMEOUT: Duration = SECOND;
const MILLISECOND: Duration = Duration::from_millis(1);
/// More proxies in a row than anybody has.
const MOST_HOPS: usize = 16;

/// A listener for proxies that ask over HTTP. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpListener {
    /// Where it listens.
    pub address: GrpcAddress,
    /// How proxies describe requests.
    pub dialect: HttpDialect,
    /// How long they wait for an answer. HTTP has no word for it, so it stands here.
    pub timeout: Duration,
}

/// How a proxy describes its client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpDialect {
    /// nginx's `auth_request`, with the headers that `deploy/nginx/portcullis.conf` sets.
    Nginx,
    /// Caddy's `forward_auth` and Traefik's ForwardAuth.
    ForwardAuth {
        /// How many known proxies stand before the one that asks.
        trusted_hops: usize,
    },
    /// Envoy's `ext_authz` with `http_service`, as in `envoy/http.yaml`.
    Envoy {
        /// What Envoy puts before the path; empty: nothing.
        path_prefix: String,
    },
}

#[derive(Clone, Copy)]
enum Name {
    Nginx,
    ForwardAuth,
    Envoy,
}

/// Reads a list of listeners, none of which listens where another one, of any kind, does.
pub(super) fn read(node: &Node<'_>, taken: &[GrpcAddress], problems: &mut Problems) -> Vec<HttpListener> {
    let mut listeners: Vec<HttpListener> = Vec::new();
    for node in node.items(problems).unwrap_or_default() {
        let Some(mut map) = node.map(problems) else { continue };
        let address = map.require(problems, "address", "where proxies ask, such as '127.0.0.1:9192' or 'unix:/run/portcullis/http.sock'");
        let address = address.and_then(|node| node.string(problems));
        let address = address.and_then(|text| text.convert(problems, |text| GrpcAddress::parse(&text)));
        let names = [("nginx", Name::Nginx), ("forward_auth", Name::ForwardAuth), ("envoy", Name::Envoy)];
        let which = "which proxy asks: 'nginx', 'forward_auth' (Caddy, Traefik) or 'envoy'; it is never guessed";
        let name = map.require(problems, "dialect", which).and_then(|node| node.choice(problems, &names));
        let timeout = duration_or(map.take("timeout"), problems, TIMEOUT, 10 * MILLISECOND..=60 * SECOND);
        let dialect = name.and_then(|name| dialect(name, &mut map, problems));
        if name.is_none() {
            // Of which dialect these are is not known, so neither is whether they may be there.
            let _ = (map.take("path_prefix"), map.take("trusted_hops"));
        }
        map.finish(problems);
        let (Some(address), Some(dialect), Some(timeout)) = (address, dialect, timeout) else { continue };
        // Where the system chooses the port, two are never the same.
        let is_chosen = matches!(&address.value, GrpcAddress::Tcp(address) if address.port() == 0);
        if !is_chosen && (taken.contains(&address.value) || listeners.iter().any(|other| other.address == address.value)) {
            address.problem(problems, format!("another listener has the address '{}' already", address.value));
        }
        listeners.push(HttpListener { address: address.value, dialect, timeout });
    }
    listeners
}

fn dialect(name: Name, map: &mut Map<'_>, problems: &mut Problems) -> Option<HttpDialect> {
    Some(match name {
        Name::Nginx => HttpDialect::Nginx,
        Name::ForwardAuth => {
            HttpDialect::ForwardAuth { trusted_hops: map.take("trusted_hops").map_or(Some(0), |node| node.usize(problems, 0..=MOST_HOPS))? }
        }
        Name::Envoy => {
            HttpDialect::Envoy { path_prefix: map.take("path_prefix").map_or(Some(String::new()), |node| path_prefix(&node, problems))? }
        }
    })
}

fn path_prefix(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let prefix = node.string(problems)?.convert(problems, |prefix| {
        let fits = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
        if fits && prefix.starts_with('/') && !prefix.ends_with('/') {
            Ok(prefix)
        } else {
            Err(format!("'{prefix}' is no prefix of paths; write what stands before the '/' of the client's path, such as '/authz'"))
        }
    })?;
    Some(prefix.value)
}
