//! The end: nothing in flight is lost, and nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envoy_types::ext_authz::v3::pb::CheckRequest;
use prost::Message;
use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::{CHECK, Client, frame};
use crate::harness::lab::Lab;
use crate::harness::oracle::{Oracle, Probe, Says};
use crate::harness::sidecar::edit;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

/// A sidecar without anything to do but finish ends at once; the rest is for a busy machine.
const IN_TIME: Duration = Duration::from_secs(5);

/// Asks again and again until the connection ends, and gives why it did.
async fn ask_until_the_end(client: Client, request: CheckRequest, answered: Arc<AtomicUsize>) -> hyper::Error {
    let body = frame(0, &request.encode_to_vec());
    loop {
        match client.post(CHECK, body.clone()).await {
            Ok(answer) => {
                assert_eq!(Verdict::of(&answer.check_response()).reason, "permission_missing");
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => return error,
        }
    }
}

/// Whether the call was never begun: the connection was closing, and said so (`GOAWAY`, `REFUSED_STREAM`).
fn was_not_begun(error: &hyper::Error) -> bool {
    let text = format!("{error:?}");
    error.is_canceled() || error.is_closed() || text.contains("REFUSED_STREAM") || (text.contains("GoAway") && text.contains("NO_ERROR"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_check_that_was_begun_is_answered_when_the_sidecar_is_told_to_end() {
    let _turn = turn::take().await;
    let mut lab = Lab::start().await;
    let good = format!("Bearer {}", token::mint(json!({})));
    // Each refusal leaves a line in the log.
    let request = Ask::new("PUT", POST).header("authorization", &good).raw();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for connection in 0..4 {
        let client =
            if connection % 2 == 0 { lab.sidecar.connect().await } else { Client::tcp(lab.sidecar.grpc).await.expect("a connection") };
        for _ in 0..8 {
            tasks.push(tokio::spawn(ask_until_the_end(client.clone(), request.clone(), Arc::clone(&answered))));
        }
    }
    wait::until_true("a load", PATIENCE, async || answered.load(Ordering::SeqCst) > 1000).await;
    lab.sidecar.process.signal("TERM");
    for task in tasks {
        let error = task.await.expect("all answers were right");
        assert!(was_not_begun(&error), "a check was lost: {error:?}");
    }
    let status = lab.sidecar.process.ended(IN_TIME).await;
    assert!(status.success(), "{status}");
    assert!(!lab.sidecar.socket.exists(), "the socket's file is left behind");
    let log = lab.sidecar.process.log();
    let (decided, answered) = (log.matches(" portcullis::decision: ").count(), answered.load(Ordering::SeqCst));
    assert!(decided <= answered, "{decided} checks were decided, and {answered} answers came");
    assert!(log.contains("draining") && log.contains("stopped") && !log.contains("were cut"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_keep_the_sidecar() {
    let mut lab = Lab::start().await;
    let clients = [lab.sidecar.connect().await, Client::tcp(lab.sidecar.grpc).await.expect("a connection")];
    for client in &clients {
        assert!(Verdict::of(&client.check(&Ask::get("/blog/health").raw()).await).passes);
    }
    lab.sidecar.process.signal("TERM");
    assert!(lab.sidecar.process.ended(IN_TIME).await.success());
    assert!(!lab.sidecar.socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_it_like_a_termination() {
    let mut lab = Lab::start().await;
    lab.sidecar.process.signal("INT");
    assert!(lab.sidecar.process.ended(IN_TIME).await.success());
    assert!(!lab.sidecar.socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_connected_is_served_until_the_delay_has_passed_or_all_have_gone() {
    let mut lab = Lab::with_policy(|text| edit(&text, "delay: 0s", "delay: 60s")).await;
    let oracle = Oracle::start(&lab.sidecar.socket, [Probe::new("health", &Ask::get("/blog/health"), Says::Passes)]).await;
    lab.sidecar.process.signal("TERM");
    wait::until_true("not to be ready", PATIENCE, async || lab.sidecar.get("/readyz").await.status == 503).await;
    assert!(lab.sidecar.get("/readyz").await.text().contains("shutting down"));
    oracle.rounds(50).await;
    // Also who comes only now.
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes);
    assert!(lab.sidecar.process.is_running());
    let report = oracle.stop().await;
    report.assert_none_wrong();
    eprintln!("{report}");
    assert!(lab.sidecar.process.ended(IN_TIME).await.success(), "nobody is there any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_delay_passes_and_a_second_signal_cuts_it_short() {
    for (delay, again) in [("500ms", false), ("60s", true)] {
        let mut lab = Lab::with_policy(|text| edit(&text, "delay: 0s", &format!("delay: {delay}"))).await;
        let client = lab.sidecar.connect().await;
        let _watch = client.watch("").await;
        lab.sidecar.process.signal("TERM");
        lab.sidecar.process.log_line("serving until the delay has passed").await;
        if again {
            assert!(Verdict::of(&client.check(&Ask::get("/blog/health").raw()).await).passes);
            lab.sidecar.process.signal("TERM");
        }
        // Whoever watches health does not keep it either.
        assert!(lab.sidecar.process.ended(IN_TIME).await.success());
        assert!(!lab.sidecar.process.log().contains("were cut"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_is_cut_at_the_deadline_and_recorded() {
    let mut lab = Lab::with_policy(|text| edit(&text, "delay: 0s", "delay: 0s, deadline: 1s")).await;
    let mut peer = crate::harness::frames::Peer::connect(lab.sidecar.grpc).await;
    let headers = crate::harness::frames::check_headers(&[]);
    peer.send(&crate::harness::frames::frame(1, 4, 1, &headers)).await.expect("a connection");
    wait::until_true("a call", PATIENCE, async || lab.sidecar.metrics().await.get("portcullis_checks_in_flight") > 0.5).await;
    lab.sidecar.process.signal("TERM");
    assert!(lab.sidecar.process.ended(IN_TIME).await.success());
    let log = lab.sidecar.process.log();
    assert!(log.contains("did not end in time and were cut") && log.contains("calls were given up"), "{log}");
}
