//! The one task that writes. Whoever has news leaves it in a slot and goes on; only the latest of each source is ever written.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::content::{Content, Stored};
use super::head::{Head, Name};
use super::moment::Moment;
use super::store::{Store, WriteError};
use crate::pdp::token::profile::SourceId;
use crate::telemetry::metrics::Metrics;

/// The least time between two versions of the same data on disk. With more data it is longer.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// How much data a source may have written in the long run, in bytes per millisecond.
const BYTES_PER_MILLI: u64 = 8 * 1024;
/// A confirmation without news is written when so much of the bound has passed since the last one, within these limits.
const CONFIRMATIONS_PER_BOUND: u32 = 20;
const MIN_CONFIRMATION: Duration = Duration::from_millis(50);
const MAX_CONFIRMATION: Duration = Duration::from_secs(30);
/// Waits between attempts that fail.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// How often another process is asked to let go of the directory.
const LOCK_POLL: Duration = Duration::from_millis(500);

/// What is to be kept for a source.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub content: Content,
    pub confirmed: Moment,
    pub cursor: Option<String>,
    pub etag: Option<String>,
    /// For how long it is good.
    pub bound: Duration,
    /// Whether the content is another one than before.
    pub is_news: bool,
}

/// What there is to write for a source, and what was written.
#[derive(Debug)]
struct Slot {
    waiting: Option<Item>,
    stored: Option<Stored>,
    /// From when on news may be written, and confirmations.
    news_from: Instant,
    confirmations_from: Instant,
}

impl Slot {
    fn due(&self) -> Option<Instant> {
        let item = self.waiting.as_ref()?;
        Some(if item.is_news { self.news_from } else { self.confirmations_from })
    }
}

#[derive(Debug, Default)]
struct Slots {
    by_name: HashMap<Name, Slot, RandomState>,
    /// Sources that are no longer configured, whose files go.
    forgotten: Vec<SourceId>,
    closing: bool,
}

/// Where news is left for the writer.
#[derive(Debug, Default)]
pub(super) struct Desk {
    slots: Mutex<Slots>,
    wake: Notify,
}

impl Desk {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process has read or kept something under a name. From then on it knows better than the disk.
    pub(super) fn knows(&self, name: Name) -> bool {
        self.slots().by_name.contains_key(&name)
    }

    /// Notes what was read from the disk, or that nothing was.
    pub(super) fn begin(&self, name: Name, stored: Option<Stored>) {
        let now = Instant::now();
        let slot = Slot { waiting: None, stored, news_from: now, confirmations_from: now };
        self.slots().by_name.entry(name).or_insert(slot);
    }

    /// Leaves something to be written.
    pub(super) fn put(&self, name: Name, mut item: Item) {
        self.begin(name, None);
        if let Some(slot) = self.slots().by_name.get_mut(&name) {
            item.is_news |= slot.waiting.as_ref().is_some_and(|waiting| waiting.is_news);
            slot.waiting = Some(item);
        }
        self.wake.notify_one();
    }

    /// A source is no longer configured.
    pub(super) fn forget(&self, source: SourceId) {
        let mut slots = self.slots();
        slots.by_name.retain(|name, _| name.source != source);
        slots.forgotten.push(source);
        drop(slots);
        self.wake.notify_one();
    }

    /// What waits is written at once, and then the writer ends.
    pub(super) fn close(&self) {
        self.slots().closing = true;
        self.wake.notify_one();
    }
}

/// The writer's own state.
pub(super) struct Writer {
    store: Arc<Store>,
    desk: Arc<Desk>,
    metrics: Arc<Metrics>,
    /// The sources of the configuration that the process started with.
    configured: HashSet<SourceId, RandomState>,
    lock: Option<Arc<File>>,
    /// The names whose superseded data was removed.
    cleaned: HashSet<Name, RandomState>,
    failures: u32,
    is_waiting_for_lock: bool,
}

/// What there is to do next.
enum Task {
    Write(Name, Box<Item>, Option<Stored>),
    Remove(Vec<SourceId>),
    Wait(Option<Instant>),
    End,
}

impl Writer {
    pub(super) fn new(store: Arc<Store>, desk: Arc<Desk>, metrics: Arc<Metrics>, configured: impl Iterator<Item = SourceId>) -> Self {
        Self {
            store,
            desk,
            metrics,
            configured: configured.collect(),
            lock: None,
            cleaned: HashSet::default(),
            failures: 0,
            is_waiting_for_lock: false,
        }
    }

    /// Writes until the desk is closed.
    pub(super) async fn run(mut self) {
        loop {
            match self.next() {
                Task::End => return,
                Task::Wait(None) => self.desk.wake.notified().await,
                Task::Wait(Some(until)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until.into()) => {}
                        () = self.desk.wake.notified() => {}
                    }
                }
                Task::Remove(sources) => self.remove(sources).await,
                Task::Write(name, item, stored) => {
                    if !self.write(name, *item, stored).await {
                        self.pause_after_failure().await;
                    }
                }
            }
        }
    }

    fn next(&self) -> Task {
        let mut slots = self.desk.slots();
        let Slots { by_name, forgotten, closing } = &mut *slots;
        // Without the lock nothing here is ours to remove; whoever has it, or the next start, does it.
        if !forgotten.is_empty() && self.lock.is_some() {
            return Task::Remove(std::mem::take(forgotten));
        }
        let first = by_name.iter_mut().filter_map(|(name, slot)| Some((slot.due()?, *name, slot))).min_by_key(|(due, ..)| *due);
        match first {
            Some((due, name, slot)) if *closing || due <= Instant::now() => match slot.waiting.take() {
                Some(item) => Task::Write(name, Box::new(item), slot.stored.clone()),
                None => Task::Wait(None),
            },
            Some((due, ..)) => Task::Wait(Some(due)),
            None if *closing => Task::End,
            None => Task::Wait(None),
        }
    }

    /// Writes one item; whether that went well. If not, the item waits again, unless there is a later one by now.
    async fn write(&mut self, name: Name, item: Item, before: Option<Stored>) -> bool {
        let (store, lock, known) = (Arc::clone(&self.store), self.lock.clone(), self.configured.clone());
        let desk = Arc::clone(&self.desk);
        let clean = !self.cleaned.contains(&name);
        let job = item.clone();
        let written = spawn_blocking(move || {
            let is_first = lock.is_none();
            let lock = match lock {
                Some(lock) => lock,
                None => Arc::new(store.lock()?),
            };
            if is_first {
                let is_known = |name: Name| known.contains(&name.source) || desk.knows(name);
                if let Err(error) = store.clean(is_known, None) {
                    tracing::warn!(%error, "files that the warm start does not need any more could not be removed");
                }
            }
            let (stored, bytes) = write(&store, name, job, before.as_ref())?;
            let is_superseded = before.is_some_and(|before| before.pieces != stored.pieces);
            if clean || is_superseded {
                let cleaned = store.clean(|_| true, Some((name, &stored.pieces)));
                if let Err(error) = cleaned {
                    tracing::warn!(%error, "data that was replaced could not be removed");
                }
            }
            Ok((lock, stored, bytes))
        });
        let result = written.await.unwrap_or_else(|error| Err(WriteError::Encoding(format!("the writer broke down: {error}"))));
        let mut slots = self.desk.slots();
        let slot = slots.by_name.get_mut(&name);
        match result {
            Ok((lock, stored, bytes)) => {
                self.lock = Some(lock);
                self.cleaned.insert(name);
                if let Some(slot) = slot {
                    let now = Instant::now();
                    slot.stored = Some(stored);
                    slot.news_from = now + MIN_PAUSE.max(Duration::from_millis(bytes / BYTES_PER_MILLI));
                    slot.confirmations_from = now + confirmation_pause(item.bound);
                }
                drop(slots);
                self.metrics.warm_start_wrote("ok");
                if self.failures > 0 || self.is_waiting_for_lock {
                    tracing::info!("what is pulled is kept on disk again");
                }
                (self.failures, self.is_waiting_for_lock) = (0, false);
                true
            }
            Err(error) => {
                if let Some(slot) = slot {
                    // What is there may be anything now.
                    slot.stored = None;
                    // It goes to the end of the queue: what is wrong may be wrong with this source alone.
                    let now = Instant::now();
                    (slot.news_from, slot.confirmations_from) = (now, now);
                    let is_news = item.is_news || slot.waiting.as_ref().is_some_and(|waiting| waiting.is_news);
                    slot.waiting.get_or_insert(item).is_news = is_news;
                }
                drop(slots);
                self.report(&error);
                false
            }
        }
    }

    /// Counts a failure, and tells of the first of several in a row.
    fn report(&mut self, error: &WriteError) {
        if matches!(error, WriteError::Locked) {
            self.metrics.warm_start_wrote("locked");
            if !std::mem::replace(&mut self.is_waiting_for_lock, true) {
                tracing::info!("another sidecar keeps what it pulls in the same directory; this one does once that has ended");
            }
            return;
        }
        self.metrics.warm_start_wrote("failed");
        if self.failures == 0 {
            tracing::error!(%error, "what was pulled cannot be kept on disk: a restart would begin without it, or with what is there");
        }
        self.failures = self.failures.saturating_add(1);
    }

    async fn pause_after_failure(&self) {
        if self.desk.slots().closing {
            // There is no time for another attempt.
            self.desk.slots().by_name.clear();
            return;
        }
        let pause = match self.failures {
            0 => LOCK_POLL,
            failures => FIRST_RETRY.saturating_mul(1 << (failures - 1).min(6)).min(LAST_RETRY),
        };
        let until = tokio::time::Instant::now() + pause;
        while !self.desk.slots().closing {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                // Only the end of the process cuts the pause short; other news waits.
                () = self.desk.wake.notified() => {}
            }
        }
    }

    async fn remove(&self, sources: Vec<SourceId>) {
        let (store, desk) = (Arc::clone(&self.store), Arc::clone(&self.desk));
        // A source can be back by now.
        let is_known = move |name: Name| !sources.contains(&name.source) || desk.knows(name);
        if let Ok(Err(error)) = spawn_blocking(move || store.clean(is_known, None)).await {
            tracing::warn!(%error, "what was kept for a source that is no longer configured could not be removed");
        }
    }
}

/// How long a confirmation that brings no news waits after the one before.
fn confirmation_pause(bound: Duration) -> Duration {
    (bound / CONFIRMATIONS_PER_BOUND).clamp(MIN_CONFIRMATION, MAX_CONFIRMATION)
}

/// Writes the data that is not there yet, and then the head. Gives what is stored now and how many bytes of data were written.
fn write(store: &Store, name: Name, item: Item, before: Option<&Stored>) -> Result<(Stored, u64), WriteError> {
    let Item { content, confirmed, cursor, etag, .. } = item;
    let mut bytes = 0;
    let stored = content.store(before, |piece, data| {
        // What is there under this name may be damaged, unless this process wrote or read it.
        let is_there = before.is_some_and(|before| before.pieces.contains(piece)) && store.has(name, piece);
        if !is_there {
            store.write_piece(name, piece, &data.bytes())?;
            bytes += piece.bytes;
        }
        Ok(())
    })?;
    store.write_head(name, &Head::new(name, stored.pieces.clone(), confirmed, cursor, etag))?;
    Ok((stored, bytes))
}

#[cfg(test)]
mod tests;
