//! From what the configuration says of TLS and proxies, and what the environment says of proxies, to HTTP clients.

use std::env;
use std::sync::Arc;

use http::Uri;

use super::http_client::{self, Environment, HttpClient, NoProxy, Proxy, ProxyAddress};
use crate::config::{ProxyChoice, ProxyUrl, TlsFiles, Transport};

/// A client for sources that are reached this way.
pub(super) fn client(base: &HttpClient, transport: &Transport, environment: &Arc<Environment>) -> Result<HttpClient, String> {
    let Transport { tls, proxy } = transport;
    let tls = files(tls);
    let proxy = match proxy {
        ProxyChoice::Environment => Proxy::Environment(Arc::clone(environment)),
        ProxyChoice::None => Proxy::None,
        ProxyChoice::Url(url) => Proxy::Always(address(url)),
    };
    base.reaching(tls, proxy).map_err(|error| error.to_string())
}

/// Whether the files for TLS can be used.
///
/// # Errors
/// They cannot, in words.
pub fn check(tls: &TlsFiles) -> Result<(), String> {
    files(tls).check()
}

fn files(TlsFiles { ca, client }: &TlsFiles) -> http_client::TlsFiles {
    http_client::TlsFiles { ca: ca.clone(), client: client.clone() }
}

/// The proxies that the environment names. Upper case counts first, as everywhere but with `http_proxy`, where it is told apart to
/// protect CGI programs, of which this is none.
pub(super) fn environment() -> Environment {
    read(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
}

fn read(variable: impl Fn(&str) -> Option<String>) -> Environment {
    let first = |names: [&'static str; 4]| {
        let named = names.into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value)))?;
        Some(proxy(named.0, &named.1))
    };
    let no_proxy = ["NO_PROXY", "no_proxy"].into_iter().find_map(&variable).unwrap_or_default();
    Environment {
        http: first(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
        https: first(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        no_proxy: NoProxy::new(&no_proxy),
    }
}

/// A variable's proxy. One without a scheme is an HTTP proxy, as curl has it.
fn proxy(variable: &'static str, value: &str) -> Result<ProxyAddress, String> {
    let parsed = if value.contains("://") { ProxyUrl::parse(value) } else { ProxyUrl::parse(&format!("http://{value}")) };
    parsed.map(|url| address(&url)).map_err(|why| {
        format!("the environment's {variable} cannot be used: {why}; or write 'proxy: none', or the proxy's URL, into the configuration")
    })
}

fn address(url: &ProxyUrl) -> ProxyAddress {
    ProxyAddress::new(url.address().clone(), url.credentials())
}

/// Tells once through which proxy a source is reached, if through one.
pub(super) fn log_proxy(client: &HttpClient, issuer: &str, what: &str, url: &Uri) {
    match client.proxy_for(url) {
        Ok(None) => {}
        Ok(Some(proxy)) => tracing::info!(issuer, what, %proxy, "fetched through a proxy"),
        Err(error) => tracing::error!(issuer, what, %error, "there is no way to fetch this"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> [Option<Result<String, String>>; 2] {
        let environment = read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string()));
        [environment.http, environment.https].map(|proxy| proxy.map(|proxy| proxy.map(|proxy| proxy.to_string())))
    }

    #[test]
    fn the_usual_variables_are_heeded() {
        let is = |text: &str| Some(Ok(text.to_string()));
        assert_eq!(proxies(&[]), [None, None]);
        assert_eq!(proxies(&[("HTTPS_PROXY", "http://me:secret@a:1"), ("HTTPS_PROXY_", "x")]), [None, is("a:1")]);
        assert_eq!(proxies(&[("https_proxy", "a:1"), ("HTTP_PROXY", "http://b"), ("ALL_PROXY", "http://c")]), [is("b"), is("a:1")]);
        assert_eq!(proxies(&[("HTTPS_PROXY", ""), ("all_proxy", "http://c:3/")]), [is("c:3"), is("c:3")]);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_not_the_same_as_none() {
        for value in ["socks5://me:secret@a:1", "https://me:secret@a:1", "http://me:secret@", "::", "http://me:secret@a/b"] {
            let [http, https] = proxies(&[("ALL_PROXY", value)]);
            let told = https.unwrap().unwrap_err();
            assert!(told.starts_with("the environment's ALL_PROXY cannot be used: ") && !told.contains("secret"), "{told}");
            assert!(http.unwrap().is_err());
        }
    }
}
