//! The sorted part of a revocation list.

use super::fingerprint::Fingerprint;
use crate::pdp::time::UnixTime;

/// How many entries one step of the index leaves to be searched, about.
const PER_BUCKET: usize = 16;

/// An entry that revokes all tokens with an id: 96 bits of fingerprint, and 32 of the second in which it expires. Entries sort by
/// their fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole(u128);

/// Stands for an entry that never expires. As a second it is in the year 2106, and what expires later never does.
const NEVER: u32 = u32::MAX;

impl Whole {
    /// An entry. `expires` is rounded up to whole seconds.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, expires: Option<UnixTime>) -> Self {
        let second = expires.map_or(NEVER, |expires| {
            let seconds = expires.as_millis().max(0).cast_unsigned().div_ceil(1000);
            u32::try_from(seconds).unwrap_or(NEVER)
        });
        Self(fingerprint.bits() << u32::BITS | u128::from(second))
    }

    /// Whose it is.
    #[must_use]
    pub fn fingerprint(self) -> Fingerprint {
        Fingerprint::from_bits(self.0 >> u32::BITS)
    }

    /// From when on it can be forgotten; `None`: never.
    #[must_use]
    pub fn expires(self) -> Option<UnixTime> {
        #[allow(clippy::cast_possible_truncation, reason = "the lowest 32 bits are meant")]
        let second = self.0 as u32;
        (second != NEVER).then(|| UnixTime::from_millis(i64::from(second) * 1000))
    }

    /// As a number, for storing it.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.0
    }

    /// From what [`Whole::bits`] gave.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

/// An entry that revokes the tokens issued before a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded {
    /// Whose it is, and when it can be forgotten.
    pub entry: Whole,
    /// The moment.
    pub before: UnixTime,
}

impl Bounded {
    /// Whether a token issued then is revoked. One that does not say when counts as older.
    pub(super) fn covers(&self, issued_at: Option<UnixTime>) -> bool {
        issued_at.is_none_or(|issued_at| issued_at < self.before)
    }
}

/// Sorted entries with an index over the first bits of their fingerprints.
#[derive(Debug, Default)]
pub struct Table {
    whole: Sorted<Whole>,
    bounded: Sorted<Bounded>,
    earliest_expiry: Option<UnixTime>,
}

impl Table {
    /// Sorts entries. Of several for one id, the one that reaches furthest stays.
    #[must_use]
    pub fn new(mut whole: Vec<Whole>, mut bounded: Vec<Bounded>) -> Self {
        // The one that expires last is the last of its fingerprint.
        whole.sort_unstable();
        whole.dedup_by(|next, kept| {
            let same = next.fingerprint() == kept.fingerprint();
            if same {
                *kept = *next;
            }
            same
        });
        bounded.sort_unstable();
        bounded.dedup_by(|next, kept| {
            let same = next.entry.fingerprint() == kept.entry.fingerprint();
            if same {
                *kept = Bounded { entry: next.entry, before: next.before.max(kept.before) };
            }
            same
        });
        let expiries = whole.iter().chain(bounded.iter().map(|bounded| &bounded.entry)).filter_map(|entry| entry.expires());
        let earliest_expiry = expiries.min();
        Self { whole: Sorted::new(whole), bounded: Sorted::new(bounded), earliest_expiry }
    }

    /// Whether a token with this id, issued then, is revoked.
    #[must_use]
    pub fn revokes(&self, id: Fingerprint, issued_at: Option<UnixTime>) -> bool {
        self.whole.find(id).is_some() || self.bounded.find(id).is_some_and(|bounded| bounded.covers(issued_at))
    }

    /// The first `expires` of all entries.
    #[must_use]
    pub fn earliest_expiry(&self) -> Option<UnixTime> {
        self.earliest_expiry
    }

    /// The entries that revoke all tokens with an id, sorted.
    #[must_use]
    pub fn whole(&self) -> &[Whole] {
        &self.whole.entries
    }

    /// The others, sorted.
    #[must_use]
    pub fn bounded(&self) -> &[Bounded] {
        &self.bounded.entries
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.whole.entries.len() + self.bounded.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it holds, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.whole.weight() + self.bounded.weight()
    }
}

/// What can be found by its fingerprint.
trait HasFingerprint: Copy {
    fn fingerprint(&self) -> Fingerprint;
}

impl HasFingerprint for Whole {
    fn fingerprint(&self) -> Fingerprint {
        Whole::fingerprint(*self)
    }
}

impl HasFingerprint for Bounded {
    fn fingerprint(&self) -> Fingerprint {
        self.entry.fingerprint()
    }
}

/// One entry per fingerprint, sorted by it. Fingerprints are spread evenly, so a bucket per value of their first bits makes
/// searching a matter of a few neighbouring entries: two or three cache lines, however long the list.
#[derive(Debug)]
struct Sorted<T> {
    entries: Box<[T]>,
    /// Where each bucket ends.
    ends: Box<[u32]>,
    /// By how much a fingerprint is shifted to give its bucket.
    shift: u32,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { entries: Box::default(), ends: Box::default(), shift: 0 }
    }
}

impl<T: HasFingerprint> Sorted<T> {
    fn new(entries: Vec<T>) -> Self {
        let bits = (entries.len() / PER_BUCKET).checked_ilog2().unwrap_or(0);
        let shift = Fingerprint::BITS - bits;
        let mut ends = vec![0; 1 << bits];
        for (position, entry) in entries.iter().enumerate() {
            if let Some(end) = ends.get_mut(bucket(entry.fingerprint(), shift)) {
                *end = u32::try_from(position + 1).unwrap_or(u32::MAX);
            }
        }
        // An empty bucket ends where the one before it does.
        let mut last = 0;
        for end in &mut ends {
            last = last.max(*end);
            *end = last;
        }
        Self { entries: entries.into(), ends: ends.into(), shift }
    }

    fn find(&self, id: Fingerprint) -> Option<&T> {
        let bucket = bucket(id, self.shift);
        let end = *self.ends.get(bucket)? as usize;
        let start = bucket.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let entries = self.entries.get(start..end)?;
        let position = entries.partition_point(|entry| entry.fingerprint() < id);
        entries.get(position).filter(|entry| entry.fingerprint() == id)
    }

    fn weight(&self) -> usize {
        size_of_val(&*self.entries) + size_of_val(&*self.ends)
    }
}

fn bucket(id: Fingerprint, shift: u32) -> usize {
    usize::try_from(id.bits() >> shift).unwrap_or(usize::MAX)
}
