//! What a sidecar keeps on disk, and how it starts with that while the identity service is down.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::lab::Lab;
use crate::harness::sidecar::{Sidecar, edit};
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

/// How long a restart may take until the sidecar is ready.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// How often a sidecar is killed while it writes.
const KILLS: usize = 30;

/// With a warm start, and the list's bound.
async fn lab(bound: &str) -> Lab {
    let lab = Lab::unready(|text| policy(&text, bound)).await;
    lab.sidecar.ready().await;
    lab
}

fn policy(text: &str, bound: &str) -> String {
    let text =
        edit(text, "wait: 30s, max_staleness: 60s", &format!("wait: {}, max_staleness: {bound}", if bound == "1h" { "30s" } else { "1s" }));
    let folder = text.split("unix:").nth(1).and_then(|rest| rest.split("/authz.sock").next()).expect("the folder");
    format!("warm_start: {{ directory: \"{folder}/kept\" }}\n{text}")
}

fn directory(lab: &Lab) -> PathBuf {
    lab.folder.path().join("kept")
}

/// The files that are kept, by how they end.
fn kept(lab: &Lab, kind: &str, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory(lab)) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("a file").path());
    let wanted =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(kind) && name.ends_with(end));
    paths.filter(|path| wanted(path)).collect()
}

/// Waits until keys and revocations are on disk. The second issuer's keys are kept as well, although they are in a file.
async fn until_kept(lab: &Lab) {
    wait::until_true("keys and revocations on disk", PATIENCE, async || {
        kept(lab, "keys", ".head").len() == 2 && kept(lab, "revocations", ".head").len() == 1
    })
    .await;
}

/// Waits until the sidecar refuses a session, and its disk knows as much as the stub.
async fn revoke(lab: &Lab, session: &str) {
    lab.stub.revoke("sid", session);
    let bearer = bearer(session);
    wait::until_true("the revocation", PATIENCE, async || ask(lab, &bearer).await.reason == "token_revoked").await;
    let cursor = lab.stub.revocations().to_string();
    wait::until_true("the revocation on disk", PATIENCE, async || cursor_on_disk(lab).as_deref() == Some(&cursor)).await;
}

/// Up to where the feed has been read, as the disk knows it.
fn cursor_on_disk(lab: &Lab) -> Option<String> {
    let head = fs::read_to_string(kept(lab, "revocations", ".head").first()?).ok()?;
    let head: Value = serde_json::from_str(head.lines().next()?).expect("JSON");
    head["cursor"].as_str().map(str::to_string)
}

fn bearer(session: &str) -> String {
    format!("Bearer {}", token::mint(json!({ "sid": session })))
}

async fn ask(lab: &Lab, bearer: &str) -> Verdict {
    lab.sidecar.ask(&Ask::get(POST).header("authorization", bearer)).await
}

async fn issuer(lab: &Lab) -> Value {
    let dump = lab.sidecar.dump().await;
    let issuers = dump["issuers"].as_array().expect("issuers");
    issuers.iter().find(|issuer| issuer["name"] == "main").cloned().expect("the main issuer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_while_the_identity_service_is_down_decides_as_before() {
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    let (good, revoked) = (bearer("good"), bearer("stolen"));
    assert!(ask(&lab, &good).await.passes && ask(&lab, &revoked).await.passes);
    revoke(&lab, "stolen").await;
    let age = |issuer: &Value| issuer["keys"]["age_seconds"].as_f64().expect("an age");
    let before = issuer(&lab).await;
    assert_eq!((&before["keys"]["from_disk"], &before["revocations"]["feed"]["from_disk"]), (&json!(false), &json!(false)));

    lab.stub.break_down(true);
    let began = Instant::now();
    lab.sidecar.restart().await;
    assert!(began.elapsed() < READY_WITHIN * 5, "ready after {:?}, on a machine that may be busy", began.elapsed());
    for _ in 0..3 {
        assert!(ask(&lab, &good).await.passes);
        let verdict = ask(&lab, &revoked).await;
        assert_eq!((verdict.status, &*verdict.reason), (Some(401), "token_revoked"));
    }
    let after = issuer(&lab).await;
    assert_eq!((&after["keys"]["from_disk"], &after["revocations"]["feed"]["from_disk"]), (&json!(true), &json!(true)));
    assert_eq!(after["revocations"]["feed"]["entries"], 1);
    assert!(age(&after) > age(&before), "the keys got younger: {} after {}", age(&after), age(&before));
    let metrics = lab.sidecar.metrics().await;
    for feed in ["keys", "revocations"] {
        let series = format!("portcullis_warm_start_loads_total{{feed=\"{feed}\",issuer=\"main\",result=\"ok\"}}");
        assert!((metrics.get(&series) - 1.0).abs() < f64::EPSILON);
    }
    assert!(lab.sidecar.process.log().contains("what was kept on disk counts"));

    // It goes on from there: what is revoked now comes as a part, and is kept again.
    lab.stub.break_down(false);
    wait::until_true("the feed's word", PATIENCE, async || issuer(&lab).await["revocations"]["feed"]["from_disk"] == false).await;
    revoke(&lab, "good").await;
    lab.stub.break_down(true);
    lab.sidecar.restart().await;
    assert_eq!(ask(&lab, &good).await.reason, "token_revoked");
    assert_eq!(ask(&lab, &revoked).await.reason, "token_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_identity_service_says_at_once_comes_before_what_was_kept() {
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    let token = bearer("stolen");
    assert!(ask(&lab, &token).await.passes);
    lab.sidecar.process.kill();
    // While no sidecar runs, so that none of them can know.
    lab.stub.revoke("sid", "stolen");
    lab.sidecar.restart().await;
    assert_eq!(ask(&lab, &token).await.reason, "token_revoked");
    assert!(!lab.sidecar.process.log().contains("what was kept on disk counts"));
    // The cursor was kept too: only what came since was fetched.
    assert_eq!(lab.stub.full_lists(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_tenants_and_lists_in_files_are_kept_too() {
    let mut lab = Lab::unready(|text| {
        let text = policy(&text, "1h");
        let folder = text.split("unix:").nth(1).and_then(|rest| rest.split("/authz.sock").next()).expect("the folder").to_string();
        let identity =
            text.split("jwks: { url: \"").nth(1).and_then(|rest| rest.split("/.well-known").next()).expect("the URL").to_string();
        let list = format!("{folder}/revoked.json");
        fs::write(&list, json!({ "entries": [{ "type": "sid", "id": "in-a-file" }] }).to_string()).expect("a list");
        let sources = format!("    revocations:\n      - {{ file: {list}, max_staleness: 1h }}\n      - {{ url");
        let text = edit(&text, "    revocations: { url", &sources);
        let roles = format!("    typ: [at+jwt]\n    tenant_roles: {{ url: \"{identity}/v1/roles\", refresh: 1s, max_stale: 1h }}\n");
        let text = edit(&text, "    typ: [at+jwt]\n", &roles);
        edit(&text, "routes:\n", "routes:\n  - { path: /lead, tenant: token, methods: { GET: { permission: \"blog:posts.lead\" } } }\n")
    })
    .await;
    lab.stub.tenant_roles(json!({ "acme": { "lead": ["blog:posts.lead"] } }));
    let lead = format!("Bearer {}", token::mint(json!({ "roles": ["lead"] })));
    let lead = Ask::get("/lead").header("authorization", &lead);
    wait::until_true("the role", PATIENCE, async || lab.sidecar.ask(&lead).await.passes).await;
    assert_eq!(ask(&lab, &bearer("in-a-file")).await.reason, "token_revoked");
    let heads = async |kind: &str, number| {
        wait::until_true(kind, PATIENCE, async || kept(&lab, kind, ".head").len() == number).await;
    };
    heads("revocations", 2).await;
    heads("tenant_roles", 1).await;
    // What was kept of the roles may be from before there were any, and data counts once the head names it.
    wait::until_true("the role on disk", PATIENCE, async || {
        let head = fs::read_to_string(&kept(&lab, "tenant_roles", ".head")[0]).expect("a head");
        kept(&lab, "tenant_roles", ".data").iter().any(|file| {
            let checksum = file.file_stem().and_then(|name| name.to_str()?.split('.').nth(1)).expect("a checksum");
            head.contains(checksum) && fs::read_to_string(file).is_ok_and(|text| text.contains("lead"))
        })
    })
    .await;

    lab.stub.break_down(true);
    fs::remove_file(lab.folder.path().join("revoked.json")).expect("the list");
    lab.sidecar.restart().await;
    assert!(lab.sidecar.ask(&lead).await.passes);
    assert_eq!(ask(&lab, &bearer("in-a-file")).await.reason, "token_revoked");
    assert!(ask(&lab, &bearer("good")).await.passes);
    let issuer = issuer(&lab).await;
    assert_eq!((&issuer["tenant_roles"]["from_disk"], &issuer["revocations"]["file"]["from_disk"]), (&json!(true), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_its_bound_what_was_kept_is_not_used() {
    let mut lab = lab("3s").await;
    until_kept(&lab).await;
    let good = bearer("good");
    lab.stub.break_down(true);
    // The bound goes on counting over the restart, wherever in it that falls.
    lab.sidecar.process.kill();
    lab.sidecar.start_again().await;
    wait::until_true("the bound to pass", PATIENCE, async || ask(&lab, &good).await.reason == "revocations_stale").await;
    assert_eq!(ask(&lab, &good).await.status, Some(503));
    // A start after it has nothing to begin with but what it can go on from.
    lab.sidecar.process.kill();
    lab.sidecar.start_again().await;
    assert_eq!(ask(&lab, &good).await.reason, "revocations_stale");
    assert_eq!(lab.sidecar.get("/readyz").await.status, 503);
    lab.stub.break_down(false);
    lab.sidecar.ready().await;
    assert!(ask(&lab, &good).await.passes);
    assert_eq!(lab.stub.full_lists(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_fail_open_a_kept_list_is_used_past_its_bound_too() {
    let mut lab = Lab::with_policy(|text| edit(&policy(&text, "2s"), "when_stale: deny", "when_stale: fail_open")).await;
    until_kept(&lab).await;
    revoke(&lab, "stolen").await;
    let (good, revoked) = (bearer("good"), bearer("stolen"));
    lab.stub.break_down(true);
    let stale = async |lab: &Lab| issuer(lab).await["revocations"]["feed"]["age_seconds"].as_f64().is_some_and(|age| age > 2.0);
    wait::until_true("the bound to pass", PATIENCE, async || stale(&lab).await).await;
    lab.sidecar.restart().await;
    assert!(stale(&lab).await);
    assert!(ask(&lab, &good).await.passes);
    assert_eq!(ask(&lab, &revoked).await.reason, "token_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_and_reported_and_nothing_is_decided_by_it() {
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    let good = bearer("good");
    for (kind, reason) in [("keys", "keys_unavailable"), ("revocations", "revocations_stale")] {
        lab.sidecar.ready().await;
        until_kept(&lab).await;
        lab.stub.break_down(true);
        lab.sidecar.process.kill();
        let mut good_files = Vec::new();
        for file in kept(&lab, kind, ".data") {
            let mut bytes = fs::read(&file).expect("data");
            good_files.push((file.clone(), bytes.clone()));
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&file, bytes).expect("the damage");
        }
        lab.sidecar.start_again().await;
        let line = lab.sidecar.process.log_line("what was kept on disk is refused").await;
        assert!(line.contains("ERROR") && line.contains("checksum"), "{line}");
        let series = format!("portcullis_warm_start_loads_total{{feed=\"{kind}\",issuer=\"main\",result=\"damaged\"}}");
        assert!((lab.sidecar.metrics().await.get(&series) - 1.0).abs() < f64::EPSILON);
        let verdict = ask(&lab, &good).await;
        assert_eq!((verdict.status, &*verdict.reason), (Some(503), reason));
        assert_eq!(lab.sidecar.get("/readyz").await.status, 503);
        // It mends itself as soon as there is an answer.
        lab.stub.break_down(false);
        lab.sidecar.ready().await;
        assert!(ask(&lab, &good).await.passes);
        wait::until_true("the disk to be mended", PATIENCE, async || {
            good_files.iter().all(|(file, bytes)| fs::read(file).is_ok_and(|now| now == *bytes))
        })
        .await;
        lab.sidecar.restart().await;
        assert!((lab.sidecar.metrics().await.find(&series).unwrap_or(0.0)).abs() < f64::EPSILON, "{kind} is still damaged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_owner_can_read_what_is_kept_and_another_owner_or_mode_is_refused() {
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    assert_eq!(fs::metadata(directory(&lab)).expect("the directory").mode() & 0o7777, 0o700);
    for entry in fs::read_dir(directory(&lab)).expect("the directory") {
        let path = entry.expect("a file").path();
        // One that is being replaced may be gone.
        let Ok(metadata) = path.metadata() else { continue };
        assert_eq!(metadata.mode() & 0o7777, 0o600, "{}", path.display());
    }
    lab.stub.break_down(true);
    lab.sidecar.process.kill();
    fs::set_permissions(directory(&lab), fs::Permissions::from_mode(0o777)).expect("the mode");
    lab.sidecar.start_again().await;
    let line = lab.sidecar.process.log_line("the directory for warm starts is not used").await;
    assert!(line.contains(&format!("chmod 700 {}", directory(&lab).display())), "{line}");
    assert_eq!(ask(&lab, &bearer("good")).await.reason, "keys_unavailable");
    // Without it, it works as it would without a warm start.
    lab.stub.break_down(false);
    lab.sidecar.ready().await;
    assert!(ask(&lab, &bearer("good")).await.passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_is_reported_once_and_harms_no_decision() {
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    lab.sidecar.process.kill();
    // Nobody writes here without the lock, and a directory in its place cannot be locked: as with a disk that is read-only.
    fs::remove_file(directory(&lab).join("lock")).expect("the lock");
    fs::create_dir(directory(&lab).join("lock")).expect("something in its place");
    lab.sidecar.restart().await;
    let failed = "portcullis_warm_start_writes_total{result=\"failed\"}";
    wait::until_true("two failures", PATIENCE, async || lab.sidecar.metrics().await.find(failed).unwrap_or(0.0) > 1.0).await;
    let log = lab.sidecar.process.log();
    assert_eq!(log.matches("cannot be kept on disk").count(), 1, "{log}");
    assert!(ask(&lab, &bearer("good")).await.passes);
    fs::remove_dir(directory(&lab).join("lock")).expect("the way is free");
    lab.sidecar.process.log_line("kept on disk again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_what_was_kept_before_stays() {
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    revoke(&lab, "stolen").await;
    let before = fs::read(&kept(&lab, "revocations", ".head")[0]).expect("the head");
    lab.sidecar.process.kill();
    // More than fits: no file may get longer than 64 KiB.
    lab.stub.revoke_many("sid", (0..8_000).map(|number| format!("many-{number}")));
    lab.sidecar = Sidecar::start_on_full_disk(lab.folder.path(), &fs::read_to_string(&lab.sidecar.config).expect("the policy"), 64).await;
    lab.sidecar.ready().await;
    lab.sidecar.process.log_line("cannot be kept on disk").await;
    assert_eq!(ask(&lab, &bearer("many-7999")).await.reason, "token_revoked");
    assert!(ask(&lab, &bearer("good")).await.passes);
    assert_eq!(fs::read(&kept(&lab, "revocations", ".head")[0]).expect("the head"), before);
    assert_eq!(kept(&lab, "revocations", ".tmp"), Vec::<PathBuf>::new(), "half a file is left behind");
    // With room again, it is all kept.
    lab.sidecar.restart().await;
    let cursor = lab.stub.revocations().to_string();
    wait::until_true("the long list on disk", PATIENCE, async || cursor_on_disk(&lab).as_deref() == Some(&cursor)).await;
    lab.stub.break_down(true);
    lab.sidecar.restart().await;
    assert_eq!(ask(&lab, &bearer("many-7999")).await.reason, "token_revoked");
    assert_eq!(ask(&lab, &bearer("stolen")).await.reason, "token_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_is_killed_it_is_ready_within_a_second_and_lets_no_revoked_token_pass() {
    let _turn = turn::take().await;
    let mut lab = lab("1h").await;
    until_kept(&lab).await;
    let good = bearer("good");
    let mut revoked = Vec::new();
    let mut slowest = Duration::ZERO;
    for round in 0..KILLS {
        lab.stub.break_down(false);
        wait::until_true("the feed's word", PATIENCE, async || issuer(&lab).await["revocations"]["feed"]["from_disk"] == false).await;
        // Revocations come in while the ones before are being written, and the end comes at any moment of that.
        let mut bearers = Vec::new();
        for number in 0..4 {
            let session = format!("stolen-{round}-{number}");
            bearers.push(bearer(&session));
            lab.stub.revoke("sid", &session);
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..20_000))).await;
        }
        // Of half of the rounds the disk knows everything, and then nobody else needs to.
        let is_kept = round % 2 == 0;
        if is_kept {
            revoke(&lab, &format!("last-{round}")).await;
            revoked.append(&mut bearers);
            lab.stub.break_down(true);
        }
        lab.sidecar.process.kill();
        let began = Instant::now();
        lab.sidecar.restart().await;
        slowest = slowest.max(began.elapsed());
        assert!(ask(&lab, &good).await.passes, "round {round}");
        revoked.append(&mut bearers);
        for bearer in &revoked {
            assert_eq!(ask(&lab, bearer).await.reason, "token_revoked", "round {round}, {} revoked", revoked.len());
        }
        let log = lab.sidecar.process.log();
        assert!(!log.contains("is refused"), "a file was damaged: {log}");
    }
    eprintln!("{KILLS} kills, {} revoked tokens, the slowest restart took {slowest:?}", revoked.len());
    assert!(slowest < READY_WITHIN, "a restart took {slowest:?}");
    assert!(kept(&lab, "revocations", ".data").len() <= 3, "what was replaced is removed");
    assert_eq!(lab.stub.full_lists(), 1, "every start went on from where the last one was");
}
