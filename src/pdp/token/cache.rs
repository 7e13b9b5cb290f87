//! Verified tokens, remembered by the SHA-256 of their exact bytes.
//!
//! An entry is only the proof that these bytes were signed by that key under that policy: never a decision. Whoever takes one out
//! checks time, revocation, key and policy again. The bound is in bytes, so that junk cannot grow it.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use moka::Expiry;
use moka::sync::Cache;

use super::verify::VerifiedToken;
use crate::pdp::time::UnixTime;

/// An entry is never kept for longer than this, however long its token lives.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The SHA-256 of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of these exact bytes.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl std::hash::Hash for TokenDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// A digest needs no hashing: its first bytes are as good as any.
#[derive(Debug, Default, Clone, Copy)]
pub struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    token: Arc<VerifiedToken>,
    keep: Duration,
}

/// Drops an entry with its token's expiry.
struct WithToken;

impl Expiry<TokenDigest, Entry> for WithToken {
    fn expire_after_create(&self, _: &TokenDigest, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.keep)
    }
}

/// The cache.
#[derive(Debug, Clone)]
pub struct TokenCache {
    entries: Cache<TokenDigest, Entry, BuildHasherDefault<DigestHasher>>,
}

impl TokenCache {
    /// An empty cache of at most this many bytes.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_: &TokenDigest, entry: &Entry| {
                let ids = size_of_val(entry.token.revocable_by());
                u32::try_from(entry.token.claims().weight() + ids + 256).unwrap_or(u32::MAX)
            })
            .expire_after(WithToken)
            .build_with_hasher(BuildHasherDefault::default());
        Self { entries }
    }

    /// The proof for these bytes, if it was found before.
    #[must_use]
    pub fn get(&self, digest: TokenDigest) -> Option<Arc<VerifiedToken>> {
        self.entries.get(&digest).map(|entry| entry.token)
    }

    /// Remembers a proof until its token expires.
    pub fn insert(&self, digest: TokenDigest, token: Arc<VerifiedToken>, now: UnixTime) {
        let keep = token.claims().expires.since(now).min(MAX_AGE);
        self.entries.insert(digest, Entry { token, keep });
    }

    /// Forgets a proof that is of no use any more.
    pub fn forget(&self, digest: TokenDigest) {
        self.entries.invalidate(&digest);
    }

    /// Does now what moka puts off: evictions, and the counts below. Not for the way of a request.
    pub fn settle(&self) {
        self.entries.run_pending_tasks();
    }

    /// How many proofs there are, about.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Whether there are none, about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes they take, about.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.entries.weighted_size()
    }
}
