//! The response fields that the client looks at, read strictly: pure functions over a header map.

use http::header::{self, HeaderMap, HeaderName};

use super::error::FetchError;

/// Longest entity tag that is kept; a longer one only means that the next fetch is not conditional.
const MAX_ETAG_BYTES: usize = 1024;

/// Longest piece of a peer's field that an error message quotes.
const MAX_QUOTED_CHARS: usize = 120;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Identity,
    /// Once, with gzip.
    Gzip,
}

/// The content coding. Refuses all but gzip alone, and every transfer coding but `chunked`.
pub(super) fn coding(headers: &HeaderMap) -> Result<Coding, FetchError> {
    let refused = |name| Err(FetchError::ContentEncoding(quoted(headers, name).unwrap_or_default()));
    if headers.get_all(header::TRANSFER_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return refused(header::TRANSFER_ENCODING);
    }
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.as_bytes().to_ascii_lowercase());
    match (codings.next().as_deref(), codings.next()) {
        // `identity` is the name of no coding at all (RFC 9110 section 8.4.1), so a server that spells it out is believed.
        (None | Some(b"identity"), None) => Ok(Coding::Identity),
        // RFC 9110 section 8.4.1.3.
        (Some(b"gzip" | b"x-gzip"), None) => Ok(Coding::Gzip),
        _ => refused(header::CONTENT_ENCODING),
    }
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

/// The first value of a field, shortened and quoted so that it is safe in a log line.
pub(super) fn quoted(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let shown: String = value.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    Some(format!("{shown:?}{more}"))
}

/// The value of a field that occurs exactly once and is visible ASCII.
pub(super) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    Some(value.to_str().ok()?.trim())
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderValue;

    use super::*;

    pub(in super::super) fn fields(list: &[(HeaderName, &str)]) -> HeaderMap {
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
    fn a_body_is_plain_or_gzip_and_nothing_else() {
        let of = |name, value| coding(&fields(&[(name, value)]));
        assert_eq!(coding(&HeaderMap::new()), Ok(Coding::Identity));
        assert_eq!(of(header::CONTENT_ENCODING, "identity"), Ok(Coding::Identity));
        assert_eq!(of(header::TRANSFER_ENCODING, "chunked"), Ok(Coding::Identity));
        for value in ["gzip", "GZIP", "x-gzip"] {
            assert_eq!(of(header::CONTENT_ENCODING, value), Ok(Coding::Gzip), "{value}");
        }
        for value in ["br", "gzip, gzip", "identity, gzip", "gzip, identity", "gzip;q=1", "deflate", "zstd", ""] {
            assert!(of(header::CONTENT_ENCODING, value).is_err(), "{value}");
        }
        assert!(of(header::TRANSFER_ENCODING, "gzip, chunked").is_err());
        for (first, second) in [("identity", "gzip"), ("gzip", "gzip"), ("gzip", "identity"), ("identity", "identity")] {
            let both = [(header::CONTENT_ENCODING, first), (header::CONTENT_ENCODING, second)];
            assert!(coding(&fields(&both)).is_err(), "{first} {second}");
        }
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
