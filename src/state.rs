//! What a check loads, once: the policy in force, and what was pulled from the identity services.
//!
//! Everything is swapped in whole. Keys and revocation lists live in caches whose expiry *is* their freshness bound, on
//! the monotonic clock: data that is too old is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use moka::Expiry;
use moka::sync::Cache;
use tokio::sync::watch;

use crate::pdp::decision::UnknownKey;
use crate::pdp::revocation::RevocationData;
use crate::pdp::role::TenantRoles;
use crate::pdp::snapshot::Snapshot;
use crate::pdp::target::{TargetFact, TargetKey};
use crate::pdp::token::cache::TokenCache;
use crate::pdp::token::key::KeySet;
use crate::pdp::token::profile::{SourceId, WhenStale};
use crate::pdp::{Facts, Revocations, View};

pub mod loads;
mod refetch;
pub mod targets;

use loads::Loads;
pub use refetch::RefetchRequests;
use targets::Targets;

/// How much memory verified tokens may take, in bytes.
const TOKEN_CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// A version of the policy as it came into force.
#[derive(Debug)]
pub struct Version<X> {
    /// The policy.
    pub snapshot: Snapshot,
    /// Counts the versions that have been in force, from 1.
    pub generation: u64,
    /// When it came into force.
    pub since: Instant,
    /// What somebody else wants to have at hand with it, such as resolved metrics.
    pub extra: X,
}

/// Something that was pulled, and for how long it is good.
#[derive(Debug)]
pub struct Pulled<T> {
    /// The data.
    pub data: Arc<T>,
    /// When the source last confirmed it.
    pub confirmed: Instant,
    good_for: Duration,
}

impl<T> Clone for Pulled<T> {
    fn clone(&self) -> Self {
        Self { data: Arc::clone(&self.data), confirmed: self.confirmed, good_for: self.good_for }
    }
}

/// The freshness bound as a cache expiry: it counts from the moment at which the source confirmed the data.
struct FreshnessBound;

impl<T> Expiry<SourceId, Pulled<T>> for FreshnessBound {
    fn expire_after_create(&self, _: &SourceId, pulled: &Pulled<T>, created: Instant) -> Option<Duration> {
        Some(pulled.good_for.saturating_sub(created.saturating_duration_since(pulled.confirmed)))
    }

    fn expire_after_update(&self, _: &SourceId, pulled: &Pulled<T>, updated: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(pulled.good_for.saturating_sub(updated.saturating_duration_since(pulled.confirmed)))
    }
}

/// The state that checks are made from.
#[derive(Debug)]
pub struct Live<X> {
    version: ArcSwap<Version<X>>,
    /// What was confirmed before comes from an earlier process.
    began: Instant,
    generation: AtomicU64,
    keys: Cache<SourceId, Pulled<KeySet>>,
    revocations: Cache<SourceId, Pulled<RevocationData>>,
    /// The last list of each source, however old: for `when_stale: fail_open`, and for nothing else.
    last_revocations: Cache<SourceId, Pulled<RevocationData>>,
    tenant_roles: Cache<SourceId, Pulled<TenantRoles>>,
    targets: Targets,
    tokens: TokenCache,
    refetch: RefetchRequests,
    loads: Loads,
    keys_published: watch::Sender<()>,
}

/// Why the sidecar cannot decide everything that it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// An issuer's keys are too old or were never fetched.
    Keys(Arc<str>),
    /// One of an issuer's sources of revocations is too old or was never fetched.
    Revocations(Arc<str>, Arc<str>),
    /// What is on the disk could not be loaded for longer than the policy in force allows. It goes on deciding.
    Configuration,
}

impl<X> Live<X> {
    /// A state in which nothing has been pulled yet.
    #[must_use]
    pub fn new(snapshot: Snapshot, extra: X) -> Self {
        let version = Version { snapshot, generation: 1, since: Instant::now(), extra };
        Self {
            began: version.since,
            version: ArcSwap::from_pointee(version),
            generation: AtomicU64::new(1),
            keys: Cache::builder().expire_after(FreshnessBound).build(),
            revocations: Cache::builder().expire_after(FreshnessBound).build(),
            last_revocations: Cache::builder().build(),
            tenant_roles: Cache::builder().expire_after(FreshnessBound).build(),
            targets: Targets::default(),
            tokens: TokenCache::new(TOKEN_CACHE_BYTES),
            refetch: RefetchRequests::default(),
            loads: Loads::default(),
            keys_published: watch::Sender::new(()),
        }
    }

    /// The version in force. Load it once per request and decide by it alone.
    pub fn version(&self) -> Guard<Arc<Version<X>>> {
        self.version.load()
    }

    /// What a decision by this version looks at.
    #[must_use]
    pub fn view<'a>(&'a self, version: &'a Version<X>) -> View<'a>
    where
        X: Send + Sync,
    {
        View { snapshot: &version.snapshot, facts: self, tokens: &self.tokens }
    }

    /// Puts another policy into force; gives its generation.
    pub fn replace(&self, snapshot: Snapshot, extra: X) -> u64 {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.version.store(Arc::new(Version { snapshot, generation, since: Instant::now(), extra }));
        generation
    }

    /// Publishes a key set that its source confirmed at this moment.
    pub fn publish_keys(&self, source: SourceId, keys: Arc<KeySet>, confirmed: Instant, good_for: Duration) {
        self.keys.insert(source, Pulled { data: keys, confirmed, good_for });
        self.keys_published.send_replace(());
    }

    /// Tells each time that a key set, of whichever source, was published.
    #[must_use]
    pub fn keys_published(&self) -> watch::Receiver<()> {
        self.keys_published.subscribe()
    }

    /// Publishes a revocation list that its source confirmed at this moment.
    pub fn publish_revocations(&self, source: SourceId, data: Arc<RevocationData>, confirmed: Instant, good_for: Duration) {
        let pulled = Pulled { data, confirmed, good_for };
        self.last_revocations.insert(source, pulled.clone());
        self.revocations.insert(source, pulled);
        // What was replaced can be large, and moka would keep it until it has something to do.
        self.last_revocations.run_pending_tasks();
        self.revocations.run_pending_tasks();
    }

    /// Takes back what a source said, because nobody can stand by it any more: it is as if it had never been there.
    pub fn withdraw_revocations(&self, source: SourceId) {
        self.revocations.invalidate(&source);
        self.last_revocations.invalidate(&source);
    }

    /// Publishes the roles that tenants defined, which their source confirmed at this moment.
    pub fn publish_tenant_roles(&self, source: SourceId, roles: Arc<TenantRoles>, confirmed: Instant, good_for: Duration) {
        self.tenant_roles.insert(source, Pulled { data: roles, confirmed, good_for });
    }

    /// Whether something was kept on disk by an earlier process, and its source has not confirmed it since.
    #[must_use]
    pub fn is_from_disk<T>(&self, pulled: &Pulled<T>) -> bool {
        pulled.confirmed < self.began
    }

    /// Forgets what was pulled from a source that is no longer configured.
    pub fn forget(&self, source: SourceId) {
        self.keys.invalidate(&source);
        self.revocations.invalidate(&source);
        self.last_revocations.invalidate(&source);
        self.tenant_roles.invalidate(&source);
        self.targets.forget(source);
    }

    /// The keys of a source and their age, for dumps and metrics.
    #[must_use]
    pub fn pulled_keys(&self, source: SourceId) -> Option<Pulled<KeySet>> {
        self.keys.get(&source)
    }

    /// The last revocation list of a source, within its bound or not, for dumps and metrics.
    #[must_use]
    pub fn pulled_revocations(&self, source: SourceId) -> Option<Pulled<RevocationData>> {
        self.last_revocations.get(&source)
    }

    /// The roles of tenants and their age, for dumps and metrics.
    #[must_use]
    pub fn pulled_tenant_roles(&self, source: SourceId) -> Option<Pulled<TenantRoles>> {
        self.tenant_roles.get(&source)
    }

    /// Whether a source has answered and what it said is within its bound.
    #[must_use]
    pub fn has_fresh(&self, source: SourceId) -> bool {
        self.keys.contains_key(&source) || self.revocations.contains_key(&source) || self.tenant_roles.contains_key(&source)
    }

    /// What directories said, and the questions to them.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The verified tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    /// Requests for key sets that a token's unknown `kid` gave rise to.
    #[must_use]
    pub fn refetch(&self) -> &RefetchRequests {
        &self.refetch
    }

    /// What came of loading the configuration.
    #[must_use]
    pub fn loads(&self) -> &Loads {
        &self.loads
    }

    /// Passes on that a token named a key nobody knows. Never waits.
    pub fn key_is_unknown(&self, unknown: UnknownKey) {
        self.refetch.request(unknown);
    }

    /// Everything that keeps the sidecar from being ready; nothing if it is.
    #[must_use]
    pub fn not_ready(&self) -> Vec<NotReady> {
        let version = self.version();
        let mut causes = Vec::new();
        if self.loads.are_too_old() {
            causes.push(NotReady::Configuration);
        }
        for issuer in version.snapshot.issuers.iter() {
            if !self.keys.contains_key(&issuer.keys) {
                causes.push(NotReady::Keys(Arc::clone(&issuer.name)));
            }
            for rule in &issuer.revocations {
                let usable = match rule.when_stale {
                    WhenStale::Deny => self.revocations.contains_key(&rule.source),
                    WhenStale::FailOpen => self.last_revocations.contains_key(&rule.source),
                };
                if !usable {
                    causes.push(NotReady::Revocations(Arc::clone(&issuer.name), Arc::clone(&rule.name)));
                }
            }
        }
        causes
    }
}

impl<X: Send + Sync> Facts for Live<X> {
    fn keys(&self, source: SourceId) -> Option<Arc<KeySet>> {
        self.keys.get(&source).map(|pulled| pulled.data)
    }

    fn revocations(&self, source: SourceId) -> Revocations {
        match self.revocations.get(&source) {
            Some(pulled) => Revocations::Fresh(pulled.data),
            None => match self.last_revocations.get(&source) {
                Some(pulled) => Revocations::Stale(pulled.data),
                None => Revocations::Missing,
            },
        }
    }

    fn tenant_roles(&self, source: SourceId) -> Option<Arc<TenantRoles>> {
        self.tenant_roles.get(&source).map(|pulled| pulled.data)
    }

    fn target(&self, key: &TargetKey) -> TargetFact {
        self.targets.get(key)
    }
}

#[cfg(test)]
mod tests;
