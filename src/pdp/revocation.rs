//! What was revoked before it expired.
//!
//! [`RevocationList`] holds fingerprints of ids: 16 bytes each, sorted, so that a list of a million entries is looked through in a
//! few steps and swapped in whole. What arrives in small steps lies in front of it until it is worth sorting in.

use std::sync::Arc;
use std::time::Duration;

use super::time::UnixTime;
use super::token::key::KeySet;
use super::token::profile::SourceId;
use super::token::verify::VerifiedToken;

pub mod fingerprint;
mod recent;
pub mod status_list;
pub mod table;

use fingerprint::{Fingerprint, Kinds};
use recent::Recent;
use status_list::StatusList;
use table::{Bounded, Table, Whole};

/// How long past its `expires` an entry is kept. It covers the leeway that tokens get and clocks that are set.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// By how much the clock may be behind where it was when entries were forgotten.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// So many entries may lie in front of the sorted ones.
const MAX_RECENT: usize = 2048;

/// What a revocation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationKind {
    /// One token, by `jti`.
    Token,
    /// One session.
    Session,
    /// One subject.
    Subject,
    /// One tenant.
    Tenant,
    /// One client, by `client_id`.
    Client,
    /// One signing key, by `kid`.
    Key,
}

impl RevocationKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Token, Self::Session, Self::Subject, Self::Tenant, Self::Client, Self::Key];

    /// What it is called where revocations are written down.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "jti",
            Self::Session => "sid",
            Self::Subject => "sub",
            Self::Tenant => "tenant",
            Self::Client => "client",
            Self::Key => "kid",
        }
    }

    /// Reads a name, exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// One entry of a revocation list, as a source tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation<'a> {
    /// What it is about.
    pub kind: RevocationKind,
    /// Whose.
    pub id: &'a str,
    /// Only tokens issued before this moment (`iat`) are revoked; `None`: all. A token without `iat` counts as older.
    pub before: Option<UnixTime>,
    /// From when on no token can carry the id any more, so that the entry can be forgotten. `None`: never.
    pub expires: Option<UnixTime>,
}

/// Entries on their way from a source into a list. Ids are gone from here on: what stays of each is 16 bytes, or 32 with `before`.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    whole: Vec<Whole>,
    bounded: Vec<Bounded>,
    kinds: Kinds,
}

impl Batch {
    /// Adds an entry.
    pub fn push(&mut self, revocation: &Revocation<'_>) {
        let Revocation { kind, id, before, expires } = revocation;
        let entry = Whole::new(Fingerprint::of(*kind, id), *expires);
        self.kinds.insert(*kind);
        match before {
            None => self.whole.push(entry),
            Some(before) => self.bounded.push(Bounded { entry, before: *before }),
        }
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.whole.len() + self.bounded.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> FromIterator<Revocation<'a>> for Batch {
    fn from_iter<I: IntoIterator<Item = Revocation<'a>>>(revocations: I) -> Self {
        let mut batch = Self::default();
        revocations.into_iter().for_each(|revocation| batch.push(&revocation));
        batch
    }
}

/// All revocations that a source told of, as of one moment. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct RevocationList {
    table: Arc<Table>,
    recent: Recent,
    kinds: Kinds,
    /// The latest `expires` of all entries that were forgotten.
    forgotten_until: Option<UnixTime>,
}

impl RevocationList {
    /// A list of these entries and no others, without those that can be forgotten by now. Sorting a million of them takes a moment,
    /// so it is nothing for a thread that answers checks.
    #[must_use]
    pub fn full(batch: Batch, now: UnixTime) -> Self {
        let empty = Self { kinds: batch.kinds, ..Self::default() };
        empty.sorted(batch.whole, batch.bounded, now)
    }

    /// This list and these entries besides. Two entries for one id add up. A few entries cost little however long the list is; it
    /// is sorted again, which takes a moment, only now and then.
    #[must_use]
    pub fn with(&self, batch: Batch, now: UnixTime) -> Self {
        let kinds = self.kinds.union(batch.kinds);
        if self.recent.len() + batch.len() <= MAX_RECENT {
            let mut recent = self.recent.clone();
            recent.add(&batch.whole, &batch.bounded);
            return Self { recent, kinds, ..self.clone() };
        }
        Self { kinds, ..self.clone() }.sorted(batch.whole, batch.bounded, now)
    }

    /// Whether there is something that no token can carry any more.
    #[must_use]
    pub fn has_expired(&self, now: UnixTime) -> bool {
        let first = [self.table.earliest_expiry(), self.recent.earliest_expiry()].into_iter().flatten().min();
        first.is_some_and(|expires| expires.plus(KEPT_FOR) <= now)
    }

    /// The list without that.
    #[must_use]
    pub fn without_expired(&self, now: UnixTime) -> Self {
        self.sorted(Vec::new(), Vec::new(), now)
    }

    /// Sorts all of it into one table, without what can be forgotten.
    fn sorted(&self, mut whole: Vec<Whole>, mut bounded: Vec<Bounded>, now: UnixTime) -> Self {
        whole.reserve_exact(self.table.whole().len() + self.recent.len());
        whole.extend_from_slice(self.table.whole());
        bounded.extend_from_slice(self.table.bounded());
        self.recent.copy_to(&mut whole, &mut bounded);
        let mut forgotten_until = self.forgotten_until;
        let mut keep = |entry: &Whole| match entry.expires() {
            Some(expires) if expires.plus(KEPT_FOR) <= now => {
                forgotten_until = forgotten_until.max(Some(expires));
                false
            }
            _ => true,
        };
        whole.retain(&mut keep);
        bounded.retain(|bounded| keep(&bounded.entry));
        Self { table: Arc::new(Table::new(whole, bounded)), recent: Recent::default(), kinds: self.kinds, forgotten_until }
    }

    /// Whether nothing was forgotten that counts at this moment. It was if the clock has been set back far since: then the list says
    /// nothing, and its source has to be asked for all of it again.
    #[must_use]
    pub fn is_complete_at(&self, now: UnixTime) -> bool {
        self.forgotten_until.is_none_or(|until| now >= until.plus(CLOCK_TOLERANCE))
    }

    /// How many entries there are. What came again counts twice until it is sorted in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len() + self.recent.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it holds, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.table.weight() + self.recent.weight()
    }

    /// Whether any entry is about this token.
    #[must_use]
    pub fn revokes(&self, token: &VerifiedToken) -> bool {
        let issued_at = token.claims().issued_at;
        token.revocable_by().iter().any(|(kind, id)| {
            // Most lists have no entries of most kinds.
            self.kinds.contains(*kind) && (self.table.revokes(*id, issued_at) || self.recent.revokes(*id, issued_at))
        })
    }

    /// What has to be stored so that [`RevocationList::from_parts`] makes the same list of it.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let (mut whole, mut bounded) = (Vec::new(), Vec::new());
        self.recent.copy_to(&mut whole, &mut bounded);
        whole.sort_unstable();
        bounded.sort_unstable();
        Parts { table: Arc::clone(&self.table), whole, bounded, kinds: self.kinds, forgotten_until: self.forgotten_until }
    }

    /// A list from its parts.
    #[must_use]
    pub fn from_parts(parts: Parts) -> Self {
        let Parts { table, whole, bounded, kinds, forgotten_until } = parts;
        let mut recent = Recent::default();
        recent.add(&whole, &bounded);
        Self { table, recent, kinds, forgotten_until }
    }
}

/// What a list is made of: nearly all of it in a table that stays the same for long, and the few entries in front of that.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What is sorted in.
    pub table: Arc<Table>,
    /// Of the others, those that revoke all tokens with an id, sorted.
    pub whole: Vec<Whole>,
    /// And those that revoke the ones issued before a moment, sorted.
    pub bounded: Vec<Bounded>,
    /// The kinds of ids in all of it.
    pub kinds: Kinds,
    /// The latest `expires` of all entries that were forgotten.
    pub forgotten_until: Option<UnixTime>,
}

/// What is known of an issuer's revocations, by what it comes from.
#[derive(Debug, Clone)]
pub enum RevocationData {
    /// Ids.
    List(RevocationList),
    /// The statuses of tokens, by the index that each of them carries.
    Statuses(StatusList),
}

/// What a source's data says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is not revoked.
    Passes,
    /// It is.
    Revoked,
    /// The data cannot say it, as if it were too old.
    Unknown,
    /// The token refers to a place that the data does not have.
    NotListed,
}

impl RevocationData {
    /// What it says, as that of this source, of a token. The keys are those of the issuer, as of now.
    #[must_use]
    pub fn judge(&self, source: SourceId, token: &VerifiedToken, keys: impl FnOnce() -> Option<Arc<KeySet>>, now: UnixTime) -> Verdict {
        match self {
            // An entry that is there counts, whatever else was forgotten.
            Self::List(list) if list.revokes(token) => Verdict::Revoked,
            Self::List(list) if list.is_complete_at(now) => Verdict::Passes,
            Self::List(_) => Verdict::Unknown,
            // By a key that left, and who knows who has it now: as old as if nobody had confirmed it, for tokens of other lists too.
            Self::Statuses(list) if !keys().is_some_and(|keys| list.signer.is_in(&keys)) => Verdict::Unknown,
            Self::Statuses(list) => match token.claims().status {
                Some(reference) if reference.list == source => list.judge(reference.index),
                Some(_) | None => Verdict::Passes,
            },
        }
    }

    /// How many entries there are that revoke something.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Statuses(list) => list.statuses.revoked(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<StatusList> for RevocationData {
    fn from(list: StatusList) -> Self {
        Self::Statuses(list)
    }
}

impl From<RevocationList> for RevocationData {
    fn from(list: RevocationList) -> Self {
        Self::List(list)
    }
}

#[cfg(test)]
mod tests;
