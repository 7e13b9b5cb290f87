//! What goes wrong with a Redis: the last list stays within its bound, and then nobody is let through.

use super::{OFTEN, PASSES, Pair, REVOKED, SELDOM, STALE, of_session, with_source};
use crate::harness::mesh;
use crate::harness::redis::Redis;
use crate::harness::wait::{self, PATIENCE};

/// The list is too old, whoever asks; and nothing that is revoked was let through on the way.
async fn goes_stale(pair: &Pair, good: &str, revoked: &str) {
    wait::until_true("the list to be stale", PATIENCE, async || {
        let reason = pair.reason(revoked).await;
        assert!(reason == REVOKED || reason == STALE, "{reason}");
        pair.reason(good).await == STALE
    })
    .await;
    assert_eq!(pair.lab.sidecar.get("/readyz").await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_last_list_stays_within_its_bound_and_its_return_is_obeyed() {
    let mut pair = Pair::ready(&format!("set: revoked, {OFTEN}")).await;
    let (good, revoked) = (of_session("good"), of_session("stolen"));
    pair.redis.run::<()>("SADD revoked sid:stolen");
    pair.becomes(&revoked, REVOKED).await;
    pair.redis.kill();
    pair.counts("connect").await;
    goes_stale(&pair, &good, &revoked).await;
    pair.redis.restart().await;
    pair.redis.run::<()>("SADD revoked sid:good");
    pair.becomes(&good, REVOKED).await;
    // It was started with nothing in it.
    pair.becomes(&revoked, PASSES).await;
    pair.lab.sidecar.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_no_confirmation() {
    let pair = Pair::ready(&format!("stream: revocations, {OFTEN}")).await;
    let (good, revoked) = (of_session("good"), of_session("stolen"));
    pair.redis.run::<String>("XADD revocations * type sid id stolen");
    pair.becomes(&revoked, REVOKED).await;
    pair.redis.process.stop().await;
    goes_stale(&pair, &good, &revoked).await;
    pair.counts("timeout").await;
    pair.redis.process.signal("CONT");
    pair.becomes(&good, PASSES).await;
    assert_eq!(pair.reason(&revoked).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_its_data_revokes_no_less_where_keys_must_exist() {
    for (source, keep, revoke) in [
        ("set: [revoked, more]", "SADD more sid:none", "SADD revoked sid:stolen"),
        ("set: revoked, scores: ignored", "ZADD revoked 0 sid:none", "ZADD revoked 0 sid:stolen"),
        ("stream: revoked", "XADD revoked * type sid id none", "XADD revoked * type sid id stolen"),
    ] {
        let folder = mesh::folder();
        let redis = Redis::start(folder.path()).await;
        let pair = Pair::of(redis, folder, &format!("{source}, must_exist: true, {OFTEN}")).await;
        let (good, revoked) = (of_session("good"), of_session("stolen"));
        // Nothing yet: that is not the same as nobody.
        pair.counts("missing").await;
        assert_eq!(pair.reason(&good).await, STALE, "{source}");
        pair.redis.run::<redis::Value>(keep);
        pair.redis.run::<redis::Value>(revoke);
        pair.becomes(&good, PASSES).await;
        assert_eq!(pair.reason(&revoked).await, REVOKED, "{source}");
        pair.lab.sidecar.ready().await;
        pair.redis.run::<()>("FLUSHALL");
        pair.counts("missing").await;
        goes_stale(&pair, &good, &revoked).await;
        // One of two keys is not enough.
        pair.redis.run::<redis::Value>(revoke);
        if source.contains("more") {
            pair.counts("missing").await;
            assert_eq!(pair.reason(&good).await, STALE, "{source}");
            pair.redis.run::<redis::Value>(keep);
        }
        pair.becomes(&good, PASSES).await;
        assert_eq!(pair.reason(&revoked).await, REVOKED, "{source}");
        pair.lab.sidecar.ready().await;
    }
}

/// A long read that stops short because the key goes away looks like one that has come to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_goes_away_while_it_is_read_is_not_the_list_up_to_there() {
    const MEMBERS: f64 = 100_000.0;
    let folder = mesh::folder();
    let redis = Redis::start(folder.path()).await;
    fill(&redis);
    let pair = Pair::of(redis, folder, "set: revoked, must_exist: true, refresh: 200ms, max_staleness: 1h").await;
    for round in 0..8 {
        pair.holds(MEMBERS).await;
        let missed = pair.counted("missing").await;
        // At another moment of the read each time.
        pair.redis.run::<()>("SADD revoked sid:other");
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..150))).await;
        pair.redis.run::<()>("FLUSHALL");
        wait::until_true("a failure", PATIENCE, async || pair.counted("missing").await > missed).await;
        let held = pair.lab.sidecar.metrics().await.find("portcullis_revocation_entries{issuer=\"main\",source=\"redis\"}").unwrap();
        assert!(held >= MEMBERS, "{held} entries in round {round}");
        fill(&pair.redis);
    }
}

/// A set that takes many steps to read.
fn fill(redis: &Redis) {
    let script = "for i = 1, 100000 do redis.call('SADD', 'revoked', 'sid:' .. i) end";
    redis.run_words::<redis::Value>(&["EVAL", script, "0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_be_read_fails_all_of_them() {
    let pair = Pair::ready(&format!("set: revoked, scores: expires, {OFTEN}")).await;
    let (good, revoked) = (of_session("good"), of_session("stolen"));
    pair.redis.run::<()>("SADD revoked sid:stolen");
    pair.becomes(&revoked, REVOKED).await;
    pair.redis.run::<()>("SADD revoked session:good");
    pair.counts("invalid").await;
    goes_stale(&pair, &good, &revoked).await;
    pair.redis.run::<()>("SREM revoked session:good");
    pair.becomes(&good, PASSES).await;
    assert_eq!(pair.reason(&revoked).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_kind_is_no_list_and_neither_are_scores_in_other_units() {
    let pair = Pair::ready("set: revoked, scores: expires, refresh: 200ms, max_staleness: 1h").await;
    let revoked = of_session("stolen");
    pair.redis.run::<()>("SADD revoked sid:stolen");
    pair.becomes(&revoked, REVOKED).await;
    for (make, counted) in [
        ("SET revoked sid:other", "wrong_type"),
        ("HSET revoked sid:other 1", "wrong_type"),
        ("XADD revoked * type sid id other", "wrong_type"),
        // Milliseconds for seconds.
        ("ZADD revoked 1790000000000 sid:other", "invalid"),
        ("ZADD revoked -1 sid:other", "invalid"),
    ] {
        // In one step: without a key there would be an empty list, which is obeyed.
        let script = format!("redis.call('DEL', 'revoked') return redis.call('{}')", make.replace(' ', "', '"));
        pair.redis.run_words::<redis::Value>(&["EVAL", &script, "0"]);
        pair.counts(counted).await;
        assert_eq!(pair.reason(&revoked).await, REVOKED, "{make}");
    }
    pair.redis.run::<()>("DEL revoked");
    pair.becomes(&revoked, PASSES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_measure_does_not_fill_the_memory() {
    let pair = Pair::ready("set: revoked, refresh: 200ms, max_staleness: 1h").await;
    let revoked = of_session("stolen");
    pair.redis.run::<()>("SADD revoked sid:stolen");
    pair.becomes(&revoked, REVOKED).await;
    let before = pair.lab.sidecar.process.resident_bytes();
    pair.redis.run_words::<()>(&["EVAL", "redis.call('SADD', 'revoked', 'sid:' .. string.rep('x', 300000000))", "0"]);
    pair.counts("too_large").await;
    pair.counts("too_large").await;
    let grown = pair.lab.sidecar.process.resident_bytes().saturating_sub(before);
    assert!(grown < 100 * 1024 * 1024, "{grown} bytes more");
    assert_eq!(pair.reason(&revoked).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sorted_set_whose_scores_nobody_explained_is_not_guessed_at() {
    let folder = mesh::folder();
    let redis = Redis::start(folder.path()).await;
    redis.run::<()>("ZADD revoked 1790000000 sid:stolen");
    let mut pair = Pair::of(redis, folder, &format!("set: revoked, {OFTEN}")).await;
    pair.lab.sidecar.process.log_line("say what its scores are").await;
    assert_eq!(pair.reason(&of_session("stolen")).await, STALE);
    let policy = with_source(&pair.lab.policy(), &pair.redis, &format!("set: revoked, scores: ignored, {OFTEN}"));
    pair.lab.sidecar.replace_config(&policy);
    pair.becomes(&of_session("stolen"), REVOKED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_read_from_its_file_whenever_a_connection_is_made() {
    let folder = mesh::folder();
    let redis = Redis::start_with(folder.path(), "redis", &["--requirepass", "hunter2"]).await;
    redis.run::<()>("SADD revoked sid:stolen");
    let file = folder.path().join("redis.password");
    let source = format!(r#"set: revoked, {OFTEN}, password_file: "{}""#, file.display());
    let pair = Pair::of(redis, folder, &source).await;
    pair.counts("password_file").await;
    std::fs::write(&file, "wrong\n").unwrap();
    pair.counts("auth").await;
    assert_eq!(pair.reason(&of_session("stolen")).await, STALE);
    std::fs::write(&file, "hunter2\n").unwrap();
    pair.becomes(&of_session("stolen"), REVOKED).await;
    pair.lab.sidecar.ready().await;
    // Without any.
    let policy = with_source(&pair.lab.policy(), &pair.redis, &format!("stream: revocations, {OFTEN}"));
    pair.lab.sidecar.replace_config(&policy);
    pair.lab.sidecar.generation_is(2).await;
    pair.counts("auth").await;
    assert_eq!(pair.reason(&of_session("stolen")).await, STALE);
    assert!(!pair.lab.sidecar.process.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_few_rights_is_enough_and_one_with_fewer_is_told_so() {
    let folder = mesh::folder();
    let redis = Redis::start(folder.path()).await;
    redis.run::<()>("ACL SETUSER sidecar on >secret ~revoked +@read");
    let file = folder.path().join("redis.password");
    std::fs::write(&file, "secret").unwrap();
    let source = format!(r#"set: revoked, {OFTEN}, username: sidecar, password_file: "{}""#, file.display());
    let mut pair = Pair::of(redis, folder, &source).await;
    // Whether it is a replica has to be known.
    pair.counts("denied").await;
    pair.redis.run::<()>("ACL SETUSER sidecar +info");
    pair.lab.sidecar.ready().await;
    // It may not be told of changes, and so it looks for them.
    pair.lab.sidecar.process.log_line("does not tell of changes").await;
    pair.redis.run::<()>("SADD revoked sid:stolen");
    pair.becomes(&of_session("stolen"), REVOKED).await;
    pair.redis.run::<()>("ACL SETUSER sidecar resetkeys ~other");
    pair.counts("denied").await;
    assert_ne!(pair.reason(&of_session("stolen")).await, PASSES);
    // One right more, and it is told.
    pair.redis.run::<()>("ACL SETUSER sidecar resetkeys ~revoked +client|tracking");
    let source = source.replace(OFTEN, SELDOM);
    pair.lab.sidecar.replace_config(&with_source(&pair.lab.policy(), &pair.redis, &source));
    pair.lab.sidecar.generation_is(2).await;
    pair.becomes(&of_session("other"), PASSES).await;
    pair.redis.run::<()>("SADD revoked sid:other");
    pair.becomes(&of_session("other"), REVOKED).await;
}
