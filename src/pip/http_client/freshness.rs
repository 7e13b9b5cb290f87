//! For how long an answer is good, and how long a server wants to be left alone, by its own words alone: where a date matters,
//! it counts from the answer's own `Date` and never from our clock.

use std::time::{Duration, Instant};

use http::header::{self, HeaderMap};
use jiff::fmt::rfc2822::DateTimeParser;

use super::error::FetchError;
use super::headers::single;

/// RFC 9111 section 1.2.2: larger numbers count as this one (about 68 years, safe to add to any clock reading).
const MAX_DELTA_SECONDS: u64 = 1 << 31;

/// Remaining freshness (RFC 9111 section 4.2): the smallest `max-age` less `Age`, or else `Expires` less `Date`. Zero where the peer
/// forbids storing or asks to revalidate, and where what it says cannot be read.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut smallest = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        let Ok(value) = value.to_str() else {
            return Some(Duration::ZERO);
        };
        for directive in value.split(',') {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name.trim(), Some(argument.trim())),
                None => (directive.trim(), None),
            };
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            if name.eq_ignore_ascii_case("max-age") {
                let seconds = argument.map(|argument| argument.trim_matches('"')).and_then(delta_seconds).unwrap_or(0);
                smallest = Some(smallest.map_or(seconds, |s: u64| s.min(seconds)));
            }
        }
    }
    let age = single(headers, header::AGE).and_then(delta_seconds).unwrap_or(0);
    let lifetime = smallest.or_else(|| until_expires(headers));
    lifetime.map(|seconds| Duration::from_secs(seconds.saturating_sub(age)))
}

/// When the server itself said it: a cache on the way tells with `Age` how long it has had the answer (RFC 9111 section 5.1), and
/// what is old does not get young by being handed on.
///
/// # Errors
/// When that is before this machine's clock began.
pub(super) fn said_at(headers: &HeaderMap, received: Instant) -> Result<Instant, FetchError> {
    let age = Duration::from_secs(single(headers, header::AGE).and_then(delta_seconds).unwrap_or(0));
    received.checked_sub(age).ok_or_else(|| FetchError::Head(format!("a cache has had the answer for {} s", age.as_secs())))
}

/// `Expires` less `Date` in seconds. Without a `Date` there is nothing to count from; an unreadable `Expires`, such as `0`, has
/// passed (RFC 9111 section 5.3).
fn until_expires(headers: &HeaderMap) -> Option<u64> {
    if !headers.contains_key(header::EXPIRES) {
        return None;
    }
    let Some(expires) = single(headers, header::EXPIRES).and_then(date) else { return Some(0) };
    seconds_between(single(headers, header::DATE).and_then(date)?, expires)
}

/// `Retry-After` in seconds or as a date, at most `cap` (RFC 9110 section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, cap: Duration) -> Option<Duration> {
    let value = single(headers, header::RETRY_AFTER)?;
    let seconds = match delta_seconds(value) {
        Some(seconds) => seconds,
        None => seconds_between(single(headers, header::DATE).and_then(date)?, date(value)?)?,
    };
    Some(Duration::from_secs(seconds).min(cap))
}

/// Seconds from one date to another; none if it lies before.
fn seconds_between(from: i64, to: i64) -> Option<u64> {
    Some(u64::try_from(to.checked_sub(from)?).unwrap_or(0).min(MAX_DELTA_SECONDS))
}

/// A date as servers have to write it, `Sun, 06 Nov 1994 08:49:37 GMT`, in Unix seconds (RFC 9110 section 5.6.7).
fn date(text: &str) -> Option<i64> {
    if text.len() != "Sun, 06 Nov 1994 08:49:37 GMT".len() || !text.ends_with(" GMT") {
        return None;
    }
    DateTimeParser::new().parse_timestamp(text).ok().map(|timestamp| timestamp.as_second())
}

fn delta_seconds(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Only digits, so the one way to fail is to overflow.
    Some(text.parse().map_or(MAX_DELTA_SECONDS, |seconds: u64| seconds.min(MAX_DELTA_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::super::headers::tests::fields;
    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";

    #[test]
    fn freshness_is_read_cautiously() {
        let seconds = |values: &[&str]| {
            let list: Vec<_> = values.iter().map(|v| (header::CACHE_CONTROL, *v)).collect();
            max_age(&fields(&list)).map(|age| age.as_secs())
        };
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&["public"]), None);
        assert_eq!(seconds(&["s-maxage=60"]), None);
        assert_eq!(seconds(&["max-age=60"]), Some(60));
        assert_eq!(seconds(&["public, Max-Age = 60 , immutable"]), Some(60));
        assert_eq!(seconds(&["max-age=\"60\""]), Some(60));
        assert_eq!(seconds(&["max-age=60, max-age=30"]), Some(30));
        assert_eq!(seconds(&["max-age=60", "max-age=90"]), Some(60));
        assert_eq!(seconds(&["max-age=60", "no-store"]), Some(0));
        assert_eq!(seconds(&["no-cache, max-age=60"]), Some(0));
        assert_eq!(seconds(&["no-cache=\"set-cookie\", max-age=60"]), Some(0));
        for unreadable in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x"] {
            assert_eq!(seconds(&[unreadable]), Some(0), "{unreadable}");
        }
        let huge = format!("max-age={}", "9".repeat(50));
        assert_eq!(seconds(&[&huge]), Some(MAX_DELTA_SECONDS));
    }

    #[test]
    fn time_spent_in_caches_on_the_way_counts() {
        let left = |age| {
            let list = [(header::CACHE_CONTROL, "max-age=60"), (header::AGE, age)];
            max_age(&fields(&list)).map(|age| age.as_secs())
        };
        assert_eq!(left("20"), Some(40));
        assert_eq!(left("100"), Some(0));
        assert_eq!(left("garbage"), Some(60));
    }

    #[test]
    fn what_a_cache_has_had_is_as_old_as_that() {
        let received = Instant::now();
        let said = |age| said_at(&fields(&[(header::AGE, age)]), received).map(|said| (received - said).as_secs());
        assert_eq!(said_at(&HeaderMap::new(), received), Ok(received));
        assert_eq!((said("0"), said("garbage")), (Ok(0), Ok(0)));
        assert_eq!(said("1"), Ok(1));
        assert_eq!(said(&"9".repeat(50)), Ok(MAX_DELTA_SECONDS));
    }

    #[test]
    fn expires_counts_from_the_answers_own_date_and_only_without_max_age() {
        let left = |list: &[(header::HeaderName, &str)]| max_age(&fields(list)).map(|age| age.as_secs());
        let (expires, at_noon) = (|value| (header::EXPIRES, value), (header::DATE, NOON));
        assert_eq!(left(&[expires("Sun, 06 Nov 1994 12:01:30 GMT"), at_noon.clone()]), Some(90));
        assert_eq!(left(&[expires("Sun, 06 Nov 1994 12:01:30 GMT"), at_noon.clone(), (header::AGE, "60")]), Some(30));
        assert_eq!(left(&[expires("Sun, 06 Nov 1994 11:59:59 GMT"), at_noon.clone()]), Some(0));
        assert_eq!(left(&[expires("Sun, 06 Nov 1994 12:01:30 GMT")]), None, "there is no date to count from");
        for odd in ["0", "-1", "", "Sun, 06 Nov 1994 12:01:30 +0000", "Mon, 06 Nov 1994 12:01:30 GMT", "Sunday, 06-Nov-94 12:01:30 GMT"] {
            assert_eq!(left(&[expires(odd), at_noon.clone()]), Some(0), "{odd}");
        }
        let both = [expires("Sun, 06 Nov 1994 13:00:00 GMT"), at_noon, (header::CACHE_CONTROL, "max-age=5")];
        assert_eq!(left(&both), Some(5));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let cap = Duration::from_secs(300);
        let read = |value| retry_after(&fields(&[(header::RETRY_AFTER, value)]), cap);
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("301"), Some(cap));
        assert_eq!(read("99999999999999999999999"), Some(cap));
        assert_eq!(read("-1"), None);
        assert_eq!(read("+1"), None);
        assert_eq!(read("Sun, 06 Nov 1994 12:01:30 GMT"), None, "there is no date to count from");
        assert_eq!(retry_after(&HeaderMap::new(), cap), None);
        let dated = |value| retry_after(&fields(&[(header::RETRY_AFTER, value), (header::DATE, NOON)]), cap);
        assert_eq!(dated("Sun, 06 Nov 1994 12:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(dated("Sun, 06 Nov 1994 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(dated("Mon, 06 Nov 2094 11:00:00 GMT"), None, "it was a Saturday");
        assert_eq!(dated("Sat, 06 Nov 2094 11:00:00 GMT"), Some(cap));
        assert_eq!(dated("soon"), None);
    }
}
