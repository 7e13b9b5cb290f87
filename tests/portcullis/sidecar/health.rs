//! Health, as the standard gRPC service tells it.

use bytes::Bytes;
use http_body_util::BodyExt;

use crate::harness::grpc::{Client, health};
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::wait::{self, PATIENCE};

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";
const SERVING: Result<i32, String> = Ok(1);
const NOT_SERVING: Result<i32, String> = Ok(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_serves_while_it_runs_and_its_service_while_it_is_ready() {
    let lab = Lab::with_policy(|text| edit(&text, "wait: 30s, max_staleness: 60s", "wait: 0s, max_staleness: 1s")).await;
    for client in [lab.sidecar.connect().await, Client::tcp(lab.sidecar.grpc).await.expect("a connection")] {
        let service_is = async |status: Result<i32, String>| {
            wait::until_true("a change of health", PATIENCE, async || health(&client, AUTHORIZATION).await == status).await;
        };
        assert_eq!(health(&client, "").await, SERVING);
        service_is(SERVING).await;
        assert_eq!(health(&client, "another.Service").await, Err("grpc-status 5".into()), "NOT_FOUND");

        lab.stub.break_down(true);
        service_is(NOT_SERVING).await;
        assert_eq!(health(&client, "").await, SERVING, "it can still answer");
        lab.stub.break_down(false);
        service_is(SERVING).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_is_told_that_it_stops_serving() {
    let mut lab = Lab::start().await;
    let client = lab.sidecar.connect().await;
    for service in ["", AUTHORIZATION] {
        wait::until_true("health", PATIENCE, async || health(&client, service).await == SERVING).await;
    }
    let mut all = client.watch("").await;
    let mut service = client.watch(AUTHORIZATION).await;
    let status = async |body: &mut hyper::body::Incoming| -> Bytes {
        body.frame().await.expect("a message").expect("a message").into_data().expect("a message")
    };
    // HealthCheckResponse { status: SERVING }, in its frame.
    assert_eq!(status(&mut all).await, [0, 0, 0, 0, 2, 8, 1].as_slice());
    assert_eq!(status(&mut service).await, [0, 0, 0, 0, 2, 8, 1].as_slice());
    lab.sidecar.process.signal("TERM");
    assert_eq!(status(&mut all).await, [0, 0, 0, 0, 2, 8, 2].as_slice());
    assert_eq!(status(&mut service).await, [0, 0, 0, 0, 2, 8, 2].as_slice());
    drop((all, service));
    assert!(lab.sidecar.process.ended(PATIENCE).await.success());
}
