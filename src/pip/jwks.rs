//! Keeps an issuer's key set fresh.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep;

use super::http_client::{Fetched, GetRequest};
use super::refresh::{Context, Failure, backoff, jitter};
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

/// What a fetch gave.
enum Outcome {
    Keys { keys: KeySet, document: Bytes, etag: Option<String>, max_age: Option<Duration> },
    Unchanged { max_age: Option<Duration> },
}

/// The last good keys.
struct Current {
    keys: Arc<KeySet>,
    document: Bytes,
    etag: Option<String>,
}

/// Fetches a source's keys, now and whenever they are due or an unknown key asks for it. One fetch is in flight at most.
pub async fn refresh(context: &Context, source: &Source, feed: &JwksSource) -> Infallible {
    let wanted = context.live.refetch().subscribe(source.id);
    let (mut current, mut standby) = kept(context, source, feed).await.unzip();
    let standby = standby.get_or_insert_default();
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let etag = current.as_ref().and_then(|current| current.etag.as_deref());
        let pause = match standby.during(fetch(context, feed, etag)).await {
            Ok(outcome) => {
                failures = 0;
                let is_news = matches!(outcome, Outcome::Keys { .. });
                let max_age = match outcome {
                    Outcome::Keys { keys, document, etag, max_age } => {
                        report_keys(context, source, &keys, current.as_ref().map(|current| &*current.keys));
                        current = Some(Current { keys: Arc::new(keys), document, etag });
                        max_age
                    }
                    Outcome::Unchanged { max_age } => {
                        context.metrics.refreshed(&source.issuer, "keys", "unchanged");
                        max_age
                    }
                };
                if let Some(Current { keys, document, etag }) = &current {
                    let confirmed = Instant::now();
                    context.live.publish_keys(source.id, Arc::clone(keys), confirmed, feed.max_stale);
                    let news = News { cursor: None, etag: etag.as_deref(), confirmed, bound: feed.max_stale, is_news };
                    context.warm_start.keep_document(Kind::Keys, source.id, document, &news);
                }
                jitter(interval(feed, max_age))
            }
            Err(failure) => {
                failures += 1;
                context.metrics.refreshed(&source.issuer, "keys", failure.label);
                tracing::warn!(issuer = %source.issuer, failures, error = %failure.message, "the keys could not be refreshed; the last good ones stay within their bound");
                backoff(failures, FIRST_RETRY, LAST_RETRY.min(feed.refresh), failure.retry_after)
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = wanted.notified() => {
                // However many tokens name unknown keys, fetches keep their distance.
                let earliest = started + feed.cooldown.min(pause);
                tokio::time::sleep_until(earliest.into()).await;
            }
        }
    }
}

/// What was kept of the keys, and what steps in with it.
async fn kept(context: &Context, source: &Source, feed: &JwksSource) -> Option<(Current, Standby)> {
    let algorithms = feed.algorithms.clone();
    let parse = move |document: &[u8]| KeySet::parse(document, &algorithms).map(Arc::new).map_err(|error| error.to_string());
    let kept = context.warm_start.document(Kind::Keys, source, feed.max_stale, parse).await?;
    let (id, confirmed, good_for) = (source.id, kept.confirmed, kept.good_for(feed.max_stale));
    let Kept { data: (keys, document), etag, .. } = &kept;
    let current = Current { keys: Arc::clone(keys), document: document.clone(), etag: etag.clone() };
    let keys = Arc::clone(keys);
    Some((current, kept.standby(Kind::Keys, source, &context.live, move |live| live.publish_keys(id, keys, confirmed, good_for))))
}

/// HTTP's `max-age` can bring the next fetch forward, down to the cool-down, and never put it off.
fn interval(feed: &JwksSource, max_age: Option<Duration>) -> Duration {
    match feed.location {
        JwksLocation::File(_) => FILE_INTERVAL.min(feed.refresh),
        JwksLocation::Url(_) => match max_age {
            Some(age) if !age.is_zero() => age.max(feed.cooldown).min(feed.refresh),
            _ => feed.refresh,
        },
    }
}

async fn fetch(context: &Context, feed: &JwksSource, etag: Option<&str>) -> Result<Outcome, Failure> {
    let (document, etag, max_age) = match &feed.location {
        JwksLocation::Url(url) => {
            let request = GetRequest {
                url,
                if_none_match: etag,
                authorization: None,
                accept: "application/jwk-set+json, application/json",
                deadline: DEADLINE,
                max_body_bytes: MAX_BYTES,
            };
            match context.client.get(request).await? {
                Fetched::NotModified { max_age } => return Ok(Outcome::Unchanged { max_age }),
                Fetched::Body { bytes, etag, max_age } => (bytes, etag, max_age),
            }
        }
        JwksLocation::File(path) => {
            let failed = |message| Failure { label: "file", message: format!("{}: {message}", path.display()), retry_after: None };
            let document = tokio::fs::read(path).await.map_err(|error| failed(error.to_string()))?;
            if document.len() > MAX_BYTES {
                return Err(failed(format!("the file has more than {MAX_BYTES} bytes")));
            }
            (Bytes::from(document), None, None)
        }
    };
    let keys = KeySet::parse(&document, &feed.algorithms).map_err(|error| Failure {
        label: "not_a_key_set",
        message: error.to_string(),
        retry_after: None,
    })?;
    Ok(Outcome::Keys { keys, document, etag, max_age })
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
}
