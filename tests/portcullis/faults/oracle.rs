//! An oracle that could not find anything wrong would prove nothing.

use std::time::Duration;

use serde_json::json;

use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::oracle::{Oracle, Probe, Says};
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};
use crate::sidecar::POST;

const REVOKED: Says = Says::Refuses(401, "token_revoked");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_change_is_right_and_any_other_is_wrong() {
    let lab = Lab::start().await;
    let bearer = |session: &str| format!("Bearer {}", token::mint(json!({ "sid": session })));
    let tokens = ["announced", "unannounced", "in-vain"].map(|session| (session, bearer(session)));
    let probes = tokens.iter().map(|(name, bearer)| Probe::new(*name, &Ask::get(POST).header("authorization", bearer), Says::Passes));
    let oracle = Oracle::start(&lab.sidecar.socket, probes).await;
    oracle.rounds(10).await;
    oracle.change("announced", REVOKED, PATIENCE);
    lab.stub.revoke("sid", "announced");
    let took = oracle.changed("announced").await;
    assert!(took < PATIENCE);
    oracle.rounds(10).await;
    assert_eq!(oracle.report().wrong, 0, "{}", oracle.report());

    lab.stub.revoke("sid", "unannounced");
    wait::until_true("a wrong answer", PATIENCE, async || oracle.report().wrong > 0).await;
    let before = oracle.report();
    assert!(before.described.iter().all(|wrong| wrong.probe == "unannounced" && wrong.got.contains("token_revoked")), "{before}");

    oracle.any_of("unannounced", [Says::Passes, REVOKED]);
    oracle.change("in-vain", REVOKED, Duration::ZERO);
    oracle.rounds(10).await;
    oracle.retire("in-vain");
    let answered = oracle.answered();
    let bearer = bearer("late");
    let late = Probe::new("late", &Ask::get(POST).header("authorization", &bearer), Says::Passes);
    oracle.add(late.turning(Says::PassesWith("x-user-id", "alice".into()), PATIENCE));
    oracle.changed("late").await;
    assert!(oracle.answered() > answered);
    let report = oracle.stop().await;
    assert!(report.described.iter().any(|wrong| wrong.probe == "in-vain" && wrong.expected.contains("token_revoked")), "{report}");
    assert!(report.count("announced", "token_revoked") > 0 && report.count("announced", "allowed") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_without_an_answer_is_wrong_unless_it_is_expected() {
    let mut lab = Lab::start().await;
    let health = Probe::new("health", &Ask::get("/blog/health"), Says::Passes);
    let oracle = Oracle::start(&lab.sidecar.socket, [health]).await;
    oracle.outage(true);
    lab.sidecar.restart().await;
    oracle.rounds(10).await;
    oracle.outage(false);
    oracle.report().assert_none_wrong();
    assert!(oracle.report().expected_losses > 0);

    lab.sidecar.process.kill();
    wait::until_true("a check without an answer", PATIENCE, async || oracle.report().lost > 0).await;
    let report = oracle.stop().await;
    assert_eq!(report.wrong, report.lost, "{report}");
}
