//! Which proxy a request goes through, if any.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

/// An HTTP proxy. Shown without its credentials.
#[derive(Clone)]
pub struct ProxyAddress {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl ProxyAddress {
    /// A proxy at this `http` URL, which has no user information; `credentials` are a user and a password (RFC 7617).
    #[must_use]
    pub fn new(uri: Uri, credentials: Option<(&str, &str)>) -> Self {
        let authorization = credentials.and_then(|(user, password)| {
            // base64 can always be sent.
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { uri, authorization }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How requests find their proxy.
#[derive(Clone, Debug, Default)]
pub enum Proxy {
    /// There is none.
    #[default]
    None,
    /// Every request goes through this one.
    Always(ProxyAddress),
    /// As the variables of the environment say.
    Environment(Arc<Environment>),
}

/// The environment's proxies. A variable that cannot be used says why; only requests that it is about fail for it.
#[derive(Debug)]
pub struct Environment {
    /// For `http` URLs.
    pub http: Option<Result<ProxyAddress, String>>,
    /// For `https` URLs.
    pub https: Option<Result<ProxyAddress, String>>,
    /// What `NO_PROXY` says.
    pub no_proxy: NoProxy,
}

/// The hosts that are reached without a proxy, as curl reads `NO_PROXY`: domains with all below them, addresses and networks, `*`.
#[derive(Debug)]
pub struct NoProxy(Matcher);

impl NoProxy {
    /// Reads a list with commas.
    #[must_use]
    pub fn new(list: &str) -> Self {
        // The matcher wants a proxy to choose or not; which one does not matter.
        Self(Matcher::builder().all("http://proxy.invalid").no(list).build())
    }

    fn contains(&self, url: &Uri) -> bool {
        self.0.intercept(url).is_none()
    }
}

impl Proxy {
    /// The proxy for a URL; `None`: none.
    ///
    /// # Errors
    /// When the environment names one that cannot be used. Going on without it could send what should not leave another way.
    pub fn of(&self, url: &Uri) -> Result<Option<&ProxyAddress>, String> {
        match self {
            Self::None => Ok(None),
            Self::Always(proxy) => Ok(Some(proxy)),
            Self::Environment(environment) => {
                if is_loopback(url) || environment.no_proxy.contains(url) {
                    return Ok(None);
                }
                let variable = if url.scheme_str() == Some("https") { &environment.https } else { &environment.http };
                variable.as_ref().map(|proxy| proxy.as_ref().map_err(Clone::clone)).transpose()
            }
        }
    }
}

/// Whether a URL is about this very machine, which another one could not reach.
fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) => address.to_canonical().is_loopback(),
        // RFC 6761 section 6.3.
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &'static str) -> ProxyAddress {
        ProxyAddress::new(Uri::from_static(text), None)
    }

    fn chosen(proxy: &Proxy, url: &str) -> Result<Option<String>, String> {
        proxy.of(&url.parse().expect("a url")).map(|proxy| proxy.map(ToString::to_string))
    }

    #[test]
    fn the_environment_decides_by_scheme_host_and_exception() {
        let proxy = Proxy::Environment(Arc::new(Environment {
            http: Some(Ok(address("http://plain:1"))),
            https: Some(Ok(address("http://secure:2"))),
            no_proxy: NoProxy::new("internal.example, .corp, 10.0.0.0/8, [::2]"),
        }));
        for (url, expected) in [
            ("http://id.example/", Some("plain:1")),
            ("https://id.example/", Some("secure:2")),
            ("https://internal.example:8443/", None),
            ("https://a.internal.example/", None),
            ("https://notinternal.example/", Some("secure:2")),
            ("https://id.corp/", None),
            ("https://10.1.2.3/", None),
            ("https://11.1.2.3/", Some("secure:2")),
            ("http://127.0.0.1:8080/", None),
            ("http://127.8.9.1/", None),
            ("http://[::1]/", None),
            ("http://[::ffff:127.0.0.1]/", None),
            ("http://LOCALHOST/", None),
            ("http://id.localhost./", None),
            ("http://notlocalhost/", Some("plain:1")),
        ] {
            assert_eq!(chosen(&proxy, url), Ok(expected.map(String::from)), "{url}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_used_fails_what_it_is_about() {
        let proxy = Proxy::Environment(Arc::new(Environment {
            http: None,
            https: Some(Err("no".into())),
            no_proxy: NoProxy::new("internal.example"),
        }));
        assert_eq!(chosen(&proxy, "https://id.example/"), Err("no".into()));
        assert_eq!(chosen(&proxy, "https://internal.example/"), Ok(None));
        assert_eq!(chosen(&proxy, "http://id.example/"), Ok(None));
        assert_eq!(chosen(&Proxy::None, "https://id.example/"), Ok(None));
        assert_eq!(chosen(&Proxy::Always(address("http://p:1")), "http://127.0.0.1/"), Ok(Some("p:1".into())));
        let all = Environment { http: Some(Ok(address("http://p:1"))), https: None, no_proxy: NoProxy::new("*") };
        assert_eq!(chosen(&Proxy::Environment(Arc::new(all)), "http://id.example/"), Ok(None));
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let proxy = ProxyAddress::new(Uri::from_static("http://proxy:3128/"), Some(("Aladdin", "open sesame")));
        // RFC 7617 section 2.
        assert_eq!(proxy.authorization().expect("credentials"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{proxy} {proxy:?} {:?}", Proxy::Always(proxy.clone())), "proxy:3128 proxy:3128 Always(proxy:3128)");
        assert!(!format!("{:?}", proxy.authorization()).contains("QWxh"));
    }
}
