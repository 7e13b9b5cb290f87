use http::HeaderValue;

use super::*;
use crate::ext_authz::{PlainAnswer, PlainOutcome};

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

const NGINX: [(&str, &str); 4] =
    [("x-original-method", "PUT"), ("x-original-uri", "/a/../b?c=d"), ("host", "blog.test"), ("x-real-ip", "192.0.2.1")];
const FORWARDED: [(&str, &str); 5] = [
    ("x-forwarded-method", "PUT"),
    ("x-forwarded-uri", "/a/../b?c=d"),
    ("x-forwarded-host", "blog.test"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-for", "192.0.2.1"),
];
const ENVOY: [(&str, &str); 2] = [("host", "blog.test"), ("x-real-ip", "192.0.2.1")];

fn forward_auth() -> Dialect {
    Dialect::ForwardAuth { trusted_hops: 0 }
}

fn envoy(path_prefix: &str) -> Dialect {
    Dialect::Envoy { path_prefix: path_prefix.into() }
}

/// Reads a request that is right but for these headers, which take the place of those of the same name; `None` leaves one out.
fn with(dialect: &Dialect, changes: &[(&str, Option<&str>)]) -> Result<PlainRequest, Unreadable> {
    let (target, usual): (_, &[(&str, &str)]) = match dialect {
        Dialect::Nginx => ("/", &NGINX),
        Dialect::ForwardAuth { .. } => ("/", &FORWARDED),
        Dialect::Envoy { .. } => ("/a/../b?c=d", &ENVOY),
    };
    let kept = usual.iter().copied().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let changed = changes.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    dialect.read(&head(if target == "/" { "GET" } else { "PUT" }, target, &kept.chain(changed).collect::<Vec<_>>()))
}

#[test]
fn all_dialects_describe_the_same_request() {
    for dialect in [Dialect::Nginx, forward_auth(), envoy("")] {
        let request = with(
            &dialect,
            &[("authorization", Some("Bearer a")), ("connection", Some("close")), ("content-length", Some("0")), ("x-a", Some("é"))],
        );
        let request = request.unwrap_or_else(|error| panic!("{dialect:?}: {error}"));
        let expected = PlainRequest {
            method: "PUT".into(),
            target: "/a/../b?c=d".into(),
            authority: "blog.test".into(),
            headers: vec![("authorization".into(), b"Bearer a".to_vec()), ("x-a".into(), "é".as_bytes().to_vec())],
            address: "192.0.2.1".into(),
        };
        assert_eq!(request, expected, "{dialect:?}");
    }
}

#[test]
fn what_a_dialect_needs_is_there_once() {
    let needed = |names: &[(&'static str, &str)]| names.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    for (dialect, names) in [(Dialect::Nginx, needed(&NGINX)), (forward_auth(), needed(&FORWARDED)), (envoy(""), needed(&ENVOY))] {
        for name in names {
            let value = NGINX.iter().chain(&FORWARDED).find(|(other, _)| *other == name).unwrap().1;
            assert_eq!(with(&dialect, &[(name, None)]), Err(Unreadable::Missing(name)), "{dialect:?}");
            for second in [value, "other"] {
                assert_eq!(with(&dialect, &[(name, Some(value)), (name, Some(second))]), Err(Unreadable::Repeated(name)), "{dialect:?}");
            }
            for odd in ["", " ", "a b", "é", "/\u{1f600}"] {
                assert_eq!(with(&dialect, &[(name, Some(odd))]), Err(Unreadable::Odd(name)), "{dialect:?} {odd:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (dialect, name, values) in [
        (Dialect::Nginx, "x-original-method", &["GET,PUT", "G/T", "[GET]"][..]),
        (Dialect::Nginx, "x-real-ip", &["localhost", "192.0.2.1:80", "192.0.2.1,192.0.2.2", "192.0.2.256", "[::1]"]),
        (forward_auth(), "x-forwarded-method", &["GET,PUT"]),
        (forward_auth(), "x-forwarded-proto", &["ftp", "HTTPS", "https,http", "https,"]),
        (forward_auth(), "x-forwarded-for", &["unknown", "192.0.2.1:80", "192.0.2.1,", "192.0.2.1, x", ",", "_hidden"]),
        (envoy(""), "x-real-ip", &["unknown", "192.0.2.1,"]),
    ] {
        for value in values {
            assert_eq!(with(&dialect, &[(name, Some(value))]), Err(Unreadable::Odd(name)), "{value}");
        }
    }
}

#[test]
fn headers_of_another_dialect_are_headers_like_others() {
    for (dialect, others) in [(Dialect::Nginx, &FORWARDED[..]), (forward_auth(), &NGINX), (envoy(""), &NGINX), (envoy(""), &FORWARDED)] {
        let lie = |name: &'static str| (name, Some(if name.ends_with("-uri") { "/lie" } else { "198.51.100.9" }));
        let own = |name: &str| name == "host" || (matches!(dialect, Dialect::Envoy { .. }) && name == "x-real-ip");
        let lies: Vec<_> = others.iter().filter(|(name, _)| !own(name)).map(|(name, _)| lie(name)).collect();
        let request = with(&dialect, &lies).unwrap();
        assert_eq!((&*request.method, &*request.target, &*request.authority), ("PUT", "/a/../b?c=d", "blog.test"));
        assert_eq!(request.address, "192.0.2.1");
        assert_eq!(request.headers.len(), lies.len(), "{:?}", request.headers);
    }
}

#[test]
fn of_a_list_of_addresses_the_one_before_the_known_proxies_is_believed() {
    for (list, hops, address) in [
        ("192.0.2.1", 0, "192.0.2.1"),
        ("10.0.0.1, 192.0.2.1", 0, "192.0.2.1"),
        ("not one,,\t, 2001:DB8::1 ", 0, "2001:db8::1"),
        ("10.0.0.1,192.0.2.1 , 10.0.0.9", 1, "192.0.2.1"),
        ("10.0.0.1, 192.0.2.1, 10.0.0.8, 10.0.0.9", 2, "192.0.2.1"),
    ] {
        let request = with(&Dialect::ForwardAuth { trusted_hops: hops }, &[("x-forwarded-for", Some(list))]).unwrap();
        assert_eq!(request.address, address, "{list}");
    }
    let short = with(&Dialect::ForwardAuth { trusted_hops: 1 }, &[("x-forwarded-for", Some("192.0.2.1"))]);
    assert_eq!(short, Err(Unreadable::Odd("x-forwarded-for")), "a proxy is missing, and so would be the client");
}

#[test]
fn a_prefix_has_to_be_there_and_leaves_a_path() {
    let read = |prefix, target| envoy(prefix).read(&head("GET", target, &ENVOY)).map(|request| request.target);
    assert_eq!(read("", "/").unwrap(), "/");
    assert_eq!(read("/authz", "/authz/a/../b?x=/authz").unwrap(), "/a/../b?x=/authz");
    assert_eq!(read("/authz", "/authz//a%2Fb").unwrap(), "//a%2Fb");
    for (prefix, target) in [
        ("/authz", "/"),
        ("/authz", "/authz"),
        ("/authz", "/authz?a=b"),
        ("/authz", "/authzed/a"),
        ("/authz", "/Authz/a"),
        ("", "*"),
        ("", "http://blog.test/a"),
        ("", "blog.test:80"),
    ] {
        assert_eq!(read(prefix, target), Err(Unreadable::Target), "{prefix} {target}");
    }
}

fn encoded(dialect: &Dialect, outcome: PlainOutcome) -> http::Response<Full<Bytes>> {
    answer::encode(dialect, PlainAnswer { id: "0-1".into(), outcome })
}

fn refusal(status: u16) -> PlainOutcome {
    PlainOutcome::Refuse { status, headers: vec![("retry-after".into(), "5".into())], body: "{}".into() }
}

#[test]
fn a_refusal_has_its_status_where_the_proxy_can_show_it() {
    for status in [400, 401, 403, 503] {
        for dialect in [forward_auth(), envoy("")] {
            let response = encoded(&dialect, refusal(status));
            assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (status, &b"5"[..]));
        }
        let response = encoded(&Dialect::Nginx, refusal(status));
        assert_eq!(response.status().as_u16(), if status == 400 { 403 } else { status });
        assert_eq!(response.headers()["x-authz-status"].to_str().unwrap(), status.to_string());
        assert_eq!(response.headers()["x-authz-decision-id"], "0-1");
    }
}

#[test]
fn what_cannot_be_said_in_headers_passes_nothing() {
    let pass = |set: &[(&str, &str)]| PlainOutcome::Pass {
        set: set.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect(),
        remove: vec!["x-a".into(), "x_a".into()],
        to_client: Vec::new(),
    };
    for dialect in [Dialect::Nginx, forward_auth(), envoy("")] {
        let response = encoded(&dialect, pass(&[("x-user-id", "alice")]));
        assert_eq!((response.status(), &response.headers()["x-user-id"]), (http::StatusCode::OK, &HeaderValue::from_static("alice")));
        let removed = response.headers().get("x-envoy-auth-headers-to-remove").map(|value| value.to_str().unwrap());
        assert_eq!(removed, matches!(dialect, Dialect::Envoy { .. }).then_some("x-a,x_a"));
        for broken in [&[("x-user-id", "a\r\nb")][..], &[("x user", "a")], &[("x-user-id", "alice"), ("X-User-Id", "root")]] {
            assert_eq!(encoded(&dialect, pass(broken)).status(), http::StatusCode::SERVICE_UNAVAILABLE, "{broken:?}");
        }
    }
}
