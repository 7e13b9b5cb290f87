//! Watches the configuration and hands over each new version, whole.
//!
//! Three things wake the watcher: notifications of the file system, a slow poll for where those do not come (no inotify,
//! network file systems, `subPath` mounts), and an explicit [`Nudge`] for SIGHUP. Whatever woke it, it reads everything
//! again, following all symlinks, and compares content hashes; so the cause never matters, a touched file is no change,
//! and the consumer gets exactly the bytes that were hashed.
//!
//! The policy tests that a configuration names are read, hashed and watched with it.
//!
//! New content is believed only when two readings, one debounce time apart, agree. That keeps half-written files and
//! half-swapped directories out; whether the content makes sense is for the consumer to judge.

mod named_tests;
mod notifications;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::named_tests::read_noting_folders;
pub use self::named_tests::{NamedTests, read_with_tests};
use self::notifications::Notifications;
pub use self::source::{ConfigFile, ConfigSource, ContentHash, MAX_BYTES, ReadError, read};

/// Content that is written without pause never agrees with itself; after this many readings the last one is handed over,
/// so that a configuration swapped again and again still arrives.
const MAX_READINGS: usize = 10;

/// The shortest poll interval; anything below would be a busy loop.
const MIN_POLL: Duration = Duration::from_millis(10);

/// News about the configuration.
#[derive(Clone, Debug)]
pub enum ConfigEvent {
    /// The content to apply. It has the hash of what runs already in one case: after a `Failed`, when the content came
    /// back as it was; then there is only an alarm to clear.
    Changed(Arc<ConfigSource>),
    /// The configuration cannot be read any more ([`ReadError::NotFound`]: it vanished). Reported once per cause; the
    /// consumer keeps the last good version.
    Failed(ReadError),
}

/// Wakes the watcher at once, whatever the file system says.
#[derive(Clone, Debug)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Asks for a reading. What it finds is reported under the same rules as always, only when it is news; or if the consumer could
    /// not use what was reported last ([`ConfigWatcher::refused`]).
    pub fn nudge(&self) {
        self.0.notify_one();
    }
}

/// A running watch. Dropping it ends the watch.
#[derive(Debug)]
pub struct ConfigWatcher {
    events: watch::Receiver<Option<ConfigEvent>>,
    nudge: Nudge,
    refused: Arc<AtomicBool>,
    task: AbortHandle,
}

impl ConfigWatcher {
    /// Starts to watch `path`, a file or a directory, and the tests that are `named` by what is there, on the current tokio runtime.
    ///
    /// `running` is the hash of the version that the consumer got from [`read_with_tests`] before; a change between that reading and
    /// this call is reported. With `None` the first good reading is reported. A change is reported about twice `debounce`
    /// after a notification, or `poll_interval` and one `debounce` later without notifications.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(path: PathBuf, named: NamedTests, running: Option<ContentHash>, debounce: Duration, poll_interval: Duration) -> Self {
        let notified = Arc::new(Notify::new());
        let notifications = Notifications::new(Arc::clone(&notified));
        let probe = Probe { path, named, folders: Vec::new(), notifications };
        Self::spawn_with(probe, notified, running, debounce, poll_interval)
    }

    fn spawn_with(probe: Probe, notified: Arc<Notify>, running: Option<ContentHash>, debounce: Duration, poll_interval: Duration) -> Self {
        let nudged = Arc::new(Notify::new());
        let refused = Arc::new(AtomicBool::new(false));
        let (news, events) = watch::channel(None);
        let watch = Watch {
            probe: Arc::new(Mutex::new(probe)),
            notified,
            nudged: Arc::clone(&nudged),
            refused: Arc::clone(&refused),
            reported: running.map(Reported::Content),
            debounce,
            news,
        };
        let task = tokio::spawn(watch.run(poll_interval)).abort_handle();
        Self { events, nudge: Nudge(nudged), refused, task }
    }

    /// Waits for news. When several came since the last call, only the latest is returned. `None` means that the watch
    /// has broken down and nothing more will come. Cancel safe.
    pub async fn changed(&mut self) -> Option<ConfigEvent> {
        self.events.changed().await.ok()?;
        self.events.borrow_and_update().clone()
    }

    /// Says whether what was reported last could not be used. If so, it is reported once more when somebody asks for a reading: what
    /// kept it out may have been the moment.
    pub fn refused(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// A handle that asks for a reading, for SIGHUP.
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }
}

impl Drop for ConfigWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the consumer was told last.
#[derive(Debug, PartialEq, Eq)]
enum Reported {
    Content(ContentHash),
    Failure(ReadError),
}

type Reading = Result<ConfigSource, ReadError>;

impl From<&Reading> for Reported {
    fn from(reading: &Reading) -> Self {
        match reading {
            Ok(source) => Self::Content(source.hash),
            Err(error) => Self::Failure(error.clone()),
        }
    }
}

/// What a reading needs.
#[derive(Debug)]
struct Probe {
    path: PathBuf,
    named: NamedTests,
    /// Where tests were looked for the last time.
    folders: Vec<PathBuf>,
    notifications: Option<Notifications>,
}

impl Probe {
    fn read(&mut self) -> Reading {
        let before = std::mem::take(&mut self.folders);
        let reading = self.read_watching(&before);
        if self.notifications.is_none() || self.folders.iter().all(|folder| before.contains(folder)) {
            return reading;
        }
        // Nobody would tell of changes in folders that were not watched yet.
        let found = std::mem::take(&mut self.folders);
        self.read_watching(&found)
    }

    fn read_watching(&mut self, folders: &[PathBuf]) -> Reading {
        // Armed before it is read: a change after this line is either read now or notified later.
        if let Some(notifications) = &mut self.notifications {
            notifications.arm(std::iter::once(&*self.path).chain(folders.iter().map(PathBuf::as_path)));
        }
        read_noting_folders(&self.path, self.named, &mut self.folders)
    }
}

struct Watch {
    /// Locked by one reading on the blocking pool at a time, never waited for.
    probe: Arc<Mutex<Probe>>,
    notified: Arc<Notify>,
    nudged: Arc<Notify>,
    refused: Arc<AtomicBool>,
    reported: Option<Reported>,
    debounce: Duration,
    news: watch::Sender<Option<ConfigEvent>>,
}

impl Watch {
    async fn run(mut self, poll_interval: Duration) {
        // The first tick comes at once; that reading arms the notifications.
        let mut poll = interval(poll_interval.max(MIN_POLL));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = poll.tick() => false,
                () = self.nudged.notified() => true,
                () = self.notified.notified() => {
                    // A change comes as a burst of notifications: one reading for all of them.
                    sleep(self.debounce).await;
                    false
                }
            };
            let news = settle(self.reported.as_ref(), self.debounce, || self.reading()).await;
            match news {
                Some(reading) => self.report(reading),
                None if asked && self.refused.load(Ordering::Relaxed) => {
                    tracing::info!("the configuration is as it was when it was refused; it is tried once more");
                    self.news.send_modify(|_| ());
                }
                None if asked => tracing::info!("the configuration is as last reported"),
                None => {}
            }
        }
    }

    /// `None` when the reading itself broke down; the next wake-up tries again.
    async fn reading(&self) -> Option<Reading> {
        let probe = Arc::clone(&self.probe);
        let read = move || probe.lock().unwrap_or_else(PoisonError::into_inner).read();
        match spawn_blocking(read).await {
            Ok(reading) => Some(reading),
            Err(error) => {
                tracing::error!(%error, "reading the configuration broke down");
                None
            }
        }
    }

    fn report(&mut self, reading: Reading) {
        self.reported = Some(Reported::from(&reading));
        let event = match reading {
            Ok(source) => ConfigEvent::Changed(Arc::new(source)),
            Err(error) => ConfigEvent::Failed(error),
        };
        self.news.send_replace(Some(event));
    }
}

/// A reading that differs from what was reported and agrees with the one before it. `None` when there is no news, or no
/// reading.
async fn settle<F>(reported: Option<&Reported>, debounce: Duration, mut reading: impl FnMut() -> F) -> Option<Reading>
where
    F: Future<Output = Option<Reading>>,
{
    let is_news = |content: &Reported| reported != Some(content);
    let mut latest = reading().await?;
    let mut content = Reported::from(&latest);
    // Most readings are made because it is time for one, and find what there was.
    if !is_news(&content) {
        return None;
    }
    for _ in 1..MAX_READINGS {
        sleep(debounce).await;
        latest = reading().await?;
        let before = std::mem::replace(&mut content, Reported::from(&latest));
        // What was reported counts for no more than anything else while the content does not rest: among versions that are swapped
        // again and again it comes by all the time.
        if before == content {
            break;
        }
    }
    is_news(&content).then_some(latest)
}
