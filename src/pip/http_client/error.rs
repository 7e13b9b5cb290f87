//! Why a fetch failed: one variant per cause, each with a message for the log and a label for the metrics.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::connector::ProxyError;
use super::resolver::LookupError;

/// Why a client could not be made.
#[derive(Debug)]
pub enum ClientError {
    /// The TLS configuration was refused by rustls.
    Tls(rustls::Error),
    /// There is no certificate authority to trust, so no https fetch could ever succeed.
    NoRoots,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => write!(f, "cannot set up tls: {error}"),
            Self::NoRoots => f.write_str("the list of trusted certificate authorities is empty"),
        }
    }
}

impl Error for ClientError {}

/// What was awaited when the deadline came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name look-up, connection, TLS handshake, or the response head.
    Response,
    /// The rest of the body.
    Body,
}

/// Why a fetch yielded nothing. Messages hold no part of the body, and quote what the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The request cannot be sent as asked; nothing went out.
    Request(String),
    /// The host name has no address, or its look-up failed.
    Lookup(String),
    /// No connection: refused, unreachable, or not made within the connection time-out.
    Connect(String),
    /// The proxy cannot be used, cannot be reached, or does not pass the request on.
    Proxy(String),
    /// The files with certificates or keys for TLS cannot be used. Nothing went out.
    TlsFiles(String),
    /// The TLS handshake failed, an untrusted certificate included.
    Tls(String),
    /// The deadline passed.
    Timeout {
        /// What was awaited then.
        phase: Phase,
        /// The deadline, counted from the start of the exchange.
        after: Duration,
    },
    /// The peer closed or reset the connection before the answer was whole.
    Closed(String),
    /// The answer is not HTTP.
    Protocol(String),
    /// The response head has more bytes or fields than allowed.
    Head(String),
    /// A status other than 200, or 304 where it was not asked for.
    Status {
        /// The status code.
        status: u16,
        /// When to try again, from `Retry-After`, capped (RFC 9110 section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed: it leads to another server, or it is one too many.
    Redirect {
        /// The status code.
        status: u16,
        /// Where it points, quoted and shortened.
        location: Option<String>,
    },
    /// The body has, or announces, more bytes than allowed.
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// The body has another coding than gzip, which is all that was accepted. Holds the quoted coding.
    ContentEncoding(String),
    /// The body says that it is gzip, and it is not, or breaks off, or goes on behind its end.
    Decoding(String),
    /// The body is not declared as JSON. Holds the quoted media type, if there is exactly one.
    ContentType(Option<String>),
}

impl FetchError {
    /// A short stable name for metrics; one per variant.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Lookup(_) => "lookup",
            Self::Connect(_) => "connect",
            Self::Proxy(_) => "proxy",
            Self::TlsFiles(_) => "tls_files",
            Self::Tls(_) => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Closed(_) => "closed",
            Self::Protocol(_) => "protocol",
            Self::Head(_) => "head",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge { .. } => "too_large",
            Self::ContentEncoding(_) => "content_encoding",
            Self::Decoding(_) => "decoding",
            Self::ContentType(_) => "content_type",
        }
    }

    /// How long the peer asks to be left alone, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The failure of an exchange before its response head was there.
    pub(super) fn from_client(error: &hyper_util::client::legacy::Error) -> Self {
        let message = root_message(error);
        if find::<ProxyError>(error).is_some() {
            Self::Proxy(message)
        } else if find::<LookupError>(error).is_some() {
            Self::Lookup(message)
        } else if find::<rustls::Error>(error).is_some() {
            Self::Tls(message)
        } else if error.is_connect() {
            Self::Connect(message)
        } else {
            from_hyper(find::<hyper::Error>(error), message)
        }
    }

    /// The failure of an exchange while its body was read.
    pub(super) fn from_body(error: &hyper::Error) -> Self {
        from_hyper(Some(error), root_message(error))
    }
}

fn from_hyper(error: Option<&hyper::Error>, message: String) -> FetchError {
    match error {
        Some(error) if error.is_parse_too_large() => FetchError::Head(message),
        // A malformed message, or a peer that breaks the rules of its own chunks or frames.
        Some(error) if error.is_parse() || is_invalid_data(error) => FetchError::Protocol(message),
        _ => FetchError::Closed(message),
    }
}

fn is_invalid_data(error: &hyper::Error) -> bool {
    find::<io::Error>(error).is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(why) => write!(f, "the request cannot be sent: {why}"),
            Self::Lookup(why) => write!(f, "the host name cannot be resolved: {why}"),
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::Proxy(why) => write!(f, "cannot go through the proxy: {why}"),
            Self::TlsFiles(why) => write!(f, "the files for tls cannot be used: {why}"),
            Self::Tls(why) => write!(f, "tls failed: {why}"),
            Self::Timeout { phase, after } => {
                let awaited = match phase {
                    Phase::Response => "no response",
                    Phase::Body => "the body was not complete",
                };
                write!(f, "{awaited} within {after:?}")
            }
            Self::Closed(why) => write!(f, "the answer broke off: {why}"),
            Self::Protocol(why) => write!(f, "the answer is not valid http: {why}"),
            Self::Head(why) => write!(f, "the response head is too large: {why}"),
            Self::Status { status, retry_after: None } => write!(f, "answered with status {status}"),
            Self::Status { status, retry_after: Some(after) } => write!(f, "answered with status {status}, retry after {after:?}"),
            Self::Redirect { status, location: Some(location) } => {
                write!(
                    f,
                    "answered with a redirect ({status}) to {location}, which is not followed: at most three to the same server are; configure the final url"
                )
            }
            Self::Redirect { status, location: None } => {
                write!(f, "answered with a redirect ({status}), which is not followed; configure the final url")
            }
            Self::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::ContentEncoding(coding) => write!(f, "the body is encoded as {coding}, although only gzip was accepted"),
            Self::Decoding(why) => write!(f, "the body is not the gzip that it says it is: {why}"),
            Self::ContentType(Some(media_type)) => {
                write!(f, "the body is {media_type}, expected json")
            }
            Self::ContentType(None) => f.write_str("the body has no single content type, expected json"),
        }
    }
}

impl Error for FetchError {}

/// The error of type `T` in a chain of causes. `io::Error` hides the error it wraps from `source`, so it is opened here.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = cause(error);
    }
    None
}

/// The deepest cause says what happened; those above it say only which layer passed it on.
pub(crate) fn root_message(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = cause(root) {
        root = cause;
    }
    root.to_string()
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
