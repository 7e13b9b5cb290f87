use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::assertion::Signer;
use crate::config::{Configuration, SourceFile};
use crate::ext_authz::Bounds;
use crate::server::socket::Stream;
use crate::state::Live;
use crate::telemetry::metrics::Metrics;

const CONFIGURATION: &str = "permissions: { syntax: name }\nroutes: [{ path: /, methods: { GET: { access: public } } }]\n";
/// The preface, and SETTINGS with an initial window of nothing: no answer fits.
const NO_WINDOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

fn patience() -> Patience {
    Patience { preface: LONG, first_call: LONG, stuck: LONG, ping: (LONG, LONG), farewell: SHORT, rest: LONG }
}

/// A connection that is served with this much patience, and how it is told of the end.
fn served(patience: Patience) -> (UnixStream, End) {
    let file = SourceFile { name: "test.yaml".into(), text: CONFIGURATION.into() };
    let snapshot = Configuration::compile(&[file]).unwrap().snapshot;
    let metrics = Arc::new(Metrics::new().unwrap());
    let counters = metrics.route_counters(&snapshot.route_names);
    let bounds = Bounds { checks: 8, message_bytes: 1024, request_timeout: SHORT };
    let live = Arc::new(Live::new(snapshot, counters));
    let checks = AuthorizationServer::new(live, metrics, Arc::new(Signer::generate().unwrap()), None, bounds);
    let end = End::default();
    let health = HealthCalls::new(tonic_health::server::HealthReporter::new(), SHORT, end.goodbye.clone());
    let limits = LimitSettings { request_timeout: SHORT, ..LimitSettings::default() };
    let service = Arc::new(Service::new(checks, health, &limits, patience, end.clone()));
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn(service.connection(Socket::new(Stream::Unix(theirs))));
    (ours, end)
}

/// Everything that comes until the connection ends.
async fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.expect("an end").ok();
    bytes
}

/// The kinds of the frames in these bytes.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        kinds.push(head[3]);
        bytes = rest.get(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize..).unwrap_or_default();
    }
    kinds
}

/// A call on stream 1 whose message comes at once; what it is does not matter.
fn call() -> Vec<u8> {
    let mut block = Vec::new();
    let path = crate::ext_authz::CHECK_PATH;
    for (name, value) in [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)] {
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    [&[0, 0, block.len() as u8, 1, 4, 0, 0, 0, 1], &*block, &[0, 0, 5, 0, 1, 0, 0, 0, 1], &[0; 5]].concat()
}

#[tokio::test]
async fn who_says_nothing_is_cut() {
    for said in [0, NO_WINDOW.len() - 16] {
        let (mut stream, _end) = served(Patience { preface: SHORT, ..patience() });
        stream.write_all(&NO_WINDOW[..said]).await.unwrap();
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn who_never_asks_is_asked_to_go_and_then_cut() {
    let (mut stream, _end) = served(Patience { preface: SHORT, first_call: SHORT, ..patience() });
    stream.write_all(NO_WINDOW).await.unwrap();
    assert!(kinds(&rest(&mut stream).await).contains(&7), "a GOAWAY");
}

#[tokio::test]
async fn who_takes_no_answer_is_cut() {
    let (mut stream, _end) = served(Patience { preface: SHORT, first_call: SHORT, stuck: SHORT, ..patience() });
    stream.write_all(NO_WINDOW).await.unwrap();
    stream.write_all(&call()).await.unwrap();
    let kinds = kinds(&rest(&mut stream).await);
    assert!(kinds.contains(&1) && !kinds.contains(&0), "the head of an answer, and no more of it: {kinds:?}");
}

#[tokio::test]
async fn at_the_end_all_are_asked_to_go_and_who_does_not_is_cut() {
    let (mut stream, end) = served(patience());
    stream.write_all(NO_WINDOW).await.unwrap();
    stream.write_all(&call()).await.unwrap();
    // It has begun to serve once it says something.
    stream.readable().await.unwrap();
    end.goodbye.cancel();
    // Its answer is not taken, so it would stay.
    tokio::time::sleep(SHORT * 2).await;
    end.cut.cancel();
    let kinds = kinds(&rest(&mut stream).await);
    assert!(kinds.contains(&7), "a GOAWAY: {kinds:?}");
}
