//! What is too much, too long or too late is refused, counted, and harms nobody else.

use std::time::{Duration, Instant};

use prost::Message;
use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::frames::{self, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, check_headers};
use crate::harness::grpc::{Client, frame};
use crate::harness::lab::Lab;
use crate::harness::oracle::{Load, Oracle, Probe, Says};
use crate::harness::sidecar::edit;
use crate::harness::stub::Person;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

/// A lab with these limits, and a directory that can hang.
async fn lab(limits: &str) -> Lab {
    Lab::with_policy(|text| {
        let identity = text.split("url: \"").nth(1).and_then(|rest| rest.split("/.well-known").next()).expect("a URL").to_string();
        let folder = text.split("unix:").nth(1).and_then(|rest| rest.split("/authz.sock").next()).expect("a folder").to_string();
        let secret = format!("{folder}/directory.token");
        std::fs::write(&secret, "of-the-sidecar\n").expect("a file");
        let text = edit(&text, "roles:\n", "roles:\n  boss: { permissions: [], manages: { roles: [viewer] } }\n");
        let people = "routes:\n  - path: /people/{user}\n    tenant: token\n    targets: { user: { path: user } }\n    methods: { GET: { manages: user } }\n";
        let text = edit(&text, "routes:\n", people);
        format!("{text}limits: {limits}\ndirectory: {{ url: \"{identity}/v1/directory\", deadline: 10s, token_file: {secret} }}\n")
    })
    .await
}

fn boss() -> String {
    format!("Bearer {}", token::mint(json!({ "roles": ["boss"] })))
}

fn message(ask: &Ask<'_>) -> Vec<u8> {
    frame(0, &ask.raw().encode_to_vec()).to_vec()
}

/// The frames of a whole check.
fn whole(stream: u32, more: &[(&str, &str)], ask: &Ask<'_>) -> Vec<u8> {
    let headers = frames::frame(HEADERS, END_HEADERS, stream, &check_headers(more));
    [headers, frames::frame(frames::DATA, END_STREAM, stream, &message(ask))].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_there_may_be_are_closed_at_once() {
    let lab = lab("{ connections: 4 }").await;
    let healthy = Ask::get("/blog/health").raw();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = lab.sidecar.connect().await;
        assert!(Verdict::of(&client.check(&healthy).await).passes);
        clients.push(client);
    }
    for _ in 0..3 {
        let mut peer = Peer::silent(lab.sidecar.grpc).await;
        assert_eq!(peer.ended().await, None);
    }
    for client in &clients {
        assert!(Verdict::of(&client.check(&healthy).await).passes);
    }
    let metrics = lab.sidecar.metrics().await;
    assert!((metrics.get("portcullis_connections{listener=\"grpc\"}") - 4.0).abs() < 0.5);
    assert!((metrics.get("portcullis_connections_refused_total{listener=\"grpc\"}") - 3.0).abs() < 0.5);
    clients.pop();
    wait::until_true("a place", PATIENCE, async || match Client::tcp(lab.sidecar.grpc).await {
        Ok(client) => client.try_post(crate::harness::grpc::CHECK, message(&Ask::get("/blog/health")).into(), PATIENCE).await.is_ok(),
        Err(_) => false,
    })
    .await;
    assert!(lab.sidecar.process.log().contains("connections are closed at once"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_a_connection_may_have_open_are_refused_and_the_others_answered() {
    let lab = lab("{ streams: 3 }").await;
    let mut peer = Peer::connect(lab.sidecar.grpc).await;
    for stream in [1, 3, 5, 7, 9] {
        peer.send(&frames::frame(HEADERS, END_HEADERS, stream, &check_headers(&[]))).await.expect("a connection");
    }
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let frame = peer.next().await.expect("a frame");
        if frame.kind == RST_STREAM {
            // REFUSED_STREAM
            assert_eq!(frame.code(), Some(7));
            refused.push(frame.stream);
        }
    }
    assert_eq!(refused, [7, 9]);
    for stream in [1, 3, 5] {
        peer.send(&frames::frame(frames::DATA, END_STREAM, stream, &message(&Ask::get("/blog/health")))).await.expect("a connection");
        assert!(Verdict::of(&peer.answer(stream).await).passes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_are_refused_and_long_headers_are_not_read() {
    let lab = lab("{ message_bytes: 4KiB, header_bytes: 1KiB }").await;
    let client = lab.sidecar.connect().await;
    let (short, long) = ("a".repeat(3000), "a".repeat(4096));
    assert!(Verdict::of(&client.check(&Ask::get("/blog/health").header("x", &short).raw()).await).passes);
    let verdict = Verdict::of(&client.check(&Ask::get("/blog/health").header("x", &long).raw()).await);
    assert_eq!((verdict.status, &*verdict.reason), (Some(400), "request_malformed"));

    let mut peer = Peer::connect(lab.sidecar.grpc).await;
    peer.send(&whole(1, &[("x", &short)], &Ask::get("/blog/health"))).await.expect("a connection");
    peer.send(&whole(3, &[], &Ask::get("/blog/health"))).await.expect("a connection");
    assert!(Verdict::of(&peer.answer(3).await).passes, "the same connection");
    assert!(Verdict::of(&client.check(&Ask::get("/blog/health").raw()).await).passes, "another one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_come_is_not_waited_for() {
    let lab = lab("{ request_timeout: 200ms }").await;
    let mut peer = Peer::connect(lab.sidecar.grpc).await;
    let body = message(&Ask::get("/blog/health"));
    let (half, _) = body.split_at(body.len() / 2);
    peer.send(&frames::frame(HEADERS, END_HEADERS, 1, &check_headers(&[]))).await.expect("a connection");
    peer.send(&frames::frame(HEADERS, END_HEADERS, 3, &check_headers(&[]))).await.expect("a connection");
    peer.send(&frames::frame(frames::DATA, 0, 3, half)).await.expect("a connection");
    for stream in [1, 3] {
        let verdict = Verdict::of(&peer.answer(stream).await);
        assert_eq!((verdict.status, &*verdict.reason, verdict.header("retry-after")), (Some(503), "deadline_exceeded", Some("5")));
    }
    peer.send(&whole(5, &[], &Ask::get("/blog/health"))).await.expect("a connection");
    assert!(Verdict::of(&peer.answer(5).await).passes, "the same connection");
    assert_eq!(lab.sidecar.metrics().await.reason("deadline_exceeded"), 2);
}

/// Whoever is refused before the message is there still sends it, which is no fault: the connection and what else is on it live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_come_after_their_refusal_do_not_end_a_connection() {
    let lab = lab("{ checks: 1 }").await;
    let mut peer = Peer::connect(lab.sidecar.grpc).await;
    let healthy = message(&Ask::get("/blog/health"));
    let streams = || (1..800).step_by(2);
    // All of the answers fit before any of them is acknowledged.
    peer.send(&frames::frame(frames::WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes())).await.expect("a connection");
    for stream in streams() {
        peer.send(&frames::frame(HEADERS, END_HEADERS, stream, &check_headers(&[]))).await.expect("a connection");
    }
    // A few have a place as long as their messages are about to come.
    let mut refused = 0;
    while refused < 390 {
        let frame = peer.next().await.expect("a frame");
        refused += usize::from(frame.kind == HEADERS && frame.flags & END_STREAM != 0);
    }
    for stream in streams() {
        peer.send(&frames::frame(frames::DATA, END_STREAM, stream, &healthy)).await.expect("a connection");
    }
    let mut next = (801..1001).step_by(2);
    let mut passes = false;
    while !passes {
        let stream = next.next().expect("one of so many to find a place");
        peer.send(&whole(stream, &[], &Ask::get("/blog/health"))).await.expect("the same connection");
        passes = Verdict::of(&peer.answer(stream).await).passes;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_deadline_is_kept() {
    let lab = lab("{}").await;
    lab.stub.person("eve", Person::Hangs);
    let bearer = boss();
    let mut peer = Peer::connect(lab.sidecar.grpc).await;
    let began = Instant::now();
    peer.send(&whole(1, &[("grpc-timeout", "500m")], &Ask::get("/people/eve").header("authorization", &bearer))).await.unwrap();
    let verdict = Verdict::of(&peer.answer(1).await);
    assert_eq!((verdict.status, &*verdict.reason, verdict.route.as_deref()), (Some(503), "deadline_exceeded", Some("/people/{user}")));
    assert!(began.elapsed() > Duration::from_millis(450) && began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    peer.send(&whole(3, &[("grpc-timeout", "0n")], &Ask::get("/blog/health"))).await.unwrap();
    assert_eq!(Verdict::of(&peer.answer(3).await).reason, "deadline_exceeded");
    peer.send(&whole(5, &[("grpc-timeout", "soon")], &Ask::get("/blog/health"))).await.unwrap();
    assert_eq!(Verdict::of(&peer.answer(5).await).reason, "request_malformed");
    peer.send(&whole(7, &[("grpc-timeout", "20S")], &Ask::get("/blog/health"))).await.unwrap();
    assert!(Verdict::of(&peer.answer(7).await).passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_its_caller_gives_up_is_recorded() {
    let mut lab = lab("{}").await;
    lab.stub.person("eve", Person::Hangs);
    let bearer = boss();
    let mut peer = Peer::connect(lab.sidecar.grpc).await;
    for stream in [1, 3] {
        peer.send(&whole(stream, &[], &Ask::get("/people/eve").header("authorization", &bearer))).await.unwrap();
    }
    wait::until_true("the question", PATIENCE, async || lab.stub.people_asked() > 0).await;
    let waiting = "portcullis_checks_waiting";
    wait::until_true("both to wait", PATIENCE, async || lab.sidecar.metrics().await.get(waiting) > 1.5).await;
    // CANCEL
    peer.send(&frames::frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await.unwrap();
    wait::until_true("the first", PATIENCE, async || lab.sidecar.metrics().await.reason("cancelled") == 1).await;
    drop(peer);
    wait::until_true("the second", PATIENCE, async || lab.sidecar.metrics().await.reason("cancelled") == 2).await;
    let line = lab.sidecar.process.log_line("reason=\"cancelled\" route=\"/people/{user}\"").await;
    assert!(line.contains("decision=\"indeterminate\"") && line.contains("method=\"GET\""), "{line}");
    let metrics = lab.sidecar.metrics().await;
    assert!(metrics.get(waiting).abs() < 0.5 && metrics.get("portcullis_checks_in_flight").abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_leave_place_for_those_who_need_not() {
    let lab = lab("{ checks: 4 }").await;
    lab.stub.person("eve", Person::Hangs);
    let bearer = boss();
    let client = lab.sidecar.connect().await;
    let ask = Ask::get("/people/eve").header("authorization", &bearer).raw();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (client, ask) = (client.clone(), ask.clone());
        waiting.push(tokio::spawn(async move { client.check(&ask).await }));
    }
    wait::until_true("both to wait", PATIENCE, async || lab.sidecar.metrics().await.get("portcullis_checks_waiting") > 1.5).await;
    let verdict = Verdict::of(&client.check(&ask).await);
    assert_eq!((verdict.status, &*verdict.reason, verdict.header("retry-after")), (Some(503), "overloaded", Some("5")));
    let good = format!("Bearer {}", token::mint(json!({})));
    assert!(Verdict::of(&client.check(&Ask::get(POST).header("authorization", &good).raw()).await).passes);
    lab.stub.person("eve", Person::Says(json!({ "user": "eve", "tenant": "acme", "roles": ["viewer"], "attributes": {} })));
    for check in waiting {
        assert_eq!(Verdict::of(&check.await.expect("an answer")).reason, "allowed");
    }
}

/// Ten times what the sidecar lets in at once, for a while: each is answered at once, rightly or with 503, and afterwards all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_load_is_shed_early_and_over_at_once() {
    let _turn = turn::take().await;
    let mut lab = lab("{ checks: 4 }").await;
    let good = format!("Bearer {}", token::mint(json!({})));
    let read = Ask::get(POST).header("authorization", &good);
    let write = Ask::new("PUT", POST).header("authorization", &good);
    let flood = Oracle::with(
        Load { connections: 4, streams: 10, rate: None },
        &lab.sidecar.socket,
        [Probe::new("read", &read, shed_or("allowed")), Probe::new("write", &write, shed_or("permission_missing"))],
    )
    .await;
    wait::until_true("a load", PATIENCE, async || flood.answered() > 2000).await;
    wait::until_true("too much of it", PATIENCE, async || lab.sidecar.metrics().await.reason("overloaded") > 100).await;
    lab.sidecar.process.log_line("more checks than there is time or place for").await;
    let flood = flood.stop().await;
    flood.assert_none_wrong();
    let over = Instant::now();
    let after = Oracle::start(&lab.sidecar.socket, [Probe::new("read", &read, Says::Passes)]).await;
    after.rounds(20).await;
    after.stop().await.assert_none_wrong();
    assert!(over.elapsed() < Duration::from_secs(5), "{:?}", over.elapsed());
    let shed = flood.count("read", "overloaded") + flood.count("write", "overloaded");
    assert!(shed > 0);
    let lines = lab.sidecar.process.log().matches("more checks than there is").count();
    assert!(lines < 60, "{lines} lines of log");
    eprintln!("{} checks, {shed} of them shed, none wrong; p99 {:?}", flood.checks, flood.percentile(99.0));
}

fn shed_or(right: &'static str) -> Says {
    let judge = move |verdict: &Verdict| verdict.reason == right || (&*verdict.reason, verdict.status) == ("overloaded", Some(503));
    Says::Judged("the right answer, or 503 overloaded", std::sync::Arc::new(judge))
}
