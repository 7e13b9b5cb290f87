//! Where the sidecar listens, and what happens when somebody else is there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::Client;
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::ports;
use crate::harness::process::{Process, programs};
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::turn;
use crate::harness::wait::PATIENCE;

/// Starts another sidecar and waits for its failure; gives all that it said.
async fn failure(folder: &Path, configuration: &str) -> String {
    let config = folder.join("failing.yaml");
    fs::write(&config, configuration).expect("the configuration");
    let arguments = ["run", "--config", &config.display().to_string()];
    let mut process = Process::start("failing", programs::portcullis(), arguments, folder);
    let status = process.ended(PATIENCE).await;
    assert_eq!(status.code(), Some(1), "{}", process.log());
    process.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_answered_on_the_socket_and_over_tcp_alike() {
    let lab = Lab::start().await;
    let mode = fs::metadata(&lab.sidecar.socket).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "owner and group only");
    for client in [lab.sidecar.connect().await, Client::tcp(lab.sidecar.grpc).await.expect("a connection")] {
        assert!(Verdict::of(&client.check(&Ask::get("/blog/health").raw()).await).passes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_connect_to_the_socket_can_be_said_also_when_it_is_taken_over() {
    let mode = |path: &Path| fs::metadata(path).expect("the socket").permissions().mode() & 0o777;
    // Envoy runs as another user than the sidecar where it has a container of its own.
    for (umask, variable, arguments, expected) in [
        ("077", "", &["--socket-mode", "666"][..], 0o666),
        ("000", "", &["--socket-mode", "600"], 0o600),
        ("077", "", &[], 0o660),
        ("000", "666", &[], 0o666),
        ("077", "600", &["--socket-mode=0660"], 0o660),
    ] {
        let folder = mesh::folder();
        let stub = Stub::start().await;
        let text = edit(&sidecar::policy(folder.path(), &stub.url()), "admin: 127.0.0.1:0", &format!("admin: 127.0.0.1:{}", ports::pick()));
        let config = folder.path().join("portcullis.yaml");
        fs::write(&config, text).expect("the configuration");
        let start = |name: &str, more: &[&str]| {
            let script = format!("umask {umask}; exec \"$0\" run \"$@\"");
            let program = programs::portcullis().display().to_string();
            let config = config.display().to_string();
            let usual = ["-c", &script, &program, "--config", &config];
            let environment: &[(&str, &str)] = if variable.is_empty() { &[] } else { &[("PORTCULLIS_SOCKET_MODE", variable)] };
            Process::start_with(name, Path::new("sh"), usual.iter().chain(arguments).chain(more), environment, folder.path())
        };
        let socket = folder.path().join("authz.sock");
        let mut first = start("first", &[]);
        first.log_line("the admin listener is up").await;
        assert_eq!(mode(&socket), expected, "{umask} {variable} {arguments:?}");
        let before = fs::metadata(&socket).expect("the socket").ino();
        let mut second = start("second", &["--takeover"]);
        second.log_line("the admin listener is up").await;
        assert_ne!(fs::metadata(&socket).expect("the socket").ino(), before);
        assert_eq!(mode(&socket), expected, "taken over with {umask} {variable} {arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_sent_at_once_and_do_not_wait_for_the_clients_acknowledgement() {
    const CALLS: u32 = 100;
    let _turn = turn::take().await;
    let lab = Lab::start().await;
    for client in [lab.sidecar.connect().await, Client::tcp(lab.sidecar.grpc).await.expect("a connection")] {
        let mut fastest_hundred = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            for _ in 0..CALLS {
                client.check(&Ask::get("/blog/health").raw()).await;
            }
            fastest_hundred = fastest_hundred.min(began.elapsed());
        }
        // An acknowledgement is put off for 40 ms.
        assert!(fastest_hundred < CALLS * Duration::from_millis(20), "{CALLS} calls took {fastest_hundred:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sidecar_on_the_same_addresses_says_so_in_one_line_and_leaves_the_first_alone() {
    let lab = Lab::start().await;
    let policy = lab.policy();
    let listen = "grpc: [\"unix:";
    let tcp_only = |grpc: &str, admin: &str| {
        let line = policy.lines().find(|line| line.contains(listen)).expect("the addresses").to_string();
        let text = edit(&policy, &line, &format!("  grpc: [{grpc}]"));
        edit(&text, "admin: 127.0.0.1:0", &format!("admin: {admin}"))
    };
    let (grpc, admin) = (lab.sidecar.grpc.to_string(), lab.sidecar.admin.to_string());
    let cases = [
        (policy.clone(), format!("unix:{}", lab.sidecar.socket.display())),
        (tcp_only(&grpc, "127.0.0.1:0"), grpc.clone()),
        (tcp_only("127.0.0.1:0", &admin), admin.clone()),
    ];
    for (configuration, address) in cases {
        let said = failure(lab.folder.path(), &configuration).await;
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("portcullis: cannot listen on {address}: another process does already")), "{said}");
        fs::remove_file(lab.folder.path().join("failing.log")).expect("the log");
    }
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes, "the first one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_of_a_killed_sidecar_is_taken_over() {
    let mut lab = Lab::start().await;
    lab.sidecar.process.kill();
    assert!(lab.sidecar.socket.exists(), "nobody took it away");
    lab.sidecar.restart().await;
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_socket_is_never_removed_and_a_missing_folder_is_named() {
    let folder = mesh::folder();
    let configuration = sidecar::policy(folder.path(), "http://127.0.0.1:1");
    let socket = folder.path().join("authz.sock");

    fs::write(&socket, "precious").expect("a file");
    let said = failure(folder.path(), &configuration).await;
    assert!(said.contains(&socket.display().to_string()) && said.contains("no socket"), "{said}");
    assert_eq!(fs::read_to_string(&socket).expect("the file"), "precious");

    let elsewhere = edit(&configuration, "/authz.sock", "/missing/authz.sock");
    let said = failure(folder.path(), &elsewhere).await;
    assert!(said.contains("the folder does not exist"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_somebody_else_put_there_meanwhile_stays() {
    let lab = Lab::start().await;
    let Lab { sidecar: Sidecar { mut process, socket, .. }, stub: _stub, folder: _folder } = lab;
    fs::remove_file(&socket).expect("the socket removed");
    let _other = UnixListener::bind(&socket).expect("another socket");
    process.signal("TERM");
    assert!(process.ended(PATIENCE).await.success());
    assert!(socket.exists(), "the other process's socket was removed");
}
