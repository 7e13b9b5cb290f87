//! What can be read: sets, sorted sets, streams.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{PASSES, Pair, REVOKED, SELDOM, bearer, of_session};
use crate::harness::{token, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_a_set_is_revoked_at_once_and_only_while_it_is_there() {
    let pair = Pair::ready(&format!("set: revoked, {SELDOM}")).await;
    let (stolen, other) = (of_session("stolen"), of_session("other"));
    assert_eq!(pair.reason(&stolen).await, PASSES);
    pair.redis.run::<()>("SADD revoked sid:stolen");
    pair.becomes(&stolen, REVOKED).await;
    assert_eq!(pair.reason(&other).await, PASSES);
    pair.redis.run::<()>("SREM revoked sid:stolen");
    pair.becomes(&stolen, PASSES).await;
    // A job may write the set anew and put it into its place.
    pair.redis.run::<()>("SADD next sid:other");
    pair.redis.run::<()>("RENAME next revoked");
    pair.becomes(&other, REVOKED).await;
    // It can vanish by itself, and that is obeyed like everything else that Redis says.
    pair.redis.run::<()>("PEXPIRE revoked 1");
    pair.becomes(&other, PASSES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sets_count_together_and_ids_can_stand_alone() {
    let pair = Pair::ready(&format!("set: [first, second], kind: sid, {SELDOM}")).await;
    let (a, b) = (of_session("a"), of_session("b"));
    pair.redis.run::<()>("SADD first a");
    pair.becomes(&a, REVOKED).await;
    pair.redis.run::<()>("SADD second b");
    pair.becomes(&b, REVOKED).await;
    assert_eq!(pair.reason(&a).await, REVOKED);
    pair.redis.run::<()>("DEL first");
    pair.becomes(&a, PASSES).await;
    assert_eq!(pair.reason(&b).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_score_says_from_when_on_an_entry_can_be_forgotten() {
    let pair = Pair::ready(&format!("set: revoked, scores: expires, {SELDOM}")).await;
    let now = token::now();
    let (over, lives, forever) = (of_session("over"), of_session("lives"), of_session("forever"));
    // An hour is more than leeways and clocks that differ.
    pair.redis.run::<()>(&format!("ZADD revoked {} sid:over {} sid:lives +inf sid:forever", now - 3600, now + 3600));
    pair.becomes(&lives, REVOKED).await;
    assert_eq!(pair.reason(&forever).await, REVOKED);
    assert_eq!(pair.reason(&over).await, PASSES);
    pair.holds(2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_score_says_which_tokens_of_a_subject_are_too_old() {
    let pair = Pair::ready(&format!("set: revoked, kind: sub, scores: before, {SELDOM}")).await;
    let issued = |at: i64| bearer(json!({ "iat": at }));
    let now = token::now();
    let (old, new) = (issued(now - 100), issued(now - 10));
    pair.redis.run::<()>(&format!("ZADD revoked {} alice", now - 50));
    pair.becomes(&old, REVOKED).await;
    assert_eq!(pair.reason(&new).await, PASSES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_a_stream_are_revoked_as_they_come_and_a_stream_that_is_replaced_is_read_anew() {
    let pair = Pair::ready(&format!("stream: revocations, {SELDOM}")).await;
    let (a, b, c) = (of_session("a"), of_session("b"), of_session("c"));
    let first: String = pair.redis.run("XADD revocations * type sid id a");
    pair.becomes(&a, REVOKED).await;
    pair.redis.run::<String>("XADD revocations * id b type sid expires 9999999999 by operator");
    pair.becomes(&b, REVOKED).await;
    let metrics = pair.lab.sidecar.metrics().await;
    assert!(metrics.get("portcullis_revocation_propagation_seconds_count{issuer=\"main\"}") > 0.0);
    // Cut at its beginning: what was read stays.
    pair.redis.run::<()>("XTRIM revocations MAXLEN 1");
    pair.redis.run::<String>("XADD revocations * type sid id c");
    pair.becomes(&c, REVOKED).await;
    assert_eq!(pair.reason(&a).await, REVOKED);
    // Taken back.
    let last: String = pair.redis.run("XADD revocations * type sid id a");
    assert!(last > first);
    pair.counts("ok").await;
    pair.redis.run::<()>(&format!("XDEL revocations {last}"));
    pair.becomes(&a, PASSES).await;
    assert_eq!(pair.reason(&c).await, REVOKED);
    // Another stream, which goes on where the old one ended.
    pair.redis.run::<()>("DEL revocations");
    pair.becomes(&c, PASSES).await;
    pair.redis.run::<String>("XADD revocations * type sid id a");
    pair.becomes(&a, REVOKED).await;
    pair.redis.run::<()>("FLUSHALL");
    pair.becomes(&a, PASSES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_in_force_within_a_second_however_seldom_redis_is_asked() {
    let _turn = turn::take().await;
    for (source, command) in [("set: revoked", "SADD revoked sid:"), ("stream: revoked", "XADD revoked * type sid id ")] {
        let pair = Pair::ready(&format!("{source}, {SELDOM}")).await;
        let mut took = Vec::new();
        for number in 0..50 {
            let bearer = of_session(&format!("s{number}"));
            assert_eq!(pair.reason(&bearer).await, PASSES);
            pair.redis.run::<redis::Value>(&format!("{command}s{number}"));
            let revoked = Instant::now();
            pair.becomes(&bearer, REVOKED).await;
            took.push(revoked.elapsed());
        }
        took.sort();
        eprintln!("{source}: in force after {:?}, at most {:?}", took[25], took[49]);
        assert!(took[49] < Duration::from_secs(1), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_members_are_read_whole_and_so_is_a_stream_of_as_many() {
    let pair = Pair::ready(&format!("set: revoked, {SELDOM}")).await;
    let members: Vec<String> = (0..100_000).map(|number| format!("sid:session-of-somebody-{number}")).collect();
    for part in members.chunks(10_000) {
        let words: Vec<&str> = ["SADD", "revoked"].into_iter().chain(part.iter().map(String::as_str)).collect();
        pair.redis.run_words::<()>(&words);
    }
    pair.holds(100_000.0).await;
    for number in [0, 1, 49_999, 99_999] {
        assert_eq!(pair.reason(&of_session(&format!("session-of-somebody-{number}"))).await, REVOKED, "{number}");
    }
    assert_eq!(pair.reason(&of_session("session-of-somebody-100000")).await, PASSES);
    pair.redis.run::<()>("FLUSHALL");
    pair.holds(0.0).await;
    assert_eq!(pair.reason(&of_session("session-of-somebody-0")).await, PASSES);

    let script = "for n = 0, 99999 do redis.call('XADD', KEYS[1], '*', 'type', 'sid', 'id', 'streamed-' .. n) end";
    pair.redis.run_words::<()>(&["EVAL", script, "1", "revocations"]);
    let policy = super::with_source(&pair.lab.policy(), &pair.redis, &format!("stream: revocations, {SELDOM}"));
    pair.lab.sidecar.replace_config(&policy);
    pair.lab.sidecar.generation_is(2).await;
    pair.holds(100_000.0).await;
    for number in [0, 1, 49_999, 99_999] {
        assert_eq!(pair.reason(&of_session(&format!("streamed-{number}"))).await, REVOKED, "{number}");
    }
}
