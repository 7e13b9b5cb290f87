//! What audited routes are asked for is recorded, and any later change to that is found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::process::{Process, command, programs};
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{mesh, token};

/// A sidecar that records what is asked of the route `post`.
struct Lab {
    sidecar: Sidecar,
    stub: Stub,
    folder: TempDir,
}

/// The usual policy with a trail.
fn policy(folder: &Path, stub: &Stub, settings: &str) -> String {
    let text = sidecar::policy(folder, &stub.url());
    let text = edit(&text, "    name: post\n", "    name: post\n    audit: true\n");
    format!("audit: {{ file: {}{settings} }}\n{text}", folder.join("audit.jsonl").display())
}

impl Lab {
    async fn start(settings: &str) -> Self {
        let (folder, stub) = (mesh::folder(), Stub::start().await);
        let sidecar = Sidecar::start(folder.path(), &policy(folder.path(), &stub, settings)).await;
        sidecar.ready().await;
        Self { sidecar, stub, folder }
    }

    fn trail(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn records(&self) -> Vec<Value> {
        records_in(&self.trail())
    }

    fn events(&self) -> Vec<String> {
        self.records().iter().map(|record| record["event"].as_str().expect("an event").to_string()).collect()
    }

    async fn ask(&self, method: &str, path: &str, claims: Value) -> Verdict {
        let bearer = format!("Bearer {}", token::mint_second(claims));
        self.sidecar.ask(&Ask::new(method, path).header("authorization", &bearer)).await
    }

    /// The number and the hash of the last record, as the sidecar says.
    async fn last(&self) -> (u64, String) {
        let status = self.sidecar.get("/audit").await.json();
        (status["seq"].as_u64().expect("a number"), status["hash"].as_str().expect("a hash").to_string())
    }

    async fn stop(&mut self) {
        self.sidecar.process.signal("TERM");
        assert!(self.sidecar.process.ended(PATIENCE).await.success());
    }
}

fn records_in(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the trail");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}"))).collect()
}

fn verify<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    command(programs::portcullis()).args(["audit", "verify"]).args(arguments).output().expect("portcullis runs")
}

/// The exit status and all that was said.
fn verdict<'a>(arguments: impl IntoIterator<Item = &'a str>) -> (i32, String) {
    let output = verify(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit status"), String::from_utf8(said).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_an_audited_route_is_recorded_with_who_when_and_what_passes_and_refusals_alike() {
    let lab = Lab::start("").await;
    let begin = portcullis::clock::now().as_millis();
    let claims = json!({ "sub": "alice", "sid": "session-a", "roles": ["viewer", { "role": "editor", "branch": "b1" }] });
    assert!(lab.ask("GET", &format!("{POST}?key=a-secret"), claims).await.passes);
    let refused = lab.ask("DELETE", POST, json!({ "sub": "bob" })).await;
    assert_eq!((refused.reason.as_str(), refused.status), ("permission_missing", Some(403)));
    assert_eq!(lab.sidecar.ask(&Ask::get(POST)).await.reason, "credential_missing");
    assert_eq!(lab.sidecar.ask(&Ask::new("PATCH", POST)).await.reason, "method_not_allowed");
    // These are not audited.
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes);
    assert_eq!(lab.sidecar.ask(&Ask::get("/nowhere")).await.reason, "route_not_found");

    let records = lab.records();
    assert_eq!(lab.events(), ["start", "check", "check", "check", "check"]);
    let revision = lab.sidecar.dump().await["revision"].clone();
    assert_eq!((&records[0]["version"], &records[0]["revision"]), (&env!("CARGO_PKG_VERSION").into(), &revision));
    let allowed = &records[1];
    let who = json!({ "issuer": "second", "subject": "alice", "tenant": "acme", "session": "session-a", "roles": ["viewer", "editor;branch=b1"] });
    assert_eq!(allowed["who"], who);
    let what = json!({ "method": "GET", "route": "post", "parameters": { "tenant": "acme", "id": "1" } });
    assert_eq!(allowed["what"], what);
    assert_eq!((&allowed["decision"], &allowed["reason"], &allowed["status"]), (&"allow".into(), &"allowed".into(), &Value::Null));
    assert_eq!((&allowed["revision"], &allowed["generation"]), (&revision, &1.into()));
    let time: jiff::Timestamp = allowed["time"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!((begin..=portcullis::clock::now().as_millis()).contains(&time.as_millisecond()), "{time}");

    let denied = &records[2];
    assert_eq!((&denied["who"]["subject"], &denied["what"]["method"]), (&"bob".into(), &"DELETE".into()));
    assert_eq!((&denied["reason"], &denied["status"]), (&"permission_missing".into(), &403.into()));
    let body: Value = serde_json::from_str(&refused.body).expect("a problem");
    assert_eq!(denied["decision_id"], body["request_id"], "the record and the client's answer have one id");
    assert_eq!((&records[3]["who"], &records[3]["status"]), (&Value::Null, &401.into()));
    assert_eq!(records[4]["reason"], "method_not_allowed");

    let text = fs::read_to_string(lab.trail()).expect("the trail");
    assert!(!text.contains("a-secret") && !text.contains("Bearer") && !text.contains("eyJ"), "{text}");
    let (seq, hash) = lab.last().await;
    assert_eq!((seq, records[4]["hash"].as_str()), (5, Some(hash.as_str())));
    assert_eq!(lab.sidecar.dump().await["audit"]["hash"], *hash);
    let path = lab.trail().display().to_string();
    let (status, said) = verdict([&*path, "--expect-last", &hash]);
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with("intact: 5 records (number 1 of ") && said.contains(&hash), "{said}");
    let metrics = lab.sidecar.metrics().await;
    for (series, value) in
        [("portcullis_audit_records_total", 4.0), ("portcullis_audit_dropped_total", 0.0), ("portcullis_audit_queue", 0.0)]
    {
        assert!((metrics.get(series) - value).abs() < f64::EPSILON, "{series} is {}", metrics.get(series));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_graphql_request_the_root_fields_are_recorded_and_no_values() {
    let graphql = "routes:\n  - path: /graphql\n    audit: true\n    methods: { POST: { graphql: { mutation: { deleteUser: [], refund: [\"blog:posts.update\"] } } } }\n";
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let text = edit(&policy(folder.path(), &stub, ""), "routes:\n", graphql);
    let sidecar = Sidecar::start(folder.path(), &text).await;
    sidecar.ready().await;
    let lab = Lab { sidecar, stub, folder };
    let bearer = format!("Bearer {}", token::mint_second(json!({})));
    for (fields, reason) in [
        ("deleteUser(id: \\\"bob\\\") { id }", "allowed"),
        ("a: deleteUser refund", "permission_missing"),
        ("drop", "graphql_field_not_listed"),
    ] {
        let body = format!(r#"{{"query":"mutation {{ {fields} }}"}}"#);
        let length = body.len().to_string();
        let ask = Ask::new("POST", "/graphql").header("authorization", &bearer).header("content-length", &length).json(&body);
        assert_eq!(lab.sidecar.ask(&ask).await.reason, reason, "{body}");
    }
    let asked: Vec<Value> = lab.records()[1..].iter().map(|record| record["what"]["graphql"].clone()).collect();
    let expected = [json!(["mutation deleteUser"]), json!(["mutation deleteUser", "mutation refund"]), json!(["mutation drop"])];
    assert_eq!(asked, expected);
    assert!(!fs::read_to_string(lab.trail()).expect("the trail").contains("bob"));
    drop(lab.stub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_removed_put_in_or_moved_is_named_by_line() {
    let mut lab = Lab::start("").await;
    for number in 0..5 {
        lab.ask("GET", &format!("/blog/tenants/acme/posts/{number}"), json!({})).await;
    }
    let (_, hash) = lab.last().await;
    lab.stop().await;
    let intact = fs::read_to_string(lab.trail()).expect("the trail");
    let lines: Vec<&str> = intact.lines().collect();
    assert_eq!(lines.len(), 7);
    let copy = lab.folder.path().join("copy.jsonl").display().to_string();
    let judge = |lines: &[&str]| {
        fs::write(&copy, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("a copy");
        verdict([&*copy, "--contains", &hash])
    };
    assert_eq!(judge(&lines).0, 0);
    let changed = lines[3].replace("alice", "mallory");
    for (name, tampered, said) in [
        ("changed", [&lines[..3], &[&changed], &lines[4..]].concat(), "copy.jsonl:4: changed: "),
        ("removed", [&lines[..3], &lines[4..]].concat(), "copy.jsonl:4: removed: record 4 "),
        ("put in", [&lines[..3], &["{\"seq\":4}"], &lines[3..]].concat(), "copy.jsonl:4: inserted: "),
        ("moved", [&lines[..3], &[lines[4], lines[3]], &lines[5..]].concat(), "copy.jsonl:4: reordered: "),
        ("cut off", lines[..3].to_vec(), "cut off: there is no record with the hash "),
    ] {
        let (status, output) = judge(&tampered);
        assert_eq!(status, 1, "{name}: {output}");
        assert!(output.contains(said) && output.contains("not intact"), "{name}: {output}");
    }

    let output = verify([&*copy, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["intact"], &report["report"]["records"]), (&true.into(), &3.into()));
    judge(&[lines[0], &changed]);
    let report: Value = serde_json::from_slice(&verify([&*copy, "--json"]).stdout).expect("JSON");
    let finding = &report["report"]["finding"];
    assert_eq!((&report["intact"], &finding["kind"], &finding["place"]["line"]), (&false.into(), &"changed".into(), &2.into()));

    // What cannot be looked at is neither intact nor not.
    assert_eq!(verdict(["/nowhere.jsonl"]).0, 2);
    assert_eq!(verdict([lab.folder.path().to_str().expect("a path")]).0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_goes_on_over_restarts_crashes_and_half_a_line() {
    let mut lab = Lab::start("").await;
    lab.ask("GET", POST, json!({})).await;
    lab.stop().await;
    lab.sidecar.restart().await;
    lab.ask("GET", POST, json!({})).await;
    // A crash in the middle of a line, as far as the file goes.
    lab.sidecar.process.kill();
    let text = fs::read_to_string(lab.trail()).expect("the trail");
    fs::write(lab.trail(), &text[..text.len() - 100]).expect("half a line");
    lab.sidecar.restart().await;
    lab.ask("GET", POST, json!({})).await;
    let (seq, hash) = lab.last().await;
    // start check stop, start (half a check), start check
    assert_eq!(seq, 6);
    let path = lab.trail().display().to_string();
    let (status, said) = verdict([&*path, "--expect-last", &hash]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(":5: ") && said.contains("a write that was cut short, as record 5 says"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_moved_away_goes_on_in_a_new_one() {
    let lab = Lab::start("").await;
    lab.ask("GET", POST, json!({})).await;
    let old = lab.folder.path().join("audit.jsonl.1");
    fs::rename(lab.trail(), &old).expect("moved");
    lab.sidecar.process.signal("HUP");
    wait::until_true("the new file", PATIENCE, async || lab.trail().exists() && lab.events() == ["continues"]).await;
    lab.ask("GET", POST, json!({})).await;
    // Without a signal the next record finds out.
    let older = lab.folder.path().join("audit.jsonl.2");
    fs::rename(&old, &older).expect("moved");
    fs::rename(lab.trail(), &old).expect("moved");
    lab.ask("GET", POST, json!({})).await;
    assert_eq!(lab.events(), ["continues", "check"]);
    let (_, hash) = lab.last().await;
    let [first, second, third] = [&older, &old, &lab.trail()].map(|path| path.display().to_string());
    let (status, said) = verdict([&*first, &*second, &*third, "--expect-last", &hash]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("6 records"), "{said}");
    // Alone it comes after something, and says after what.
    let (status, said) = verdict([&*third]);
    assert_eq!(status, 1);
    let after = said.split("--after ").nth(1).and_then(|rest| rest.split('\'').next()).expect("a hash");
    assert_eq!(verdict([&*third, "--after", after]).0, 0);
    assert_eq!(verdict([&*second, &*first]).0, 1);
}

/// Puts a pipe that nobody reads in the place of the trail, and gives where the trail is now.
fn replace_with_pipe(lab: &Lab) -> PathBuf {
    let aside = lab.folder.path().join("aside.jsonl");
    fs::rename(lab.trail(), &aside).expect("moved");
    let made = Command::new("mkfifo").arg(lab.trail()).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    aside
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_refused_other_routes_are_unaffected_and_the_trail_says_what_is_missing() {
    let mut lab = Lab::start("").await;
    lab.ask("GET", POST, json!({})).await;
    let aside = replace_with_pipe(&lab);
    for claims in [json!({}), json!({ "roles": [] }), json!({})] {
        let verdict = lab.ask("GET", POST, claims).await;
        assert_eq!((verdict.reason.as_str(), verdict.status), ("audit_unavailable", Some(503)));
        assert_eq!(verdict.header("retry-after"), Some("5"));
        assert!(lab.ask("GET", "/blog/me", json!({})).await.passes, "another route");
    }
    lab.sidecar.process.log_line("the audit trail cannot be written").await;
    assert_eq!(lab.sidecar.get("/audit").await.json()["problem"], "this is no regular file");
    assert_eq!(lab.sidecar.get("/readyz").await.status, 200);

    fs::remove_file(lab.trail()).expect("the pipe removed");
    assert!(lab.ask("GET", POST, json!({})).await.passes);
    lab.sidecar.process.log_line("the audit trail can be written again").await;
    assert_eq!(lab.events(), ["continues", "unrecorded", "check"]);
    assert_eq!(lab.records()[1]["records"], 3);
    let (status, said) = verdict([&*aside.display().to_string(), &*lab.trail().display().to_string()]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("note: 3 checks could not be recorded"), "{said}");
    let metrics = lab.sidecar.metrics().await;
    assert_eq!(metrics.reason("audit_unavailable"), 3);
    assert!((metrics.get("portcullis_audit_dropped_total") - 3.0).abs() < f64::EPSILON);
    assert!((metrics.get("portcullis_audit_write_errors_total") - 3.0).abs() < f64::EPSILON);
    assert!((metrics.get("portcullis_audit_records_total") - 2.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_continue_requests_pass_unrecorded_and_are_counted() {
    let lab = Lab::start(", when_unwritable: continue").await;
    lab.ask("GET", POST, json!({})).await;
    // Nobody waits for a record here but we.
    wait::until_true("the first record", PATIENCE, async || lab.records().len() == 2).await;
    replace_with_pipe(&lab);
    for _ in 0..3 {
        assert!(lab.ask("GET", POST, json!({})).await.passes);
        assert_eq!(lab.ask("DELETE", POST, json!({})).await.reason, "permission_missing");
    }
    let dropped = "portcullis_audit_dropped_total";
    wait::until_true("six drops", PATIENCE, async || (lab.sidecar.metrics().await.get(dropped) - 6.0).abs() < f64::EPSILON).await;
    fs::remove_file(lab.trail()).expect("the pipe removed");
    assert!(lab.ask("GET", POST, json!({})).await.passes);
    wait::until_true("the next record", PATIENCE, async || lab.trail().exists() && lab.records().len() == 3).await;
    assert_eq!(lab.events(), ["continues", "unrecorded", "check"]);
    assert_eq!(lab.records()[1]["records"], 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_breaks_no_chain() {
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let sidecar = Sidecar::start_on_full_disk(folder.path(), &policy(folder.path(), &stub, ""), 16).await;
    sidecar.ready().await;
    let mut lab = Lab { sidecar, stub, folder };
    let mut passed = 0;
    while lab.ask("GET", POST, json!({})).await.passes {
        passed += 1;
        assert!(passed < 100, "the disk is not full after {passed} records");
    }
    assert!(passed > 3);
    let verdict_now = lab.ask("GET", POST, json!({})).await;
    assert_eq!((verdict_now.reason.as_str(), verdict_now.status), ("audit_unavailable", Some(503)));
    assert!(lab.ask("GET", "/blog/me", json!({})).await.passes, "another route");

    // A new run on a disk with space: what is there of the record that did not fit is kept and known.
    lab.sidecar.restart().await;
    assert!(lab.ask("GET", POST, json!({})).await.passes);
    let path = lab.trail().display().to_string();
    let (status, said) = verdict([&*path]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("a write that was cut short"), "{said}");
    // Two starts, and what passed.
    assert!(said.contains(&format!("intact: {} records", passed + 3)), "{said}");
    drop(lab.stub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_checks_at_once_are_all_recorded_in_one_chain() {
    const CLIENTS: usize = 8;
    const CHECKS: usize = 25;
    let lab = Arc::new(Lab::start(", sync: true, deadline: 10s").await);
    let tasks = (0..CLIENTS).map(|client| {
        let lab = Arc::clone(&lab);
        tokio::spawn(async move {
            let connection = lab.sidecar.connect().await;
            let bearer = format!("Bearer {}", token::mint_second(json!({ "sub": format!("user-{client}") })));
            for number in 0..CHECKS {
                let path = format!("/blog/tenants/acme/posts/{number}");
                let verdict = Verdict::of(&connection.check(&Ask::get(&path).header("authorization", &bearer).raw()).await);
                assert!(verdict.passes, "{verdict:?}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a client");
    }
    let records = lab.records();
    assert_eq!(records.len(), 1 + CLIENTS * CHECKS);
    for client in 0..CLIENTS {
        let subject = format!("user-{client}");
        let numbers: Vec<&str> = records
            .iter()
            .filter(|record| record["who"]["subject"] == *subject)
            .filter_map(|record| record["what"]["parameters"]["id"].as_str())
            .collect();
        assert_eq!(numbers, (0..CHECKS).map(|number| number.to_string()).collect::<Vec<_>>(), "{subject}");
    }
    assert_eq!(verdict([&*lab.trail().display().to_string()]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_only_its_holder_can_make_or_check_records() {
    let folder = mesh::folder();
    let key = folder.path().join("audit.key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("a key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let stub = Stub::start().await;
    let text = policy(folder.path(), &stub, &format!(", key_file: {}", key.display()));
    let sidecar = Sidecar::start(folder.path(), &text).await;
    sidecar.ready().await;
    let mut lab = Lab { sidecar, stub, folder };
    lab.sidecar.process.log_line("others can read the audit trail's key").await;
    lab.ask("GET", POST, json!({})).await;
    assert!(lab.records().iter().all(|record| record["mac"].is_string() && record["hash"].is_null()));
    let (path, key) = (lab.trail().display().to_string(), key.display().to_string());
    assert_eq!(verdict([&*path, "--key-file", &key]).0, 0);
    let (status, said) = verdict([&*path]);
    assert_eq!(status, 2);
    assert!(said.contains("--key-file"), "{said}");
    let other = lab.folder.path().join("other.key").display().to_string();
    fs::write(&other, "0123456789abcdef0123456789abcdeX\n").expect("a key");
    assert_eq!(verdict([&*path, "--key-file", &other]).0, 1);
    for shown in [lab.sidecar.process.log(), lab.sidecar.get("/config").await.text(), lab.sidecar.get("/audit").await.text()] {
        assert!(!shown.contains("0123456789abcdef0123456789abcdef"), "{shown}");
    }
    drop(lab.stub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_cannot_be_one_is_refused_at_the_start() {
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let usual = policy(folder.path(), &stub, "");
    let trail = folder.path().join("audit.jsonl").display().to_string();
    fs::write(folder.path().join("notes"), "not a trail\n").expect("a file");
    let key = folder.path().join("short.key");
    fs::write(&key, "short\n").expect("a key");
    let notes = trail.replace("audit.jsonl", "notes");
    for (file, said) in [
        (trail.replace("audit.jsonl", "nowhere/audit.jsonl"), "its folder does not exist"),
        (notes.clone(), "there is something in it"),
        ("/dev/null".into(), "this is no regular file"),
        (format!("{trail}, key_file: {}", key.display()), "audit.key_file: "),
        (format!("{trail}, key_file: /nowhere/key"), "audit.key_file: "),
    ] {
        let config = folder.path().join("bad.yaml");
        fs::write(&config, edit(&usual, &trail, &file)).expect("the configuration");
        let arguments = ["run", "--config", &config.display().to_string()];
        let mut process = Process::start("failing", programs::portcullis(), arguments, folder.path());
        assert_eq!(process.ended(PATIENCE).await.code(), Some(1), "{}", process.log());
        assert!(process.log().contains(said), "{said}: {}", process.log());
    }
    assert_eq!(fs::read_to_string(notes).expect("the file"), "not a trail\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_is_recorded_and_the_trail_itself_stays_as_it_was_at_the_start() {
    let mut lab = Lab::start("").await;
    let usual = policy(lab.folder.path(), &lab.stub, "");
    let other = policy(lab.folder.path(), &lab.stub, ", when_unwritable: continue");
    lab.sidecar.replace_config(&other);
    lab.sidecar.generation_is(2).await;
    lab.sidecar.process.log_line("'audit' changed and is only read at start").await;
    wait::until_true("the record of it", PATIENCE, async || lab.records().len() == 2).await;
    let record = &lab.records()[1];
    assert_eq!((&record["event"], &record["revision"]), (&"configuration".into(), &lab.sidecar.dump().await["revision"]));
    assert_eq!(record["generation"], 2);

    // A sidecar without a trail does not take routes on that it could not record.
    let without = edit(&usual, usual.lines().next().expect("a line"), "");
    let without = edit(&without, "    audit: true\n", "");
    lab.sidecar.replace_config(&without);
    lab.sidecar.generation_is(3).await;
    lab.sidecar.restart().await;
    assert_eq!(lab.sidecar.get("/audit").await.json(), Value::Null);
    lab.sidecar.replace_config(&usual);
    lab.sidecar.last_load(false).await;
    lab.sidecar.process.log_line("'audit' is new and is only read at start").await;
    assert_eq!(lab.sidecar.generation().await, 1);
    assert!(lab.ask("GET", POST, json!({})).await.passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sidecars_do_not_write_to_one_trail_and_the_second_waits_for_the_end_of_the_first() {
    let mut lab = Lab::start("").await;
    let config = lab.folder.path().join("second.yaml");
    let text = policy(lab.folder.path(), &lab.stub, "");
    fs::write(&config, edit(&text, "authz.sock", "second.sock")).expect("the configuration");
    let arguments = ["run", "--config", &config.display().to_string()];
    let mut second = Process::start("second", programs::portcullis(), arguments, lab.folder.path());
    second.log_line("another process writes to the audit trail").await;
    assert!(lab.ask("GET", POST, json!({})).await.passes);
    lab.stop().await;
    second.log_line("answering checks").await;
    assert_eq!(lab.events(), ["start", "check", "stop", "start"]);
    assert_eq!(verdict([&*lab.trail().display().to_string()]).0, 0);
}
