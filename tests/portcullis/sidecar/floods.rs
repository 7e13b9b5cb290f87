//! Peers that mean harm, or are broken, beside good ones: the good ones notice nothing, and afterwards all is as before.

use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::check::{Ask, Verdict};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PREFACE, Peer, RST_STREAM, SETTINGS, WINDOW_UPDATE, check_headers,
    frame, literal,
};
use crate::harness::grpc::Client;
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::oracle::{Load, Oracle, Probe, Says};
use crate::harness::sidecar::{self, Sidecar};
use crate::harness::stub::Stub;
use crate::harness::turn;
use crate::harness::wait::{self, PATIENCE};

/// How long one kind of flood lasts at most.
const LONG: Duration = Duration::from_secs(2);
/// ENHANCE_YOUR_CALM
const CALM: u32 = 11;

const GRPC: &str = "portcullis_connections{listener=\"grpc\"}";
const ADMIN: &str = "portcullis_connections{listener=\"admin\"}";

async fn good_load(lab: &Sidecar) -> Oracle {
    let probes = [
        Probe::new("health", &Ask::get("/blog/health"), Says::Passes),
        Probe::new("me", &Ask::get("/blog/me"), Says::Refuses(401, "credential_missing")),
    ];
    Oracle::with(Load { connections: 2, streams: 2, rate: Some(200) }, &lab.socket, probes).await
}

/// The oracle's own connections are all that is left.
async fn all_gone(sidecar: &Sidecar) {
    wait::until_true("the bad connections to be gone", PATIENCE, async || sidecar.metrics().await.get(GRPC) < 2.5).await;
}

/// One kind of flood over a connection of its own. Gives how much was sent, and why the connection was ended, if it was.
async fn flood(address: SocketAddr, kind: &str) -> (usize, Option<u32>) {
    let mut peer = Peer::connect(address).await;
    let headers = check_headers(&[]);
    let sent = match kind {
        // A call is begun and given up, again and again (CVE-2023-44487).
        "rapid reset" => {
            let mut sent = 0;
            for number in 0..20_000_u32 {
                let stream = 2 * number + 1;
                let call = [frame(HEADERS, END_HEADERS, stream, &headers), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat();
                if peer.send(&call).await.is_err() {
                    break;
                }
                sent += 1;
            }
            sent
        }
        // Answers that nobody reads (CVE-2019-9512, CVE-2019-9515).
        "ping" => peer.flood(&frame(PING, 0, 0, &[0; 8]).repeat(100), 2_000, LONG).await,
        "settings" => peer.flood(&frame(SETTINGS, 0, 0, &[]).repeat(100), 2_000, LONG).await,
        // Headers without an end (CVE-2024-27316).
        "continuation" => {
            peer.send(&frame(HEADERS, 0, 1, &headers)).await.expect("a connection");
            peer.flood(&frame(CONTINUATION, 0, 1, &literal(&[("x", &"a".repeat(1000))])), 20_000, LONG).await
        }
        // Frames with nothing in them (CVE-2019-9518).
        "empty data" => {
            peer.send(&frame(HEADERS, END_HEADERS, 1, &headers)).await.expect("a connection");
            peer.flood(&frame(DATA, 0, 1, &[]).repeat(100), 2_000, LONG).await
        }
        "empty headers" => peer.flood(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[]), 20_000, LONG).await,
        // One long header, kept in the table, and references to it of a byte each.
        "header bomb" => {
            let mut block = headers.clone();
            block.extend_from_slice(&[0x40, 1, b'x', 127, 0xa1, 0x1e]);
            block.extend_from_slice(&[b'a'; 4000]);
            block.extend_from_slice(&[0xbe; 10_000]);
            peer.flood(&frame(HEADERS, END_HEADERS, 1, &block), 100, LONG).await
        }
        // Windows that grow beyond what there is.
        "windows" => peer.flood(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), 1_000, LONG).await,
        "no HTTP/2" => {
            let mut peer = Peer::silent(address).await;
            let sent = peer.flood(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 100, LONG).await;
            assert_eq!(peer.ended().await.unwrap_or(1), 1, "PROTOCOL_ERROR");
            sent
        }
        other => panic!("no such flood: {other}"),
    };
    // What is there can be read even if the other side has closed.
    let end = tokio::time::timeout(Duration::from_millis(500), peer.ended()).await;
    (sent, end.ok().flatten())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_do_not_reach_the_good_ones() {
    const MOST: u64 = 32 * 1024 * 1024;
    let _turn = turn::take().await;
    let lab = Lab::start().await;
    let oracle = good_load(&lab.sidecar).await;
    let before = lab.sidecar.process.resident_bytes();
    for (kind, ends) in [
        ("rapid reset", None),
        ("ping", None),
        ("settings", None),
        ("continuation", Some(CALM)),
        ("empty data", Some(CALM)),
        ("empty headers", None),
        ("header bomb", None),
        ("windows", None),
        ("no HTTP/2", None),
    ] {
        let floods = [flood(lab.sidecar.grpc, kind), flood(lab.sidecar.grpc, kind)];
        let [first, second] = floods;
        let ((sent, end), (also, _)) = tokio::join!(first, second);
        eprintln!("{kind}: {sent} and {also} sent, ended by {end:?}");
        if ends.is_some() {
            assert_eq!(end, ends, "{kind}");
        }
        oracle.rounds(5).await;
        all_gone(&lab.sidecar).await;
    }
    let grown = lab.sidecar.process.resident_bytes().saturating_sub(before);
    assert!(grown < MOST, "{grown} bytes more");
    let report = oracle.stop().await;
    report.assert_none_wrong();
    eprintln!("{report}; {grown} bytes more");
    let metrics = lab.sidecar.metrics().await;
    assert!(metrics.get("portcullis_checks_in_flight").abs() < 0.5 && metrics.get("portcullis_checks_waiting").abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_never_get_to_the_point_are_sent_away() {
    const EACH: usize = 40;
    let _turn = turn::take().await;
    let lab = Lab::start().await;
    let oracle = good_load(&lab.sidecar).await;
    // Their streams are open and their messages never come: they may fill no more than the places of those who wait.
    let mut unfinished = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::connect(lab.sidecar.grpc).await;
        for number in 0..300 {
            peer.send(&frame(HEADERS, END_HEADERS, 2 * number + 1, &check_headers(&[]))).await.expect("a connection");
        }
        unfinished.push(peer);
    }
    let (mut silent, mut admin) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        let mut peer = Peer::silent(lab.sidecar.grpc).await;
        let (said, _) = PREFACE.split_at(number % PREFACE.len());
        peer.send(said).await.expect("a connection");
        silent.push(peer);
        let mut peer = Peer::silent(lab.sidecar.admin).await;
        peer.send(b"GET /readyz HTTP/1.1\r\nhost: sidecar\r\nx-slow: ").await.expect("a connection");
        admin.push(peer);
    }
    wait::until_true("all of them to be there", PATIENCE, async || {
        let metrics = lab.sidecar.metrics().await;
        metrics.get(GRPC) > 40.0 && metrics.get(ADMIN) > 40.0 && metrics.get("portcullis_checks_waiting") > 400.0
    })
    .await;
    for peer in silent.iter_mut().chain(&mut admin) {
        peer.ended().await;
        oracle.rounds(1).await;
    }
    assert_eq!(lab.sidecar.get("/readyz").await.status, 200);
    let verdict = Verdict::of(&unfinished[3].answer(1).await);
    assert!(["deadline_exceeded", "overloaded"].contains(&&*verdict.reason), "{verdict:?}");
    drop(unfinished);
    all_gone(&lab.sidecar).await;
    let report = oracle.stop().await;
    report.assert_none_wrong();
    eprintln!("{report}; {EACH} silent peers on each port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_left_those_who_are_connected_are_served_and_others_are_as_soon_as_there_are_some() {
    const DESCRIPTORS: u32 = 64;
    let folder = mesh::folder();
    let stub = Stub::start().await;
    let policy = sidecar::policy(folder.path(), &stub.url());
    let mut sidecar = Sidecar::start_with_few_descriptors(folder.path(), &policy, DESCRIPTORS).await;
    sidecar.ready().await;
    let oracle = good_load(&sidecar).await;
    let mut peers = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        peers.push(Peer::connect(sidecar.grpc).await);
    }
    sidecar.process.log_line("no connection can be accepted").await;
    oracle.rounds(50).await;
    let held = peers.len();
    drop(peers);
    wait::until_true("a new connection", PATIENCE, async || {
        let Ok(client) = Client::tcp(sidecar.grpc).await else { return false };
        client.try_post(crate::harness::grpc::CHECK, bytes::Bytes::new(), PATIENCE).await.is_ok()
    })
    .await;
    sidecar.process.log_line("connections are accepted again").await;
    assert_eq!(sidecar.get("/readyz").await.status, 200);
    let said = sidecar.process.log().matches("no connection can be accepted").count();
    assert!(said < 10, "it was said {said} times");
    let report = oracle.stop().await;
    report.assert_none_wrong();
    eprintln!("{report}; {held} connections for {DESCRIPTORS} descriptors");
}

/// Frames can be read back: what this file sends is what it means to.
#[test]
fn frames_are_what_they_say() {
    let bytes = frame(RST_STREAM, 0, 5, &8_u32.to_be_bytes());
    assert_eq!(bytes, [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]);
    assert_eq!(Frame { kind: RST_STREAM, flags: 0, stream: 5, payload: vec![0, 0, 0, 8] }.code(), Some(8));
    assert_eq!(literal(&[("a", &"b".repeat(200))])[..6], [0, 1, b'a', 127, 73, b'b']);
}
