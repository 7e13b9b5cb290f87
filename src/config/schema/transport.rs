//! `tls` and `proxy`: how the servers are reached that something is pulled from.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;

use super::issuer::{file, optional};
use crate::config::problem::Problems;
use crate::config::yaml::{Map, Node};

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Transport {
    /// Whom TLS trusts, and who it says we are.
    pub tls: TlsFiles,
    /// Through which proxy.
    pub proxy: ProxyChoice,
}

/// PEM files for TLS. They are read when something is fetched, and again when they changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TlsFiles {
    /// The only certificate authorities to trust; `None`: those that browsers trust.
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// `proxy`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum ProxyChoice {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// None.
    None,
    /// Always this one.
    Url(ProxyUrl),
}

/// An HTTP proxy. Shown without its credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyUrl {
    /// Scheme, host and port; nothing else.
    address: Uri,
    /// User and password.
    credentials: Option<(String, String)>,
}

impl ProxyUrl {
    /// Reads `http://user:password@host:port`.
    ///
    /// # Errors
    /// Everything else, SOCKS above all, with a message that does not repeat the credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        const SHAPE: &str = "a proxy is written as 'http://proxy.example.com:3128'";
        let url: Uri = text.parse().map_err(|_| format!("this is no URL; {SHAPE}"))?;
        match url.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(format!("a proxy cannot be spoken to over TLS; {SHAPE}")),
            Some(scheme) if scheme.starts_with("socks") => {
                return Err(format!("this is a SOCKS proxy, and only HTTP proxies are supported; {SHAPE}"));
            }
            _ => return Err(format!("this is no URL with http://; {SHAPE}")),
        }
        if url.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(format!("the URL of a proxy has no path; {SHAPE}"));
        }
        let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let address = Uri::builder().scheme(Scheme::HTTP).authority(host).path_and_query("/").build();
        let address = address.map_err(|_| format!("this is no URL with a host; {SHAPE}"))?;
        if address.host().is_none_or(str::is_empty) {
            return Err(format!("this URL has no host; {SHAPE}"));
        }
        let credentials = match user {
            None => None,
            Some(user) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let decoded = unescape(name).zip(unescape(password));
                Some(decoded.ok_or("the user or the password in the URL of the proxy is not escaped as URLs are (RFC 3986 section 2.1)")?)
            }
        };
        // RFC 7617 section 2: the name ends at the first colon, and control characters have no place.
        let unfit = |(name, password): &(String, String)| name.contains(':') || format!("{name}{password}").chars().any(char::is_control);
        if credentials.as_ref().is_some_and(unfit) {
            return Err("the user or the password in the URL of the proxy has characters that cannot be sent".into());
        }
        Ok(Self { address, credentials })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn address(&self) -> &Uri {
        &self.address
    }

    /// User and password, if it asks for them.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// Undoes percent-encoding; `None` where that gives no text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Takes `tls` and `proxy` of an issuer or a directory.
pub(super) fn take(map: &mut Map<'_>, problems: &mut Problems) -> Option<Transport> {
    let tls = map.take("tls").map_or(Some(TlsFiles::default()), |node| tls(&node, problems));
    let proxy = map.take("proxy").map_or(Some(ProxyChoice::default()), |node| proxy(&node, problems));
    Some(Transport { tls: tls?, proxy: proxy? })
}

fn tls(node: &Node<'_>, problems: &mut Problems) -> Option<TlsFiles> {
    let mut map = node.map(problems)?;
    let ca = map.take("ca").map(|node| file(&node, problems));
    let certificate = map.take("certificate").map(|node| file(&node, problems));
    let key = map.take("key").map(|node| file(&node, problems));
    map.finish(problems);
    let (ca, certificate, key) = (optional(ca)?, optional(certificate)?, optional(key)?);
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            node.problem(problems, "'certificate' needs its private key: add 'key'");
            return None;
        }
        (None, Some(_)) => {
            node.problem(problems, "'key' needs the certificate that it belongs to: add 'certificate'");
            return None;
        }
    };
    if ca.is_none() && client.is_none() {
        node.problem(problems, "say whom to trust ('ca'), who we are ('certificate' and 'key'), or both; leave 'tls' out for the defaults");
        return None;
    }
    Some(TlsFiles { ca, client })
}

fn proxy(node: &Node<'_>, problems: &mut Problems) -> Option<ProxyChoice> {
    let text = node.string(problems)?;
    let choice = text.convert(problems, |text| match text.as_str() {
        "environment" => Ok(ProxyChoice::Environment),
        "none" => Ok(ProxyChoice::None),
        // What has no scheme is a misspelt word rather than a URL.
        word if !word.contains("://") => {
            Err("this must be 'environment', 'none', or the URL of a proxy such as 'http://proxy.example.com:3128'".to_string())
        }
        url => ProxyUrl::parse(url).map(ProxyChoice::Url),
    })?;
    Some(choice.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_with_credentials_that_are_never_shown() {
        let proxy = ProxyUrl::parse("http://me%40work:s%3Acret@proxy.example.com:3128/").unwrap();
        assert_eq!(proxy.address(), "http://proxy.example.com:3128/");
        assert_eq!(proxy.credentials(), Some(("me@work", "s:cret")));
        assert_eq!(format!("{proxy:?}"), "http://proxy.example.com:3128/");
        assert_eq!(ProxyUrl::parse("http://[::1]").unwrap().address().port(), None);
        assert_eq!(ProxyUrl::parse("http://me@p").unwrap().credentials(), Some(("me", "")));
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_without_a_word_of_the_password() {
        for text in [
            "",
            "proxy:3128",
            "socks5://me:secret@proxy:1080",
            "https://me:secret@proxy",
            "http://me:secret@",
            "http://me:secret@proxy/path",
            "http://me:secret%@proxy",
            "http://me:secret%0a@proxy",
            "http://me%3Ayou:secret@proxy",
            "http://me:secret %@proxy",
        ] {
            let refused = ProxyUrl::parse(text).expect_err(text);
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
