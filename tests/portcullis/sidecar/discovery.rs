//! Keys that are found through the issuer's metadata, and what else HTTP allows a server: redirects, gzip, caching.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use portcullis::policy_test::keys;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::identity::Identity;
use crate::harness::mesh;
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{http, token};

/// A server of documents that the test writes. It ends when it is dropped.
struct Papers {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    pages: watch::Sender<Vec<(&'static str, Page)>>,
    asked: AtomicU64,
    now: AtomicU64,
    most_at_once: AtomicU64,
}

#[derive(Clone)]
enum Page {
    /// 200.
    Json(Value),
    /// The same in gzip.
    Gzip(Value),
    /// A redirect.
    Moved(String),
    /// 503 that asks to wait so many seconds.
    Later(u32),
    /// 200, a moment later.
    Slow(Value),
}

impl Papers {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, shared, task }
    }

    fn put(&self, path: &'static str, page: Page) {
        self.shared.pages.send_modify(|pages| {
            pages.retain(|(known, _)| *known != path);
            pages.push((path, page));
        });
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let _present = Present::new(&shared);
    let page = shared.pages.borrow().iter().find(|(path, _)| *path == request.uri().path()).map(|(_, page)| page.clone());
    if let Some(Page::Slow(_)) = page {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let json = (header::CONTENT_TYPE, "application/json");
    match page {
        Some(Page::Json(value) | Page::Slow(value)) => ([json], value.to_string()).into_response(),
        Some(Page::Gzip(value)) => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(value.to_string().as_bytes()).expect("written");
            ([json, (header::CONTENT_ENCODING, "gzip")], encoder.finish().expect("finished")).into_response()
        }
        Some(Page::Moved(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Page::Later(seconds)) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())]).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A request that is being answered, until it is or its client hangs up.
struct Present(Arc<Shared>);

impl Present {
    fn new(shared: &Arc<Shared>) -> Self {
        let at_once = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn key_set(names: &[&str]) -> Page {
    Page::Json(keys::key_set(names).expect("keys"))
}

fn metadata(jwks_uri: &str) -> Page {
    Page::Json(json!({ "issuer": token::ISSUER, "jwks_uri": jwks_uri, "response_types_supported": [] }))
}

/// The usual policy with other keys of the main issuer, whose revocations nobody asks for.
fn policy(folder: &std::path::Path, jwks: &str) -> String {
    let policy = sidecar::policy(folder, "http://127.0.0.1:1");
    let policy = edit(&policy, "url: \"http://127.0.0.1:1/.well-known/jwks.json\", refresh: 1h, max_stale: 24h, cooldown: 1s", jwks);
    policy.lines().filter(|line| !line.contains("revocations:")).map(|line| format!("{line}\n")).collect()
}

async fn passes(sidecar: &Sidecar, key: &str) -> bool {
    let bearer = format!("Bearer {}", token::mint_with_key(key, json!({})));
    sidecar.ask(&Ask::get(POST).header("authorization", &bearer)).await.passes
}

async fn refreshes(sidecar: &Sidecar, feed: &str, result: &str) -> f64 {
    let series = format!("portcullis_refreshes_total{{feed=\"{feed}\",issuer=\"main\",result=\"{result}\"}}");
    sidecar.metrics().await.find(&series).unwrap_or_default()
}

async fn refreshed(sidecar: &Sidecar, feed: &str, result: &str) {
    let before = refreshes(sidecar, feed, result).await;
    let what = format!("a refresh of {feed} that comes to '{result}'");
    wait::until_true(&what, PATIENCE, async || refreshes(sidecar, feed, result).await > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_found_through_the_metadata_and_followed_when_they_move() {
    let (folder, papers) = (mesh::folder(), Papers::start().await);
    papers.put("/metadata", metadata(&papers.url("/keys")));
    papers.put("/keys", key_set(&["rsa-a"]));
    let jwks = format!("discovery: \"{}\", refresh: 1s, cooldown: 1s", papers.url("/metadata"));
    let sidecar = Sidecar::start(folder.path(), &policy(folder.path(), &jwks)).await;
    sidecar.ready().await;
    assert!(passes(&sidecar, "rsa-a").await);

    papers.put("/moved", key_set(&["rsa-c"]));
    papers.put("/metadata", metadata(&papers.url("/moved")));
    wait::until_true("the new keys", PATIENCE, async || passes(&sidecar, "rsa-c").await).await;
    assert!(!passes(&sidecar, "rsa-a").await, "a key that left is distrusted");

    // What is wrong with the metadata changes nothing, and the keys go on being fetched from where it said last.
    let elsewhere = Papers::start().await;
    elsewhere.put("/keys", key_set(&["rsa-a"]));
    for (wrong, label) in [
        (metadata(&elsewhere.url("/keys")), "not_metadata"),
        (Page::Json(json!({ "issuer": "http://other.test", "jwks_uri": papers.url("/keys") })), "not_metadata"),
        (Page::Moved(elsewhere.url("/keys")), "redirect"),
        (Page::Later(1), "status"),
    ] {
        papers.put("/metadata", wrong);
        refreshed(&sidecar, "metadata", label).await;
        refreshed(&sidecar, "keys", "ok").await;
        assert!(passes(&sidecar, "rsa-c").await && !passes(&sidecar, "rsa-a").await, "{label}");
    }
    papers.put("/moved", key_set(&["rsa-a", "rsa-c"]));
    wait::until_true("the other key", PATIENCE, async || passes(&sidecar, "rsa-a").await).await;
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_holds_the_keys_only_if_the_configuration_says_so() {
    let (folder, papers, other) = (mesh::folder(), Papers::start().await, Papers::start().await);
    papers.put("/metadata", metadata(&other.url("/keys")));
    other.put("/keys", key_set(&["rsa-a"]));
    let jwks = format!("discovery: \"{}\", refresh: 1s, cooldown: 1s", papers.url("/metadata"));
    let mut sidecar = Sidecar::start(folder.path(), &policy(folder.path(), &jwks)).await;
    sidecar.process.log_line("is on another host than the metadata").await;
    assert_eq!((sidecar.get("/readyz").await.status, other.asked()), (503, 0));
    sidecar.replace_config(&policy(folder.path(), &format!("{jwks}, hosts: \"{}\"", other.address)));
    sidecar.ready().await;
    assert!(passes(&sidecar, "rsa-a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_metadata_said_last_is_good_for_as_long_as_keys_are() {
    let (folder, papers) = (mesh::folder(), Papers::start().await);
    papers.put("/metadata", metadata(&papers.url("/keys")));
    papers.put("/keys", key_set(&["rsa-a"]));
    let jwks = format!("discovery: \"{}\", refresh: 1s, max_stale: 3s, cooldown: 1s", papers.url("/metadata"));
    let sidecar = Sidecar::start(folder.path(), &policy(folder.path(), &jwks)).await;
    sidecar.ready().await;
    papers.put("/metadata", Page::Json(json!({})));
    wait::until_true("the keys to be too old", PATIENCE, async || sidecar.get("/readyz").await.status == 503).await;
    assert!(!passes(&sidecar, "rsa-a").await);
    papers.put("/metadata", metadata(&papers.url("/keys")));
    sidecar.ready().await;
    assert!(passes(&sidecar, "rsa-a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_identity_service_is_found_by_its_own_name() {
    let folder = mesh::folder();
    let mut identity = Identity::prepare(folder.path());
    identity.start_as(&identity.url()).await;
    let policy = sidecar::policy(folder.path(), &identity.url());
    let policy = edit(&policy, &format!("url: \"{}/.well-known/jwks.json\"", identity.url()), "discovery: oidc");
    let policy = edit(&policy, "issuer: http://identity.test", &format!("issuer: {}", identity.url()));
    let sidecar = Sidecar::start(folder.path(), &policy).await;
    sidecar.ready().await;
    let bearer = format!("Bearer {}", identity.log_in("bob", Some("acme")).await.token);
    assert!(sidecar.ask(&Ask::get(POST).header("authorization", &bearer)).await.passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip_and_redirects_within_one_server_are_fine_and_others_are_not_followed() {
    let (folder, papers, other) = (mesh::folder(), Papers::start().await, Papers::start().await);
    papers.put("/keys", Page::Moved("/v1/keys".into()));
    papers.put("/v1/keys", Page::Moved(papers.url("/v2/keys")));
    papers.put("/v2/keys", Page::Gzip(keys::key_set(&["rsa-a"]).expect("a key")));
    let jwks = format!("url: \"{}\", refresh: 1s, cooldown: 1s", papers.url("/keys"));
    let sidecar = Sidecar::start(folder.path(), &policy(folder.path(), &jwks)).await;
    sidecar.ready().await;
    assert!(passes(&sidecar, "rsa-a").await);
    other.put("/keys", key_set(&["rsa-c"]));
    papers.put("/keys", Page::Moved(other.url("/keys")));
    refreshed(&sidecar, "keys", "redirect").await;
    assert!(passes(&sidecar, "rsa-a").await && !passes(&sidecar, "rsa-c").await);
    assert_eq!(other.asked(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_time_gets_it_whatever_tokens_come() {
    let (folder, papers) = (mesh::folder(), Papers::start().await);
    papers.put("/keys", Page::Later(300));
    let jwks = format!("url: \"{}\", refresh: 1s, cooldown: 100ms", papers.url("/keys"));
    let sidecar = Sidecar::start(folder.path(), &policy(folder.path(), &jwks)).await;
    wait::until_true("the first question", PATIENCE, async || papers.asked() == 1).await;
    wait::until_true("the failure", PATIENCE, async || refreshes(&sidecar, "keys", "status").await > 0.0).await;
    for number in 0..50 {
        assert!(!passes(&sidecar, if number % 2 == 0 { "rsa-a" } else { "rsa-c" }).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(papers.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_change_make_neither_two_fetches_at_once_nor_many() {
    let began = Instant::now();
    let (folder, papers) = (mesh::folder(), Papers::start().await);
    papers.put("/keys", Page::Slow(keys::key_set(&["rsa-a"]).expect("a key")));
    let with =
        |stale: u64| policy(folder.path(), &format!("url: \"{}\", refresh: 1s, max_stale: {stale}h, cooldown: 1s", papers.url("/keys")));
    let sidecar = Sidecar::start(folder.path(), &with(1)).await;
    sidecar.ready().await;
    for stale in 2..6 {
        sidecar.replace_config(&with(stale));
        sidecar.generation_is(stale).await;
    }
    assert!(passes(&sidecar, "rsa-a").await);
    let most = papers.shared.most_at_once.load(Ordering::SeqCst);
    // A server learns only after a while that nobody waits for it any more.
    assert!(most <= 2, "{most} fetches at once");
    let (asked, took) = (papers.asked(), began.elapsed());
    assert!(asked <= 2 + took.as_secs(), "{asked} fetches in {took:?}, with a cool-down of a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_files_is_there_before_the_first_check() {
    let folder = mesh::folder();
    let policy = policy(folder.path(), &format!("file: {}", folder.path().join("main.json").display()));
    std::fs::write(folder.path().join("main.json"), keys::key_set(&["rsa-a"]).expect("a key").to_string()).expect("a file");
    for _ in 0..5 {
        let sidecar = Sidecar::start(folder.path(), &policy).await;
        // No waiting for its being ready.
        assert!(passes(&sidecar, "rsa-a").await);
        assert_eq!(http::send(sidecar.admin, &http::Request::get("/readyz")).await.status, 200);
    }
}
