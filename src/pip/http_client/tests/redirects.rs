//! Redirects: followed within one server, three times at most, and never to another.

use http::request::Parts;

use super::*;

/// Answers `/0` with a redirect to `/1` and so on; `/9` is the end.
fn step(request: &Parts) -> Response<Full<Bytes>> {
    let number: u8 = request.uri.path().trim_start_matches('/').parse().expect("a number");
    let location = format!("/{}", number + 1);
    if number == 9 { response(200, &[("etag", "\"v1\"")], "{}") } else { response(307, &[("location", &location)], "") }
}

async fn from(peer: &Peer, path: &str) -> Result<Fetched, FetchError> {
    let url = format!("http://{}{path}", peer.address).parse().expect("a url");
    get(&url).await
}

#[tokio::test]
async fn three_within_one_server_are_followed_and_a_fourth_is_not() {
    let peer = Peer::requests(step).await;
    for start in 6..=9 {
        assert!(from(&peer, &format!("/{start}")).await.is_ok(), "{start}");
    }
    let refused = FetchError::Redirect { status: 307, location: Some("\"/9\"".to_owned()) };
    assert_eq!(from(&peer, "/5").await, Err(refused));
    let failed = from(&Peer::requests(|_| response(302, &[("location", "/loop")], "")).await, "/loop").await;
    assert_eq!(failed.expect_err("a loop").label(), "redirect");
}

#[tokio::test]
async fn no_other_server_is_asked() {
    let target = Peer::hyper(|_| response(200, &[], "{}")).await;
    for status in [300, 301, 302, 303, 307, 308] {
        let location = target.url.to_string();
        let peer = Peer::hyper(move |_| response(status, &[("location", &location)], "")).await;
        let location = Some(format!("\"{}\"", target.url));
        assert_eq!(get(&peer.url).await, Err(FetchError::Redirect { status, location }));
    }
    assert_eq!(target.connections(), 0);
    let nowhere = Peer::hyper(|_| response(302, &[], "")).await;
    assert_eq!(get(&nowhere.url).await, Err(FetchError::Redirect { status: 302, location: None }));
}

#[tokio::test]
async fn an_entity_tag_stays_with_its_url() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let peer = Peer::requests({
        let seen = Arc::clone(&seen);
        move |request| {
            let tag = request.headers.get("if-none-match").map(|tag| tag.to_str().expect("ascii").to_owned());
            seen.lock().expect("not poisoned").push((request.uri.path().to_owned(), tag));
            step(request)
        }
    })
    .await;
    let url = format!("http://{}/8", peer.address).parse().expect("a url");
    let conditional = GetRequest { if_none_match: Some("\"v1\""), authorization: Some("Bearer t"), ..request(&url) };
    let fetched = client().get(conditional).await.expect("an answer");
    assert!(matches!(fetched, Fetched::Body { etag: None, .. }), "{fetched:?}");
    assert_eq!(*seen.lock().expect("not poisoned"), [("/8".into(), Some("\"v1\"".into())), ("/9".into(), None)]);
}

#[tokio::test]
async fn all_of_them_share_one_deadline() {
    let slow = Peer::raw(|mut stream| async move {
        while end_of_request(&mut stream).await {
            tokio::time::sleep(SOON / 2).await;
            let _ = stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let timeout = FetchError::Timeout { phase: Phase::Response, after: SOON };
    assert_eq!(get_within(&slow.url, SOON).await, Err(timeout));
}
