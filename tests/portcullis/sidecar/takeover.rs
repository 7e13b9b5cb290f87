//! A sidecar takes the place of another. Nobody who asks notices.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::Client;
use crate::harness::lab::Lab;
use crate::harness::oracle::{Load, Oracle, Probe, Says};
use crate::harness::process::{Process, programs};
use crate::harness::sidecar::edit;
use crate::harness::wait::PATIENCE;
use crate::harness::{ports, token, turn};
use serde_json::json;

use super::POST;

/// How many times in a row; `RESTARTS` in the environment says otherwise.
const RESTARTS: usize = 20;

/// Starts a sidecar that is to take over.
fn newcomer(folder: &Path, config: &Path, number: usize) -> Process {
    let arguments = ["run", "--takeover", "--config", &config.display().to_string()];
    Process::start(&format!("newcomer-{number}"), programs::portcullis(), arguments, folder)
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("the socket").ino()
}

/// The usual policy with addresses that both need.
fn with_fixed_ports(text: String) -> String {
    let text = edit(&text, "127.0.0.1:0]", &format!("127.0.0.1:{}]", ports::pick()));
    edit(&text, "admin: 127.0.0.1:0", &format!("admin: 127.0.0.1:{}", ports::pick()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_lose_no_check() {
    let _turn = turn::take().await;
    let restarts = std::env::var("RESTARTS").ok().map_or(RESTARTS, |text| text.parse().expect("a number"));
    let lab = Lab::with_policy(with_fixed_ports).await;
    let good = format!("Bearer {}", token::mint(json!({})));
    let probes = [
        Probe::new("read", &Ask::get(POST).header("authorization", &good), Says::Passes),
        Probe::new("write", &Ask::new("PUT", POST).header("authorization", &good), Says::Refuses(403, "permission_missing")),
        Probe::new("health", &Ask::get("/blog/health"), Says::Passes),
    ];
    let load = Load { connections: 3, streams: 4, rate: Some(600) };
    let oracle = Oracle::with(load, &lab.sidecar.socket, probes).await;
    let (config, socket, folder) = (lab.sidecar.config.clone(), lab.sidecar.socket.clone(), lab.folder);
    let mut running = lab.sidecar.process;
    for number in 0..restarts {
        let before = inode(&socket);
        let mut new = newcomer(folder.path(), &config, number);
        new.log_line("the admin listener is up").await;
        assert_ne!(inode(&socket), before, "the new one's socket is not there");
        if number == 0 {
            running.log_line("another process has taken over the socket").await;
        }
        running.signal("TERM");
        let status = running.ended(PATIENCE).await;
        assert!(status.success(), "{status}");
        let log = running.log();
        assert!(!log.contains("were cut") && !log.contains("serving until the delay"), "{log}");
        running = new;
        oracle.rounds(2).await;
    }
    let report = oracle.stop().await;
    report.assert_none_wrong();
    eprintln!("{restarts} restarts: {report}");
    running.signal("TERM");
    assert!(running.ended(PATIENCE).await.success());
    assert!(!socket.exists(), "the last one takes its socket away");
    assert_eq!(beside(folder.path()), Vec::<String>::new());
}

/// Names of sockets that wait beside the one that counts.
fn beside(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    names.filter(|name| name.starts_with("authz.sock.")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_ready_takes_nothing_over() {
    let lab = Lab::with_policy(with_fixed_ports).await;
    let before = inode(&lab.sidecar.socket);
    let oracle = Oracle::start(&lab.sidecar.socket, [Probe::new("health", &Ask::get("/blog/health"), Says::Passes)]).await;
    lab.stub.break_down(true);
    let mut new = newcomer(lab.folder.path(), &lab.sidecar.config, 0);
    new.log_line("the policy is in force").await;
    oracle.rounds(50).await;
    assert!(new.is_running());
    assert_eq!(beside(lab.folder.path()).len(), 1);
    // Nor does it answer on the ports that it shares.
    for _ in 0..20 {
        let client = Client::tcp(lab.sidecar.grpc).await.expect("a connection");
        assert!(Verdict::of(&client.check(&Ask::get("/blog/health").raw()).await).passes);
        assert_eq!(lab.sidecar.get("/livez").await.status, 200);
    }
    new.signal("TERM");
    assert!(new.ended(PATIENCE).await.success());
    assert_eq!(beside(lab.folder.path()), Vec::<String>::new());
    assert_eq!(inode(&lab.sidecar.socket), before);
    oracle.stop().await.assert_none_wrong();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_is_not_shared() {
    let lab = Lab::with_policy(|text| {
        let folder = text.split("unix:").nth(1).and_then(|rest| rest.split("/authz.sock").next()).expect("a folder").to_string();
        format!("{text}audit: {{ file: {folder}/audit.jsonl }}\n")
    })
    .await;
    let mut new = newcomer(lab.folder.path(), &lab.sidecar.config, 0);
    assert_eq!(new.ended(PATIENCE).await.code(), Some(1));
    let said = new.log();
    assert!(said.contains("audit.jsonl: another process writes to it; each sidecar needs a file of its own"), "{said}");
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes, "the first one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_nobody_a_takeover_is_a_start_and_leftovers_are_cleared_away() {
    let mut lab = Lab::start().await;
    lab.sidecar.process.kill();
    let folder = lab.folder.path();
    drop(UnixListener::bind(folder.join("authz.sock.4711")).expect("a socket"));
    drop(UnixListener::bind(folder.join("authz.sock.old")).expect("a socket"));
    let _alive = UnixListener::bind(folder.join("authz.sock.4712")).expect("a socket");
    fs::write(folder.join("authz.sock.4713"), "precious").expect("a file");
    let mut new = newcomer(folder, &lab.sidecar.config, 0);
    new.log_line("the admin listener is up").await;
    let mut left = beside(folder);
    left.sort();
    assert_eq!(left, ["authz.sock.4712", "authz.sock.4713", "authz.sock.old"]);
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes);
    new.signal("TERM");
    assert!(new.ended(PATIENCE).await.success());
    assert!(!lab.sidecar.socket.exists());
}
