//! The part of a revocation list that is not sorted in yet.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::fingerprint::Fingerprint;
use super::table::{Bounded, Whole};
use crate::pdp::time::UnixTime;

/// A few entries that came last. Cloning is cheap; adding copies them.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(Arc<Entries>);

#[derive(Debug, Clone, Default)]
struct Entries {
    whole: HashMap<Fingerprint, Whole, RandomState>,
    bounded: HashMap<Fingerprint, Bounded, RandomState>,
}

impl Recent {
    pub(super) fn add(&mut self, whole: &[Whole], bounded: &[Bounded]) {
        let entries = Arc::make_mut(&mut self.0);
        for entry in whole {
            // The later expiry is the greater one of two entries with one fingerprint.
            entries.whole.entry(entry.fingerprint()).and_modify(|known| *known = (*known).max(*entry)).or_insert(*entry);
        }
        for Bounded { entry, before } in bounded {
            entries
                .bounded
                .entry(entry.fingerprint())
                .and_modify(|known| *known = Bounded { entry: known.entry.max(*entry), before: known.before.max(*before) })
                .or_insert(Bounded { entry: *entry, before: *before });
        }
    }

    pub(super) fn copy_to(&self, whole: &mut Vec<Whole>, bounded: &mut Vec<Bounded>) {
        whole.extend(self.0.whole.values());
        bounded.extend(self.0.bounded.values());
    }

    pub(super) fn revokes(&self, id: Fingerprint, issued_at: Option<UnixTime>) -> bool {
        let Entries { whole, bounded } = &*self.0;
        (!whole.is_empty() && whole.contains_key(&id))
            || (!bounded.is_empty() && bounded.get(&id).is_some_and(|bounded| bounded.covers(issued_at)))
    }

    pub(super) fn earliest_expiry(&self) -> Option<UnixTime> {
        self.0.whole.values().chain(self.0.bounded.values().map(|bounded| &bounded.entry)).filter_map(|entry| entry.expires()).min()
    }

    pub(super) fn len(&self) -> usize {
        self.0.whole.len() + self.0.bounded.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.0.whole.allocation_size() + self.0.bounded.allocation_size()
    }
}
