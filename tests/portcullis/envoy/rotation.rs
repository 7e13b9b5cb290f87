//! The signing key is rotated and the old one removed, under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::POST;
use crate::harness::http::{Connection, Request};
use crate::harness::identity::part;
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::turn;

/// What a token is to be answered with at the moment.
const PASSES: u8 = 0;
/// Its key was removed a moment ago, and the sidecar may not know yet.
const EITHER: u8 = 1;
/// It was refused once, and must not come back.
const REFUSED: u8 = 2;
const DONE: u8 = 3;

/// How often the sidecar looks for keys here is one second; the rest is for a busy machine.
const REFRESH_BOUND: Duration = Duration::from_secs(4);

/// A client that goes on with one token, and fails as soon as an answer is not what it has to be.
struct Client {
    phase: Arc<AtomicU8>,
    task: tokio::task::JoinHandle<usize>,
}

impl Client {
    fn start(address: SocketAddr, token: &str) -> Self {
        let phase = Arc::new(AtomicU8::new(PASSES));
        let (shared, request) = (Arc::clone(&phase), Request::get(POST).token(token));
        let task = tokio::spawn(async move {
            let mut connection = Connection::open(address).await.expect("a connection");
            let mut answered = 0;
            loop {
                let before = shared.load(Ordering::SeqCst);
                if before == DONE {
                    return answered;
                }
                let status = connection.send(&request).await.expect("an answer").status;
                answered += 1;
                match (status, before) {
                    (200, PASSES | EITHER) | (401, EITHER | REFUSED) => {}
                    // The key went while the request was on its way.
                    (401, PASSES) if shared.load(Ordering::SeqCst) != PASSES => {}
                    other => panic!("status and phase are {other:?}"),
                }
                if status == 401 {
                    // From `EITHER` only: the test may have said DONE meanwhile.
                    let _ = shared.compare_exchange(EITHER, REFUSED, Ordering::SeqCst, Ordering::SeqCst);
                }
            }
        });
        Self { phase, task }
    }

    /// Ends the client, and gives how many answers it got.
    async fn finish(self) -> usize {
        self.phase.store(DONE, Ordering::SeqCst);
        self.task.await.expect("all answers were right")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_old_and_new_keys_pass_during_a_rotation_and_those_of_a_removed_key_do_not() {
    let _turn = turn::take().await;
    let mesh = Mesh::builder().policy(|text| edit(&text, "refresh: 1h, max_stale: 24h", "refresh: 1s, max_stale: 24h")).start().await;
    let address = mesh.envoy.address;
    let mut current = mesh.identity.log_in("bob", Some("acme")).await.token;
    for _ in 0..3 {
        let old: Vec<Client> = (0..2).map(|_| Client::start(address, &current)).collect();
        let old_key = part(&current, 0)["kid"].as_str().expect("a kid").to_string();

        mesh.identity.rotate_key().await;
        let new = mesh.identity.log_in("bob", Some("acme")).await.token;
        assert_ne!(part(&new, 0)["kid"], *old_key);
        // The first token of the new key makes the sidecar look for it.
        mesh.answers(&Request::get(POST).token(&new), 200).await;
        let new_clients: Vec<Client> = (0..2).map(|_| Client::start(address, &new)).collect();

        // A while with both keys: both kinds of token have to be seen to pass after the rotation.
        for token in [&current, &new] {
            for _ in 0..20 {
                assert_eq!(mesh.send(&Request::get(POST).token(token)).await.status, 200);
            }
        }

        for client in &old {
            client.phase.store(EITHER, Ordering::SeqCst);
        }
        mesh.identity.delete_key(&old_key).await;
        let deleted = Instant::now();
        mesh.answers(&Request::get(POST).token(&current), 401).await;
        assert!(deleted.elapsed() < REFRESH_BOUND, "the removed key was trusted for {:?}", deleted.elapsed());
        for client in &old {
            client.phase.store(REFUSED, Ordering::SeqCst);
        }
        for _ in 0..20 {
            let (answer, reason) = mesh.send_for_reason(&Request::get(POST).token(&current)).await;
            assert_eq!((answer.status, &*reason), (401, "key_unknown"));
            assert_eq!(mesh.send(&Request::get(POST).token(&new)).await.status, 200);
        }
        for client in old.into_iter().chain(new_clients) {
            assert!(client.finish().await > 20, "there was no load");
        }
        current = new;
    }
}
