//! Where a redirect leads, if it may be followed: to another place of the very same server.

use http::header::{self, HeaderMap};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};

/// The most redirects in a row.
pub(super) const MOST: usize = 3;

/// Whether a status is a redirect (RFC 9110 section 15.4). 304 is none, and neither are the unassigned ones; they are just odd.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 300..=303 | 307 | 308)
}

/// The URL that a redirect from `url` leads to; `None` where it is not followed: it leads to another scheme, host or port, is
/// not one plain reference, or leaves the choice to us (300).
pub(super) fn target(url: &Uri, status: StatusCode, headers: &HeaderMap) -> Option<Uri> {
    let mut values = headers.get_all(header::LOCATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    if status == StatusCode::MULTIPLE_CHOICES {
        return None;
    }
    let reference = value.to_str().ok()?;
    let target = if reference.starts_with('/') && !reference.starts_with("//") {
        let path = reference.split('#').next()?.parse::<PathAndQuery>().ok()?;
        let mut parts = url.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()?
    } else {
        reference.parse::<Uri>().ok()?
    };
    (same_server(url, &target)? && !target.authority()?.as_str().contains('@')).then_some(target)
}

fn same_server(a: &Uri, b: &Uri) -> Option<bool> {
    Some(a.scheme()? == b.scheme()? && a.host()?.eq_ignore_ascii_case(b.host()?) && port(a)? == port(b)?)
}

fn port(url: &Uri) -> Option<u16> {
    // A port that is written and cannot be read is not the default.
    match (url.port_u16(), url.scheme_str()?) {
        (Some(port), _) => Some(port),
        (None, _) if url.authority()?.as_str().ends_with(':') => None,
        (None, "https") => Some(443),
        (None, "http") => Some(80),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn follow(from: &str, location: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_str(location).expect("a value"));
        target(&from.parse().expect("a url"), StatusCode::FOUND, &headers).map(|url| url.to_string())
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_followed() {
        let from = "https://id.example.com/keys?x=1";
        for (location, to) in [
            ("https://id.example.com/v2/keys", Some("https://id.example.com/v2/keys")),
            ("https://ID.example.com:443/v2/keys?y", Some("https://ID.example.com:443/v2/keys?y")),
            ("/v2/keys?y#there", Some("https://id.example.com/v2/keys?y")),
            ("https://id.example.com", Some("https://id.example.com/")),
            ("http://id.example.com/keys", None),
            ("https://id.example.com:444/keys", None),
            ("https://id.example.com.evil/keys", None),
            ("https://id.example.com@evil/keys", None),
            ("https://u@id.example.com/keys", None),
            ("//evil/keys", None),
            ("//id.example.com/keys", None),
            ("keys", None),
            ("../keys", None),
            ("?y", None),
            ("#there", None),
            ("", None),
            ("/\\evil", Some("https://id.example.com/\\evil")),
            ("ftp://id.example.com/", None),
        ] {
            assert_eq!(follow(from, location).as_deref(), to, "{location}");
        }
        assert_eq!(follow("http://id:8080/a", "http://id:8080/b").as_deref(), Some("http://id:8080/b"));
        assert_eq!(follow("http://id:8080/a", "http://id/b"), None);
        assert_eq!(follow("http://id/a", "http://id:80/b").as_deref(), Some("http://id:80/b"));
    }

    #[test]
    fn an_unclear_redirect_is_not_followed() {
        let url = Uri::from_static("http://id/a");
        assert_eq!(target(&url, StatusCode::FOUND, &HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.append(header::LOCATION, HeaderValue::from_static("/b"));
        assert!(target(&url, StatusCode::FOUND, &headers).is_some());
        assert_eq!(target(&url, StatusCode::MULTIPLE_CHOICES, &headers), None);
        headers.append(header::LOCATION, HeaderValue::from_static("/c"));
        assert_eq!(target(&url, StatusCode::FOUND, &headers), None);
    }
}
