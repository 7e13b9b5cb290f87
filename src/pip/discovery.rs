//! Finds an issuer's key set through the issuer's own metadata (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).

use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Authority;

use super::http_client::{Fetched, GetRequest};
use super::refresh::{Context, Failure, heeded};
use super::transport;
use crate::config::{Discovery, Source};
use crate::pdp::json::{self, Json};

/// The longest document.
const MAX_BYTES: usize = 256 * 1024;
/// How deep it may be nested.
const MAX_DEPTH: usize = 16;
/// The longest time that a fetch may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the metadata said last.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    known: Option<Known>,
    /// The server wants to be left alone until then.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    jwks_uri: Uri,
    etag: Option<String>,
    confirmed: Instant,
}

impl Discovered {
    /// Where the keys are. Asks for the metadata first; when that fails, what it said last is good for `max_stale`.
    pub(super) async fn jwks_uri(
        &mut self,
        context: &Context,
        source: &Source,
        discovery: &Discovery,
        max_stale: Duration,
    ) -> Result<Uri, Failure> {
        let failure = if self.not_before.is_some_and(|until| Instant::now() < until) {
            None
        } else {
            self.refresh(context, source, discovery).await.err()
        };
        if let Some(failure) = &failure {
            self.not_before = heeded(failure.retry_after, max_stale).and_then(|wait| Instant::now().checked_add(wait));
        }
        // Out of date is as good as never seen.
        self.known.take_if(|known| known.confirmed.elapsed() >= max_stale);
        match (&self.known, failure) {
            (Some(known), None) => Ok(known.jwks_uri.clone()),
            (Some(known), Some(failure)) => {
                context.metrics.refreshed(&source.issuer, "metadata", failure.label);
                tracing::warn!(issuer = %source.issuer, error = %failure.message, "the metadata could not be refreshed; the keys go on being fetched from where it said last");
                Ok(known.jwks_uri.clone())
            }
            (None, failure) => {
                let failure = failure.unwrap_or_else(|| wrong("there is none that is recent enough, and the server asks to wait".into()));
                context.metrics.refreshed(&source.issuer, "metadata", failure.label);
                Err(failure)
            }
        }
    }

    async fn refresh(&mut self, context: &Context, source: &Source, discovery: &Discovery) -> Result<(), Failure> {
        let request = GetRequest {
            url: &discovery.metadata,
            if_none_match: self.known.as_ref().and_then(|known| known.etag.as_deref()),
            authorization: None,
            no_cache: false,
            accept: "application/json",
            deadline: DEADLINE,
            max_body_bytes: MAX_BYTES,
        };
        let fetched = context.client.get(request).await.map_err(|error| {
            let failure = Failure::from(error);
            Failure { message: format!("the metadata at {}: {}", discovery.metadata, failure.message), ..failure }
        })?;
        match (fetched, &mut self.known) {
            (Fetched::NotModified { answered, .. }, Some(known)) => known.confirmed = answered,
            // Nothing asked for that.
            (Fetched::NotModified { .. }, None) => return Err(wrong("304 to a request without a condition".into())),
            (Fetched::Body { bytes, etag, answered, .. }, known) => {
                let jwks_uri = read(&bytes, discovery).map_err(wrong)?;
                if known.as_ref().is_none_or(|known| known.jwks_uri != jwks_uri) {
                    tracing::info!(issuer = %source.issuer, %jwks_uri, "the metadata says where the keys are");
                    transport::log_proxy(&context.client, &source.issuer, "keys", &jwks_uri);
                }
                *known = Some(Known { jwks_uri, etag, confirmed: answered });
            }
        }
        context.metrics.refreshed(&source.issuer, "metadata", "ok");
        Ok(())
    }
}

fn wrong(message: String) -> Failure {
    Failure { label: "not_metadata", message: format!("the metadata: {message}"), retry_after: None }
}

/// Reads the document. It counts only if it is of the very issuer that is configured (RFC 8414 section 3.3), and sends nobody elsewhere.
fn read(bytes: &[u8], discovery: &Discovery) -> Result<Uri, String> {
    let document = json::parse_object(bytes, MAX_DEPTH).map_err(|_| "it is not one well-formed JSON object")?;
    match document.get("issuer") {
        Some(Json::String(issuer)) if *issuer == discovery.issuer => {}
        Some(Json::String(issuer)) => {
            let issuer: String = issuer.chars().take(200).collect();
            return Err(format!("its issuer is {issuer:?}, and the one that is configured is {:?}", discovery.issuer));
        }
        _ => return Err("it has no text 'issuer'".into()),
    }
    let Some(Json::String(text)) = document.get("jwks_uri") else { return Err("it has no text 'jwks_uri'".into()) };
    let shown = || text.chars().take(200).collect::<String>();
    let url: Uri = text.parse().map_err(|_| format!("its jwks_uri {:?} is no URL", shown()))?;
    let server = server(&url).ok_or_else(|| format!("its jwks_uri {:?} is no URL with http:// or https:// and a host", shown()))?;
    if discovery.metadata.scheme_str() == Some("https") && url.scheme_str() != Some("https") {
        return Err(format!("its jwks_uri {:?} is not https, and the metadata is", shown()));
    }
    let own = self::server(&discovery.metadata).as_ref() == Some(&server);
    if !own && !discovery.hosts.iter().any(|host| host_is(host, &url, &server)) {
        return Err(format!(
            "its jwks_uri {:?} is on another host than the metadata; add the host to 'jwks.hosts' if that is meant to be so",
            shown()
        ));
    }
    Ok(url)
}

/// Host in lower case, and the port unless it is the scheme's own. None for what is not fetched from.
fn server(url: &Uri) -> Option<(String, Option<u16>)> {
    let default = match url.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    named(url.authority()?, default)
}

fn named(authority: &Authority, default: u16) -> Option<(String, Option<u16>)> {
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    // What stands behind the host is a port that can be read, or nothing.
    let rest = authority.as_str().get(host.len()..)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some(digits) => Some(digits.parse().ok()?),
    };
    Some((host, port.filter(|port| *port != default)))
}

/// Whether a host of the configuration is the server of a URL.
fn host_is(host: &str, url: &Uri, server: &(String, Option<u16>)) -> bool {
    let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
    host.parse::<Authority>().ok().and_then(|host| named(&host, default)).as_ref() == Some(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(metadata: &'static str, hosts: &[&str]) -> Discovery {
        Discovery {
            metadata: Uri::from_static(metadata),
            issuer: "https://id.example.com".into(),
            hosts: hosts.iter().map(|host| (*host).into()).collect(),
        }
    }

    fn keys_at(metadata: &'static str, hosts: &[&str], jwks_uri: &str) -> Result<String, String> {
        let document = format!(r#"{{"issuer":"https://id.example.com","jwks_uri":"{jwks_uri}","other":[1]}}"#);
        read(document.as_bytes(), &discovery(metadata, hosts)).map(|url| url.to_string())
    }

    #[test]
    fn keys_are_at_the_metadatas_own_host_or_at_one_that_is_configured() {
        const METADATA: &str = "https://id.example.com/.well-known/openid-configuration";
        for (hosts, jwks_uri, fits) in [
            (&[][..], "https://id.example.com/keys", true),
            (&[], "https://ID.EXAMPLE.COM:443/keys?v=1", true),
            (&[], "http://id.example.com/keys", false),
            (&[], "https://id.example.com:8443/keys", false),
            (&[], "https://www.googleapis.com/oauth2/v3/certs", false),
            (&["www.googleapis.com"], "https://www.googleapis.com/oauth2/v3/certs", true),
            (&["www.googleapis.com"], "http://www.googleapis.com/oauth2/v3/certs", false),
            (&["www.googleapis.com"], "https://www.googleapis.com:444/oauth2/v3/certs", false),
            (&["www.googleapis.com:444"], "https://www.googleapis.com:444/oauth2/v3/certs", true),
            (&["www.googleapis.com:443"], "https://www.googleapis.com/oauth2/v3/certs", true),
            (&["googleapis.com"], "https://www.googleapis.com/oauth2/v3/certs", false),
            (&[], "https://id.example.com@evil.example/keys", false),
            (&["evil.example"], "https://id.example.com@evil.example/keys", false),
            (&[], "https://id.example.com.evil.example/keys", false),
            (&[], "//id.example.com/keys", false),
            (&[], "/keys", false),
            (&[], "file:///keys", false),
            (&[], "", false),
        ] {
            assert_eq!(keys_at(METADATA, hosts, jwks_uri).is_ok(), fits, "{hosts:?} {jwks_uri}");
        }
        // A plain document may lead to something better.
        assert!(keys_at("http://id.example.com/m", &[], "https://id.example.com/keys").is_ok());
        assert!(keys_at("http://127.0.0.1:8080/m", &[], "http://127.0.0.1:8080/keys").is_ok());
        assert!(keys_at("http://127.0.0.1:8080/m", &[], "http://127.0.0.1:8081/keys").is_err());
    }

    #[test]
    fn a_document_of_another_issuer_or_of_two_minds_says_nothing() {
        let discovery = discovery("https://id.example.com/m", &[]);
        for document in [
            r#"{"issuer":"https://id.example.com/","jwks_uri":"https://id.example.com/keys"}"#,
            r#"{"issuer":"https://ID.example.com","jwks_uri":"https://id.example.com/keys"}"#,
            r#"{"issuer":["https://id.example.com"],"jwks_uri":"https://id.example.com/keys"}"#,
            r#"{"jwks_uri":"https://id.example.com/keys"}"#,
            r#"{"issuer":"https://id.example.com"}"#,
            r#"{"issuer":"https://id.example.com","jwks_uri":null}"#,
            r#"{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/a","jwks_uri":"https://id.example.com/b"}"#,
            r#"{"issuer":"https://evil","issuer":"https://id.example.com","jwks_uri":"https://id.example.com/b"}"#,
            r#"[{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/keys"}]"#,
            r#"{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/keys"} x"#,
            r#"{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/keys""#,
            "",
        ] {
            assert!(read(document.as_bytes(), &discovery).is_err(), "{document}");
        }
    }
}
