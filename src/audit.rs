//! The audit trail: who did what, when, and what came of it, in a file that shows any later change to it.
//!
//! ```text
//! check ──record──▶ bounded queue ──▶ one thread: number, hash over the record before, write(2) ──▶ who waits is told
//! ```
//!
//! Checks never touch the file. Where the configuration says that nothing passes unrecorded, the answer to a check waits for its
//! record, up to a deadline; otherwise what cannot be recorded is counted, and the trail says how much that was.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::clock;
use crate::config::{AuditSettings, WhenUnwritable};

mod chain;
mod damage;
mod file;
mod record;
pub mod verify;
mod writer;

pub use chain::{ChainHash, ChainKey, Link};
pub use record::AuditedCheck;

use file::TrailFile;
use record::{Event, Outcome};
use writer::{Entry, Message, Writer};

/// How long a process that still writes to the file has to end: longer than a sidecar takes to end with the
/// defaults of `shutdown`, which is 15 s and a little for what is cut and written last.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last records have to be written at the end.
const CLOSE: Duration = Duration::from_secs(2);

/// A running trail. Clones are the same one.
#[derive(Clone)]
pub struct Trail {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    when_unwritable: WhenUnwritable,
    deadline: Duration,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trail({})", self.shared.file.display())
    }
}

/// What is known of a trail on all sides.
#[derive(Debug)]
struct Shared {
    file: PathBuf,
    /// Checks that wait to be recorded.
    queued: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    /// Of those, how many the trail does not tell of yet.
    unreported: AtomicU64,
    errors: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    link: Link,
    /// Why nothing can be written at the moment.
    problem: Option<String>,
}

impl Shared {
    fn new(file: &Path, link: Link) -> Self {
        Self {
            file: file.into(),
            queued: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            state: Mutex::new(State { link, problem: None }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record was written.
    fn recorded(&self, link: Link) {
        let mut state = self.state();
        state.link = link;
        if state.problem.take().is_some() {
            tracing::info!(file = %self.file.display(), "the audit trail can be written again");
        }
    }

    /// A record could not be written.
    fn failed(&self, problem: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if state.problem.as_deref() != Some(problem) {
            tracing::error!(file = %self.file.display(), problem, "the audit trail cannot be written");
            state.problem = Some(problem.into());
        }
    }

    /// A check will not be recorded, as there is no place to wait in.
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if self.unreported.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(file = %self.file.display(), "too many checks wait for the audit trail; some are not recorded");
        }
    }
}

/// A file with the right owner and the wrong mode is worth knowing of.
fn warn_of_others(path: &Path, rights: u32, message: &str) {
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.mode() & rights != 0
    {
        tracing::warn!(file = %path.display(), mode = format_args!("{:o}", metadata.mode() & 0o777), "{message}");
    }
}

/// What becomes of the record of a check.
#[derive(Debug)]
pub enum Receipt {
    /// The check can be answered: its record is on its way, or need not be.
    Answer,
    /// The check can only be answered once its record is written.
    Pending(PendingRecord),
    /// There will be no record, so the check cannot be answered.
    Refused,
}

/// A record that is being written. To drop this is to give up: the record then says that the check was not let through.
#[derive(Debug)]
pub struct PendingRecord {
    written: oneshot::Receiver<bool>,
    deadline: Duration,
}

impl PendingRecord {
    /// The same, to be waited for no longer than this.
    #[must_use]
    pub fn within(self, left: Duration) -> Self {
        Self { deadline: self.deadline.min(left), ..self }
    }

    /// Waits until the record is written, or the deadline has passed. Says whether it is.
    pub async fn is_written(mut self) -> bool {
        match tokio::time::timeout(self.deadline, &mut self.written).await {
            Ok(written) => written.unwrap_or(false),
            Err(_) => self.is_written_by_now(),
        }
    }

    /// The same without waiting.
    #[must_use]
    pub fn is_written_by_now(mut self) -> bool {
        // From here on the writer knows that nobody waits; what it said before still counts.
        self.written.close();
        self.written.try_recv().unwrap_or(false)
    }
}

/// How a trail is doing.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its file.
    pub file: PathBuf,
    /// The number of the last record.
    pub seq: u64,
    /// The hash of the last record. Whoever keeps it elsewhere can tell later whether the end was cut off.
    pub hash: String,
    /// Checks that wait to be recorded.
    pub queued: usize,
    /// Checks recorded since the start.
    pub written: u64,
    /// Checks that could not be recorded since the start.
    pub dropped: u64,
    /// Failed attempts to write since the start.
    pub errors: u64,
    /// Why nothing can be written at the moment; `None`: it can.
    pub problem: Option<String>,
}

impl Trail {
    /// Opens the file, goes on where it ends, and begins with a record of this run. Waits for a process that still writes to it.
    ///
    /// # Errors
    /// When the file cannot be opened, is no trail, or its key cannot be read: in words, with the key of the configuration.
    pub fn open(settings: &AuditSettings, revision: &str) -> Result<Self, String> {
        Self::open_within(PATIENCE, settings, revision)
    }

    /// The same without waiting for anybody.
    ///
    /// # Errors
    /// As with [`Trail::open`], and when another process still writes to the file.
    pub fn open_at_once(settings: &AuditSettings, revision: &str) -> Result<Self, String> {
        Self::open_within(Duration::ZERO, settings, revision)
    }

    fn open_within(patience: Duration, settings: &AuditSettings, revision: &str) -> Result<Self, String> {
        let AuditSettings { file, when_unwritable, key_file, max_queue, deadline, sync } = settings;
        let key = match key_file {
            None => ChainKey::none(),
            Some(path) => ChainKey::read(path).map_err(|error| format!("audit.key_file: {error}"))?,
        };
        warn_of_others(file, 0o022, "others can write to the audit trail's file");
        if let Some(path) = key_file {
            warn_of_others(path, 0o077, "others can read the audit trail's key, or write it");
        }
        let opened = TrailFile::open(file, &key, patience).map_err(|error| format!("audit.file: {}: {error}", file.display()))?;
        let (queue, messages) = sync_channel(*max_queue);
        let shared = Arc::new(Shared::new(file, opened.1));
        let start = record::event(&Event::Start { version: env!("CARGO_PKG_VERSION"), revision, generation: 1 }, clock::now());
        let writer = Writer::new(Arc::clone(&shared), opened, key, *sync, start);
        // It ends with the process if it hangs in the file system.
        thread::Builder::new().name("audit".into()).spawn(move || writer.run(&messages)).map_err(|error| format!("audit: {error}"))?;
        Ok(Self { queue, shared, when_unwritable: *when_unwritable, deadline: *deadline })
    }

    /// Records a check. Never waits.
    #[must_use]
    pub fn record(&self, check: &AuditedCheck<'_, '_>) -> Receipt {
        let reason = check.decision.reason;
        let (waits, written) = match self.when_unwritable {
            WhenUnwritable::Deny => Some(oneshot::channel()).unzip(),
            WhenUnwritable::Continue => (None, None),
        };
        let entry = Entry {
            id: check.id.into(),
            members: record::check(check),
            outcome: Outcome { reason, status: (check.status)(reason) },
            unavailable: writer::unavailable(check.status),
            waits,
        };
        // Counted before, so that the writer never counts back what was not counted yet.
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let queued = self.queue.try_send(Message::Check(entry)).is_ok();
        if !queued {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.shared.drop_one();
        }
        match (written, queued) {
            (None, _) => Receipt::Answer,
            (Some(written), true) => Receipt::Pending(PendingRecord { written, deadline: self.deadline }),
            (Some(_), false) => Receipt::Refused,
        }
    }

    /// Records that another configuration is in force. Never waits.
    pub fn configuration_changed(&self, revision: &str, generation: u64) {
        let members = record::event(&Event::Configuration { revision, generation }, clock::now());
        if self.queue.try_send(Message::Event(members)).is_err() {
            self.shared.unreported.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks now whether the file was moved away, and goes on in a new one; otherwise that happens with the next record.
    pub fn follow_file(&self) {
        // Where the queue is full, the next record is near.
        let _ = self.queue.try_send(Message::Follow);
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let state = shared.state();
        Status {
            file: shared.file.clone(),
            seq: state.link.seq,
            hash: state.link.hash.to_string(),
            queued: shared.queued.load(Ordering::Relaxed),
            written: shared.written.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
            errors: shared.errors.load(Ordering::Relaxed),
            problem: state.problem.clone(),
        }
    }

    /// Ends the trail once everything before is written. What comes later is not recorded.
    pub async fn close(&self) {
        let queue = self.queue.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let (done, ended) = sync_channel(1);
            queue.send(Message::Close(done)).is_ok() && ended.recv().is_ok()
        });
        if !matches!(tokio::time::timeout(CLOSE, closed).await, Ok(Ok(true))) {
            tracing::error!(file = %self.shared.file.display(), "the last records of the audit trail may not have been written");
        }
    }
}
