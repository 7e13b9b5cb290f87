//! The client against servers that behave and, mostly, do not. All of them live in the test's own runtime and end with it.

mod gzip;
mod peer;
mod proxies;
mod redirects;
mod tls;
mod tls_files;

use std::sync::Mutex;

use http::HeaderMap;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use self::peer::{Peer, end_of_request};
use super::*;

const SOON: Duration = Duration::from_millis(200);
/// Reaching it means a hung test, not a slow machine.
const LONG: Duration = Duration::from_secs(30);

fn client() -> HttpClient {
    HttpClient::new(Limits::default()).expect("a client")
}

fn request(url: &Uri) -> GetRequest<'_> {
    GetRequest {
        url,
        if_none_match: None,
        authorization: None,
        no_cache: false,
        accept: "application/json",
        deadline: LONG,
        max_body_bytes: 1024,
    }
}

async fn get(url: &Uri) -> Result<Fetched, FetchError> {
    client().get(request(url)).await
}

async fn get_within(url: &Uri, deadline: Duration) -> Result<Fetched, FetchError> {
    let request = GetRequest { deadline, ..request(url) };
    client().get(request).await
}

/// A response of `status` with `fields` and `body`, as JSON unless `fields` say otherwise.
fn response(status: u16, fields: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if fields.iter().all(|(name, _)| *name != "content-type") {
        response = response.header("content-type", "application/json");
    }
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    response.body(body).expect("a response")
}

/// What the client makes of a hyper server that always answers like this.
async fn answer(status: u16, fields: &'static [(&str, &str)], body: &'static str) -> Result<Fetched, FetchError> {
    let peer = Peer::hyper(move |_| response(status, fields, body)).await;
    get(&peer.url).await
}

/// A server that reads a request, sends `bytes` and then `filler` until the client hangs up, which it reports. Without a
/// filler it only waits for that.
async fn flood(bytes: &'static str, filler: &'static [u8]) -> (Peer, mpsc::UnboundedReceiver<&'static str>) {
    let (hung_up, reports) = mpsc::unbounded_channel();
    let peer = Peer::raw(move |mut stream| {
        let hung_up = hung_up.clone();
        async move {
            end_of_request(&mut stream).await;
            let mut sent = stream.write_all(bytes.as_bytes()).await;
            while sent.is_ok() && !filler.is_empty() {
                sent = stream.write_all(filler).await;
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = hung_up.send("the client hung up");
        }
    })
    .await;
    (peer, reports)
}

/// A server that reads a request, sends `bytes` and closes.
async fn send_and_close(bytes: &'static str) -> Peer {
    Peer::raw(move |mut stream| async move {
        end_of_request(&mut stream).await;
        let _ = stream.write_all(bytes.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn a_200_yields_body_etag_and_freshness() {
    let fields = &[("etag", "\"v1\""), ("cache-control", "max-age=60")];
    let Ok(Fetched::Body { bytes, etag, max_age, .. }) = answer(200, fields, r#"{"keys":[]}"#).await else { panic!("no body") };
    assert_eq!((&*bytes, etag.as_deref(), max_age), (&br#"{"keys":[]}"#[..], Some("\"v1\""), Some(Duration::from_secs(60))));
}

#[tokio::test]
async fn an_answer_is_as_old_as_its_head_however_long_its_body_takes() {
    // The longer the body waits, the surer it is that its head was seen before it.
    for pause in (0..8).map(|n| Duration::from_millis(20 << n)) {
        let rest_sent = Arc::new(Mutex::new(None));
        let peer = Peer::raw({
            let rest_sent = Arc::clone(&rest_sent);
            move |mut stream| {
                let rest_sent = Arc::clone(&rest_sent);
                async move {
                    end_of_request(&mut stream).await;
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{";
                    let _ = stream.write_all(head.as_bytes()).await;
                    tokio::time::sleep(pause).await;
                    *rest_sent.lock().expect("not poisoned") = Some(std::time::Instant::now());
                    let _ = stream.write_all(b"}").await;
                }
            }
        })
        .await;
        let Ok(Fetched::Body { answered, .. }) = get(&peer.url).await else { panic!("no body") };
        if rest_sent.lock().expect("not poisoned").is_some_and(|rest_sent| answered < rest_sent) {
            return;
        }
    }
    panic!("the moment is that of the body");
}

#[tokio::test]
async fn the_request_says_what_it_accepts_and_nothing_more() {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let peer = Peer::hyper({
        let seen = Arc::clone(&seen);
        move |headers| {
            *seen.lock().expect("not poisoned") = headers.clone();
            response(200, &[], "{}")
        }
    })
    .await;
    let request = GetRequest {
        if_none_match: Some("W/\"v1\""),
        no_cache: true,
        accept: "application/jwk-set+json, application/json",
        ..request(&peer.url)
    };
    assert!(client().get(request).await.is_ok());

    let seen = seen.lock().expect("not poisoned");
    let mut fields: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("ascii"))).collect();
    fields.sort_unstable();
    let host = peer.address.to_string();
    let agent = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
    let expected = [
        ("accept", "application/jwk-set+json, application/json"),
        ("accept-encoding", "gzip"),
        ("cache-control", "no-cache"),
        ("host", host.as_str()),
        ("if-none-match", "W/\"v1\""),
        ("user-agent", agent),
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn a_304_answers_a_conditional_request_and_no_other() {
    let peer = Peer::hyper(|_| response(304, &[("cache-control", "max-age=5")], "")).await;
    let conditional = GetRequest { if_none_match: Some("\"v1\""), ..request(&peer.url) };
    let Ok(Fetched::NotModified { max_age, .. }) = client().get(conditional).await else { panic!("it is modified") };
    assert_eq!(max_age, Some(Duration::from_secs(5)));
    let refused = FetchError::Status { status: 304, retry_after: None };
    assert_eq!(get(&peer.url).await, Err(refused));
}

#[tokio::test]
async fn every_status_but_200_is_refused() {
    for status in [201, 204, 206, 400, 401, 404, 500, 502, 503] {
        let peer = Peer::hyper(move |_| response(status, &[], "")).await;
        let retry_after = None;
        assert_eq!(get(&peer.url).await, Err(FetchError::Status { status, retry_after }));
    }
}

#[tokio::test]
async fn retry_after_is_passed_on_and_capped() {
    let limited = answer(429, &[("retry-after", "7")], "{}").await;
    let after = limited.expect_err("a refusal").retry_after();
    assert_eq!(after, Some(Duration::from_secs(7)));

    let limited = answer(503, &[("retry-after", "1000000")], "{}").await;
    let after = limited.expect_err("a refusal").retry_after();
    assert_eq!(after, Some(Limits::default().max_retry_after));
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    let peer = Peer::hyper(|_| response(200, &[], &"1".repeat(5000))).await;
    for (limit, fits) in [(5000, true), (4999, false), (0, false)] {
        let request = GetRequest { max_body_bytes: limit, ..request(&peer.url) };
        match client().get(request).await {
            Ok(Fetched::Body { bytes, .. }) => assert!(fits && bytes.len() == 5000),
            other => assert_eq!((fits, other), (false, Err(FetchError::TooLarge { limit }))),
        }
    }
}

#[tokio::test]
async fn an_announced_length_above_the_limit_is_refused_before_the_body_comes() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 52428800\r\n\r\n";
    let (peer, mut hung_up) = flood(head, b"").await;
    let limit = 1024;
    assert_eq!(get(&peer.url).await, Err(FetchError::TooLarge { limit }));
    assert!(hung_up.recv().await.is_some());
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_limit() {
    for (head, filler) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", &b"[1,[1,[1,[1,[1,[1,[1,[1,[1,["[..]),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n", &b"4\r\n[1,[\r\n"[..]),
    ] {
        let (peer, mut hung_up) = flood(head, filler).await;
        let limit = 1024;
        assert_eq!(get(&peer.url).await, Err(FetchError::TooLarge { limit }));
        assert!(hung_up.recv().await.is_some());
    }
}

#[tokio::test]
async fn a_body_that_trickles_past_the_deadline_is_dropped() {
    let peer = Peer::raw(|mut stream| async move {
        end_of_request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        let mut sent = stream.write_all(head.as_bytes()).await;
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while sent.is_ok() {
            pace.tick().await;
            sent = stream.write_all(b" ").await;
        }
    })
    .await;
    let timeout = FetchError::Timeout { phase: Phase::Body, after: SOON };
    assert_eq!(get_within(&peer.url, SOON).await, Err(timeout));
}

#[tokio::test]
async fn a_peer_that_hangs_before_its_response_costs_the_deadline_and_no_connection() {
    let (peer, mut hung_up) = flood("", b"").await;
    let timeout = FetchError::Timeout { phase: Phase::Response, after: SOON };
    assert_eq!(get_within(&peer.url, SOON).await, Err(timeout));
    assert!(hung_up.recv().await.is_some());
}

#[tokio::test]
async fn endless_interim_responses_cost_the_deadline() {
    let (peer, mut hung_up) = flood("", b"HTTP/1.1 100 Continue\r\n\r\n").await;
    let failed = get_within(&peer.url, SOON).await.expect_err("a failure");
    assert_eq!(failed.label(), "timeout", "{failed}");
    assert!(hung_up.recv().await.is_some());
}

#[tokio::test]
async fn a_refused_connection_is_told_from_other_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let url = format!("http://{address}/").parse().expect("a url");
    let failed = get(&url).await.expect_err("a failure");
    assert_eq!(failed.label(), "connect", "{failed}");
}

#[tokio::test]
async fn a_name_without_address_is_told_from_other_failures() {
    // A label of more than 63 characters is refused by the resolver itself, without a query.
    let url = format!("http://{}.invalid/", "a".repeat(64));
    let url = url.parse().expect("a url");
    let failed = get(&url).await.expect_err("a failure");
    assert_eq!(failed.label(), "lookup", "{failed}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_yields_nothing() {
    for broken in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-ty",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"keys\":",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"key\r\n",
    ] {
        let peer = send_and_close(broken).await;
        let failed = get(&peer.url).await.expect_err("a failure");
        assert_eq!(failed.label(), "closed", "{broken:?}: {failed}");
    }
}

#[tokio::test]
async fn a_body_in_a_coding_that_nobody_asked_for_is_refused_unread() {
    let fields = &[("content-encoding", "br")];
    let refused = FetchError::ContentEncoding("\"br\"".to_owned());
    assert_eq!(answer(200, fields, "\u{1f}").await, Err(refused));

    let peer =
        send_and_close("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n").await;
    let failed = get(&peer.url).await.expect_err("a failure");
    assert_eq!(failed.label(), "content_encoding", "{failed}");
}

#[tokio::test]
async fn a_page_for_people_is_refused() {
    let fields = &[("content-type", "text/html; charset=utf-8")];
    let refused = FetchError::ContentType(Some("\"text/html; charset=utf-8\"".to_owned()));
    assert_eq!(answer(200, fields, "<html>").await, Err(refused));

    let peer = send_and_close("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(get(&peer.url).await, Err(FetchError::ContentType(None)));
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    for filler in [&b"x-filler: 0123456789abcdef\r\n"[..], &b"aaaaaaaaaaaaaaaa"[..]] {
        let (peer, mut hung_up) = flood("HTTP/1.1 200 OK\r\n", filler).await;
        let failed = get(&peer.url).await.expect_err("a failure");
        assert_eq!(failed.label(), "head", "{failed}");
        assert!(hung_up.recv().await.is_some());
    }
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let peer = Peer::hyper(|_| {
        let fields = vec![("x-filler", "1"); Limits::default().max_headers + 1];
        response(200, &fields, "{}")
    })
    .await;
    let failed = get(&peer.url).await.expect_err("a failure");
    assert_eq!(failed.label(), "head", "{failed}");
}

#[tokio::test]
async fn something_other_than_http_is_refused() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
        "{\"keys\":[]}\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let peer = send_and_close(garbage).await;
        let failed = get(&peer.url).await.expect_err("a failure");
        assert_eq!(failed.label(), "protocol", "{garbage:?}: {failed}");
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_goes_nowhere() {
    let peer = Peer::hyper(|_| response(200, &[], "{}")).await;
    let host = peer.address;
    for url in [format!("ftp://{host}/keys"), format!("http://user:secret@{host}/keys"), "/keys".to_owned(), host.to_string()] {
        let url = url.parse().expect("a url");
        let failed = get(&url).await.expect_err("a failure");
        assert_eq!(failed.label(), "request", "{url}: {failed}");
        assert!(!failed.to_string().contains("secret"));
    }
    let split = GetRequest { if_none_match: Some("\"a\"\r\nx-injected: 1"), ..request(&peer.url) };
    let failed = client().get(split).await.expect_err("a failure");
    assert_eq!(failed.label(), "request", "{failed}");
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn connections_are_reused() {
    let peer = Peer::hyper(|_| response(200, &[], "{}")).await;
    let client = client();
    for _ in 0..3 {
        let fetched = client.clone().get(request(&peer.url)).await;
        assert!(fetched.is_ok(), "{fetched:?}");
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_failed_exchange_does_not_spoil_the_next_one() {
    let peer = Peer::hyper(|headers| match headers.get("if-none-match") {
        Some(_) => response(200, &[], &"1".repeat(100_000)),
        None => response(200, &[], "{}"),
    })
    .await;
    let client = client();
    let large = GetRequest { if_none_match: Some("\"large\""), ..request(&peer.url) };
    for _ in 0..3 {
        assert!(client.get(large).await.is_err());
        assert!(client.get(request(&peer.url)).await.is_ok());
    }
}

#[tokio::test]
async fn an_endless_deadline_is_no_panic() {
    let peer = Peer::hyper(|_| response(200, &[], "{}")).await;
    assert!(get_within(&peer.url, Duration::MAX).await.is_ok());
}
