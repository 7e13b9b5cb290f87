//! Revocations in a Redis: sets, sorted sets, or a stream.
//!
//! Everything goes over one connection. Redis is asked to say when a key changes that was read here (`CLIENT TRACKING`), so a
//! change arrives in milliseconds; and it is asked every `refresh` whether it is still there, which confirms the list. Redis sends
//! "changed" and its answers in one stream and in order: if the answer to a question is there and "changed" is not, nothing had
//! changed when the question was answered. Where Redis does not track, sets are read whole every `refresh`, and streams looked at.
//!
//! What Redis holds is what is revoked: a key that is gone is an empty list, and obeyed, unless keys must exist. A read counts from the moment at which
//! it began, so it never matters that a set is read in many steps: whatever was in it then and stayed is in the result.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::cmd;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::config::{RedisData, RedisSource, Source};
use crate::pdp::revocation::{Batch, RevocationData, RevocationList};
use crate::pip::refresh::{Context, Failure, backoff, jitter};
use crate::pip::warm_start;

mod connection;
mod link;
mod members;
mod replication;
mod sets;
mod stream;

use connection::Connection;

/// The most entries of one source.
const MAX_ENTRIES: u64 = 5_000_000;
/// About how many entries one answer has.
const PAGE: usize = 1000;
/// Waits between failed attempts. The last one bounds how long the sidecar stays unready once Redis is back.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(4);
/// The least time from one read to the next, so that a key that changes all the time is read in handfuls.
const MIN_STEP: Duration = Duration::from_millis(20);
/// What does not count its own changes is read again this often, whatever Redis says of them.
const FULL_EVERY: Duration = Duration::from_secs(300);
/// A stream's entry that is found to be older than this has an id that is no time.
const OLDEST_NEWS: Duration = Duration::from_secs(300);

/// Keeps what a Redis says fresh.
pub async fn refresh(context: &Context, source: &Source, redis: &RedisSource, max_staleness: Duration) -> Infallible {
    let mut follower = Follower { context, source, redis, max_staleness, failures: 0, list: RevocationList::default(), data: None };
    let (_, mut standby) = super::kept(context, source, max_staleness).await;
    loop {
        let Err(failure) = standby.during(follower.session()).await;
        follower.failures += 1;
        let failures = follower.failures;
        context.metrics.refreshed(&source.issuer, "revocations", failure.label);
        tracing::warn!(issuer = %source.issuer, redis = %redis.address, failures, error = %failure.message, "the revocations in Redis could not be read; the last ones stay within their bound");
        sleep(backoff(failures, FIRST_RETRY, LAST_RETRY.min(max_staleness / 4), failure.retry_after)).await;
    }
}

struct Follower<'a> {
    context: &'a Context,
    source: &'a Source,
    redis: &'a RedisSource,
    max_staleness: Duration,
    failures: u32,
    list: RevocationList,
    /// The list as it was published.
    data: Option<Arc<RevocationData>>,
}

/// What of Redis the list was made of.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Sets(Vec<sets::Shape>),
    Stream(stream::State),
}

impl Seen {
    fn counts_changes(&self) -> bool {
        matches!(self, Self::Stream(state) if state.counts_changes())
    }
}

/// What a look at Redis brought.
enum News {
    None,
    /// These entries besides, and when they were added.
    More(Batch, Vec<u64>),
    /// These and no others.
    All(Batch),
}

impl Follower<'_> {
    /// Follows one connection until it fails. Nothing is known of it at first, so it begins with reading everything.
    async fn session(&mut self) -> Result<Infallible, Failure> {
        let connection = Connection::open(self.redis, &self.source.transport.tls, &self.context.disk).await?;
        let mut seen = None;
        let mut all_read = Instant::now();
        loop {
            let asked = Instant::now();
            let lag = connection.lag().await?;
            let whole = seen.is_none()
                || connection.take_changed_or_unknown(&self.redis.data)
                || (all_read.elapsed() >= FULL_EVERY && !seen.as_ref().is_some_and(Seen::counts_changes))
                // The clock was set back to where entries count again that were forgotten.
                || !self.list.is_complete_at(clock::now());
            let look = self.look(&connection, seen.as_ref(), whole);
            // What takes longer would be too old when it is there.
            let (now_seen, news) = timeout(self.max_staleness, look)
                .await
                .map_err(|_| failure("timeout", "Redis took longer than 'max_staleness' to say everything".into()))??;
            seen = Some(now_seen);
            if let News::All(_) = news {
                all_read = asked;
            }
            let took = asked.elapsed();
            let is_new = !matches!(news, News::None);
            let confirmed = asked.checked_sub(lag);
            let confirmed = confirmed.ok_or_else(|| failure("replica", "this Redis is further behind than can be told".into()))?;
            self.publish(news, confirmed).await?;
            self.context.metrics.refreshed(&self.source.issuer, "revocations", if is_new { "ok" } else { "unchanged" });
            self.failures = 0;
            // A long list that changes all the time is not to keep Redis busy.
            let pause = if is_new { (4 * took).min(self.max_staleness / 4).max(MIN_STEP) } else { MIN_STEP };
            sleep(pause).await;
            connection.changed_within(jitter(self.redis.refresh).saturating_sub(pause)).await;
        }
    }

    async fn look(&self, connection: &Connection, seen: Option<&Seen>, whole: bool) -> Result<(Seen, News), Failure> {
        let (seen, news) = self.look_at_keys(connection, seen, whole).await?;
        if self.redis.must_exist && !matches!(news, News::None) {
            // They were there before. One that went away while it was being read looks as if it had ended early.
            let keys = match &self.redis.data {
                RedisData::Sets { keys, .. } => keys.as_slice(),
                RedisData::Stream(key) => std::slice::from_ref(key),
            };
            for key in keys {
                if !connection.ask::<bool>(cmd("EXISTS").arg(&**key)).await? {
                    return Err(missing(key));
                }
            }
        }
        Ok((seen, news))
    }

    async fn look_at_keys(&self, connection: &Connection, seen: Option<&Seen>, whole: bool) -> Result<(Seen, News), Failure> {
        match &self.redis.data {
            RedisData::Sets { keys, ids, scores } => {
                let shapes = Seen::Sets(sets::look(connection, keys, *scores, self.redis.must_exist).await?);
                if !whole && seen == Some(&shapes) {
                    return Ok((shapes, News::None));
                }
                let Seen::Sets(found) = &shapes else { return Ok((shapes, News::None)) };
                let batch = sets::read(connection, keys, found, *ids, *scores).await?;
                Ok((shapes, News::All(batch)))
            }
            RedisData::Stream(key) => {
                let known = match seen {
                    Some(Seen::Stream(known)) => Some(known),
                    _ => None,
                };
                let (state, news) = stream::look(connection, key, self.redis.must_exist, known.filter(|_| !whole), self.list.len()).await?;
                Ok((Seen::Stream(state), news))
            }
        }
    }

    async fn publish(&mut self, mut news: News, confirmed: Instant) -> Result<(), Failure> {
        let before = self.list.len();
        let known = self.list.clone();
        let now = clock::now();
        let added = match &mut news {
            News::More(_, added) => std::mem::take(added),
            News::None | News::All(_) => Vec::new(),
        };
        let is_news = !matches!(news, News::None) || known.has_expired(now);
        if is_news {
            // Sorting a million entries takes a moment, which is nothing for a thread that answers checks.
            let sort = spawn_blocking(move || match news {
                News::None => known.without_expired(now),
                News::More(batch, _) => known.with(batch, now),
                News::All(batch) => RevocationList::full(batch, now),
            });
            self.list = sort.await.map_err(|error| failure("invalid", error.to_string()))?;
            self.data = None;
        }
        let data = self.data.get_or_insert_with(|| Arc::new(self.list.clone().into()));
        self.context.live.publish_revocations(self.source.id, Arc::clone(data), confirmed, self.max_staleness);
        let news = warm_start::News { cursor: None, etag: None, confirmed, bound: self.max_staleness, is_news };
        self.context.warm_start.keep_revocations(self.source.id, &self.list, &news);
        for millis in added {
            let after = clock::now().as_millis().saturating_sub_unsigned(millis);
            // Ids of streams are times unless somebody chooses others.
            if let Some(after) = u64::try_from(after).ok().map(Duration::from_millis).filter(|after| *after < OLDEST_NEWS) {
                self.context.metrics.revocation_arrived(&self.source.issuer, after);
            }
        }
        let (issuer, entries) = (&self.source.issuer, self.list.len());
        if entries == 0 && before > 0 {
            tracing::warn!(%issuer, redis = %self.redis.address, before, "Redis holds no revocations any more");
        } else if entries != before {
            tracing::debug!(%issuer, entries, "the revocations in Redis changed");
        }
        Ok(())
    }
}

fn failure(label: &'static str, message: String) -> Failure {
    Failure { label, message, retry_after: None }
}

/// More than is read.
fn too_large(entries: u64) -> Failure {
    failure("too_large", format!("Redis has {entries} entries, and at most {MAX_ENTRIES} are read"))
}

/// There is nothing where there has to be something.
fn missing(key: &str) -> Failure {
    failure("missing", format!("the key '{key}' is not there, and because of 'must_exist' that is no empty list"))
}

fn invalid(key: &str, message: &str) -> Failure {
    failure("invalid", format!("the key '{key}' cannot be read: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_redis_was_away_its_return_is_noticed_within_five_seconds() {
        assert!(backoff(1000, FIRST_RETRY, LAST_RETRY, None) < Duration::from_secs(5));
    }
}
