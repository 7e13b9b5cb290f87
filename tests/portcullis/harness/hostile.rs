//! An identity service that does everything wrong that one can do wrong, and can be told to while it runs.
//!
//! It is written on bare TCP, because no decent server would send these answers. Each path has a document, which is what it
//! serves as long as it behaves, and a way to behave. What comes in is counted per path.

mod document;
mod wire;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

pub use self::document::Document;
use self::wire::Wire;
use super::ports;

/// How a path answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Good,
    /// As it should, but late.
    Slow(Duration),
    /// Well and with an error, in turn.
    Flapping,
    /// Not at all.
    Hung,
    /// With a good head, and a byte of the body each second.
    Trickling,
    /// With this status.
    Status(u16),
    /// 429, and a `Retry-After` of so many seconds.
    TooMany(u32),
    /// With bytes that are no HTTP.
    Garbage,
    /// With bytes that are no JSON, which it says they are.
    GarbageBody,
    /// With half of the body that it announces.
    Truncated,
    /// With chunks that end in the middle.
    CutChunks,
    /// 200 with a page for people, as a captive portal does.
    Html,
    /// With the right body as another type.
    WrongType,
    /// With gzip that would be gigabytes.
    GzipBomb,
    /// With so many MB of JSON.
    Large(usize),
    /// With a body that has no end.
    Endless,
    /// With a head that has no end.
    EndlessHead,
    /// With a redirect to another host.
    Redirect,
    /// With a redirect to itself.
    RedirectLoop,
    /// With the begin of an answer and a reset of the connection.
    Reset,
    /// 304, whatever it was asked.
    NotModified,
    /// JSON of other types than one expects.
    WrongJson,
    /// JSON that nests deeper than anybody reads.
    DeepJson,
    /// A body that ends before its JSON does.
    HalfJson,
}

/// The running service. It ends when it is dropped.
pub struct Hostile {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<AbortHandle>>,
    elsewhere: AbortHandle,
    tls: Option<TlsAcceptor>,
}

struct Shared {
    paths: Mutex<HashMap<String, Arc<Place>>>,
    /// Where redirects lead.
    elsewhere: SocketAddr,
    reached_elsewhere: AtomicU64,
    /// Open connections are served no further.
    gone: watch::Sender<u64>,
}

/// One path.
struct Place {
    document: Mutex<Arc<Document>>,
    behaviour: watch::Sender<Behaviour>,
    requests: AtomicU64,
    in_flight: AtomicU64,
    most_in_flight: AtomicU64,
    sent: AtomicU64,
    /// Whether the next one of a flapping path is a good one.
    good_next: AtomicBool,
}

impl Hostile {
    /// Over plain HTTP, without any path.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// Over TLS with a certificate that nobody trusts.
    pub async fn start_untrusted() -> Self {
        Self::launch(Some(wire::untrusted())).await
    }

    async fn launch(tls: Option<TlsAcceptor>) -> Self {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let shared = Arc::new(Shared {
            paths: Mutex::default(),
            elsewhere: other.local_addr().expect("an address"),
            reached_elsewhere: AtomicU64::new(0),
            gone: watch::Sender::new(0),
        });
        let elsewhere = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while other.accept().await.is_ok() {
                    shared.reached_elsewhere.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let address = (Ipv4Addr::LOCALHOST, ports::pick()).into();
        let hostile = Self { address, shared, accepting: Mutex::default(), elsewhere: elsewhere.abort_handle(), tls };
        hostile.listen().await;
        hostile
    }

    /// Listens, at first and after [`Hostile::refuse`].
    pub async fn listen(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port");
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    let mut gone = shared.gone.subscribe();
                    tokio::select! {
                        _ = gone.changed() => {}
                        () = serve(&shared, stream, tls) => {}
                    }
                });
            }
        });
        *self.accepting.lock().unwrap() = Some(task.abort_handle());
    }

    /// Refuses connections and ends the open ones, as if the service had died.
    pub fn refuse(&self) {
        if let Some(task) = self.accepting.lock().unwrap().take() {
            task.abort();
        }
        self.shared.gone.send_modify(|times| *times += 1);
    }

    /// Serves a document, and gives its URL.
    pub fn serve(&self, path: &str, document: Document) -> String {
        let place = Place {
            document: Mutex::new(Arc::new(document)),
            behaviour: watch::Sender::new(Behaviour::Good),
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            most_in_flight: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            good_next: AtomicBool::new(false),
        };
        self.shared.paths.lock().unwrap().insert(path.into(), Arc::new(place));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Serves another document at a path.
    pub fn publish(&self, path: &str, document: Document) {
        *self.place(path).document.lock().unwrap() = Arc::new(document);
    }

    /// From now on the path behaves like this; requests that it holds are answered like this as well.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.place(path).behaviour.send_replace(behaviour);
    }

    /// How often a path was asked.
    pub fn requests(&self, path: &str) -> u64 {
        self.place(path).requests.load(Ordering::SeqCst)
    }

    /// How many requests to a path there were at once, at most.
    pub fn most_in_flight(&self, path: &str) -> u64 {
        self.place(path).most_in_flight.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies were taken from a path.
    pub fn sent(&self, path: &str) -> u64 {
        self.place(path).sent.load(Ordering::SeqCst)
    }

    /// How often a redirect was followed.
    pub fn reached_elsewhere(&self) -> u64 {
        self.shared.reached_elsewhere.load(Ordering::SeqCst)
    }

    fn place(&self, path: &str) -> Arc<Place> {
        self.shared.place(path).unwrap_or_else(|| panic!("nothing is served at {path}"))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.refuse();
        self.elsewhere.abort();
    }
}

impl Shared {
    fn place(&self, path: &str) -> Option<Arc<Place>> {
        self.paths.lock().unwrap().get(path).cloned()
    }
}

impl Place {
    fn document(&self) -> Arc<Document> {
        Arc::clone(&self.document.lock().unwrap())
    }

    /// The body, unless the client knows it already.
    async fn good(&self, wire: &mut Wire, request: &wire::Request) -> std::io::Result<()> {
        match self.document().answer(request) {
            Some((body, etag)) => wire.json(&body, etag.as_deref(), &self.sent).await,
            None => wire.write(b"HTTP/1.1 304 Not Modified\r\n\r\n").await,
        }
    }
}

/// Counts a request as long as it is there.
struct InFlight<'a>(&'a Place);

impl<'a> InFlight<'a> {
    fn new(place: &'a Place) -> Self {
        place.requests.fetch_add(1, Ordering::SeqCst);
        let now = place.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        place.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(place)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection, until either side has enough of it.
async fn serve(shared: &Shared, stream: tokio::net::TcpStream, tls: Option<TlsAcceptor>) {
    let Some(mut wire) = Wire::accept(stream, tls).await else { return };
    while let Some(request) = wire.request().await {
        let Some(place) = shared.place(request.path()) else {
            let answered = wire.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
            if answered.is_err() {
                return;
            }
            continue;
        };
        let in_flight = InFlight::new(&place);
        let behaviour = *place.behaviour.borrow();
        let kept = behave(shared, &place, &mut wire, &request, behaviour).await;
        drop(in_flight);
        if !matches!(kept, Ok(true)) {
            return;
        }
    }
}

/// Answers; says whether the connection can be used further.
async fn behave(shared: &Shared, place: &Place, wire: &mut Wire, request: &wire::Request, behaviour: Behaviour) -> std::io::Result<bool> {
    let sent = &place.sent;
    match behaviour {
        Behaviour::Good => {
            // A feed holds its answer, and what it is told meanwhile holds for it.
            let told = place.document().hold(request, &place.behaviour).await;
            if told == Behaviour::Good {
                place.good(wire, request).await?;
            } else {
                return Box::pin(behave(shared, place, wire, request, told)).await;
            }
        }
        Behaviour::Slow(by) => {
            tokio::time::sleep(by).await;
            place.good(wire, request).await?;
        }
        Behaviour::Flapping => {
            if place.good_next.fetch_xor(true, Ordering::SeqCst) {
                place.good(wire, request).await?;
            } else {
                wire.status(500, "").await?;
            }
        }
        Behaviour::Hung => wire.until_closed().await,
        Behaviour::Trickling => wire.trickle(&place.document().body(), sent).await?,
        Behaviour::Status(status) => wire.status(status, "").await?,
        Behaviour::TooMany(seconds) => wire.status(429, &format!("retry-after: {seconds}\r\n")).await?,
        Behaviour::Redirect => wire.status(302, &format!("location: http://{}{}\r\n", shared.elsewhere, request.path())).await?,
        Behaviour::RedirectLoop => wire.status(307, &format!("location: {}\r\n", request.path())).await?,
        Behaviour::NotModified => wire.write(b"HTTP/1.1 304 Not Modified\r\n\r\n").await?,
        Behaviour::Html => wire.body("text/html", b"<!doctype html><title>Welcome</title>", sent).await?,
        Behaviour::WrongType => wire.body("application/octet-stream", &place.document().body(), sent).await?,
        Behaviour::GarbageBody => wire.body("application/json", &[0xff, 0xfe, 0x00, b'{', 0x80].repeat(200), sent).await?,
        Behaviour::WrongJson => wire.body("application/json", place.document().of_wrong_types(), sent).await?,
        Behaviour::DeepJson => wire.body("application/json", &[b"[".repeat(300_000), b"]".repeat(300_000)].concat(), sent).await?,
        Behaviour::HalfJson => {
            let body = place.document().body();
            wire.body("application/json", body.get(..body.len() / 2).unwrap_or_default(), sent).await?;
        }
        Behaviour::Garbage => {
            wire.write(&b"\x16\x03\x00SSH-2.0-nothing\r\n\x00\xff".repeat(50)).await?;
            return Ok(false);
        }
        Behaviour::Truncated => {
            wire.truncated(&place.document().body(), sent).await?;
            return Ok(false);
        }
        Behaviour::CutChunks => {
            wire.cut_chunks(&place.document().body(), sent).await?;
            return Ok(false);
        }
        Behaviour::Reset => {
            wire.reset(&place.document().body()).await?;
            return Ok(false);
        }
        Behaviour::GzipBomb => wire.gzip_bomb(sent).await?,
        Behaviour::Large(megabytes) => wire.large(megabytes, sent).await?,
        Behaviour::Endless => wire.endless(sent).await?,
        Behaviour::EndlessHead => wire.endless_head().await?,
    }
    Ok(behaviour != Behaviour::Hung)
}
