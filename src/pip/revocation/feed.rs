//! The revocation feed: `GET …?since=<cursor>&wait=<seconds>` with an `ETag`, answered as soon as there is something new.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock;
use crate::config::{RevocationFeed, Source};
use crate::pdp::revocation::{RevocationData, RevocationList};
use crate::pip::bearer;
use crate::pip::http_client::{FetchError, Fetched, GetRequest};
use crate::pip::refresh::{Context, backoff, heeded};
use crate::pip::warm_start::{Kept, News};

pub(super) mod answer;

use answer::{Answer, Entries};

/// The longest answer: a full list of a million entries fits.
const MAX_BYTES: usize = 160 * 1024 * 1024;
/// The most entries that are held: an answer is bounded by its length, but parts add up.
const MAX_ENTRIES: usize = 5_000_000;
/// The longest cursor: it has to fit into a URL, and escaping can make it three times as long.
const MAX_CURSOR: usize = 4096;
/// How long an answer may take once the server does not hold it any more.
const GRACE: Duration = Duration::from_secs(10);
/// Waits between failed requests. The last one bounds how long the sidecar stays unready once the identity service is back.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(4);
/// The least time from one answer without news to the next request, for servers that do not hold requests; and from one full list
/// to the next, for servers that know no other.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// The least time from one answer with news to the next request. Revocations that come one by one are so fetched in handfuls.
const MIN_STEP: Duration = Duration::from_millis(20);

/// Keeps what a feed says fresh.
pub async fn refresh(context: &Context, source: &Source, feed: &RevocationFeed, max_staleness: Duration) -> Infallible {
    let (kept, mut standby) = super::kept(context, source, max_staleness).await;
    let (mut list, mut position) = match kept {
        // What came since is all that has to be asked for.
        Some(Kept { data, cursor, etag, .. }) => (data, cursor.map(|cursor| Position { cursor, etag })),
        None => (RevocationList::default(), None),
    };
    let mut data: Arc<RevocationData> = Arc::new(list.clone().into());
    let mut failures = 0;
    let mut is_confirmed = false;
    loop {
        if !list.is_complete_at(clock::now()) {
            // The clock was set back to where entries count again that were forgotten.
            position = None;
        }
        let started = Instant::now();
        // The first answer, and the first one after a failure, are needed at once: a feed that held them because there is no news
        // would leave a list unconfirmed, and past its bound, that is good.
        let wait = if is_confirmed { feed.wait } else { Duration::ZERO };
        let pause = match standby.during(pull(context, feed, &list, position.as_ref(), wait)).await {
            Ok((news, confirmed)) => {
                let had_failed = failures > 0;
                failures = 0;
                is_confirmed = true;
                let (result, pause) = match &news {
                    None if feed.wait.is_zero() => ("unchanged", (max_staleness / 4).clamp(MIN_INTERVAL, Duration::from_secs(5))),
                    // A feed that fails every other time is not asked faster and faster for it.
                    None if wait.is_zero() && !had_failed => ("unchanged", MIN_STEP),
                    None => ("unchanged", MIN_INTERVAL.saturating_sub(started.elapsed())),
                    Some(news) if news.full => ("ok", MIN_INTERVAL.saturating_sub(started.elapsed())),
                    Some(_) => ("ok", MIN_STEP.saturating_sub(started.elapsed())),
                };
                let news = news.map(|news| {
                    list = news.list;
                    position = Some(news.position);
                    (news.full, news.published)
                });
                let shorter = without_expired(&list).await;
                let is_news = news.is_some() || shorter.is_some();
                if is_news {
                    list = shorter.unwrap_or(list);
                    data = Arc::new(list.clone().into());
                }
                context.live.publish_revocations(source.id, Arc::clone(&data), confirmed, max_staleness);
                if let Some(Position { cursor, etag }) = &position {
                    let news = News { cursor: Some(cursor), etag: etag.as_deref(), confirmed, bound: max_staleness, is_news };
                    context.warm_start.keep_revocations(source.id, &list, &news);
                }
                context.metrics.refreshed(&source.issuer, "revocations", result);
                if let Some((full, published)) = news {
                    tracing::debug!(issuer = %source.issuer, entries = list.len(), "the revocation list changed");
                    // A full list says when things were revoked that were long known here.
                    for published in published.into_iter().filter(|_| !full) {
                        context.metrics.revocation_arrived(&source.issuer, clock::now().since(published));
                    }
                }
                pause
            }
            Err(failure) => {
                failures += 1;
                is_confirmed = false;
                context.metrics.refreshed(&source.issuer, "revocations", failure.label);
                tracing::warn!(issuer = %source.issuer, failures, error = %failure.message, "the revocation list could not be refreshed; the last one stays within its bound");
                if failure.start_over {
                    position = None;
                }
                backoff(failures, FIRST_RETRY, LAST_RETRY.min(max_staleness / 4), heeded(failure.retry_after, max_staleness))
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

/// What came of an answer that says something new.
struct Answered {
    position: Position,
    full: bool,
    list: RevocationList,
    published: Vec<crate::pdp::time::UnixTime>,
}

struct Failure {
    label: &'static str,
    message: String,
    retry_after: Option<Duration>,
    /// What was read so far may not fit what the server would say next.
    start_over: bool,
}

fn invalid(message: String) -> Failure {
    Failure { label: "invalid", message, retry_after: None, start_over: true }
}

/// What the feed says that is new, if there is something, and when it said so.
async fn pull(
    context: &Context,
    feed: &RevocationFeed,
    list: &RevocationList,
    position: Option<&Position>,
    wait: Duration,
) -> Result<(Option<Answered>, Instant), Failure> {
    let url = request_url(feed, position, wait).ok_or_else(|| invalid("the feed's cursor does not fit into a URL".into()))?;
    let authorization = bearer(&context.disk, feed.token_file.as_deref()).await.map_err(|message| Failure {
        label: "token_file",
        message,
        retry_after: None,
        start_over: false,
    })?;
    let request = GetRequest {
        url: &url,
        if_none_match: position.and_then(|position| position.etag.as_deref()),
        authorization: authorization.as_deref(),
        no_cache: true,
        accept: "application/json",
        deadline: GRACE + if position.is_some() { wait } else { Duration::ZERO },
        max_body_bytes: MAX_BYTES,
    };
    let fetched = context.client.get(request).await.map_err(|error| Failure {
        label: error.label(),
        message: error.to_string(),
        retry_after: error.retry_after(),
        // A server may have forgotten the cursor.
        start_over: matches!(error, FetchError::Status { status: 400 | 404 | 410, .. }),
    })?;
    let (bytes, etag, answered) = match fetched {
        Fetched::NotModified { answered, .. } => return Ok((None, answered)),
        Fetched::Body { bytes, etag, answered, .. } => (bytes, etag, answered),
    };
    let (list, position) = (list.clone(), position.cloned());
    // A list of a million entries takes a second to read and sort, which is nothing for a thread that answers checks.
    let applied = spawn_blocking(move || apply(&bytes, etag, &list, position.as_ref())).await;
    Ok((applied.map_err(|error| invalid(error.to_string()))??, answered))
}

/// What an answer makes of a list; nothing if it says nothing new.
fn apply(bytes: &Bytes, etag: Option<String>, list: &RevocationList, position: Option<&Position>) -> Result<Option<Answered>, Failure> {
    let Answer { cursor, full, entries: Entries { batch, published } } =
        serde_json::from_slice(bytes).map_err(|error| invalid(format!("the answer is not what the feed says: {error}")))?;
    if cursor.len() > MAX_CURSOR {
        return Err(invalid(format!("the feed's cursor has more than {MAX_CURSOR} bytes")));
    }
    if position.is_none() && !full {
        return Err(invalid("the feed answered a request for everything with a part".into()));
    }
    if !full && batch.is_empty() && position.is_some_and(|position| position.cursor == cursor) {
        return Ok(None);
    }
    check_room(if full { 0 } else { list.len() }, batch.len())?;
    let now = clock::now();
    let list = if full { RevocationList::full(batch, now) } else { list.with(batch, now) };
    Ok(Some(Answered { position: Position { cursor, etag }, full, list, published }))
}

fn check_room(held: usize, more: usize) -> Result<(), Failure> {
    if held.saturating_add(more) <= MAX_ENTRIES {
        return Ok(());
    }
    let message = format!("the feed has given {held} entries and gives {more} more, and at most {MAX_ENTRIES} are held");
    // All of it may be less than its parts: servers forget what has expired.
    Err(Failure { label: "too_large", message, retry_after: None, start_over: true })
}

/// The list without what no token can carry any more, if there is something to forget.
async fn without_expired(list: &RevocationList) -> Option<RevocationList> {
    let now = clock::now();
    if !list.has_expired(now) {
        return None;
    }
    let list = list.clone();
    spawn_blocking(move || list.without_expired(now)).await.ok()
}

fn request_url(feed: &RevocationFeed, position: Option<&Position>, wait: Duration) -> Option<http::Uri> {
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
    let _ = write!(text, "&wait={}", wait.as_secs());
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(url: &str) -> RevocationFeed {
        RevocationFeed { url: url.parse().unwrap(), token_file: None, wait: Duration::from_secs(30) }
    }

    #[test]
    fn however_long_the_feed_was_away_its_return_is_noticed_within_five_seconds() {
        assert!(backoff(1000, FIRST_RETRY, LAST_RETRY, None) < Duration::from_secs(5));
    }

    #[test]
    fn the_cursor_is_escaped_and_added_to_the_query() {
        let position = Position { cursor: "a b&1".into(), etag: None };
        let url =
            |base: &str, position: Option<&Position>| request_url(&feed(base), position, Duration::from_secs(30)).unwrap().to_string();
        assert_eq!(url("http://id/v1/revocations", None), "http://id/v1/revocations");
        assert_eq!(url("http://id/v1/revocations", Some(&position)), "http://id/v1/revocations?since=a%20b%261&wait=30");
        assert_eq!(url("http://id/r?x=1", Some(&position)), "http://id/r?x=1&since=a%20b%261&wait=30");
    }

    fn answered(list: &RevocationList, position: Option<&Position>, text: &str) -> Option<Answered> {
        apply(&Bytes::from(text.to_owned()), None, list, position).ok().flatten()
    }

    #[test]
    fn a_part_adds_and_a_whole_replaces() {
        let whole = |id: &str| format!(r#"{{"cursor":"2","full":true,"entries":[{{"type":"sid","id":"{id}"}}]}}"#);
        let part = |id: &str| format!(r#"{{"cursor":"3","full":false,"entries":[{{"type":"sid","id":"{id}"}}]}}"#);
        let first = answered(&RevocationList::default(), None, &whole("a")).unwrap();
        let length = |text: &str| answered(&first.list, Some(&first.position), text).unwrap().list.len();
        assert_eq!((length(&part("b")), length(&whole("b"))), (2, 1));
        let endless = whole("c").replacen('2', &"2".repeat(MAX_CURSOR + 1), 1);
        assert!(apply(&Bytes::from(endless), None, &first.list, Some(&first.position)).is_err());
        // A part says nothing to whoever asked for everything.
        assert!(apply(&Bytes::from(part("b")), None, &first.list, None).is_err());
        assert!(check_room(MAX_ENTRIES - 1, 1).is_ok());
        assert!(check_room(MAX_ENTRIES, 1).is_err_and(|failure| failure.start_over));
        let nothing = r#"{"cursor":"2","full":false,"entries":[]}"#;
        assert!(answered(&first.list, Some(&first.position), nothing).is_none());
    }
}
