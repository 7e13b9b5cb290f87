//! The last good keys and revocations on disk, so that a sidecar which restarts while the identity service is down decides as before.
//!
//! What is kept is used within the bounds that it would have had in memory: its age goes on counting while no sidecar runs. It steps
//! in only for a source that does not answer at once ([`Standby`]), and a file that is not exactly what was written is refused whole.
//! Nothing here is ever waited for by a check, and a disk that is full or slow harms no decision.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::{Source, WarmStartSettings};
use crate::pdp::revocation::RevocationList;
use crate::pdp::token::profile::SourceId;
use crate::state::Live;
use crate::telemetry::metrics::{Metrics, RouteCounters};

mod content;
mod entries;
mod head;
mod moment;
mod standby;
mod store;
mod writer;

use content::{Content, Stored};
pub use head::Kind;
use head::Name;
use moment::Moment;
pub use standby::Standby;
use store::{ReadError, Store};
use writer::{Desk, Item, Writer};

/// The most data of one source.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// What is older is not read even where it could serve to go on from: a source may tell another story by now.
const MAX_AGE: Duration = Duration::from_secs(86_400);
/// How long a start waits for the disk. One that hangs is gone without, and what it says later is not listened to.
const READING: Duration = Duration::from_secs(5);
/// The longest time that the end of the process waits for what is still to be written.
const CLOSING: Duration = Duration::from_secs(2);

/// Keeps what was pulled. Cloning is cheap; the default keeps nothing.
#[derive(Debug, Clone, Default)]
pub struct WarmStart(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    /// `None`: the directory cannot be used, which was said when it was tried.
    open: Option<Open>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Open {
    store: Arc<Store>,
    desk: Arc<Desk>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Something that was kept.
#[derive(Debug)]
pub struct Kept<T> {
    /// What it is.
    pub data: T,
    /// Up to where the source had been read.
    pub cursor: Option<String>,
    /// What the source calls this version.
    pub etag: Option<String>,
    /// When the source confirmed it, on the clock of this process.
    pub confirmed: Instant,
    /// How much of its bound that leaves out, because this clock does not reach back that far; nearly always nothing.
    beyond: Duration,
    /// How old it was when it was read.
    age: Duration,
}

impl<T> Kept<T> {
    /// What steps in for a source that does not answer at once, by publishing this.
    pub fn standby(
        &self,
        kind: Kind,
        source: &Source,
        live: &Arc<Live<RouteCounters>>,
        publish: impl FnOnce(&Live<RouteCounters>) + Send + Sync + 'static,
    ) -> Standby {
        let (issuer, id, age, live) = (Arc::clone(&source.issuer), source.id, self.age.as_secs_f64(), Arc::clone(live));
        Standby::new(move || {
            // Work that never ends publishes while it is being waited for.
            if live.has_fresh(id) {
                return;
            }
            tracing::warn!(%issuer, feed = kind.as_str(), age_seconds = age, "the source did not answer at once: what was kept on disk counts, within its bound");
            publish(&live);
        })
    }

    /// For how long it is good after [`Kept::confirmed`], if it is for so long after the source confirmed it.
    #[must_use]
    pub fn good_for(&self, bound: Duration) -> Duration {
        bound.saturating_sub(self.beyond)
    }
}

/// What a source said, to be kept.
#[derive(Debug, Clone)]
pub struct News<'n> {
    /// Up to where the source has been read.
    pub cursor: Option<&'n str>,
    /// What the source calls this version.
    pub etag: Option<&'n str>,
    /// When the source said it.
    pub confirmed: Instant,
    /// For how long it is good.
    pub bound: Duration,
    /// Whether it is another than before; otherwise the source has only confirmed it.
    pub is_news: bool,
}

impl WarmStart {
    /// Takes the directory and starts to write to it. A directory that cannot be used is reported, and nothing is kept: the sidecar
    /// works without.
    pub async fn open(settings: Option<&WarmStartSettings>, sources: &[Arc<Source>], metrics: &Arc<Metrics>) -> Self {
        let Some(WarmStartSettings { directory }) = settings.cloned() else { return Self::default() };
        let opened = spawn_blocking({
            let directory = directory.clone();
            move || open_store(&directory)
        });
        let open = match in_time(opened).await.and_then(|opened| opened) {
            Err(error) => {
                tracing::error!(%error, "the directory for warm starts is not used: nothing is read from it or kept in it until the next start");
                None
            }
            Ok(store) => {
                tracing::info!(directory = %directory.display(), "what is pulled is kept for the next start");
                let (store, desk) = (Arc::new(store), Arc::new(Desk::default()));
                let configured = sources.iter().map(|source| source.id);
                let writer = Writer::new(Arc::clone(&store), Arc::clone(&desk), Arc::clone(metrics), configured);
                Some(Open { store, desk, writer: Mutex::new(Some(tokio::spawn(writer.run()))) })
            }
        };
        Self(Some(Arc::new(Inner { open, metrics: Arc::clone(metrics) })))
    }

    /// Whether there is something that a start can be warm with.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.open.is_some())
    }

    /// Reads a document that was kept for a source, and what it says.
    pub async fn document<T: Send + 'static>(
        &self,
        kind: Kind,
        source: &Source,
        bound: Duration,
        parse: impl FnOnce(&[u8]) -> Result<T, String> + Send + 'static,
    ) -> Option<Kept<(T, Bytes)>> {
        let parse = |pieces: Vec<Vec<u8>>| {
            let [document] = <[Vec<u8>; 1]>::try_from(pieces).map_err(|pieces| format!("there are {} pieces of one", pieces.len()))?;
            Ok((parse(&document)?, Bytes::from(document)))
        };
        self.read(kind, source, bound, parse).await
    }

    /// Reads a revocation list that was kept for a source.
    pub async fn revocations(&self, source: &Source, bound: Duration) -> Option<Kept<RevocationList>> {
        self.read(Kind::Revocations, source, bound, |pieces| entries::decode(&pieces)).await
    }

    /// Reads what was kept for a source, once: a source that is pulled for the second time in one process has been told newer things.
    /// What is past the bound is read as well, to go on from; how old it is decides what it is good for.
    async fn read<T: Send + 'static>(
        &self,
        kind: Kind,
        source: &Source,
        bound: Duration,
        parse: impl FnOnce(Vec<Vec<u8>>) -> Result<T, String> + Send + 'static,
    ) -> Option<Kept<T>> {
        let inner = self.0.as_ref()?;
        let count = |result| inner.metrics.warm_start_loaded(&source.issuer, kind.as_str(), result);
        let Some(open) = &inner.open else {
            count("no_directory");
            return None;
        };
        let name = Name { kind, source: source.id };
        if open.desk.knows(name) {
            return None;
        }
        let store = Arc::clone(&open.store);
        let read = spawn_blocking(move || read(&store, name, bound, parse));
        let result = in_time(read).await.unwrap_or_else(|message| Err(Refused::Unreadable(message)));
        let (kept, stored) = match result {
            Ok(Some((kept, stored))) => (Some(kept), Some(stored)),
            Ok(None) => (None, None),
            Err(refused) => {
                count(refused.label());
                let (issuer, feed, cause) = (&source.issuer, kind.as_str(), refused.message());
                if matches!(refused, Refused::TooOld(_)) {
                    tracing::info!(%issuer, feed, cause, "what was kept on disk is not used; the source is waited for");
                } else {
                    tracing::error!(%issuer, feed, cause, "what was kept on disk is refused; the source is waited for");
                }
                open.desk.begin(name, None);
                return None;
            }
        };
        open.desk.begin(name, stored);
        match &kept {
            None => count("none"),
            Some(kept) => {
                count("ok");
                tracing::info!(issuer = %source.issuer, feed = kind.as_str(), age_seconds = kept.age.as_secs_f64(), "read what was kept on disk");
            }
        }
        kept
    }

    /// Keeps a document that a source confirmed.
    pub fn keep_document(&self, kind: Kind, source: SourceId, document: &Bytes, news: &News<'_>) {
        self.keep(Name { kind, source }, || Content::Document(document.clone()), news);
    }

    /// Keeps a revocation list that a source confirmed. Nothing of it is copied.
    pub fn keep_revocations(&self, source: SourceId, list: &RevocationList, news: &News<'_>) {
        self.keep(Name { kind: Kind::Revocations, source }, || Content::Revocations(list.clone()), news);
    }

    fn keep(&self, name: Name, content: impl FnOnce() -> Content, news: &News<'_>) {
        let Some(open) = self.open_directory() else { return };
        let News { cursor, etag, confirmed, bound, is_news } = *news;
        let (cursor, etag) = (cursor.map(str::to_string), etag.map(str::to_string));
        open.desk.put(name, Item { content: content(), confirmed: Moment::ago(confirmed.elapsed()), cursor, etag, bound, is_news });
    }

    /// Forgets what was kept for a source that is no longer configured.
    pub fn forget(&self, source: SourceId) {
        if let Some(open) = self.open_directory() {
            open.desk.forget(source);
        }
    }

    /// Writes what is still to be written, and lets go of the directory.
    pub async fn close(&self) {
        let Some(open) = self.open_directory() else { return };
        let writer = open.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.desk.close();
        if let Some(writer) = writer
            && tokio::time::timeout(CLOSING, writer).await.is_err()
        {
            tracing::warn!("what was pulled last could not be kept on disk in time");
        }
    }

    fn open_directory(&self) -> Option<&Open> {
        self.0.as_ref()?.open.as_ref()
    }
}

/// Waits for work with the disk, within limits.
async fn in_time<T>(work: JoinHandle<T>) -> Result<T, String> {
    let done = tokio::time::timeout(READING, work).await;
    done.map_err(|_| format!("the disk did not answer within {} seconds", READING.as_secs()))?.map_err(|error| error.to_string())
}

fn open_store(directory: &Path) -> Result<Store, String> {
    // The system says who we are to whoever connects to us.
    let user = UnixStream::pair().and_then(|(ours, _theirs)| ours.peer_cred());
    let user = user.map_err(|error| format!("it cannot be found out as which user the sidecar runs: {error}"))?;
    Store::open(directory, user.uid())
}

/// Why what is there is not used.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Read(ReadError),
    Future,
    TooOld(Duration),
    /// Its checksum fits, and this version cannot read it.
    Invalid(String),
    Unreadable(String),
}

impl Refused {
    const fn label(&self) -> &'static str {
        match self {
            Self::Read(ReadError::Damaged(_)) => "damaged",
            Self::Read(ReadError::NotOurs(_)) => "not_ours",
            Self::Read(ReadError::Io(_)) | Self::Unreadable(_) => "unreadable",
            Self::Future => "future",
            Self::TooOld(_) => "too_old",
            Self::Invalid(_) => "invalid",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Read(error) => error.to_string(),
            Self::Future => "it was confirmed in the future, so a clock was set and its age is not known".into(),
            Self::TooOld(age) => format!("it is {} seconds old", age.as_secs()),
            Self::Invalid(message) | Self::Unreadable(message) => message.clone(),
        }
    }
}

fn read<T>(
    store: &Store,
    name: Name,
    bound: Duration,
    parse: impl FnOnce(Vec<Vec<u8>>) -> Result<T, String>,
) -> Result<Option<(Kept<T>, Stored)>, Refused> {
    let Some((head, pieces)) = store.read(name, MAX_BYTES).map_err(Refused::Read)? else { return Ok(None) };
    let data = parse(pieces).map_err(Refused::Invalid)?;
    // Last, so that the time that all of this took counts.
    let age = head.confirmed.age(&Moment::now()).map_err(|_| Refused::Future)?;
    if age > bound.max(MAX_AGE) {
        return Err(Refused::TooOld(age));
    }
    let now = Instant::now();
    // This clock may not reach back to before the machine's start.
    let (confirmed, beyond) = now.checked_sub(age).map_or((now, age), |confirmed| (confirmed, Duration::ZERO));
    let kept = Kept { data, cursor: head.cursor, etag: head.etag, confirmed, beyond, age };
    Ok(Some((kept, Stored::new(head.pieces))))
}

#[cfg(test)]
mod tests;
