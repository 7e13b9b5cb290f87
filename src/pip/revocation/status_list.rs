//! A Token Status List, fetched over HTTP (draft-ietf-oauth-status-list-20 section 8).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::config::{Source, StatusListFeed};
use crate::pdp::decision::Reason;
use crate::pdp::revocation::RevocationData;
use crate::pdp::revocation::status_list::StatusList;
use crate::pdp::revocation::status_list::verify::ListRefused;
use crate::pdp::time::UnixTime;
use crate::pdp::token::key::KeySet;
use crate::pip::http_client::{FetchError, Fetched, GetRequest};
use crate::pip::refresh::{Context, Failure, backoff, heeded, jitter};
use crate::pip::warm_start::{Kept, Kind, News, Standby};

/// The longest token. An array of the greatest length that does not get any shorter fits: it is encoded twice, 4 bytes for 3.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The longest time that a fetch may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Waits between failed fetches. The last one bounds how long the sidecar stays unready once the list is there again.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(4);
/// The least time between two fetches that went well, however short-lived the list says it is.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// A list that was verified, as it is published.
#[derive(Clone)]
struct Held {
    data: Arc<RevocationData>,
    /// With which to ask whether it is still right; `None`: the whole of it is wanted.
    etag: Option<String>,
    /// As it was signed, if there is somewhere to keep it for the next start.
    document: Option<Bytes>,
}

impl Held {
    fn list(&self) -> Option<&StatusList> {
        match &*self.data {
            RevocationData::Statuses(list) => Some(list),
            RevocationData::List(_) => None,
        }
    }

    fn is_signed_by_one_of(&self, keys: &KeySet) -> bool {
        self.list().is_some_and(|list| list.signer.is_in(keys))
    }
}

/// Keeps a status list fresh. One fetch is in flight at most.
pub async fn refresh(context: &Context, source: &Source, feed: &StatusListFeed) -> Infallible {
    let mut published = context.live.keys_published();
    // What was there before the settings changed bounds how old the next list may be.
    let mut held = context.live.pulled_revocations(source.id).map(|pulled| Held { data: pulled.data, etag: None, document: None });
    let mut standby: Option<Standby> = None;
    let mut failures = 0;
    loop {
        published.borrow_and_update();
        let Some(keys) = context.live.pulled_keys(feed.keys).map(|pulled| pulled.data) else {
            // Without them there is nothing to believe a list by, and no token that it could be about.
            wait_for_keys(&mut published).await;
            continue;
        };
        if standby.is_none() {
            let (kept, steps_in) = kept(context, source, feed, &keys).await.unzip();
            held = held.or(kept);
            standby = Some(steps_in.unwrap_or_default());
        }
        withdraw_if_distrusted(context, source, &mut held, &keys);
        let pulled = pull(context, feed, held.as_ref(), Arc::clone(&keys));
        let (pause, wants_keys) = match standby.get_or_insert_default().during(pulled).await {
            Ok(Pulled { next, confirmed, good_for, result }) => {
                failures = 0;
                context.live.publish_revocations(source.id, Arc::clone(&next.data), confirmed, good_for);
                if let Some(document) = &next.document {
                    let bound = feed.source.max_staleness;
                    let news = News { cursor: None, etag: next.etag.as_deref(), confirmed, bound, is_news: result == "ok" };
                    context.warm_start.keep_document(Kind::StatusList, source.id, document, &news);
                }
                context.metrics.refreshed(&source.issuer, "status_list", result);
                let ttl = next.list().and_then(|list| list.ttl);
                if result == "ok" {
                    tracing::debug!(issuer = %source.issuer, list = %feed.source.uri, revoked = next.data.len(), "the status list was fetched");
                }
                held = Some(next);
                (jitter(interval(feed, ttl, good_for)), false)
            }
            Err(problem) => {
                failures += 1;
                let Failure { label, message, retry_after } = problem.failure();
                context.metrics.refreshed(&source.issuer, "status_list", label);
                if problem == Problem::Refused(ListRefused::RolledBack) {
                    tracing::error!(issuer = %source.issuer, list = %feed.source.uri, failures, "{message}");
                } else {
                    tracing::warn!(issuer = %source.issuer, list = %feed.source.uri, failures, error = %message, "the status list could not be refreshed; the last one stays within its bound");
                }
                if problem.is_about_keys() {
                    context.live.refetch().want_keys(feed.keys);
                }
                if let (Problem::Refused(_), Some(held)) = (&problem, &mut held) {
                    // What is held may have expired, so that to hear that it has not changed would be no news.
                    held.etag = None;
                }
                let bound = feed.source.max_staleness;
                (backoff(failures, FIRST_RETRY, LAST_RETRY.min(bound / 4), heeded(retry_after, bound)), problem.is_about_keys())
            }
        };
        let news = other_keys(context, feed, &mut published, &keys, |keys| {
            wants_keys || held.as_ref().is_some_and(|held| !held.is_signed_by_one_of(keys))
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = news => {}
        }
    }
}

/// What was kept of the list, and what steps in with it. It is verified like one that was fetched, with the keys of now. Past its `exp`
/// it steps in as one that is too old, as it would be in a process that went on, and no older one takes its place.
async fn kept(context: &Context, source: &Source, feed: &StatusListFeed, keys: &Arc<KeySet>) -> Option<(Held, Standby)> {
    let (rules, keys, bound) = (feed.rules.clone(), Arc::clone(keys), feed.source.max_staleness);
    let parse = move |document: &[u8]| {
        let text = std::str::from_utf8(document).map_err(|error| error.to_string())?;
        rules.verify_kept(text, &keys, clock::now()).map_err(|refused| refused.to_string())
    };
    let kept = context.warm_start.document(Kind::StatusList, source, bound, parse).await?;
    let (id, confirmed) = (source.id, kept.confirmed);
    // The bound counts from when the list was confirmed, and what is left until its `exp` from now on.
    let left = kept.data.0.good_for(clock::now(), bound);
    let good_for = kept.good_for(bound).min(confirmed.elapsed() + left.unwrap_or_default());
    let Kept { data: (list, document), etag, .. } = &kept;
    // That a list which has expired did not change would be no news.
    let etag = etag.clone().filter(|_| left.is_some());
    let held = Held { data: Arc::new(list.clone().into()), etag, document: Some(document.clone()) };
    let data = Arc::clone(&held.data);
    let standby =
        kept.standby(Kind::StatusList, source, &context.live, move |live| live.publish_revocations(id, data, confirmed, good_for));
    Some((held, standby))
}

/// Waits until keys, of whichever issuer, are published.
async fn wait_for_keys(published: &mut watch::Receiver<()>) {
    if published.changed().await.is_err() {
        // They never will be: the state is gone, and the process soon.
        std::future::pending().await
    }
}

/// Waits until there are other keys than these that somebody is interested in.
async fn other_keys(
    context: &Context,
    feed: &StatusListFeed,
    published: &mut watch::Receiver<()>,
    known: &Arc<KeySet>,
    interesting: impl Fn(&KeySet) -> bool,
) {
    loop {
        wait_for_keys(published).await;
        let Some(pulled) = context.live.pulled_keys(feed.keys) else { continue };
        if !Arc::ptr_eq(known, &pulled.data) && interesting(&pulled.data) {
            return;
        }
    }
}

/// A list by a key that left was perhaps not written by its issuer. Checks see that by themselves, and readiness has to as well.
fn withdraw_if_distrusted(context: &Context, source: &Source, held: &mut Option<Held>, keys: &KeySet) {
    let Some(held) = held else { return };
    if !held.is_signed_by_one_of(keys) {
        held.etag = None;
        if context.live.pulled_revocations(source.id).is_some() {
            context.live.withdraw_revocations(source.id);
            tracing::warn!(issuer = %source.issuer, "the key that signed the status list is none of the issuer's any more; the list is fetched again");
        }
    }
}

/// A list asks to be fetched again after its `ttl`, and has to be before it expires.
fn interval(feed: &StatusListFeed, ttl: Option<Duration>, good_for: Duration) -> Duration {
    let asked = ttl.map_or(feed.source.refresh, |ttl| ttl.min(feed.source.refresh));
    // Less than that by as much as the jitter may add to it.
    asked.mul_f64(0.9).min(good_for.mul_f64(0.75)).max(MIN_INTERVAL)
}

/// Why there is no list.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// Nothing came that could be looked at.
    Fetch(FetchError),
    /// What came is not believed.
    Refused(ListRefused),
    /// The thread that looked at it is gone.
    Internal,
}

impl Problem {
    fn failure(&self) -> Failure {
        let failure = |label, message: String| Failure { label, message, retry_after: None };
        match self {
            Self::Fetch(error) => Failure { label: error.label(), message: error.to_string(), retry_after: error.retry_after() },
            Self::Refused(refused) => failure(refused.label(), refused.to_string()),
            Self::Internal => failure("internal", "the list could not be looked at".into()),
        }
    }

    /// Whether other keys of the issuer would help.
    fn is_about_keys(&self) -> bool {
        matches!(self, Self::Refused(ListRefused::Signature(Reason::KeyUnknown)))
    }
}

/// What a fetch gave.
struct Pulled {
    next: Held,
    /// When the server said so.
    confirmed: Instant,
    /// For how long that is good from then on.
    good_for: Duration,
    /// What is to be counted.
    result: &'static str,
}

async fn pull(context: &Context, feed: &StatusListFeed, held: Option<&Held>, keys: Arc<KeySet>) -> Result<Pulled, Problem> {
    let request = GetRequest {
        url: &feed.source.url,
        if_none_match: held.and_then(|held| held.etag.as_deref()),
        authorization: None,
        no_cache: false,
        accept: "application/statuslist+jwt",
        deadline: DEADLINE,
        max_body_bytes: MAX_BYTES,
    };
    let (next, confirmed, result) = match (context.client.get(request).await.map_err(Problem::Fetch)?, held) {
        // What HTTP says of how long it may be cached does not count beside `exp` and `ttl` (section 8.2).
        (Fetched::NotModified { answered, .. }, Some(held)) => (held.clone(), answered, "unchanged"),
        (Fetched::NotModified { .. }, None) => return Err(Problem::Internal),
        (Fetched::Body { bytes, etag, answered, .. }, held) => {
            let document = context.warm_start.is_open().then(|| bytes.clone());
            let list = verified(feed, bytes, keys, clock::now()).await?;
            if let Some(held) = held.and_then(Held::list) {
                list.check_follows(held).map_err(Problem::Refused)?;
            }
            (Held { data: Arc::new(list.into()), etag, document }, answered, "ok")
        }
    };
    let good_for = next.list().and_then(|list| list.good_for(clock::now(), feed.source.max_staleness));
    // Counted from when the server said so, which was before now: what is left until `exp` is over a little early, never late.
    good_for.map(|good_for| Pulled { next, confirmed, good_for, result }).ok_or(Problem::Refused(ListRefused::Expired))
}

/// A large list takes a moment, which is nothing for a thread that answers checks.
async fn verified(feed: &StatusListFeed, bytes: Bytes, keys: Arc<KeySet>, now: UnixTime) -> Result<StatusList, Problem> {
    let rules = feed.rules.clone();
    let verified = spawn_blocking(move || {
        let text = std::str::from_utf8(&bytes).map_err(|_| ListRefused::Malformed)?;
        rules.verify(text, &keys, now)
    });
    verified.await.map_err(|_| Problem::Internal)?.map_err(Problem::Refused)
}
