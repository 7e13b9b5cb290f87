//! From "a token named a key nobody knows" to at most one fetch per source and cool-down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use moka::sync::Cache;
use tokio::sync::Notify;

use crate::pdp::decision::UnknownKey;
use crate::pdp::token::profile::SourceId;

/// For how long an unknown key is remembered to be unknown.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// How many unknown keys are remembered.
const UNKNOWN_KEYS: u64 = 4096;

/// Wakes the refresher of a key set. The refresher keeps to its cool-down, so any number of requests is one fetch; the
/// negative cache in front keeps a flood of one forged `kid` from even asking.
#[derive(Debug)]
pub struct RefetchRequests {
    unknown: Cache<UnknownKey, ()>,
    refreshers: Mutex<HashMap<SourceId, Arc<Notify>, RandomState>>,
}

impl Default for RefetchRequests {
    fn default() -> Self {
        Self { unknown: Cache::builder().max_capacity(UNKNOWN_KEYS).time_to_live(UNKNOWN_FOR).build(), refreshers: Mutex::default() }
    }
}

impl RefetchRequests {
    /// What wakes a source's refresher.
    pub fn subscribe(&self, source: SourceId) -> Arc<Notify> {
        Arc::clone(self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).entry(source).or_default())
    }

    /// A source has no refresher any more.
    pub fn unsubscribe(&self, source: SourceId) {
        self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).remove(&source);
    }

    /// Asks for a source's keys on behalf of something that is signed and was fetched. The refresher's cool-down holds here too.
    pub fn want_keys(&self, source: SourceId) {
        if let Some(refresher) = self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).get(&source) {
            refresher.notify_one();
        }
    }

    /// Asks for a source's keys, unless this very key was asked for a moment ago. Never waits: if the table of refreshers is
    /// being changed right now, the next request with the key will do.
    pub(super) fn request(&self, unknown: UnknownKey) {
        if self.unknown.contains_key(&unknown) {
            return;
        }
        let Ok(refreshers) = self.refreshers.try_lock() else { return };
        if let Some(refresher) = refreshers.get(&unknown.source) {
            refresher.notify_one();
        }
        drop(refreshers);
        self.unknown.insert(unknown, ());
    }
}
