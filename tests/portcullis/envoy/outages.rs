//! Somebody is missing: what is still answered, how, and that everything comes back by itself.

use std::time::{Duration, Instant};

use serde_json::json;

use super::POST;
use super::answers::assert_refused;
use crate::harness::grpc::{self, Client};
use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_identity_service_at_start_only_what_needs_it_is_closed_and_it_opens_when_that_comes() {
    let _turn = turn::take().await;
    let mut mesh = Mesh::builder().without_identity().start().await;
    mesh.answers(&Request::get("/blog/health"), 200).await;

    assert_eq!(mesh.sidecar.get("/livez").await.status, 200);
    let readiness = mesh.sidecar.get("/readyz").await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("keys of issuer 'main'"), "{}", readiness.text());
    assert!(readiness.text().contains("revocations of issuer 'main' (feed)"), "{}", readiness.text());
    assert!(!readiness.text().contains("'second'"), "{}", readiness.text());

    let unknown = Request::get(POST).token(&token::mint(json!({})));
    let (answer, reason) = mesh.send_for_reason(&unknown).await;
    assert_eq!(reason, "keys_unavailable");
    assert_refused(&answer, 503, None);
    assert_refused(&mesh.send(&Request::get(POST)).await, 401, Some(""));
    assert_eq!(mesh.send(&Request::get("/blog/feed")).await.status, 200, "an optional route without a token");
    let other = Request::get(POST).token(&token::mint_second(json!({})));
    assert_eq!(mesh.send(&other).await.status, 200, "a token of an issuer that is there");

    mesh.identity.start().await;
    let returned = Instant::now();
    mesh.sidecar.ready().await;
    let took = returned.elapsed();
    assert!(took < Duration::from_secs(5), "ready {took:?} after the identity service was there");
    let bob = mesh.identity.log_in("bob", Some("acme")).await;
    assert_eq!(mesh.send(&Request::get(POST).token(&bob.token)).await.status, 200);
    assert_refused(&mesh.send(&unknown).await, 401, Some("invalid_token"));
}

/// A list of revocations is good for three seconds.
fn impatient(text: String) -> String {
    edit(&text, "wait: 30s, max_staleness: 60s", "wait: 1s, max_staleness: 3s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_revocation_list_closes_what_needs_it_until_it_is_fresh_again() {
    let mut mesh = Mesh::builder().policy(impatient).start().await;
    let bob = mesh.identity.log_in("bob", Some("acme")).await;
    let request = Request::get(POST).token(&bob.token);
    assert_eq!(mesh.send(&request).await.status, 200);

    mesh.identity.kill();
    mesh.answers(&request, 503).await;
    let (answer, reason) = mesh.send_for_reason(&request).await;
    assert_eq!(reason, "revocations_stale");
    assert_refused(&answer, 503, None);
    assert_eq!(mesh.send(&Request::get("/blog/health")).await.status, 200, "a public route");
    let readiness = mesh.sidecar.get("/readyz").await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("revocations of issuer 'main' (feed)"), "{}", readiness.text());
    assert!(!readiness.text().contains("keys"), "{}", readiness.text());

    mesh.identity.start().await;
    mesh.answers(&request, 200).await;
    mesh.sidecar.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_that_asks_for_readiness_closes_everything_within_three_seconds_of_its_end() {
    let _turn = turn::take().await;
    let by_readiness = format!("grpc_health_check: {{ service_name: {AUTHORIZATION} }}");
    let mut mesh = Mesh::builder().policy(impatient).envoy(move |text| edit(&text, "grpc_health_check: {}", &by_readiness)).start().await;
    let public = Request::get("/blog/health");
    let client = Client::unix(&mesh.sidecar.socket).await.expect("a connection");

    mesh.identity.kill();
    wait::until_true("the sidecar to be unready", PATIENCE, async || grpc::health(&client, AUTHORIZATION).await == Ok(2)).await;
    let unready = Instant::now();
    mesh.answers(&public, 503).await;
    assert!(unready.elapsed() < Duration::from_secs(3), "closed after {:?}", unready.elapsed());
    let served = mesh.upstream.served();
    for _ in 0..20 {
        assert_eq!(mesh.send(&public).await.status, 503);
    }
    assert_eq!(mesh.upstream.served(), served);

    mesh.identity.start().await;
    mesh.answers(&public, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sidecar_nothing_passes_not_even_what_is_public() {
    let mut mesh = Mesh::start().await;
    let requests = [
        Request::get(POST).token(&token::mint_second(json!({}))),
        Request::get("/blog/feed"),
        Request::get("/blog/health"),
        Request::get("/nowhere"),
    ];
    assert_eq!(mesh.send(&requests[0]).await.status, 200);
    mesh.sidecar.process.kill();
    let served = mesh.upstream.served();
    for _ in 0..10 {
        for request in &requests {
            let answer = mesh.send(request).await;
            assert_eq!(answer.status, 503, "{request:?}");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(mesh.upstream.served(), served, "something passed");

    mesh.sidecar.restart().await;
    mesh.answers(&requests[0], 200).await;
    mesh.answers(&requests[2], 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_hangs_lets_nothing_pass_until_it_goes_on() {
    let _turn = turn::take().await;
    let mesh = Mesh::builder().envoy(|text| edit(&text, "timeout: 10s\n", "timeout: 1s\n")).start().await;
    let requests = [Request::get(POST).token(&token::mint_second(json!({}))), Request::get("/blog/health")];
    assert_eq!(mesh.send(&requests[0]).await.status, 200);
    let served = mesh.upstream.served();
    mesh.sidecar.process.stop().await;
    for request in &requests {
        let answer = mesh.send(request).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(mesh.upstream.served(), served, "something passed");
    mesh.sidecar.process.signal("CONT");
    for request in &requests {
        mesh.answers(request, 200).await;
    }
}
