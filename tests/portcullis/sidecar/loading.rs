//! A configuration has to pass the tests that it names, and a sidecar tells for how long what is on the disk could not be loaded.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::POST;
use super::reload::{generous, viewers_may_write};
use crate::harness::check::Ask;
use crate::harness::grpc::{Client, health};
use crate::harness::lab::Lab;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

/// A policy that names the tests of a folder beside it.
pub fn tested(policy: &str) -> String {
    format!("configuration: {{ tests: [\"tests/*.yaml\"] }}\n{policy}")
}

/// Tests under which viewers read, and write as it is said here.
pub fn tests(writing: &str) -> String {
    format!(
        "tokens:\n  viewer: {{ claims: {{ roles: [viewer], tenant_id: acme, scope: tenant, services: {{ blog: {{ enabled: true }} }} }} }}\n\
         cases:\n\
         \x20 a viewer reads: {{ request: GET {POST}, token: viewer, allow: allowed }}\n\
         \x20 a viewer writes: {{ request: PUT {POST}, token: viewer, {writing} }}\n"
    )
}

pub const NOT_WRITING: &str = "deny: permission_missing";
pub const WRITING: &str = "allow: allowed";

async fn lab_with_tests() -> Lab {
    Lab::with_policy(|text| {
        let socket = text.lines().find_map(|line| line.trim().strip_prefix("grpc: [\"unix:")).expect("a socket");
        let folder = std::path::Path::new(socket.split('"').next().expect("a path")).parent().expect("a folder");
        fs::create_dir(folder.join("tests")).expect("a folder for tests");
        fs::write(folder.join("tests/viewers.yaml"), tests(NOT_WRITING)).expect("tests");
        tested(&text)
    })
    .await
}

/// Waits until the last attempt to load the configuration was refused for a reason with these words.
async fn refused_for(lab: &Lab, words: &str) -> Value {
    wait::until(&format!("a refusal with '{words}'"), PATIENCE, async || {
        let dump = lab.sidecar.dump().await;
        let problems = dump["last_load"]["problems"].as_array().cloned().unwrap_or_default();
        let found = problems.iter().any(|problem| problem.as_str().is_some_and(|text| text.contains(words)));
        found.then(|| dump["last_load"].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_fails_its_tests_never_comes_into_force() {
    let mut lab = lab_with_tests().await;
    lab.sidecar.process.log_line("the configuration passed its policy tests cases=2 files=1").await;
    let path = lab.folder.path().join("tests/viewers.yaml");
    let (usual, generous) = (tested(&lab.policy()), tested(&generous(&lab.policy())));

    lab.sidecar.replace_config(&generous);
    let last = refused_for(&lab, "1 of 2 policy tests failed").await;
    assert_eq!((&last["ok"], &last["total_problems"]), (&json!(false), &json!(2)));
    let failing = format!("{}:5:3: a viewer writes: decision: expected deny permission_missing, got allow allowed", path.display());
    assert_eq!(last["problems"][0], failing);
    lab.sidecar.last_load(false).await;
    lab.sidecar.process.log_line(&failing).await;
    lab.sidecar.process.log_line("the last good policy stays in force").await;
    assert_eq!(lab.sidecar.generation().await, 1);
    assert!(!viewers_may_write(&lab.sidecar).await);
    assert_eq!(lab.sidecar.get("/readyz").await.status, 200);
    let metrics = lab.sidecar.metrics().await;
    assert!(metrics.get("portcullis_configuration_failing_seconds") > 0.0);

    // What kept it out may have been the moment: a signal has it tried again as it is.
    let refusals = "portcullis_configuration_loads_total{result=\"refused\"}";
    let before = lab.sidecar.metrics().await.get(refusals);
    lab.sidecar.process.signal("HUP");
    wait::until_true("another attempt", PATIENCE, async || lab.sidecar.metrics().await.get(refusals) > before).await;
    assert_eq!(lab.sidecar.generation().await, 1);

    // A change of the tests alone is enough to have it tried again.
    fs::write(&path, tests(WRITING)).expect("tests");
    lab.sidecar.generation_is(2).await;
    lab.sidecar.last_load(true).await;
    assert!(viewers_may_write(&lab.sidecar).await);
    let revision = lab.sidecar.dump().await["revision"].clone();

    // Nor are tests that the policy in force does not pass taken for good, though they change nothing that is decided.
    fs::write(&path, tests(NOT_WRITING)).expect("tests");
    refused_for(&lab, "1 of 2 policy tests failed").await;
    assert!(viewers_may_write(&lab.sidecar).await);
    fs::write(&path, tests(WRITING)).expect("tests");
    lab.sidecar.last_load(true).await;
    let dump = lab.sidecar.dump().await;
    assert_eq!((&dump["generation"], &dump["revision"]), (&json!(2), &revision), "the revision names the policy, not its tests");

    for (text, said) in [
        (Some("cases: ["), "viewers.yaml:2:1: "),
        (Some("cases: {}"), "viewers.yaml"),
        (Some("routes: []"), "viewers.yaml:1:1: "),
        (None, "there is no such policy test"),
    ] {
        match text {
            Some(text) => fs::write(&path, text).expect("a file"),
            None => fs::remove_file(&path).expect("the file removed"),
        }
        refused_for(&lab, said).await;
        assert!(viewers_may_write(&lab.sidecar).await);
    }

    fs::write(&path, tests(NOT_WRITING)).expect("tests");
    lab.sidecar.replace_config(&usual);
    lab.sidecar.generation_is(3).await;
    assert!(!viewers_may_write(&lab.sidecar).await);
    wait::until_true("no failure any more", PATIENCE, async || {
        let dump = lab.sidecar.dump().await;
        dump["last_load"]["ok"] == true && dump["failing_seconds"] == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_go_on_while_many_tests_are_run() {
    let mut lab = lab_with_tests().await;
    let many: String = (0..2000).map(|n| format!("  case {n}: {{ request: GET {POST}, token: viewer, allow: allowed }}\n")).collect();
    fs::write(lab.folder.path().join("tests/many.yaml"), format!("{}{many}", tests(NOT_WRITING))).expect("tests");
    let done = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (done, client) = (Arc::clone(&done), lab.sidecar.connect().await);
        async move {
            let mut answers = 0;
            while !done.load(Ordering::Relaxed) {
                let bearer = format!("Bearer {}", token::mint_second(json!({})));
                let response = client.check(&Ask::get(POST).header("authorization", &bearer).raw()).await;
                assert_eq!(response.status.expect("a status").code, 0);
                answers += 1;
            }
            answers
        }
    });
    lab.sidecar.process.log_line("the configuration passed its policy tests cases=2004 files=2").await;
    done.store(true, Ordering::Relaxed);
    assert!(asking.await.expect("all answers were right") > 10);
    assert_eq!(lab.sidecar.generation().await, 1, "the policy is the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_max_stale_it_is_not_ready_and_goes_on_deciding() {
    let mut lab = Lab::with_policy(|text| format!("configuration: {{ max_stale: 1s }}\n{text}")).await;
    let usual = fs::read_to_string(&lab.sidecar.config).expect("the configuration");
    let client = Client::tcp(lab.sidecar.grpc).await.expect("a connection");
    let authorization = "envoy.service.auth.v3.Authorization";
    wait::until_true("health", PATIENCE, async || health(&client, authorization).await == Ok(1)).await;

    lab.sidecar.replace_config("routes: [");
    lab.sidecar.last_load(false).await;
    wait::until_true("its not being ready", PATIENCE, async || lab.sidecar.get("/readyz").await.status == 503).await;
    let said = lab.sidecar.get("/readyz").await.text();
    assert!(said.contains("configuration.max_stale"), "{said}");
    wait::until_true("its health", PATIENCE, async || health(&client, authorization).await == Ok(2)).await;
    assert_eq!(health(&client, "").await, Ok(1), "it can still answer");
    assert!(lab.sidecar.metrics().await.get("portcullis_configuration_failing_seconds") > 1.0);
    assert!(!viewers_may_write(&lab.sidecar).await, "the last good policy decides");
    lab.sidecar.process.log_line("not ready").await;

    lab.sidecar.replace_config(&usual);
    lab.sidecar.ready().await;
    wait::until_true("its health", PATIENCE, async || health(&client, authorization).await == Ok(1)).await;
    assert!(lab.sidecar.metrics().await.get("portcullis_configuration_failing_seconds").abs() < f64::EPSILON);
    assert_eq!(lab.sidecar.generation().await, 1);
}
