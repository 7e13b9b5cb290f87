//! How long a revocation takes, from the identity service's "yes" to the first refusal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::ward::{self, ME, Patient};
use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::Client;
use crate::harness::identity::Identity;
use crate::harness::sidecar::Sidecar;
use crate::harness::wait::PATIENCE;
use crate::harness::{mesh, token, turn};

const REVOCATIONS: usize = 1_000;
/// How many people revoke at once.
const AT_ONCE: usize = 8;
/// How long all but one in a hundred may take.
const BOUND: Duration = Duration::from_secs(1);

/// Revokes a session in use, and gives how long it went on to pass.
async fn revoke(identity: &Identity, client: &Client, number: usize) -> Duration {
    let session = format!("revoked-{number}");
    let bearer = format!("Bearer {}", token::mint(json!({ "iss": "http://many.test", "sid": session })));
    let request = Ask::get(ME).header("authorization", &bearer).raw();
    assert!(Verdict::of(&client.check(&request).await).passes);
    identity.revoke(&json!({ "type": "sid", "id": session })).await;
    let acknowledged = Instant::now();
    loop {
        let verdict = Verdict::of(&client.check(&request).await);
        let took = acknowledged.elapsed();
        if !verdict.passes {
            assert_eq!(verdict.reason, "token_revoked");
            return took;
        }
        assert!(took < PATIENCE, "{session} is not revoked");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_nine_of_a_hundred_revocations_are_in_force_within_a_second() {
    let _turn = turn::take().await;
    let folder = mesh::folder();
    let mut identity = Identity::prepare(folder.path());
    identity.start().await;
    let feed = format!("{{ url: \"{}/v1/revocations\", wait: 30s, max_staleness: 60s, when_stale: deny }}", identity.url());
    // The tokens are the test's own: logging in takes longer than everything else here.
    let policy = ward::policy(folder.path(), &[Patient::with_revocations("many", &feed)]);
    let sidecar = Sidecar::start(folder.path(), &policy).await;
    sidecar.ready().await;
    let (identity, next) = (Arc::new(identity), Arc::new(AtomicUsize::new(0)));
    let mut people = Vec::new();
    for _ in 0..AT_ONCE {
        let (identity, next, client) = (Arc::clone(&identity), Arc::clone(&next), sidecar.connect().await);
        people.push(tokio::spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= REVOCATIONS {
                    return took;
                }
                took.push(revoke(&identity, &client, number).await);
            }
        }));
    }
    let mut took = Histogram::<u64>::new(3).expect("a histogram");
    for person in people {
        for span in person.await.expect("everything revoked was refused") {
            took.record(u64::try_from(span.as_micros()).unwrap()).unwrap();
        }
    }
    let [p50, p99, most] = [50.0, 99.0, 100.0].map(|percent| Duration::from_micros(took.value_at_percentile(percent)));
    eprintln!("{REVOCATIONS} revocations were in force after: p50 {p50:?}, p99 {p99:?}, max {most:?}");
    assert_eq!(took.len() as usize, REVOCATIONS);
    assert!(p99 < BOUND, "p99 is {p99:?}");
}
