//! An audit trail on a disk that hangs.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::check::Ask;
use crate::harness::oracle::{Oracle, Probe, Report, Says};
use crate::harness::process::{command, programs};
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::slow_disk::SlowDisk;
use crate::harness::stub::Stub;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{mesh, token};
use crate::sidecar::POST;

/// The first answer after which this must be so, on a busy machine.
const SOON: Duration = Duration::from_secs(5);
const DROPPED: &str = "portcullis_audit_dropped_total";

/// What a sidecar said and recorded, whose disk hung for a while: until it had dropped records, and the checks that came then.
struct Outcome {
    report: Report,
    records: Vec<Value>,
    dropped: f64,
}

/// `settings` are those of the trail; `meanwhile` is what audited routes answer while the disk hangs.
async fn hang(settings: &str, meanwhile: &Says) -> Outcome {
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let trail = folder.path().join("audit.jsonl");
    let disk = SlowDisk::under(&trail);
    let policy = edit(&sidecar::policy(folder.path(), &stub.url()), "    name: post\n", "    name: post\n    audit: true\n");
    let policy = format!("audit: {{ file: {}, max_queue: 8, {settings} }}\n{policy}", trail.display());
    let mut sidecar = Sidecar::start_with(folder.path(), &policy, &disk.environment()).await;
    sidecar.ready().await;
    let bearer = format!("Bearer {}", token::mint_second(json!({})));
    let with = |path| Ask::get(path).header("authorization", &bearer);
    let probes = [
        Probe::new("audited", &with(POST), Says::Passes),
        Probe::new("another", &with("/blog/me"), Says::Passes),
        Probe::new("public", &Ask::get("/blog/health"), Says::Passes),
    ];
    let oracle = Oracle::start(&sidecar.socket, probes).await;
    oracle.rounds(10).await;

    oracle.change("audited", meanwhile.clone(), SOON);
    disk.hang(true);
    wait::until_true("dropped records", PATIENCE, async || sidecar.metrics().await.get(DROPPED) > 0.0).await;
    sidecar.process.log_line("too many checks wait for the audit trail").await;
    assert!((sidecar.metrics().await.get("portcullis_audit_queue") - 8.0).abs() < 2.0, "the queue is not full");
    oracle.changed("audited").await;
    oracle.rounds(10).await;
    assert_eq!(sidecar.get("/livez").await.status, 200);

    oracle.change("audited", Says::Passes, SOON);
    disk.hang(false);
    oracle.changed("audited").await;
    oracle.rounds(10).await;
    let report = oracle.stop().await;
    report.assert_none_wrong();
    let dropped = sidecar.metrics().await.get(DROPPED);
    sidecar.process.signal("TERM");
    assert!(sidecar.process.ended(PATIENCE).await.success());
    let path = trail.display().to_string();
    let verified = command(programs::portcullis()).args(["audit", "verify", &path]).output().expect("portcullis runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()));
    let records = fs::read_to_string(&trail).expect("the trail");
    let records = records.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    eprintln!("{settings}: {dropped} dropped; {report}");
    Outcome { report, records, dropped }
}

impl Outcome {
    /// Checks that are recorded as passed, less those of which that is taken back because nobody waited for it any more; and those
    /// that are counted as not recorded.
    fn recorded(&self) -> (u64, u64) {
        let events = |event: &'static str| self.records.iter().filter(move |record| record["event"] == event);
        let passed = events("check").filter(|record| record["decision"] == "allow").count() as u64;
        let passed = passed - events("withdrawn").count() as u64;
        (passed, events("unrecorded").map(|record| record["records"].as_u64().expect("a number")).sum())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_hangs_audited_routes_are_refused_or_go_on_as_configured_and_no_other_route_waits() {
    let unavailable = Says::Refuses(503, "audit_unavailable");
    let (deny, go_on) =
        tokio::join!(hang("when_unwritable: deny, deadline: 500ms", &unavailable), hang("when_unwritable: continue", &Says::Passes));

    let (passed, unrecorded) = deny.recorded();
    assert_eq!(passed, deny.report.count("audited", "allowed"), "what passed, and nothing else, is recorded as passed");
    assert_eq!(unrecorded as f64, deny.dropped);
    assert!(deny.report.count("audited", "audit_unavailable") > 10);

    let (passed, unrecorded) = go_on.recorded();
    assert_eq!(passed + unrecorded, go_on.report.count("audited", "allowed"), "what is not recorded is counted");
    assert_eq!(unrecorded as f64, go_on.dropped);
}
