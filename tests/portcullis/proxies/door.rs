//! The HTTP front door itself: what no proxy would ask, how long it waits, and how it ends.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::listeners;
use crate::harness::http::{Connection, Request};
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::stub::Person;
use crate::harness::wait::PATIENCE;
use crate::harness::{ports, token};

const ROUTE: &str = r#"
  - { path: "/people/{user}", targets: { user: { path: user } }, methods: { GET: { manages: user } } }
"#;

/// A sidecar with a listener of each dialect, and where they are: the first two over TCP.
async fn lab(change: impl FnOnce(String) -> String) -> (Lab, [std::net::SocketAddr; 2]) {
    let addresses = [ports::pick(), ports::pick()].map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    let [nginx, forward_auth] = addresses.map(|address| address.to_string());
    let lab = Lab::with_policy(|text| {
        let listen = format!("  admin: 127.0.0.1:0\n{}", listeners(&folder_in(&text), &nginx, &forward_auth));
        change(edit(&text, "  admin: 127.0.0.1:0\n", &listen))
    })
    .await;
    (lab, addresses)
}

/// The folder of the sidecar's socket.
fn folder_in(policy: &str) -> PathBuf {
    policy.split("unix:").nth(1).and_then(|rest| rest.split("/authz.sock").next()).expect("the socket's folder").into()
}

fn from_nginx(uri: &str) -> Request {
    Request::get("/").headers(&[("x-original-method", "GET"), ("x-original-uri", uri), ("host", "localhost"), ("x-real-ip", "192.0.2.1")])
}

fn from_caddy(uri: &str) -> Request {
    Request::get("/").headers(&[
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", uri),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "192.0.2.1"),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_does_not_say_is_not_guessed() {
    let (mut lab, [nginx, forward_auth]) = lab(|text| text).await;
    let mut nginx = Connection::open(nginx).await.expect("a connection");
    let mut forward_auth = Connection::open(forward_auth).await.expect("a connection");
    let mut envoy = Connection::open_unix(&lab.folder.path().join("http.sock")).await.expect("a connection");
    let from_envoy = |target| Request::get(target).headers(&[("host", "localhost"), ("x-real-ip", "192.0.2.1")]);

    assert_eq!(nginx.send(&from_nginx("/blog/health")).await.expect("an answer").status, 200);
    assert_eq!(forward_auth.send(&from_caddy("/blog/health")).await.expect("an answer").status, 200);
    assert_eq!(envoy.send(&from_envoy("/authz/blog/health")).await.expect("an answer").status, 200);

    let before = lab.sidecar.metrics().await.reason("request_malformed");
    // In the words of another dialect, twice, without a prefix, without anything.
    let twice = from_nginx("/blog/health").header("x-original-uri", "/blog/me");
    for request in [from_caddy("/blog/health"), from_envoy("/authz/blog/health"), twice, Request::get("/blog/health")] {
        let answer = nginx.send(&request).await.expect("an answer");
        assert_eq!((answer.status, answer.header("x-authz-status")), (403, Some("400")), "{request:?}");
        assert_eq!(answer.json()["status"], 400);
    }
    for request in [from_nginx("/blog/health"), from_envoy("/authz/blog/health"), Request::get("/blog/health")] {
        assert_eq!(forward_auth.send(&request).await.expect("an answer").status, 400, "{request:?}");
    }
    for request in [from_nginx("/blog/health"), from_caddy("/blog/health"), from_envoy("/blog/health"), from_envoy("/authz")] {
        assert_eq!(envoy.send(&request).await.expect("an answer").status, 400, "{request:?}");
    }
    assert_eq!(lab.sidecar.metrics().await.reason("request_malformed") - before, 11, "each is counted as what it is");
    for said in [
        "there is no header 'x-original-method', which the proxy has to set",
        "the header 'x-original-uri' is there more than once",
        "there is no header 'x-forwarded-proto'",
        "the target is not a path below 'path_prefix'",
    ] {
        lab.sidecar.process.log_line(said).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_has_to_wait_is_answered_before_the_proxy_gives_up() {
    let (lab, [nginx, _]) = lab(|text| {
        let text = edit(&text, "dialect: nginx }", "dialect: nginx, timeout: 300ms }") + ROUTE;
        let url = text.split("jwks: { url: \"").nth(1).and_then(|rest| rest.split("/.well-known").next()).expect("the stub").to_string();
        let text =
            edit(&text, "operator: { permissions", "boss: { permissions: [], manages: { roles: [\"*\"] } }\n  operator: { permissions");
        let secret = folder_in(&text).join("directory.token");
        fs::write(&secret, "of-the-sidecar\n").expect("a file");
        text + &format!("\ndirectory: {{ url: \"{url}/v1/directory\", token_file: {}, deadline: 5s }}\n", secret.display())
    })
    .await;
    lab.stub.person("bob", Person::Hangs);
    let token = token::mint(json!({ "roles": ["boss"] }));
    let began = Instant::now();
    let mut connection = Connection::open(nginx).await.expect("a connection");
    let answer = connection.send(&from_nginx("/people/bob").token(&token)).await.expect("an answer");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(began.elapsed() >= Duration::from_millis(280), "{:?}", began.elapsed());
    assert_eq!(lab.sidecar.metrics().await.reason("deadline_exceeded"), 1);
    assert_eq!(connection.send(&from_nginx("/blog/health")).await.expect("an answer").status, 200, "the connection is good for more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_the_last_answer_says_that_it_is_the_last() {
    let (mut lab, [nginx, _]) = lab(|text| edit(&text, "shutdown: { delay: 0s }", "shutdown: { delay: 0s, deadline: 5s }")).await;
    let mut busy = Connection::open(nginx).await.expect("a connection");
    let mut idle = Connection::open(nginx).await.expect("a connection");
    for connection in [&mut busy, &mut idle] {
        let answer = connection.send(&from_nginx("/blog/health")).await.expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    lab.sidecar.process.signal("TERM");
    lab.sidecar.process.log_line("draining").await;
    let answer = loop {
        let answer = busy.send(&from_nginx("/blog/health")).await.expect("an answer");
        if answer.header("connection").is_some() {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(lab.sidecar.process.ended(PATIENCE).await.success());
}
