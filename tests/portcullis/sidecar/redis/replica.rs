//! A replica says what its master said, as long as it hears of it.

use super::{PASSES, Pair, REVOKED, STALE, of_session};
use crate::harness::redis::Redis;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{mesh, ports};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_counts_as_long_as_it_hears_of_its_master() {
    let folder = mesh::folder();
    let port = ports::pick().to_string();
    let options = ["--port", &port, "--repl-ping-replica-period", "1", "--repl-diskless-sync-delay", "0"];
    let mut master = Redis::start_with(folder.path(), "master", &options).await;
    let replica = Redis::start_with(folder.path(), "replica", &["--replicaof", &format!("127.0.0.1 {port}")]).await;
    master.run::<()>("SADD revoked sid:stolen");
    let pair = Pair::of(replica, folder, "set: revoked, refresh: 200ms, max_staleness: 5s").await;
    pair.lab.sidecar.ready().await;
    let (good, revoked) = (of_session("good"), of_session("stolen"));
    pair.becomes(&revoked, REVOKED).await;
    assert_eq!(pair.reason(&good).await, PASSES);

    // It goes on answering, and is not believed any more.
    master.kill();
    pair.counts("replica").await;
    wait::until_true("the list to be stale", PATIENCE, async || {
        let reason = pair.reason(&revoked).await;
        assert!(reason == REVOKED || reason == STALE, "{reason}");
        pair.reason(&good).await == STALE
    })
    .await;
    assert_eq!(pair.redis.run::<i64>("SCARD revoked"), 1);

    master.restart().await;
    master.run::<()>("SADD revoked sid:good");
    pair.becomes(&good, REVOKED).await;
    pair.becomes(&revoked, PASSES).await;
}
