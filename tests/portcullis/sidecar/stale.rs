//! A revocation list that is too old, with the setting that says to go on with it, and without.

use serde_json::json;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

const STALE_DECISIONS: &str = "portcullis_stale_revocation_decisions_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_fail_open_a_stale_list_is_used_on_and_each_such_decision_is_counted() {
    let lab = Lab::with_policy(|text| {
        edit(&text, "wait: 30s, max_staleness: 60s, when_stale: deny", "wait: 1s, max_staleness: 3s, when_stale: fail_open")
    })
    .await;
    let good = format!("Bearer {}", token::mint(json!({})));
    let revoked = format!("Bearer {}", token::mint(json!({ "sid": "stolen" })));
    let (good, revoked) = (Ask::get(POST).header("authorization", &good), Ask::get(POST).header("authorization", &revoked));
    assert!(lab.sidecar.ask(&revoked).await.passes);
    lab.stub.revoke("sid", "stolen");
    wait::until_true("the revocation", PATIENCE, async || lab.sidecar.ask(&revoked).await.reason == "token_revoked").await;
    assert!((lab.sidecar.metrics().await.get(STALE_DECISIONS) - 0.0).abs() < f64::EPSILON);

    lab.stub.break_down(true);
    wait::until_true("the list to be stale", PATIENCE, async || {
        assert!(lab.sidecar.ask(&good).await.passes, "a stale list must not close here");
        lab.sidecar.metrics().await.get(STALE_DECISIONS) > 0.0
    })
    .await;
    let before = lab.sidecar.metrics().await.get(STALE_DECISIONS);
    for _ in 0..5 {
        assert!(lab.sidecar.ask(&good).await.passes);
        assert_eq!(lab.sidecar.ask(&revoked).await.reason, "token_revoked", "what is known to be revoked stays so");
    }
    assert!((lab.sidecar.metrics().await.get(STALE_DECISIONS) - before - 10.0).abs() < f64::EPSILON);
    assert_eq!(lab.sidecar.get("/readyz").await.status, 200);

    lab.stub.break_down(false);
    wait::until_true("a fresh list", PATIENCE, async || {
        let before = lab.sidecar.metrics().await.get(STALE_DECISIONS);
        assert!(lab.sidecar.ask(&good).await.passes);
        (lab.sidecar.metrics().await.get(STALE_DECISIONS) - before).abs() < f64::EPSILON
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_it_a_stale_list_closes_and_a_fresh_one_opens() {
    let lab = Lab::with_policy(|text| edit(&text, "wait: 30s, max_staleness: 60s", "wait: 1s, max_staleness: 3s")).await;
    let good = format!("Bearer {}", token::mint(json!({})));
    let good = Ask::get(POST).header("authorization", &good);
    assert!(lab.sidecar.ask(&good).await.passes);
    lab.stub.break_down(true);
    wait::until_true("the list to be stale", PATIENCE, async || lab.sidecar.ask(&good).await.reason == "revocations_stale").await;
    assert_eq!(lab.sidecar.ask(&good).await.status, Some(503));
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes);
    lab.stub.break_down(false);
    wait::until_true("a fresh list", PATIENCE, async || lab.sidecar.ask(&good).await.passes).await;
}
