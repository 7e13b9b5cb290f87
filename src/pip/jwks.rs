//! Keeps an issuer's key set fresh.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use tokio::time::sleep;

use super::discovery::Discovered;
use super::disk;
use super::http_client::{Fetched, GetRequest};
use super::refresh::{Context, Failure, backoff, early, heeded};
use super::warm_start::{Kept, Kind, News, Standby};
use crate::config::{JwksLocation, JwksSource, Source};
use crate::pdp::token::key::KeySet;

/// The longest JWK set.
const MAX_BYTES: usize = 1024 * 1024;
/// The longest time that a fetch may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Waits between failed fetches. The last one bounds how long the sidecar stays unready once the identity service is back.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(4);
/// How often a file is looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// What is known from fetches before.
#[derive(Default)]
struct Known {
    keys: Option<Arc<KeySet>>,
    /// The document that they were read from, if that was by this task.
    document: Option<Bytes>,
    /// The entity tag of these keys, and the URL that it belongs to.
    etag: Option<(Uri, String)>,
    discovered: Discovered,
}

/// What a fetch gave.
enum Outcome {
    Keys { keys: Arc<KeySet>, document: Bytes, etag: Option<(Uri, String)>, max_age: Option<Duration>, confirmed: Instant },
    Unchanged { max_age: Option<Duration>, confirmed: Instant },
}

/// When to fetch next.
struct Pause {
    span: Duration,
    /// Whether a token with an unknown key may shorten it.
    firm: bool,
}

/// Fetches a source's keys, now and whenever they are due or an unknown key asks for it. One fetch is in flight at most. `replaces`
/// says that another refresher did so until now, with other settings.
pub async fn refresh(context: &Context, source: &Source, feed: &JwksSource, replaces: bool) -> Infallible {
    let wanted = context.live.refetch().subscribe(source.id);
    let pulled = context.live.pulled_keys(source.id);
    if let (true, Some(pulled)) = (replaces, &pulled) {
        // However often settings change, fetches keep their distance.
        sleep(feed.cooldown.saturating_sub(pulled.confirmed.elapsed())).await;
    }
    let mut known = Known { keys: pulled.map(|pulled| pulled.data), ..Known::default() };
    let mut standby = begin(context, source, feed, &mut known).await;
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let pause = match standby.during(fetch(context, source, feed, &mut known)).await {
            Ok(outcome) => {
                failures = 0;
                let max_age = accept(context, source, feed, &mut known, outcome);
                Pause { span: interval(feed, max_age), firm: false }
            }
            Err(failure) => {
                failures += 1;
                context.metrics.refreshed(&source.issuer, "keys", failure.label);
                tracing::warn!(issuer = %source.issuer, failures, error = %failure.message, "the keys could not be refreshed; the last good ones stay within their bound");
                let span = backoff(failures, FIRST_RETRY, LAST_RETRY.min(feed.refresh), heeded(failure.retry_after, feed.max_stale));
                Pause { span, firm: failure.retry_after.is_some() }
            }
        };
        tokio::select! {
            () = sleep(pause.span) => {}
            () = wanted.notified(), if !pause.firm => {
                // However many tokens name unknown keys, fetches keep their distance.
                let earliest = started + feed.cooldown.min(pause.span);
                tokio::time::sleep_until(earliest.into()).await;
            }
        }
    }
}

/// Reads keys that are in a file, once, so that they are there before the first check. Other keys are left to [`refresh`], and so
/// is every failure.
pub async fn read_file(context: &Context, source: &Source, feed: &JwksSource) {
    if let JwksLocation::File(path) = &feed.location
        && let Ok(outcome) = keys_in(context, path, feed).await
    {
        accept(context, source, feed, &mut Known::default(), outcome);
    }
}

/// Publishes what a fetch gave; gives for how long the server says that it is fresh.
fn accept(context: &Context, source: &Source, feed: &JwksSource, known: &mut Known, outcome: Outcome) -> Option<Duration> {
    let mut is_news = false;
    let (max_age, confirmed) = match outcome {
        Outcome::Keys { keys, document, etag, max_age, confirmed } => {
            report_keys(context, source, &keys, known.keys.as_deref());
            is_news = known.document.as_ref() != Some(&document);
            (known.keys, known.document, known.etag) = (Some(keys), Some(document), etag);
            (max_age, confirmed)
        }
        Outcome::Unchanged { max_age, confirmed } => {
            context.metrics.refreshed(&source.issuer, "keys", "unchanged");
            (max_age, confirmed)
        }
    };
    if let Some(keys) = &known.keys {
        context.live.publish_keys(source.id, Arc::clone(keys), confirmed, feed.max_stale);
        if let Some(document) = &known.document {
            let (url, etag) = known.etag.as_ref().map(|(url, etag)| (url.to_string(), etag.as_str())).unzip();
            let news = News { cursor: url.as_deref(), etag, confirmed, bound: feed.max_stale, is_news };
            context.warm_start.keep_document(Kind::Keys, source.id, document, &news);
        }
    }
    max_age
}

/// Begins with what was kept of the keys, and gives what steps in with it.
async fn begin(context: &Context, source: &Source, feed: &JwksSource, known: &mut Known) -> Standby {
    let algorithms = feed.algorithms.clone();
    let parse = move |document: &[u8]| KeySet::parse(document, &algorithms).map(Arc::new).map_err(|error| error.to_string());
    let kept = context.warm_start.document(Kind::Keys, source, feed.max_stale, parse).await;
    let Some(kept) = kept.filter(|_| known.keys.is_none()) else { return Standby::default() };
    let (id, confirmed, good_for) = (source.id, kept.confirmed, kept.good_for(feed.max_stale));
    let Kept { data: (keys, document), cursor, etag, .. } = &kept;
    // An entity tag belongs to the URL that it came from.
    known.etag = cursor.as_ref().and_then(|url| url.parse().ok()).zip(etag.clone());
    (known.keys, known.document) = (Some(Arc::clone(keys)), Some(document.clone()));
    let keys = Arc::clone(keys);
    kept.standby(Kind::Keys, source, &context.live, move |live| live.publish_keys(id, keys, confirmed, good_for))
}

/// The time to the next fetch. What HTTP says of freshness can bring it forward, down to the cool-down, and never puts it off.
fn interval(feed: &JwksSource, max_age: Option<Duration>) -> Duration {
    if let JwksLocation::File(_) = feed.location {
        return FILE_INTERVAL.min(feed.refresh);
    }
    let span = match max_age {
        Some(age) if !age.is_zero() => age.max(feed.cooldown).min(feed.refresh),
        _ => feed.refresh,
    };
    early(span).max(feed.cooldown.min(span))
}

async fn fetch(context: &Context, source: &Source, feed: &JwksSource, known: &mut Known) -> Result<Outcome, Failure> {
    let url = match &feed.location {
        JwksLocation::File(path) => return keys_in(context, path, feed).await,
        JwksLocation::Url(url) => url.clone(),
        JwksLocation::Discovery(discovery) => known.discovered.jwks_uri(context, source, discovery, feed.max_stale).await?,
    };
    let etag = known.etag.as_ref().filter(|(tagged, _)| *tagged == url).map(|(_, etag)| etag.as_str());
    let request = GetRequest {
        url: &url,
        if_none_match: etag,
        authorization: None,
        no_cache: false,
        accept: "application/jwk-set+json, application/json",
        deadline: DEADLINE,
        max_body_bytes: MAX_BYTES,
    };
    match context.client.get(request).await? {
        Fetched::NotModified { max_age, answered } => Ok(Outcome::Unchanged { max_age, confirmed: answered }),
        Fetched::Body { bytes, etag, max_age, answered } => {
            let etag = etag.map(|etag| (url, etag));
            Ok(Outcome::Keys { keys: parse(&bytes, feed)?, etag, document: bytes, max_age, confirmed: answered })
        }
    }
}

async fn keys_in(context: &Context, path: &Path, feed: &JwksSource) -> Result<Outcome, Failure> {
    let confirmed = Instant::now();
    let document = context.disk.read(path, MAX_BYTES as u64).await;
    let document = document.map_err(|message| Failure { label: "file", message, retry_after: None })?;
    Ok(Outcome::Keys { keys: parse(&document, feed)?, document: document.into(), etag: None, max_age: None, confirmed })
}

/// Whether a file has keys that can be used. Blocks.
///
/// # Errors
/// It has none, in words, which name it.
pub fn check_file(path: &Path, feed: &JwksSource) -> Result<(), String> {
    let keys = parse(&disk::read(path, MAX_BYTES as u64)?, feed).map_err(|failure| format!("{}: {}", path.display(), failure.message))?;
    if keys.keys().next().is_none() { Err(format!("{}: no key of it can be used", path.display())) } else { Ok(()) }
}

fn parse(document: &[u8], feed: &JwksSource) -> Result<Arc<KeySet>, Failure> {
    let wrong = |message| Failure { label: "not_a_key_set", message, retry_after: None };
    KeySet::parse(document, &feed.algorithms).map(Arc::new).map_err(|error| wrong(error.to_string()))
}

fn report_keys(context: &Context, source: &Source, keys: &KeySet, before: Option<&KeySet>) {
    context.metrics.refreshed(&source.issuer, "keys", "ok");
    context.metrics.keys_skipped(&source.issuer, keys.skipped().iter().map(|cause| cause.label()));
    let ids = |keys: &KeySet| {
        let mut ids: Vec<String> = keys.keys().map(|key| key.key_id().unwrap_or("(no kid)").to_string()).collect();
        ids.sort();
        ids
    };
    let now = ids(keys);
    if before.is_none_or(|before| ids(before) != now) {
        tracing::info!(issuer = %source.issuer, keys = ?now, skipped = keys.skipped().len(), "the keys changed");
        if now.is_empty() {
            tracing::warn!(issuer = %source.issuer, "the key set has no usable key: every token of this issuer is refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_the_identity_service_was_away_its_return_is_noticed_within_five_seconds() {
        assert!(backoff(1000, FIRST_RETRY, LAST_RETRY, None) < Duration::from_secs(5));
    }

    #[test]
    fn freshness_brings_a_fetch_forward_within_bounds_and_never_puts_it_off() {
        let seconds = Duration::from_secs;
        let feed = |refresh, cooldown| JwksSource {
            location: JwksLocation::Url(Uri::from_static("http://id.example.com/keys")),
            refresh: seconds(refresh),
            max_stale: seconds(86_400),
            cooldown: seconds(cooldown),
            algorithms: Vec::new(),
        };
        for (refresh, cooldown, max_age, least, most) in [
            (300, 10, None, 240, 300),
            (300, 10, Some(0), 240, 300),
            (300, 10, Some(60), 48, 60),
            (300, 10, Some(1), 10, 10),
            (300, 10, Some(11), 10, 11),
            (300, 10, Some(1 << 31), 240, 300),
            (2, 10, Some(60), 2, 2),
        ] {
            for _ in 0..100 {
                let span = interval(&feed(refresh, cooldown), max_age.map(seconds));
                assert!((seconds(least)..=seconds(most)).contains(&span), "{refresh} {cooldown} {max_age:?}: {span:?}");
            }
        }
    }
}
