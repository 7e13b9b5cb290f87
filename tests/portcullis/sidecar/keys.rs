//! Keys that nobody knows cost next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::lab::Lab;
use crate::harness::sidecar::{self, Sidecar};
use crate::harness::slow_disk::SlowDisk;
use crate::harness::stub::Stub;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{mesh, token, turn};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_under_a_file_of_keys_is_a_failure_and_holds_one_thread() {
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let keys = folder.path().join("keys.json");
    let disk = SlowDisk::under(&keys);
    let policy = sidecar::policy(folder.path(), &stub.url());
    let sidecar = Sidecar::start_with(folder.path(), &policy, &disk.environment()).await;
    sidecar.ready().await;
    let good = format!("Bearer {}", token::mint_second(json!({})));
    let counted = async |result: &str| {
        let series = format!("portcullis_refreshes_total{{feed=\"keys\",issuer=\"second\",result=\"{result}\"}}");
        sidecar.metrics().await.find(&series).unwrap_or(0.0)
    };
    let open = || {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", sidecar.process.id())).unwrap();
        descriptors.filter(|one| std::fs::read_link(one.as_ref().unwrap().path()).is_ok_and(|file| file == keys)).count()
    };
    disk.hang(true);
    // The second one has waited for the first.
    wait::until_true("two failures", PATIENCE, async || counted("file").await >= 2.0).await;
    assert_eq!(open(), 1, "reads are under way");
    assert!(sidecar.ask(&Ask::get(POST).header("authorization", &good)).await.passes);
    let before = counted("ok").await;
    disk.hang(false);
    wait::until_true("the keys to be read", PATIENCE, async || counted("ok").await > before).await;
}
