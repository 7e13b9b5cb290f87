//! The revocation feed: `GET …?since=<cursor>&wait=<seconds>` with an `ETag`, answered as soon as there is something new.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::sleep;

use crate::clock;
use crate::config::{RevocationSource, Source};
use crate::pdp::revocation::{Revocation, RevocationKind, RevocationList};
use crate::pdp::time::UnixTime;
use crate::pip::http_client::{FetchError, Fetched, GetRequest};
use crate::pip::refresh::{Context, backoff};

/// The longest answer: a full list of a million entries fits.
const MAX_BYTES: usize = 160 * 1024 * 1024;
/// How long an answer may take once the server does not hold it any more.
const GRACE: Duration = Duration::from_secs(10);
/// Waits between failed requests. The last one bounds how long the sidecar stays unready once the identity service is back.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(4);
/// The least time from one answer without news to the next request, for servers that do not hold requests.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
struct Answer {
    cursor: String,
    full: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    before: Option<f64>,
    expires: Option<f64>,
}

/// Keeps an issuer's revocation list fresh.
pub async fn refresh(context: &Context, source: &Source, feed: &RevocationSource) -> Infallible {
    let mut list = Arc::new(RevocationList::default());
    let mut position: Option<Position> = None;
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let pause = match pull(context, feed, position.as_ref()).await {
            Ok(news) => {
                failures = 0;
                let confirmed = Instant::now();
                let has_news = news.is_some();
                if let Some(news) = news {
                    list = Arc::new(apply(&list, news.full, news.revocations));
                    position = Some(news.position);
                }
                context.live.publish_revocations(source.id, Arc::clone(&list), confirmed, feed.max_staleness);
                context.metrics.refreshed(&source.issuer, "revocations", if has_news { "ok" } else { "unchanged" });
                if has_news {
                    tracing::debug!(issuer = %source.issuer, entries = list.len(), "the revocation list changed");
                    Duration::ZERO
                } else if feed.wait.is_zero() {
                    (feed.max_staleness / 4).clamp(MIN_INTERVAL, Duration::from_secs(5))
                } else {
                    MIN_INTERVAL.saturating_sub(started.elapsed())
                }
            }
            Err(failure) => {
                failures += 1;
                context.metrics.refreshed(&source.issuer, "revocations", failure.label);
                tracing::warn!(issuer = %source.issuer, failures, error = %failure.message, "the revocation list could not be refreshed; the last one stays within its bound");
                if failure.start_over {
                    position = None;
                }
                backoff(failures, FIRST_RETRY, LAST_RETRY.min(feed.max_staleness / 4), failure.retry_after)
            }
        };
        sleep(pause).await;
    }
}

/// Up to where the feed has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    cursor: String,
    etag: Option<String>,
}

struct News {
    position: Position,
    full: bool,
    revocations: Vec<Revocation>,
}

struct Failure {
    label: &'static str,
    message: String,
    retry_after: Option<Duration>,
    /// What was read so far may not fit what the server would say next.
    start_over: bool,
}

async fn pull(context: &Context, feed: &RevocationSource, position: Option<&Position>) -> Result<Option<News>, Failure> {
    let invalid = |message: String| Failure { label: "invalid", message, retry_after: None, start_over: true };
    let url = request_url(feed, position).ok_or_else(|| invalid("the feed's cursor does not fit into a URL".into()))?;
    let request = GetRequest {
        url: &url,
        if_none_match: position.and_then(|position| position.etag.as_deref()),
        authorization: None,
        accept: "application/json",
        deadline: GRACE + if position.is_some() { feed.wait } else { Duration::ZERO },
        max_body_bytes: MAX_BYTES,
    };
    let fetched = context.client.get(request).await.map_err(|error| Failure {
        label: error.label(),
        message: error.to_string(),
        retry_after: error.retry_after(),
        // A server may have forgotten the cursor.
        start_over: matches!(error, FetchError::Status { status: 400 | 404 | 410, .. }),
    })?;
    let (bytes, etag) = match fetched {
        Fetched::NotModified { .. } => return Ok(None),
        Fetched::Body { bytes, etag, .. } => (bytes, etag),
    };
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|error| invalid(format!("the answer is not what the feed says: {error}")))?;
    if position.is_none() && !answer.full {
        return Err(invalid("the feed answered a request for everything with a part".into()));
    }
    if !answer.full && answer.entries.is_empty() && position.is_some_and(|position| position.cursor == answer.cursor) {
        return Ok(None);
    }
    let revocations = answer.entries.into_iter().map(revocation).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(Some(News { position: Position { cursor: answer.cursor, etag }, full: answer.full, revocations }))
}

/// An entry that cannot be read fails the whole answer: leaving it out would be a revocation that nobody enforces.
fn revocation(entry: Entry) -> Result<Revocation, String> {
    let kind = RevocationKind::parse(&entry.kind).ok_or_else(|| format!("the feed has an entry of the unknown type '{}'", entry.kind))?;
    if entry.id.is_empty() {
        return Err("the feed has an entry without an id".into());
    }
    let time = |seconds: Option<f64>| match seconds {
        None => Ok(None),
        #[allow(clippy::cast_possible_truncation, reason = "checked to be within the range of dates")]
        Some(seconds) if seconds >= 0.0 && seconds * 1000.0 <= UnixTime::MAX.as_millis() as f64 => {
            Ok(Some(UnixTime::from_millis((seconds * 1000.0).ceil() as i64)))
        }
        Some(seconds) => Err(format!("the feed has an entry with the time {seconds}")),
    };
    Ok(Revocation { kind, id: entry.id.into(), before: time(entry.before)?, expires: time(entry.expires)? })
}

fn apply(list: &RevocationList, full: bool, revocations: Vec<Revocation>) -> RevocationList {
    let mut next = if full { RevocationList::default() } else { list.clone() };
    for revocation in revocations {
        next.insert(revocation);
    }
    next.forget_expired(clock::now());
    next
}

fn request_url(feed: &RevocationSource, position: Option<&Position>) -> Option<http::Uri> {
    let Some(position) = position else { return Some(feed.url.clone()) };
    let mut text = feed.url.to_string();
    text.push(if feed.url.query().is_some() { '&' } else { '?' });
    text.push_str("since=");
    for byte in position.cursor.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    let _ = write!(text, "&wait={}", feed.wait.as_secs());
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdp::token::profile::WhenStale;

    fn feed(url: &str) -> RevocationSource {
        RevocationSource {
            url: url.parse().unwrap(),
            wait: Duration::from_secs(30),
            max_staleness: Duration::from_secs(60),
            when_stale: WhenStale::Deny,
        }
    }

    #[test]
    fn however_long_the_feed_was_away_its_return_is_noticed_within_five_seconds() {
        assert!(backoff(1000, FIRST_RETRY, LAST_RETRY, None) < Duration::from_secs(5));
    }

    #[test]
    fn the_cursor_is_escaped_and_added_to_the_query() {
        let position = Position { cursor: "a b&1".into(), etag: None };
        let url = |base: &str, position: Option<&Position>| request_url(&feed(base), position).unwrap().to_string();
        assert_eq!(url("http://id/v1/revocations", None), "http://id/v1/revocations");
        assert_eq!(url("http://id/v1/revocations", Some(&position)), "http://id/v1/revocations?since=a%20b%261&wait=30");
        assert_eq!(url("http://id/r?x=1", Some(&position)), "http://id/r?x=1&since=a%20b%261&wait=30");
    }

    #[test]
    fn an_entry_that_cannot_be_enforced_fails_the_answer() {
        let entry = |kind: &str, id: &str, before: Option<f64>| Entry { kind: kind.into(), id: id.into(), before, expires: None };
        assert!(revocation(entry("sid", "s1", None)).is_ok());
        assert!(revocation(entry("session", "s1", None)).is_err());
        assert!(revocation(entry("sid", "", None)).is_err());
        assert!(revocation(entry("sub", "u1", Some(-1.0))).is_err());
        assert!(revocation(entry("sub", "u1", Some(1e300))).is_err());
    }

    #[test]
    fn a_part_adds_and_a_whole_replaces() {
        let entry = |id: &str| revocation(Entry { kind: "sid".into(), id: id.into(), before: None, expires: None }).unwrap();
        let list = apply(&RevocationList::default(), true, vec![entry("a")]);
        assert_eq!(apply(&list, false, vec![entry("b")]).len(), 2);
        assert_eq!(apply(&list, true, vec![entry("b")]).len(), 1);
    }
}
