//! The response fields that the client looks at, read strictly: pure functions over a header map.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};

use super::error::FetchError;

/// RFC 9111 section 1.2.2: larger numbers count as this one (about 68 years, safe to add to any clock reading).
const MAX_DELTA_SECONDS: u64 = 1 << 31;

/// Longest entity tag that is kept; a longer one only means that the next fetch is not conditional.
const MAX_ETAG_BYTES: usize = 1024;

/// Longest piece of a peer's field that an error message quotes.
const MAX_QUOTED_CHARS: usize = 120;

/// Refuses every content coding and every transfer coding but `chunked`.
pub(super) fn check_coding(headers: &HeaderMap) -> Result<(), FetchError> {
    let coded = |name: HeaderName, plain: &str| {
        headers
            .get_all(&name)
            .iter()
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
            .then(|| FetchError::ContentEncoding(quoted(headers, name).unwrap_or_default()))
    };
    // `identity` is the name of no coding at all (RFC 9110 section 8.4.1), so a server that spells it out is believed.
    let refused = coded(header::CONTENT_ENCODING, "identity").or_else(|| coded(header::TRANSFER_ENCODING, "chunked"));
    refused.map_or(Ok(()), Err)
}

/// Requires one content type, and one that was asked for: where JSON is accepted that is JSON of any kind, and otherwise a type that
/// `accept` names.
pub(super) fn check_type(headers: &HeaderMap, accept: &str) -> Result<(), FetchError> {
    let mut accepted = accept.split(',').map(str::trim);
    if accepted.clone().any(|accepted| accepted == "application/json") {
        return check_json(headers);
    }
    let value = single(headers, header::CONTENT_TYPE).ok_or(FetchError::ContentType(None))?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    let asked_for = accepted.any(|accepted| accepted.eq_ignore_ascii_case(essence));
    if asked_for { Ok(()) } else { Err(FetchError::ContentType(quoted(headers, header::CONTENT_TYPE))) }
}

/// Requires one content type that is `application/json` or ends in `+json` (RFC 6839 section 3.1).
fn check_json(headers: &HeaderMap) -> Result<(), FetchError> {
    let refuse = |shown| Err(FetchError::ContentType(shown));
    let Some(value) = single(headers, header::CONTENT_TYPE) else {
        return refuse(None);
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let json = essence.split_once('/').is_some_and(|(kind, subtype)| {
        let subtype = subtype.to_ascii_lowercase();
        (kind.eq_ignore_ascii_case("application") && subtype == "json") || (subtype.len() > "+json".len() && subtype.ends_with("+json"))
    });
    if json { Ok(()) } else { refuse(quoted(headers, header::CONTENT_TYPE)) }
}

/// The entity tag, when there is one and it is well formed (RFC 9110 section 8.8.3).
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    let value = single(headers, header::ETAG)?;
    let opaque = value.strip_prefix("W/").unwrap_or(value);
    let inner = opaque.strip_prefix('"')?.strip_suffix('"')?;
    let well_formed = inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    (well_formed && value.len() <= MAX_ETAG_BYTES).then(|| value.to_owned())
}

/// Remaining freshness (RFC 9111 section 4.2): the smallest `max-age` less `Age`; zero where the peer forbids storing or
/// asks to revalidate, and where the number cannot be read.
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
    smallest.map(|seconds| Duration::from_secs(seconds.saturating_sub(age)))
}

/// `Retry-After` in seconds, at most `cap`. Its other form, a date, is ignored: it would tie the wait to the wall clock.
pub(super) fn retry_after(headers: &HeaderMap, cap: Duration) -> Option<Duration> {
    let seconds = single(headers, header::RETRY_AFTER).and_then(delta_seconds)?;
    Some(Duration::from_secs(seconds).min(cap))
}

/// The first value of a field, shortened and quoted so that it is safe in a log line.
pub(super) fn quoted(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let shown: String = value.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    Some(format!("{shown:?}{more}"))
}

/// The value of a field that occurs exactly once and is visible ASCII.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    Some(value.to_str().ok()?.trim())
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
    use http::HeaderValue;

    use super::*;

    fn fields(list: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn json_media_types_are_accepted_and_no_others() {
        let check = |value| check_json(&fields(&[(header::CONTENT_TYPE, value)]));
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON;charset=UTF-8",
            "application/jwk-set+json",
            "application/vnd.example.v1+json ; q=1",
        ] {
            assert_eq!(check(value), Ok(()), "{value}");
        }
        for value in [
            "",
            "json",
            "text/json",
            "text/html",
            "text/html; x=application/json",
            "application/jsonp",
            "application/json5",
            "application/+json",
            "application/x+json+xml",
            "application/octet-stream",
            "application/json, text/html",
        ] {
            assert!(check(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_type_that_was_not_asked_for_is_refused() {
        let check = |value, accept| check_type(&fields(&[(header::CONTENT_TYPE, value)]), accept);
        let list = "application/statuslist+jwt";
        for value in [list, "Application/StatusList+JWT", "application/statuslist+jwt; charset=utf-8"] {
            assert_eq!(check(value, list), Ok(()), "{value}");
        }
        for value in
            ["application/json", "application/jwt", "application/statuslist+cwt", "text/html", "", "application/statuslist+jwt, x/y"]
        {
            assert!(check(value, list).is_err(), "{value}");
        }
        assert!(check(list, "application/jwk-set+json, application/json").is_err());
        assert_eq!(check("application/x+json", "application/jwk-set+json, application/json"), Ok(()));
        assert_eq!(check_type(&HeaderMap::new(), list), Err(FetchError::ContentType(None)));
    }

    #[test]
    fn a_missing_or_repeated_content_type_is_refused() {
        let json = (header::CONTENT_TYPE, "application/json");
        let refused = Err(FetchError::ContentType(None));
        assert_eq!(check_json(&HeaderMap::new()), refused);
        assert_eq!(check_json(&fields(&[json.clone(), json])), refused);
    }

    #[test]
    fn only_unencoded_bodies_pass() {
        let check = |name, value| check_coding(&fields(&[(name, value)]));
        assert_eq!(check_coding(&HeaderMap::new()), Ok(()));
        assert_eq!(check(header::CONTENT_ENCODING, "identity"), Ok(()));
        assert_eq!(check(header::TRANSFER_ENCODING, "chunked"), Ok(()));
        for value in ["gzip", "br", "identity, gzip", "deflate", ""] {
            assert!(check(header::CONTENT_ENCODING, value).is_err(), "{value}");
        }
        assert!(check(header::TRANSFER_ENCODING, "gzip, chunked").is_err());
        let second = [(header::CONTENT_ENCODING, "identity"), (header::CONTENT_ENCODING, "gzip")];
        assert!(check_coding(&fields(&second)).is_err());
    }

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
    fn retry_after_is_capped_and_dates_are_ignored() {
        let cap = Duration::from_secs(300);
        let read = |value| retry_after(&fields(&[(header::RETRY_AFTER, value)]), cap);
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("301"), Some(cap));
        assert_eq!(read("99999999999999999999999"), Some(cap));
        assert_eq!(read("-1"), None);
        assert_eq!(read("+1"), None);
        assert_eq!(read("Fri, 31 Dec 2027 23:59:59 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new(), cap), None);
    }

    #[test]
    fn only_well_formed_entity_tags_are_kept() {
        let read = |value| etag(&fields(&[(header::ETAG, value)]));
        for good in ["\"\"", "\"a-1\"", "W/\"a\""] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        let long = format!("\"{}\"", "a".repeat(MAX_ETAG_BYTES));
        for bad in ["", "a", "\"", "w/\"a\"", "\"a\"b\"", "\"a b\"", "*", &long] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let two = [(header::ETAG, "\"a\""), (header::ETAG, "\"b\"")];
        assert_eq!(etag(&fields(&two)), None);
    }

    #[test]
    fn what_a_peer_sent_is_quoted_and_shortened() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(b"a\"\x80\tb").expect("a value");
        headers.insert(header::LOCATION, value);
        let shown = quoted(&headers, header::LOCATION);
        assert_eq!(shown.as_deref(), Some("\"a\\\"\u{fffd}\\tb\""));

        let long = "x".repeat(500);
        let shown = quoted(&fields(&[(header::LOCATION, &long)]), header::LOCATION);
        assert!(shown.is_some_and(|s| s.len() < 200 && s.ends_with('…')));
    }
}
