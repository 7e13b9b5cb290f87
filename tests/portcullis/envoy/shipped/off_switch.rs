//! One route without a check, on purpose: what is seen of it, and that more than it does not stay unseen.

use super::walk::{self, DORA, Row, dora, spoofed, walked};
use crate::envoy::POST;
use crate::harness::door::Door;
use crate::harness::envoy::Envoy;
use crate::harness::http::{Answer, Request};
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::upstream::Seen;

const FILE: &str = "envoy/off-switch.yaml";
const CANARY: &str = "/.portcullis/canary";
const LOGO: &str = "/public/logo.svg";

/// The canary's route, as the file's head has it.
fn canary_route() -> String {
    let shipped = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).expect(FILE);
    let line = shipped.lines().find(|line| line.contains("lockdown:")).expect("the canary's route");
    format!("routes:\n{}\n", line.trim_start_matches('#').replacen("     - ", "  - ", 1))
}

async fn start(variant: impl FnOnce(String) -> String + 'static) -> Mesh {
    let builder = Mesh::builder().file(FILE, Door::plain("localhost")).policy(|text| walk::policy(&text, &canary_route()));
    builder.envoy(variant).start().await
}

/// What x-authz says.
fn mark(answer: &Answer) -> Option<&str> {
    answer.header("x-authz")
}

/// How many requests reached a service, and how many of them were let through to it.
async fn reached_and_let_through(envoy: &Envoy, cluster: &str) -> (u64, u64) {
    (envoy.stat(&format!("cluster.{cluster}.upstream_rq_total")).await, envoy.stat(&format!("cluster.{cluster}.ext_authz.ok")).await)
}

/// What passes on the switched-off route. Gives how many rows that was.
async fn unchecked(mesh: &Mesh) -> usize {
    let requests = [
        ("a file", Request::get(LOGO)),
        ("with forged headers", spoofed(Request::get(LOGO))),
        ("with credentials", Request::get(LOGO).token(&dora()).header("cookie", "session=1")),
        ("into it by dots", Request::get("/blog/../public/logo.svg")),
    ];
    let decided = mesh.sidecar.metrics().await.decisions();
    for (name, request) in &requests {
        let answer = mesh.send(request).await;
        let seen = Seen::of(&answer);
        assert_eq!((mark(&answer), seen.target.as_str()), (Some("off"), LOGO), "{name}");
        assert_eq!(seen.identity(), [], "{name}");
        for header in crate::envoy::headers::OVERRIDES.iter().chain(&["authorization", "cookie"]) {
            assert!(seen.values(header).is_empty(), "{name}: {header} reached the files");
        }
        let entry = mesh.envoy.log_entry(&answer).await;
        assert_eq!((entry["unchecked"].as_str(), entry["upstream"].as_str()), (Some("static files"), Some("files")), "{name}");
        assert!(entry["decision"].is_null(), "{name}");
    }
    assert_eq!(mesh.sidecar.metrics().await.decisions(), decided, "Portcullis was asked");
    requests.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_off_switch() {
    let mut mesh = start(|text| text).await;
    let get = |path: &str| Request::get(path).token(&dora());
    let mut rows = walk::usual();
    rows.extend([
        Row::alone("two hosts", get(POST).header("host", "localhost,evil.test"), 404),
        Row::passes("a claim of the client's", get(POST).header("x-authz", "off"), "allowed", &DORA),
        Row::refused("out of it by dots", Request::get("/public/../blog/tenants/acme/posts/1"), 401, "credential_missing"),
        Row::refused("out of it by escaped dots", Request::get("/public/%2e%2e/blog/me"), 401, "credential_missing"),
        Row::refused("out of it by dots and a semicolon", Request::get("/public/..;/blog/me"), 401, "credential_missing"),
        Row::alone("out of it by an escaped slash", Request::get("/public/..%2fblog/me"), 400),
        Row::refused("a path that only begins like it", Request::get("/publications"), 403, "route_not_found"),
        Row::refused("a method that writes", Request::new("PUT", LOGO), 403, "route_not_found"),
        Row::refused("the canary", Request::get(CANARY), 403, "locked_down"),
        Row::refused("the canary, with a token", get(CANARY), 403, "locked_down"),
        Row::refused("the canary, by another host", Request::get(CANARY).header("host", "blog.localhost"), 403, "locked_down"),
        Row::refused("beside the canary", Request::get("/.portcullis/other"), 403, "route_not_found"),
    ]);
    let mut count = walk::walk(&mesh, &[], &rows).await;
    count += walk::log_in(&mesh, None).await;
    count += unchecked(&mesh).await;

    // What whoever is on call sees.
    let health = mesh.send(&Request::get("/blog/health")).await;
    let canary = mesh.send(&Request::get(CANARY)).await;
    assert_eq!((health.status, mark(&health), canary.status, mark(&canary)), (200, Some("allow"), 403, Some("deny")));
    for cluster in ["blog", "identity"] {
        let (reached, let_through) = reached_and_let_through(&mesh.envoy, cluster).await;
        assert!(reached > 0 && reached == let_through, "{cluster}: {reached} requests, of which {let_through} were let through");
    }
    assert!(mesh.envoy.stat("vhost.services.route.unchecked.upstream_rq_total").await > 0);
    let unmarked = |entry: &serde_json::Value| {
        entry["decision"].is_null() && entry["unchecked"].is_null() && entry["status"].as_u64().is_some_and(|status| status < 400)
    };
    assert!(!mesh.envoy.access_log().values().any(unmarked));

    count += walk::without_sidecar(&mut mesh, &rows).await;
    let (file, canary) = (mesh.send(&Request::get(LOGO)).await, mesh.send(&Request::get(CANARY)).await);
    assert_eq!((file.status, mark(&file), canary.status, mark(&canary)), (200, Some("off"), 503, None), "without a sidecar");
    let metrics: Vec<String> = walk::metrics_to_watch().into_iter().filter(|name| !name.contains("_ssl_")).collect();
    assert!(metrics.len() >= 9, "{metrics:?}");
    walk::has_metrics(&mesh, &metrics).await;
    walked(FILE, count + 4);
}

/// The first of the routes with services.
const BLOG_ROUTE: &str = "                          route: { cluster: blog, timeout: 15s }\n";

fn per_filter(indent: usize) -> String {
    let space = " ".repeat(indent);
    format!(
        "{space}typed_per_filter_config:\n{space}  envoy.filters.http.ext_authz:\n{space}    \"@type\": \
         type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute\n{space}    disabled: true\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_off_for_the_whole_host_kills_the_canary() {
    let host = "                    - name: services\n                      domains:";
    let mesh = start(move |text| {
        edit(&text, host, &format!("                    - name: services\n{}                      domains:", per_filter(22)))
    })
    .await;
    let answer = mesh.send(&Request::get(CANARY)).await;
    assert_eq!((answer.status, mark(&answer)), (200, None));
    assert!(answer.text().contains("NOT CHECKED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_that_lets_pass_what_could_not_be_asked_kills_the_canary_with_the_sidecar() {
    let mut mesh = start(|text| edit(&text, "failure_mode_allow: false", "failure_mode_allow: true")).await;
    assert_eq!(mesh.send(&Request::get(CANARY)).await.status, 403);
    mesh.sidecar.process.kill();
    let answer = mesh.send(&Request::get(CANARY)).await;
    assert_eq!((answer.status, mark(&answer)), (200, None));
    assert!(answer.text().contains("NOT CHECKED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_route_without_a_check_shows_in_header_log_and_metrics() {
    let mesh = start(|text| edit(&text, BLOG_ROUTE, &format!("{BLOG_ROUTE}{}", per_filter(26)))).await;
    assert_eq!(mesh.send(&Request::get(CANARY)).await.status, 403, "it is another route");
    let answer = mesh.send(&Request::get(POST)).await;
    assert_eq!((answer.status, mark(&answer)), (200, None));
    let entry = mesh.envoy.log_entry(&answer).await;
    assert!(entry["decision"].is_null() && entry["unchecked"].is_null());
    let (reached, let_through) = reached_and_let_through(&mesh.envoy, "blog").await;
    assert!(reached > let_through, "{reached} requests, of which {let_through} were let through");
}
