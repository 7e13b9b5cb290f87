//! Reading what a proxy says of its client's request. Nothing is guessed: it is there once and as it has to be, or it is an error.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::HeaderName;

/// Why a proxy's request cannot be read. The values are the client's, and not repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// A header that the dialect needs is not there. The proxy's configuration has to set it.
    Missing(&'static str),
    /// It is there more than once.
    Repeated(&'static str),
    /// It is there, and what it says cannot be.
    Odd(&'static str),
    /// The request's own target is not a path below the configured prefix.
    Target,
    /// A header that a service may take for an identity header, and that this proxy cannot be told to take away.
    Spelling(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "there is no header '{name}', which the proxy has to set"),
            Self::Repeated(name) => write!(f, "the header '{name}' is there more than once"),
            Self::Odd(name) => write!(f, "the header '{name}' is not what it has to be"),
            Self::Target => f.write_str("the target is not a path below 'path_prefix'"),
            Self::Spelling(name) => {
                write!(f, "a service may take the header '{name}' for another one, and this proxy cannot take it away")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

/// What belongs to the proxy's own request and says nothing of its client's (RFC 9110 section 7.6.1), and the header in which Envoy says
/// whether it sent the whole body: nobody sends one here.
const OWN: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "x-envoy-auth-partial-body",
];

/// A header that has to be there once, with something visible in it and nothing else.
pub(super) fn once<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Unreadable::Missing(name))?;
    if values.next().is_some() {
        return Err(Unreadable::Repeated(name));
    }
    let value = std::str::from_utf8(value.as_bytes()).map_err(|_| Unreadable::Odd(name))?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(value) } else { Err(Unreadable::Odd(name)) }
}

/// The host that was asked for. What is one host, the core says.
pub(super) fn host(headers: &HeaderMap) -> Result<&str, Unreadable> {
    once(headers, "host")
}

/// A method (RFC 9110 section 9.1): a token.
pub(super) fn method<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Unreadable> {
    let method = once(headers, name)?;
    http::Method::from_bytes(method.as_bytes()).map(|_| method).map_err(|_| Unreadable::Odd(name))
}

/// An address without a port.
pub(super) fn address(headers: &HeaderMap, name: &'static str) -> Result<String, Unreadable> {
    once(headers, name)?.parse::<IpAddr>().map(|address| address.to_string()).map_err(|_| Unreadable::Odd(name))
}

/// The address that stands `hops` places before the last one of a list such as `X-Forwarded-For`. What stands farther to the left
/// was written by somebody whom nobody knows, and is not looked at.
pub(super) fn hop(headers: &HeaderMap, name: &'static str, hops: usize) -> Result<String, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Unreadable::Missing(name))?;
    // Proxies that add themselves to a list leave one line. Several would have an order that somebody else chose.
    if values.next().is_some() {
        return Err(Unreadable::Repeated(name));
    }
    let list = std::str::from_utf8(value.as_bytes()).map_err(|_| Unreadable::Odd(name))?;
    let address = list.rsplit(',').nth(hops).map(|element| element.trim_matches([' ', '\t']).parse::<IpAddr>());
    address.and_then(Result::ok).map(|address| address.to_string()).ok_or(Unreadable::Odd(name))
}

/// The client's headers: all but those of the proxy's own request and those in which it describes its client's.
pub(super) fn rest(headers: &HeaderMap, described_by: &[&str]) -> Vec<(String, Vec<u8>)> {
    let of_client = |name: &HeaderName| !OWN.contains(&name.as_str()) && !described_by.contains(&name.as_str());
    let fields = headers.iter().filter(|(name, _)| of_client(name));
    fields.map(|(name, value)| (name.as_str().to_string(), value.as_bytes().to_vec())).collect()
}

/// The names of the headers that describe a request in the `forward_auth` dialect.
pub(super) const FORWARDED_METHOD: &str = "x-forwarded-method";
pub(super) const FORWARDED_URI: &str = "x-forwarded-uri";
pub(super) const FORWARDED_HOST: &str = "x-forwarded-host";
pub(super) const FORWARDED_PROTO: &str = "x-forwarded-proto";
pub(super) const FORWARDED_FOR: &str = "x-forwarded-for";
/// And in nginx's.
pub(super) const ORIGINAL_METHOD: &str = "x-original-method";
pub(super) const ORIGINAL_URI: &str = "x-original-uri";
pub(super) const REAL_IP: &str = "x-real-ip";
/// What Envoy says of its own request.
pub(super) const ENVOY_INTERNAL: &str = "x-envoy-internal";
pub(super) const ENVOY_TIMEOUT: &str = "x-envoy-expected-rq-timeout-ms";
