//! The policy is swapped under load, again and again: each request is decided by one whole version.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::http::{Connection, Request};
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::upstream::Seen;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 10_000;
const SWAPS: usize = 10;

/// A policy named by a letter. Roles, routes and headers change together, so that a mixture of two versions shows:
/// - `/blog/x` passes under `a` only, and `/blog/y` under `b` only;
/// - `/blog/both` passes under each, and not if the routes of one met the roles of the other;
/// - `/blog/none` passes under neither, but would in such a mixture;
/// - who is asking is told in `x-user-a` or in `x-user-b`.
fn version(usual: &str, letter: char) -> String {
    let other = if letter == 'a' { 'b' } else { 'a' };
    let text = edit(
        usual,
        "roles:\n",
        &format!("headers: {{ user: x-user-{letter} }}\n\nroles:\n  swapped: {{ permissions: [\"blog:{letter}.*\"] }}\n"),
    );
    let routes = [("x", 'a'), ("y", 'b'), ("both", letter), ("none", other)];
    let routes =
        routes.map(|(path, needs)| format!("  - path: /blog/{path}\n    methods: {{ GET: {{ permission: \"blog:{needs}.read\" }} }}\n"));
    text + &routes.concat()
}

/// One answer: to which path, with which status, under which version as far as the service can tell, and the request's id.
type Record = (&'static str, u16, Option<char>, String);

async fn ask_until(done: Arc<AtomicBool>, answered: Arc<AtomicUsize>, address: std::net::SocketAddr, token: String) -> Vec<Record> {
    let mut connection = Connection::open(address).await.expect("a connection");
    let mut records = Vec::new();
    while !done.load(Ordering::Relaxed) {
        for path in ["/blog/x", "/blog/y", "/blog/both", "/blog/none"] {
            let answer = connection.send(&Request::get(path).token(&token)).await.expect("an answer");
            let version = (answer.status == 200).then(|| {
                let seen = Seen::of(&answer);
                match (&*seen.values("x-user-a"), &*seen.values("x-user-b")) {
                    (["alice"], []) => 'a',
                    ([], ["alice"]) => 'b',
                    mixed => panic!("headers of two versions: {mixed:?}"),
                }
            });
            records.push((path, answer.status, version, answer.header("x-request-id").expect("an id").to_string()));
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_during_swaps_are_each_decided_by_one_whole_version() {
    let _turn = turn::take().await;
    let mesh = Mesh::builder().policy(|text| version(&text, 'a')).start().await;
    let versions = [version(&mesh.policy(), 'b'), version(&mesh.policy(), 'a')];
    let revision = async || mesh.sidecar.dump().await["revision"].as_str().expect("a revision").to_string();
    let first = revision().await;

    let token = token::mint_second(json!({ "roles": ["swapped"] }));
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(ask_until(Arc::clone(&done), Arc::clone(&answered), mesh.envoy.address, token.clone())))
        .collect();

    let mut swaps = 0;
    let mut revisions = BTreeSet::new();
    while answered.load(Ordering::Relaxed) < REQUESTS || swaps < SWAPS {
        assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up");
        mesh.sidecar.replace_config(&versions[swaps % 2]);
        swaps += 1;
        mesh.sidecar.generation_is(swaps as u64 + 1).await;
        revisions.insert(revision().await);
    }
    done.store(true, Ordering::Relaxed);
    let mut records = Vec::new();
    for client in clients {
        records.extend(client.await.expect("all answers were right"));
    }
    let metrics = mesh.sidecar.metrics().await;
    assert_eq!(metrics.get("portcullis_configuration_generation") as usize, swaps + 1);
    assert_eq!(revisions.len(), 2, "the same text is the same revision");
    eprintln!("{} requests during {swaps} swaps", records.len());

    wait::until_true("the last request in Envoy's access log", PATIENCE, async || mesh.envoy.access_log().len() > records.len()).await;
    let log = mesh.envoy.access_log();
    for (path, status, seen, id) in &records {
        let entry = &log[id];
        let decided_by = if entry["revision"] == *first { 'a' } else { 'b' };
        let generation = entry["generation"].as_u64().expect("a generation");
        assert_eq!(generation % 2 == 1, decided_by == 'a', "they take turns: {entry}");
        assert!(revisions.contains(entry["revision"].as_str().unwrap_or_default()), "{entry}");
        let passes = match *path {
            "/blog/x" => decided_by == 'a',
            "/blog/y" => decided_by == 'b',
            "/blog/both" => true,
            _ => false,
        };
        assert_eq!(*status, if passes { 200 } else { 403 }, "{path} under {decided_by}: {entry}");
        assert_eq!(entry["reason"], if passes { "allowed" } else { "permission_missing" }, "{entry}");
        assert!(seen.is_none_or(|seen| seen == decided_by), "decided by {decided_by}, and the headers are of {seen:?}");
    }
    for outcome in [("/blog/x", 200), ("/blog/x", 403), ("/blog/y", 200), ("/blog/y", 403)] {
        let times = records.iter().filter(|(path, status, ..)| (*path, *status) == outcome).count();
        assert!(times > REQUESTS / 100, "{outcome:?} came {times} times: the swaps were not under load");
    }
}
