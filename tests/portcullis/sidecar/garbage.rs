//! Whatever arrives on the port for checks is answered with a well-formed refusal, and harms nobody else.

use bytes::{Bytes, BytesMut};
use envoy_types::ext_authz::v3::pb::CheckRequest;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address, socket_address};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use prost::Message;
use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::{CHECK, Client, frame};
use crate::harness::lab::Lab;
use crate::harness::{token, turn};

/// Same garbage in every run.
const SEED: u64 = 20_261_122;

fn attributes(attributes: AttributeContext) -> Vec<u8> {
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

/// What Envoy's network filter sends: a peer, and no HTTP request.
fn network_filter() -> Vec<u8> {
    let socket = SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(40_000)),
        ..SocketAddress::default()
    };
    let address = Address { address: Some(address::Address::SocketAddress(socket)) };
    let peer = Peer { address: Some(address), ..Peer::default() };
    attributes(AttributeContext { source: Some(peer.clone()), destination: Some(peer), ..AttributeContext::default() })
}

fn random(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = random.usize(1..600);
    (0..length).map(|_| random.u8(..)).collect()
}

/// The body of a call, framed as it should be or not.
fn bodies() -> Vec<(String, Bytes)> {
    let good = Ask::get("/blog/health").raw().encode_to_vec();
    let mut bodies: Vec<(String, Bytes)> = Vec::new();
    let mut add = |name: &str, body: Bytes| bodies.push((name.to_string(), body));

    add("an empty message", frame(0, &[]));
    add("no HTTP request: the network filter's form", frame(0, &network_filter()));
    add(
        "no attributes but an empty request",
        frame(0, &attributes(AttributeContext { request: Some(Request::default()), ..AttributeContext::default() })),
    );
    let empty_http = Request { http: Some(HttpRequest::default()), ..Request::default() };
    add(
        "an HTTP request without anything",
        frame(0, &attributes(AttributeContext { request: Some(empty_http), ..AttributeContext::default() })),
    );
    add("both forms of headers at once", frame(0, &Ask::get("/blog/health").both().encode_to_vec()));
    let long = "a".repeat(1_200_000);
    add("more than a mebibyte", frame(0, &Ask::get("/blog/health").header("x-long", &long).raw().encode_to_vec()));
    add("a message that says it is compressed", frame(1, &good));
    add("a frame with an unknown flag", frame(7, &good));
    add("no frame", Bytes::new());
    add("half a frame's head", Bytes::from_static(&[0, 0, 0]));
    add("less than the frame announces", frame(0, &good).slice(..good.len() / 2));
    let mut announced = BytesMut::from(&[0, 0xff, 0xff, 0xff, 0xff][..]);
    announced.extend_from_slice(&good);
    add("a frame that announces four gibibytes", announced.freeze());
    for length in 0..good.len() {
        add(&format!("the first {length} of {} bytes of a message", good.len()), frame(0, good.get(..length).expect("a prefix")));
    }
    let mut rng = fastrand::Rng::with_seed(SEED);
    for number in 0..200 {
        add(&format!("random message {number}"), frame(0, &random(&mut rng)));
        add(&format!("random body {number}"), random(&mut rng).into());
    }
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused_well_formed_and_counted_and_others_are_served_meanwhile() {
    let lab = Lab::start().await;
    let client = lab.sidecar.connect().await;
    let good = format!("Bearer {}", token::mint(json!({})));
    let bodies = bodies();
    let before = lab.sidecar.metrics().await.reason("request_malformed");
    for (name, body) in &bodies {
        let answer = client.post(CHECK, body.clone()).await.unwrap_or_else(|error| panic!("{name}: no answer: {error:?}"));
        assert_eq!(answer.grpc_status.as_deref(), Some("0"), "{name}: failure_mode_allow would let a gRPC error pass");
        let verdict = Verdict::of(&answer.check_response());
        assert_eq!((verdict.status, &*verdict.reason), (Some(400), "request_malformed"), "{name}");
        assert_eq!((verdict.route.as_deref(), verdict.header("cache-control")), (None, Some("no-store")), "{name}");
    }
    let counted = lab.sidecar.metrics().await.reason("request_malformed") - before;
    assert_eq!(counted, bodies.len() as u64);
    assert!(Verdict::of(&client.check(&Ask::get(POST).header("authorization", &good).raw()).await).passes, "the same connection");
    assert!(lab.sidecar.ask(&Ask::get(POST).header("authorization", &good)).await.passes, "another connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_other_methods_are_refused_as_grpc_says() {
    let lab = Lab::start().await;
    let client = lab.sidecar.connect().await;
    for path in ["/envoy.service.auth.v3.Authorization/Other", "/envoy.service.auth.v2.Authorization/Check", "/nowhere", "/"] {
        let answer = client.post(path, frame(0, &[])).await.expect("an answer");
        assert_eq!(answer.grpc_status.as_deref(), Some("12"), "{path}: UNIMPLEMENTED");
    }
}

async fn send_garbage(client: Client, seed: u64, calls: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..calls {
        let answer = client.post(CHECK, frame(0, &random(&mut rng))).await.expect("an answer");
        assert!(!Verdict::of(&answer.check_response()).passes);
    }
}

/// Sends this many calls over several connections at once.
async fn flood(lab: &Lab, calls: usize) {
    const TASKS: usize = 16;
    let clients = [lab.sidecar.connect().await, Client::tcp(lab.sidecar.grpc).await.expect("a connection")];
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(send_garbage(clients[task % 2].clone(), task as u64, calls / TASKS))).collect();
    for task in tasks {
        task.await.expect("all were refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_garbage_does_not_grow_memory() {
    const MOST: u64 = 20 * 1024 * 1024;
    let _turn = turn::take().await;
    let lab = Lab::start().await;
    flood(&lab, 2_000).await;
    let before = lab.sidecar.process.resident_bytes();
    flood(&lab, 20_000).await;
    let grown = lab.sidecar.process.resident_bytes().saturating_sub(before);
    assert!(grown < MOST, "{grown} bytes more after the flood");
    eprintln!("{grown} bytes more after the flood");
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes);
}
