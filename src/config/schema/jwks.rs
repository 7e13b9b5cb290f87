//! `jwks`: where an issuer's keys come from.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};

use super::issuer::{duration_or, file, url};
use super::{DAY, SECOND};
use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};
use crate::pdp::token::algorithm::Algorithm;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Where a JWK set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksSource {
    /// The document.
    pub location: JwksLocation,
    /// How often it is fetched, when the server does not say otherwise.
    pub refresh: Duration,
    /// For how long a set is good after it was fetched.
    pub max_stale: Duration,
    /// How long a fetch for an unknown key waits after the one before.
    pub cooldown: Duration,
    /// Keys for other algorithms are not kept.
    pub algorithms: Vec<Algorithm>,
}

/// A JWK set's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksLocation {
    /// Fetched over HTTP.
    Url(Uri),
    /// Read from a file.
    File(PathBuf),
    /// Fetched from where the issuer's metadata says that it is.
    Discovery(Discovery),
}

/// An issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The document.
    pub metadata: Uri,
    /// What it must say that the issuer is, to the letter.
    pub issuer: Box<str>,
    /// The hosts, with a port unless it is the scheme's own, that its `jwks_uri` may name besides the document's own.
    pub hosts: Vec<Box<str>>,
}

/// Reads `jwks` of an issuer; `issuer` is the `iss` of its tokens if that can be read.
pub(super) fn read(
    node: &Node<'_>,
    issuer: Option<&Located<String>>,
    algorithms: &[Algorithm],
    problems: &mut Problems,
) -> Option<JwksSource> {
    let mut map = node.map(problems)?;
    let url = map.take("url").map(|node| url(&node, problems).map(JwksLocation::Url));
    let file = map.take("file").map(|node| file(&node, problems).map(JwksLocation::File));
    let discovery = map.take("discovery");
    let hosts = map.take("hosts");
    if let (None, Some(hosts)) = (&discovery, &hosts) {
        hosts.problem(problems, "'hosts' belongs to 'discovery': a URL names its host itself");
    }
    let discovery = discovery.map(|node| {
        let hosts = hosts.map_or(Some(Vec::new()), |hosts| read_hosts(&hosts, problems));
        let metadata = metadata_url(&node, issuer, problems);
        Some(JwksLocation::Discovery(Discovery { metadata: metadata?, issuer: issuer?.value.as_str().into(), hosts: hosts? }))
    });
    let mut locations = [url, file, discovery].into_iter().flatten();
    let location = match (locations.next(), locations.next()) {
        (Some(location), None) => location,
        (None, _) => {
            node.problem(problems, "say where the keys are: 'url', 'file' or 'discovery'");
            None
        }
        (Some(_), Some(_)) => {
            node.problem(problems, "there can be only one of 'url', 'file' and 'discovery'");
            None
        }
    };
    let refresh = duration_or(map.take("refresh"), problems, 5 * MINUTE, SECOND..=DAY);
    let max_stale = duration_or(map.take("max_stale"), problems, 24 * HOUR, SECOND..=30 * DAY);
    let cooldown = duration_or(map.take("cooldown"), problems, 10 * SECOND, 100 * Duration::from_millis(1)..=HOUR);
    map.finish(problems);
    let (refresh, max_stale) = (refresh?, max_stale?);
    if max_stale < refresh {
        node.problem(problems, "'max_stale' is less than 'refresh', so the keys would be out of date most of the time");
        return None;
    }
    Some(JwksSource { location: location?, refresh, max_stale, cooldown: cooldown?, algorithms: algorithms.to_vec() })
}

fn metadata_url(node: &Node<'_>, issuer: Option<&Located<String>>, problems: &mut Problems) -> Option<Uri> {
    let choice = node.string(problems)?.value;
    let well_known = match choice.as_str() {
        "oidc" => oidc,
        "oauth" => oauth,
        word if !word.contains("://") => {
            node.problem(problems, "this must be 'oidc', 'oauth', or the URL of the metadata");
            return None;
        }
        _ => return url(node, problems),
    };
    // What is wrong with the issuer's name is told there.
    let issuer = issuer?;
    let metadata = parts(&issuer.value).and_then(|(scheme, authority, path)| {
        Uri::builder().scheme(scheme).authority(authority).path_and_query(well_known(&path)).build().ok()
    });
    if metadata.is_none() {
        let message = format!("'{}' is no URL below which there could be metadata; write the URL of the metadata here", issuer.value);
        node.problem(problems, message);
    }
    metadata
}

/// An issuer's scheme, authority and path without the `/` at its end. It has neither query nor fragment (RFC 8414 section 2).
fn parts(issuer: &str) -> Option<(Scheme, Authority, String)> {
    let fits = !issuer.contains(['#', '?', '@']);
    let parts = issuer.parse::<Uri>().ok().filter(|_| fits)?.into_parts();
    let scheme = parts.scheme.filter(|scheme| matches!(scheme.as_str(), "http" | "https"))?;
    let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
    Some((scheme, parts.authority?, path.strip_suffix('/').unwrap_or(path).to_string()))
}

/// OpenID Connect Discovery 1.0 section 4.1: behind the issuer's path.
fn oidc(path: &str) -> String {
    format!("{path}/.well-known/openid-configuration")
}

/// RFC 8414 section 3.1: between the host and the issuer's path.
fn oauth(path: &str) -> String {
    format!("/.well-known/oauth-authorization-server{path}")
}

fn read_hosts(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let mut hosts = Vec::new();
    let mut all_fit = true;
    for host in node.strings(problems)? {
        let fits = host.value.parse::<Authority>().is_ok_and(|authority| {
            let name = authority.host();
            // Nothing stands before the name, and behind it at most a port that can be read.
            !name.is_empty() && (authority.port_u16().is_some() || authority == name) && authority.as_str().starts_with(name)
        });
        if fits {
            hosts.push(host.value.to_ascii_lowercase().into());
        } else {
            host.problem(problems, format!("'{}' is no host, such as 'keys.example.com' or 'keys.example.com:8443'", host.value));
            all_fit = false;
        }
    }
    all_fit.then_some(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_places_are_those_of_the_specifications() {
        let place = |issuer, well_known: fn(&str) -> String| {
            let (scheme, authority, path) = parts(issuer)?;
            Some(format!("{scheme}://{authority}{}", well_known(&path)))
        };
        for (issuer, of_oidc, of_oauth) in [
            (
                "https://id.example.com",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            // The examples of OpenID Connect Discovery 1.0 section 4.1 and RFC 8414 section 3.1.
            (
                "https://example.com/issuer1",
                "https://example.com/issuer1/.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
            ),
            (
                "http://id:8080/a/b/",
                "http://id:8080/a/b/.well-known/openid-configuration",
                "http://id:8080/.well-known/oauth-authorization-server/a/b",
            ),
        ] {
            assert_eq!(place(issuer, oidc).as_deref(), Some(of_oidc));
            assert_eq!(place(issuer, oauth).as_deref(), Some(of_oauth));
        }
        for issuer in ["manager", "urn:manager", "https://a?b", "https://a#b", "https://u@a", "ftp://a", "/a", ""] {
            assert_eq!(place(issuer, oidc), None, "{issuer}");
        }
    }
}
