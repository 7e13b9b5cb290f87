use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::audit::verify::{Expectations, Lines, Report, verify};
use crate::audit::{AuditedCheck, PendingRecord, Receipt, Trail};
use crate::config::{AuditSettings, WhenUnwritable};
use crate::pdp::decision::Decision;
use crate::pdp::policy::audit::AuditRule;
use crate::pdp::request::{AccessRequest, Peer};
use crate::pdp::route::PathTemplate;
use crate::pdp::time::UnixTime;

fn status(reason: Reason) -> Option<u16> {
    match reason {
        Reason::Allowed => None,
        Reason::AuditUnavailable => Some(503),
        _ => Some(403),
    }
}

/// A trail whose thread only writes when the test says so.
struct Bench {
    folder: TempDir,
    trail: Trail,
    writer: Writer,
    messages: Receiver<Message>,
}

fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.jsonl")
}

fn settings(path: &Path, when_unwritable: WhenUnwritable) -> AuditSettings {
    AuditSettings { file: path.into(), when_unwritable, key_file: None, max_queue: 4, deadline: Duration::from_secs(30), sync: false }
}

impl Bench {
    fn new(when_unwritable: WhenUnwritable) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        let opened = TrailFile::open(&path, &ChainKey::none(), Duration::ZERO).unwrap();
        let shared = Arc::new(Shared::new(&path, opened.1));
        let (queue, messages) = sync_channel(4);
        let start = record::event(&Event::Start { version: "1", revision: "r", generation: 1 }, UnixTime::from_seconds(0));
        let writer = Writer::new(Arc::clone(&shared), opened, ChainKey::none(), false, start);
        Self { folder, trail: Trail { queue, shared, when_unwritable, deadline: Duration::from_millis(1) }, writer, messages }
    }

    /// Writes what waits, and what belongs to the end.
    fn run(self) -> (TempDir, Trail) {
        let (done, _ended) = sync_channel(1);
        let Self { folder, trail, writer, messages } = self;
        let queue = trail.queue.clone();
        // There may be no place for it before the writer runs.
        let close = thread::spawn(move || queue.send(Message::Close(done)).unwrap());
        writer.run(&messages);
        close.join().unwrap();
        (folder, trail)
    }

    /// Handles what waits.
    fn turn(&mut self) {
        while let Ok(Message::Check(entry)) = self.messages.try_recv() {
            self.writer.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.writer.check(entry);
        }
    }
}

fn record(trail: &Trail, id: &str, reason: Reason) -> Receipt {
    let mut decision = Decision::bare(reason);
    decision.route = Some("users".into());
    let request = AccessRequest {
        method: "DELETE",
        target: "/admin/users/bob%22b?token=secret",
        peer: Peer { address: "10.0.0.1", principal: "" },
        ..AccessRequest::default()
    };
    let rule = AuditRule::new(&PathTemplate::parse("/admin/users/{user}").unwrap());
    let now = UnixTime::from_millis(1_795_334_400_123);
    trail.record(&AuditedCheck { id, decision: &decision, rule: &rule, request: &request, revision: "r", generation: 3, now, status })
}

fn pending(receipt: Receipt) -> PendingRecord {
    match receipt {
        Receipt::Pending(record) => record,
        other => panic!("{other:?}"),
    }
}

fn records(folder: &TempDir) -> Vec<Value> {
    fs::read_to_string(path_in(folder)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn report(folder: &TempDir) -> Report {
    verify(Lines::of([path_in(folder)]), &Expectations { key: ChainKey::none(), after: None, contains: vec![], last: None }).unwrap()
}

fn events(folder: &TempDir) -> Vec<String> {
    records(folder).iter().map(|record| record["event"].as_str().unwrap().to_string()).collect()
}

#[test]
fn a_record_says_who_when_and_what_and_what_came_of_it() {
    let bench = Bench::new(WhenUnwritable::Continue);
    record(&bench.trail, "id-1", Reason::PermissionMissing);
    record(&bench.trail, "id-2", Reason::Allowed);
    let (folder, trail) = bench.run();
    let text = fs::read_to_string(path_in(&folder)).unwrap();
    let line = text.lines().nth(1).unwrap();
    let members = r#"{"seq":2,"time":"2026-11-22T08:00:00.123Z","event":"check","decision_id":"id-1","what":{"method":"DELETE","route":"users","parameters":{"user":"bob\"b"}},"peer":"10.0.0.1","revision":"r","generation":3,"decision":"deny","reason":"permission_missing","status":403,"prev":""#;
    assert!(line.starts_with(members), "{line}");
    assert!(!text.contains("secret") && text.lines().nth(2).unwrap().contains(r#""decision":"allow","reason":"allowed","prev""#), "{text}");
    assert_eq!(events(&folder), ["start", "check", "check", "stop"]);
    let status = trail.status();
    assert_eq!((status.seq, status.written, status.dropped, status.queued), (4, 2, 0, 0));
    let report = report(&folder);
    assert_eq!((report.finding, report.last.unwrap().hash), (None, status.hash));
}

#[test]
fn who_waits_is_told_when_the_record_is_written() {
    let bench = Bench::new(WhenUnwritable::Deny);
    let first = pending(record(&bench.trail, "id-1", Reason::Allowed));
    assert_eq!(bench.trail.status().queued, 1);
    bench.run();
    assert!(first.is_written_by_now());
}

#[test]
fn a_record_for_which_nobody_waits_any_more_says_that_it_was_not_let_through() {
    let bench = Bench::new(WhenUnwritable::Deny);
    let first = pending(record(&bench.trail, "id-1", Reason::Allowed));
    assert!(!first.is_written_by_now());
    // Envoy ended the check.
    drop(record(&bench.trail, "id-2", Reason::Allowed));
    let (folder, _) = bench.run();
    for record in &records(&folder)[1..3] {
        assert_eq!((&record["decision"], &record["reason"]), (&"indeterminate".into(), &"audit_unavailable".into()));
        assert_eq!((&record["status"], &record["instead_of"]), (&503.into(), &"allowed".into()));
    }
}

#[test]
fn a_record_that_was_written_too_late_is_withdrawn() {
    let mut bench = Bench::new(WhenUnwritable::Deny);
    let first = pending(record(&bench.trail, "id-1", Reason::Allowed));
    bench.turn();
    // It is written, and who waits was not told yet.
    assert!(!first.is_written_by_now());
    bench.writer.settle();
    let (folder, _) = bench.run();
    assert_eq!(events(&folder), ["start", "check", "withdrawn", "stop"]);
    let records = records(&folder);
    assert_eq!((&records[1]["decision"], &records[2]["decision_id"]), (&"allow".into(), &"id-1".into()));
    assert_eq!(report(&folder).finding, None);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_deadline() {
    let bench = Bench::new(WhenUnwritable::Deny);
    let first = pending(record(&bench.trail, "id-1", Reason::Allowed));
    assert!(!first.is_written().await);
}

#[test]
fn what_finds_no_place_in_the_queue_is_counted_and_the_trail_says_how_much_that_was() {
    for (when_unwritable, is_refused) in [(WhenUnwritable::Deny, true), (WhenUnwritable::Continue, false)] {
        let bench = Bench::new(when_unwritable);
        let receipts: Vec<Receipt> = (0..7).map(|number| record(&bench.trail, &format!("id-{number}"), Reason::Allowed)).collect();
        let refused = receipts.iter().filter(|receipt| matches!(receipt, Receipt::Refused)).count();
        assert_eq!(refused, if is_refused { 3 } else { 0 });
        assert_eq!((bench.trail.status().queued, bench.trail.status().dropped), (4, 3));
        let (folder, trail) = bench.run();
        assert_eq!(trail.status().written, 4);
        assert_eq!((report(&folder).unrecorded, report(&folder).finding), (3, None));
        assert_eq!(events(&folder)[..2], ["unrecorded", "start"]);
    }
}

#[test]
fn a_file_that_cannot_be_written_refuses_and_what_was_missed_is_told_afterwards() {
    let mut bench = Bench::new(WhenUnwritable::Deny);
    let path = path_in(&bench.folder);
    let aside = bench.folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    let receipts = ["id-1", "id-2"].map(|id| pending(record(&bench.trail, id, Reason::Allowed)));
    bench.turn();
    assert_eq!(receipts.map(PendingRecord::is_written_by_now), [false, false]);
    let trail = bench.trail.status();
    assert_eq!((trail.dropped, trail.errors, trail.problem.as_deref()), (2, 2, Some("this is no regular file")));

    fs::remove_dir(&path).unwrap();
    let third = pending(record(&bench.trail, "id-3", Reason::Allowed));
    let (folder, trail) = bench.run();
    assert!(third.is_written_by_now());
    assert_eq!(trail.status().problem, None);
    assert_eq!(events(&folder), ["unrecorded", "start", "check", "stop"]);
    assert_eq!(records(&folder)[0]["records"], 2);
    assert_eq!((report(&folder).finding, report(&folder).unrecorded), (None, 2));
}

#[tokio::test]
async fn a_trail_goes_on_over_restarts_and_into_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    for _ in 0..2 {
        let trail = Trail::open(&settings(&path, WhenUnwritable::Deny), "r1").unwrap();
        assert!(pending(record(&trail, "id", Reason::Allowed)).is_written().await);
        trail.configuration_changed("r2", 2);
        trail.close().await;
        // What comes after the end cannot be recorded.
        match record(&trail, "id", Reason::Allowed) {
            Receipt::Refused => {}
            receipt => assert!(!pending(receipt).is_written().await),
        }
    }
    assert_eq!(events(&folder), ["start", "check", "configuration", "stop"].repeat(2));
    assert_eq!(report(&folder).finding, None);

    let trail = Trail::open(&settings(&path, WhenUnwritable::Deny), "r1").unwrap();
    assert!(pending(record(&trail, "id", Reason::Allowed)).is_written().await);
    let old = folder.path().join("audit.jsonl.1");
    fs::rename(&path, &old).unwrap();
    trail.follow_file();
    assert!(pending(record(&trail, "id", Reason::Allowed)).is_written().await);
    let last = trail.status();
    trail.close().await;
    assert_eq!(events(&folder), ["continues", "check", "stop"]);
    let expectations = Expectations {
        key: ChainKey::none(),
        after: None,
        contains: vec![crate::audit::ChainHash::parse(last.hash.as_bytes()).unwrap()],
        last: None,
    };
    assert_eq!(verify(Lines::of([old, path]), &expectations).unwrap().finding, None);
}

#[test]
fn with_sync_who_waits_is_told_after_the_disk() {
    let mut bench = Bench::new(WhenUnwritable::Deny);
    bench.writer.sync = true;
    let receipts = ["id-1", "id-2"].map(|id| pending(record(&bench.trail, id, Reason::Allowed)));
    bench.turn();
    assert_eq!(bench.writer.unsettled.len(), 2);
    bench.writer.settle();
    assert_eq!(receipts.map(PendingRecord::is_written_by_now), [true, true]);
}
