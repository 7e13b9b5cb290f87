//! Keys that nobody knows cost next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::lab::Lab;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

const FORGED: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_key_ids_causes_one_fetch_per_cool_down_and_harms_no_good_token() {
    let _turn = turn::take().await;
    let lab = Lab::start().await;
    assert_eq!(lab.stub.keys_fetched(), 1);
    let good = format!("Bearer {}", token::mint(json!({})));
    let good = Ask::get(POST).header("authorization", &good).raw();
    // The signature is never looked at, so one will do.
    let genuine = token::mint(json!({}));
    let (_, rest) = genuine.split_once('.').unwrap();

    let (client, done) = (lab.sidecar.connect().await, Arc::new(AtomicBool::new(false)));
    let bystander = tokio::spawn({
        let (client, good, done) = (client.clone(), good.clone(), Arc::clone(&done));
        async move {
            let mut passed = 0;
            while !done.load(Ordering::Relaxed) {
                assert!(Verdict::of(&client.check(&good).await).passes);
                passed += 1;
            }
            passed
        }
    });
    let began = Instant::now();
    for number in 0..FORGED {
        use base64::Engine;
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": format!("forged-{number}-{}", fastrand::u64(..)) });
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
        let forged = format!("Bearer {header}.{rest}");
        let verdict = Verdict::of(&client.check(&Ask::get(POST).header("authorization", &forged).raw()).await);
        assert_eq!((verdict.status, &*verdict.reason), (Some(401), "key_unknown"));
    }
    done.store(true, Ordering::Relaxed);
    assert!(bystander.await.expect("all good tokens passed") > 100, "there was no other traffic");

    // The last one may have asked for a fetch that is still to come.
    let fetched = lab.stub.keys_fetched();
    // The cool-down of the tests' policy is one second.
    let most = 2 + began.elapsed().as_secs();
    assert!(fetched <= most, "{fetched} fetches in {:?}", began.elapsed());
    wait::until_true("the one fetch that was asked for", PATIENCE, async || lab.stub.keys_fetched() >= 2).await;
    eprintln!("{fetched} fetches in {:?}", began.elapsed());
    assert!(Verdict::of(&client.check(&good).await).passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_appears_is_found_by_the_first_token_that_names_it() {
    let lab = Lab::start().await;
    let new = format!("Bearer {}", token::mint_with_key("rsa-c", json!({})));
    let old = format!("Bearer {}", token::mint(json!({})));
    let (new, old) = (Ask::get(POST).header("authorization", &new), Ask::get(POST).header("authorization", &old));
    assert_eq!(lab.sidecar.ask(&new).await.reason, "key_unknown");
    lab.stub.publish_keys(&["rsa-a", "rsa-c"]);
    // For some seconds the sidecar remembers that the key was not there.
    wait::until_true("the new key to be known", PATIENCE, async || lab.sidecar.ask(&new).await.passes).await;
    assert!(lab.sidecar.ask(&old).await.passes);
}
