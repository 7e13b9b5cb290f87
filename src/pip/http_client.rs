//! A bounded HTTP GET, which is all that the background refreshers need from HTTP.
//!
//! The peer is the identity service, and the client assumes that it can be slow, broken or replaced by something else.
//! So every exchange has one deadline from the first packet to the last byte; the body is counted while it is read and while it is
//! decoded, and gzip is the only coding; redirects are followed to the very same server only (a fetch goes nowhere but to the
//! configured host); and whatever is not declared as what was asked for is refused before it is read.
//!
//! A failed fetch is one [`FetchError`]; it never yields a part of a body.

mod body;
mod connector;
mod error;
mod freshness;
mod headers;
mod proxy;
mod redirect;
mod resolver;
#[cfg(test)]
mod tests;
mod tls_files;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use self::connector::Connector;
pub(crate) use self::error::root_message;
pub use self::error::{ClientError, FetchError, Phase};
pub use self::proxy::{Environment, NoProxy, Proxy, ProxyAddress};
use self::resolver::SystemResolver;
use self::tls_files::Stamps;
pub use self::tls_files::TlsFiles;

/// The smallest head buffer that HTTP/1 parsing works with (hyper refuses less).
const MIN_HEAD_BYTES: usize = 8 * 1024;

/// A pooled connection is closed after this long without use. Longer than the pause between two long polls, shorter than
/// the idle time-outs of common load balancers, so that a stale connection is rarely picked.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// An HTTP/2 connection outlives a request that timed out on it, so one to a peer that vanished without a FIN would be
/// picked again and again. Pings find that out.
const PINGS: Pings = Pings { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) };

#[derive(Clone, Copy, Debug)]
struct Pings {
    interval: Duration,
    timeout: Duration,
}

/// What one stream, and one connection, may have in flight towards us before we read it.
const H2_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bounds that hold for every exchange of one client.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for all connection attempts to a host together, not counting the TLS handshake. Keeps an address that
    /// swallows packets from using up the whole deadline of a long poll.
    pub connect_timeout: Duration,
    /// Size of a response head in bytes; at least 8 KiB.
    pub max_head_bytes: usize,
    /// Number of header fields in a response.
    pub max_headers: usize,
    /// Longest `Retry-After` that is believed; longer ones count as this.
    pub max_retry_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            max_head_bytes: 32 * 1024,
            max_headers: 64,
            max_retry_after: Duration::from_secs(300),
        }
    }
}

/// One conditional GET.
#[derive(Clone, Copy)]
pub struct GetRequest<'a> {
    /// Absolute `http` or `https` URL without user information.
    pub url: &'a Uri,
    /// Entity tag of the last good answer (RFC 9110 section 13.1.2).
    pub if_none_match: Option<&'a str>,
    /// Value of the `Authorization` field.
    pub authorization: Option<&'a str>,
    /// Whether caches on the way are told to ask the server itself (RFC 9111 section 5.2.1.4).
    pub no_cache: bool,
    /// Value of the `Accept` field, and what the answer has to be: JSON if `application/json` is among it, or else one of these types.
    pub accept: &'a str,
    /// Time for the whole exchange: name look-up, connection, TLS, response head and body.
    pub deadline: Duration,
    /// Size of the body in bytes above which it is refused. It belongs to the request because a key set and a revocation
    /// list differ by orders of magnitude.
    pub max_body_bytes: usize,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// 304: what the caller has is still right.
    NotModified {
        /// Renewed lifetime of what the caller has; see [`Fetched::Body`].
        max_age: Option<Duration>,
        /// When the server said so; see [`Fetched::Body`].
        answered: Instant,
    },
    /// 200 with a whole body.
    Body {
        /// The body, at most `max_body_bytes` long and declared as what was asked for; not parsed.
        bytes: Bytes,
        /// The entity tag to send as `if_none_match` next time; absent when it was missing or not well formed, and after a redirect:
        /// it belongs to one URL.
        etag: Option<String>,
        /// `max-age` of `Cache-Control`, or `Expires` less `Date`, less `Age`; zero for `no-store`, `no-cache` and what cannot be
        /// read (RFC 9111 section 4.2). Up to 68 years, so the caller bounds it.
        max_age: Option<Duration>,
        /// When the head of the answer came, less the time for which a cache has had it (`Age`). What the body says was so by then,
        /// however long it took to arrive and to be read.
        answered: Instant,
    },
}

/// The client. Cloning is cheap; clones share idle connections. It does not limit how many exchanges run at once: each
/// refresher has one in flight.
#[derive(Clone)]
pub struct HttpClient {
    connections: Connections,
    limits: Limits,
    proxy: Proxy,
}

type Pool = Client<HttpsConnector<Connector>, Empty<Bytes>>;

/// Idle connections, and what the files were like that new ones are made with.
type MadeOf = (Stamps, Pool);

/// Idle connections, and how new ones are made.
#[derive(Clone)]
enum Connections {
    /// As was said when the client was made.
    Fixed(Box<Pool>),
    /// With files that are looked at before each exchange.
    Files(Arc<TlsFiles>, Arc<Mutex<Option<MadeOf>>>),
}

impl HttpClient {
    /// A client that trusts the certificate authorities of Mozilla's list and goes through no proxy.
    pub fn new(limits: Limits) -> Result<Self, ClientError> {
        Ok(Self::with_tls(limits, public_tls()?, PINGS))
    }

    /// A client that trusts exactly `roots`, for an identity service behind a private certificate authority.
    pub fn with_roots(limits: Limits, roots: RootCertStore) -> Result<Self, ClientError> {
        if roots.is_empty() {
            return Err(ClientError::NoRoots);
        }
        let tls = tls_builder()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self::with_tls(limits, tls, PINGS))
    }

    fn with_tls(limits: Limits, tls: ClientConfig, pings: Pings) -> Self {
        let connections = Connections::Fixed(Box::new(pool(&limits, tls, pings, Proxy::None)));
        Self { connections, limits, proxy: Proxy::None }
    }

    /// A client with the same limits that reaches servers another way. It shares no connections with this one.
    ///
    /// # Errors
    /// Only without files; with files, an exchange fails when they cannot be used.
    pub fn reaching(&self, tls: TlsFiles, proxy: Proxy) -> Result<Self, ClientError> {
        let limits = self.limits.clone();
        let connections = if tls.is_empty() {
            Connections::Fixed(Box::new(pool(&limits, public_tls()?, PINGS, proxy.clone())))
        } else {
            Connections::Files(Arc::new(tls), Arc::default())
        };
        Ok(Self { connections, limits, proxy })
    }

    /// The connections to use now. With files, they are read again when they changed, and connections that were made with what is
    /// gone are used no more.
    async fn pool(&self) -> Result<Pool, FetchError> {
        let (files, known) = match &self.connections {
            Connections::Fixed(pool) => return Ok((**pool).clone()),
            Connections::Files(files, known) => (Arc::clone(files), known),
        };
        // Whoever looks at the files has the lock, also when nobody waits for that any more: a disk that hangs holds one thread.
        let mut known = Arc::clone(known).lock_owned().await;
        let (limits, proxy) = (self.limits.clone(), self.proxy.clone());
        let looked = spawn_blocking(move || {
            // Before they are read: what changes in between is seen next time.
            let stamps = files.stamps()?;
            if let Some((_, pool)) = known.as_ref().filter(|(before, _)| *before == stamps) {
                return Ok(pool.clone());
            }
            // Whatever comes next, nothing is fetched with what is not there any more.
            *known = None;
            let pool = pool(&limits, files.load()?, PINGS, proxy);
            *known = Some((stamps, pool.clone()));
            Ok(pool)
        });
        looked.await.unwrap_or_else(|error| Err(error.to_string())).map_err(FetchError::TlsFiles)
    }

    /// The proxy for a URL; see [`Proxy::of`].
    ///
    /// # Errors
    /// When the environment names one that cannot be used.
    pub fn proxy_for(&self, url: &Uri) -> Result<Option<&ProxyAddress>, String> {
        self.proxy.of(url)
    }

    /// Fetches `request.url`.
    ///
    /// Dropping the future ends the exchange. Succeeds only for a 200 with a whole body of the right type within the bounds, or for a
    /// 304 to a request that had `if_none_match`; everything else is a [`FetchError`].
    pub async fn get(&self, request: GetRequest<'_>) -> Result<Fetched, FetchError> {
        let end = deadline(request.deadline);
        let timed_out = |phase| FetchError::Timeout { phase, after: request.deadline };
        let mut url = request.url.clone();
        let mut redirects = 0;
        loop {
            // An entity tag says something of one URL, not of where its redirects lead today.
            let if_none_match = request.if_none_match.filter(|_| redirects == 0);
            let response = timeout_at(end, self.exchange(GetRequest { url: &url, if_none_match, ..request }));
            let response = response.await.map_err(|_| timed_out(Phase::Response))??;
            let answered = freshness::said_at(response.headers(), Instant::now())?;

            if response.headers().len() > self.limits.max_headers {
                // HTTP/2 bounds the bytes of a head, but not the number of its fields.
                return Err(FetchError::Head("too many header fields".to_owned()));
            }
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_MODIFIED if if_none_match.is_some() => {
                    let max_age = freshness::max_age(response.headers());
                    return Ok(Fetched::NotModified { max_age, answered });
                }
                status if redirect::is_redirect(status) && redirects < redirect::MOST => {
                    url = redirect::target(&url, status, response.headers()).ok_or_else(|| self.refused(status, &response))?;
                    redirects += 1;
                    continue;
                }
                status => return Err(self.refused(status, &response)),
            }

            let coding = headers::coding(response.headers())?;
            headers::check_type(response.headers(), request.accept)?;
            let etag = headers::etag(response.headers()).filter(|_| redirects == 0);
            let max_age = freshness::max_age(response.headers());
            let body = timeout_at(end, body::read(response.into_body(), coding, request.max_body_bytes));
            let bytes = body.await.map_err(|_| timed_out(Phase::Body))??;
            return Ok(Fetched::Body { bytes, etag, max_age, answered });
        }
    }

    async fn exchange(&self, request: GetRequest<'_>) -> Result<Response<Incoming>, FetchError> {
        let mut outgoing = outgoing(&request)?;
        // An https request goes to the server itself, through a tunnel, and the proxy's credentials are none of its business.
        if request.url.scheme_str() == Some("http")
            && let Ok(Some(proxy)) = self.proxy.of(request.url)
            && let Some(authorization) = proxy.authorization()
        {
            outgoing.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        let pool = self.pool().await?;
        pool.request(outgoing).await.map_err(|error| FetchError::from_client(&error))
    }

    fn refused(&self, status: StatusCode, response: &Response<Incoming>) -> FetchError {
        if redirect::is_redirect(status) {
            return FetchError::Redirect { status: status.as_u16(), location: headers::quoted(response.headers(), header::LOCATION) };
        }
        FetchError::Status { status: status.as_u16(), retry_after: freshness::retry_after(response.headers(), self.limits.max_retry_after) }
    }
}

fn pool(limits: &Limits, tls: ClientConfig, pings: Pings, proxy: Proxy) -> Pool {
    let mut tcp = HttpConnector::new_with_resolver(SystemResolver);
    tcp.enforce_http(false); // https passes through it as well; `outgoing` checks the scheme
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.connect_timeout));
    tcp.set_keepalive(Some(Duration::from_secs(15)));

    let connector = Connector::new(tcp, proxy);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().enable_http2().wrap_connector(connector);

    let head_bytes = limits.max_head_bytes.max(MIN_HEAD_BYTES);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(2)
        .http1_max_buf_size(head_bytes)
        .http1_max_headers(limits.max_headers)
        .http2_max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .http2_initial_stream_window_size(H2_WINDOW_BYTES)
        .http2_initial_connection_window_size(H2_WINDOW_BYTES)
        .http2_keep_alive_interval(pings.interval)
        .http2_keep_alive_timeout(pings.timeout)
        .http2_keep_alive_while_idle(true)
        .build(connector)
}

/// Every client names its provider, so that none depends on what the process has installed as its default.
fn tls_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ClientError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(ClientError::Tls)
}

/// Trusts Mozilla's list, and shows no certificate.
fn public_tls() -> Result<ClientConfig, ClientError> {
    Ok(tls_builder()?.with_webpki_roots().with_no_client_auth())
}

fn deadline(after: Duration) -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    // A deadline that the clock cannot express is a mistake in the configuration; a day bounds it all the same.
    now.checked_add(after).unwrap_or(now + Duration::from_secs(86_400))
}

fn outgoing(request: &GetRequest<'_>) -> Result<Request<Empty<Bytes>>, FetchError> {
    let url = request.url;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(FetchError::Request("the url needs the scheme http or https".to_owned()));
    }
    if url.host().is_none_or(str::is_empty) {
        return Err(FetchError::Request("the url has no host".to_owned()));
    }
    if url.authority().is_some_and(|a| a.as_str().contains('@')) {
        // It would be dropped without a word, and a password does not belong in a url.
        return Err(FetchError::Request("the url must not have user information before its host".to_owned()));
    }

    let mut outgoing = Request::get(url)
        .header(header::ACCEPT, field("accept", request.accept)?)
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| FetchError::Request(error.to_string()))?;
    if request.no_cache {
        outgoing.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(etag) = request.if_none_match {
        let etag = field("if-none-match", etag)?;
        outgoing.headers_mut().insert(header::IF_NONE_MATCH, etag);
    }
    if let Some(authorization) = request.authorization {
        // What is secret is not shown in a message.
        let mut authorization = HeaderValue::from_str(authorization)
            .map_err(|_| FetchError::Request("the bearer token cannot be sent in a header".to_owned()))?;
        authorization.set_sensitive(true);
        outgoing.headers_mut().insert(header::AUTHORIZATION, authorization);
    }
    Ok(outgoing)
}

fn field(name: &str, value: &str) -> Result<HeaderValue, FetchError> {
    HeaderValue::from_str(value).map_err(|_| FetchError::Request(format!("{value:?} cannot be sent as {name}")))
}
