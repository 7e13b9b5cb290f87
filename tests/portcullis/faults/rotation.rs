//! Keys that come and go, under load: cached tokens are no exception.

use std::fmt::Write;
use std::time::{Duration, Instant};

use base64::Engine;
use portcullis::policy_test::keys;
use serde_json::{Value, json};

use super::ward::{ME, Patient, Ward, ask, ask_with_key, megabytes};
use crate::harness::check::{Ask, Verdict};
use crate::harness::hostile::{Document, Hostile};
use crate::harness::oracle::Says;
use crate::harness::{token, turn};

const UNKNOWN: Says = Says::Refuses(401, "key_unknown");
/// How often the sidecar looks for keys here is a second; the rest is for a busy machine.
const REFRESH_BOUND: Duration = Duration::from_secs(4);
/// For how long a key that was not there is not looked for again, and the refresh.
const FOUND_BOUND: Duration = Duration::from_secs(9);

fn jwks(url: &str, refresh: &str) -> String {
    format!("{{ url: \"{url}\", refresh: {refresh}, max_stale: 24h, cooldown: 500ms }}")
}

/// The set of the key `rsa-a`, and what is put around it.
fn set(edit: impl FnOnce(&mut Vec<Value>)) -> Document {
    let mut set = keys::key_set(&["rsa-a"]).expect("a key");
    edit(set["keys"].as_array_mut().expect("a list"));
    Document::Keys(set)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_well_formed_key_set_says_is_obeyed_within_a_refresh_cached_tokens_included() {
    let hostile = Hostile::start().await;
    let names = ["emptied", "rotated", "doubled", "crowded"];
    let patients: Vec<Patient> = names
        .iter()
        .map(|name| Patient::with_keys(name, &jwks(&hostile.serve(&format!("/{name}"), Document::keys(&["rsa-a"])), "1s")))
        .collect();
    let probes = names.map(|name| ask(name, name, "usual", Says::Passes));
    let next = ask_with_key("rsa-c", "next", "rotated", "usual", UNKNOWN);
    let ward = Ward::open(&patients, probes.into_iter().chain([next])).await;
    let oracle = &ward.oracle;
    oracle.rounds(5).await;

    // Both keys are published: nothing changes for the old one.
    oracle.change("next", Says::Passes, FOUND_BOUND);
    hostile.publish("/rotated", Document::keys(&["rsa-a", "rsa-c"]));
    oracle.change("emptied", UNKNOWN, REFRESH_BOUND);
    hostile.publish("/emptied", set(Vec::clear));
    oracle.change("doubled", UNKNOWN, REFRESH_BOUND);
    let other = || {
        let mut other = keys::key_set(&["rsa-c"]).expect("a key")["keys"][0].clone();
        other["kid"] = "rsa-a".into();
        other
    };
    hostile.publish("/doubled", set(|keys| keys.push(other())));
    hostile.publish("/crowded", set(|keys| keys.extend((0..10_000).map(|number| json!({ "kty": "oct", "kid": number.to_string() })))));
    for name in ["next", "emptied", "doubled"] {
        oracle.changed(name).await;
    }

    // The old key is removed, and the others come back.
    oracle.change("rotated", UNKNOWN, REFRESH_BOUND);
    hostile.publish("/rotated", Document::keys(&["rsa-c"]));
    oracle.change_all(&["emptied", "doubled"], &Says::Passes, FOUND_BOUND);
    for path in ["/emptied", "/doubled"] {
        hostile.publish(path, Document::keys(&["rsa-a"]));
    }
    let (took, _) = ward.changed(&["rotated", "emptied", "doubled"]).await;
    eprintln!("{took:?}");
    oracle.rounds(5).await;
    ward.oracle.stop().await.assert_none_wrong();
}

/// So many of them, each with a key id of its own that nobody has.
const FORGED: u64 = 3_000;
/// The longest key id that is read.
const LONG: usize = 250;
/// How much the memory may grow meanwhile.
const GROWTH: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_key_ids_is_one_fetch_per_cool_down_and_issuer_harms_nobody_and_takes_no_memory() {
    let _turn = turn::take().await;
    let hostile = Hostile::start().await;
    let names = ["first", "second", "third"];
    let serve = |name: &str| hostile.serve(&format!("/{name}"), Document::keys(&["rsa-a"]));
    let patients: Vec<Patient> = names.iter().map(|name| Patient::with_keys(name, &jwks(&serve(name), "1h"))).collect();
    let ward = Ward::open(&patients, names.map(|name| ask(name, name, "usual", Says::Passes))).await;
    let before = ward.sidecar.process.resident_bytes();
    let (client, began) = (ward.sidecar.connect().await, Instant::now());
    let genuine = names.map(|name| token::mint(json!({ "iss": format!("http://{name}.test") })));
    for number in 0..FORGED {
        let mut kid = format!("{number}-");
        while kid.len() < LONG {
            write!(kid, "{:x}", fastrand::u64(..)).unwrap();
        }
        kid.truncate(LONG);
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid }).to_string();
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        // The signature is never looked at, so that of another token will do.
        let (_, rest) = genuine[(number % 3) as usize].split_once('.').expect("a token");
        let bearer = format!("Bearer {header}.{rest}");
        let verdict = Verdict::of(&client.check(&Ask::get(ME).header("authorization", &bearer).raw()).await);
        assert_eq!((verdict.status, &*verdict.reason), (Some(401), "key_unknown"));
    }
    let (took, after) = (began.elapsed(), ward.sidecar.process.resident_bytes());
    ward.oracle.rounds(5).await;
    let report = ward.oracle.stop().await;
    report.assert_none_wrong();
    // One at the start, one each 500 ms, and one that is still due.
    let most = 3 + u64::try_from(took.as_millis()).unwrap() / 500;
    for name in names {
        let fetched = hostile.requests(&format!("/{name}"));
        assert!((2..=most).contains(&fetched), "{fetched} fetches of the keys of {name} in {took:?}");
    }
    eprintln!("{FORGED} forged tokens in {took:?}; memory from {:.1} MB to {:.1} MB; {report}", megabytes(before), megabytes(after));
    assert!(after < before + GROWTH, "from {before} bytes to {after}");
}
