//! The configuration is swapped every 100 ms under load, often for one that is no good: every request is decided by one good version.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis::config::{Configuration, SourceFile};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::check::{Ask, Verdict};
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{token, turn};

const CONNECTIONS: usize = 4;
const SWAPS: usize = 50;
/// How many policies have to be in force meanwhile: content that never rests is believed about once a second, good or not.
const GENERATIONS: u64 = 2;
/// How often the file is changed.
const EVERY: Duration = Duration::from_millis(100);
const LETTERS: [&str; 3] = ["a", "b", "c"];

/// A version of the policy. Roles, routes and headers change together: its token passes on `/blog/LETTER` and `/blog/both`, and on no
/// other letter's path, and who is asking is told in a header of this version.
fn version(usual: &str, letter: &str) -> String {
    let role = format!("headers: {{ user: x-user-{letter} }}\n\nroles:\n  swapped: {{ permissions: [\"blog:{letter}.*\"] }}\n");
    let route =
        |path: &str, needs: &str| format!("  - path: /blog/{path}\n    methods: {{ GET: {{ permission: \"blog:{needs}.read\" }} }}\n");
    let routes: String = LETTERS.iter().map(|other| route(other, other)).collect();
    edit(usual, "roles:\n", &role) + &routes + &route("both", letter)
}

/// What is wrong with a verdict, going by the version that it says it was decided by.
fn wrong(versions: &BTreeMap<String, &str>, path: &str, verdict: &Verdict) -> Option<String> {
    let Some(letter) = versions.get(&verdict.revision) else { return Some(format!("decided by nothing that was ever good: {verdict:?}")) };
    let allowed = path == "/blog/both" || path.ends_with(letter);
    let header = format!("x-user-{letter}");
    let told: Vec<&str> = verdict
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.len() == header.len() && name.starts_with("x-user-"))
        .collect();
    let right = if allowed {
        verdict.passes && verdict.reason == "allowed" && told == [header.as_str()]
    } else {
        !verdict.passes && verdict.reason == "permission_missing" && verdict.status == Some(403)
    };
    (!right).then(|| format!("{path} under {letter}: {verdict:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_swapped_every_100_ms_under_load() {
    let _turn = turn::take().await;
    let lab = Lab::with_policy(|text| version(&text, "a")).await;
    let texts = LETTERS.map(|letter| version(&lab.policy(), letter));
    let name = lab.sidecar.config.display().to_string();
    let revision = |text: &String| {
        let compiled = Configuration::compile(&[SourceFile { name: name.clone(), text: text.clone() }]).expect("a good version");
        compiled.snapshot.revision.to_string()
    };
    let versions: Arc<BTreeMap<String, &str>> = Arc::new(texts.iter().map(revision).zip(LETTERS).collect());
    assert_eq!(versions.len(), LETTERS.len());

    let done = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (done, versions, client) = (Arc::clone(&done), Arc::clone(&versions), lab.sidecar.connect().await);
        let bearer = format!("Bearer {}", token::mint_second(json!({ "roles": ["swapped"] })));
        clients.push(tokio::spawn(async move {
            let (mut seen, mut wrongs) = (BTreeMap::<String, u64>::new(), Vec::new());
            while !done.load(Ordering::Relaxed) {
                for path in ["/blog/a", "/blog/b", "/blog/c", "/blog/both"] {
                    let verdict = Verdict::of(&client.check(&Ask::get(path).header("authorization", &bearer).raw()).await);
                    wrongs.extend(wrong(&versions, path, &verdict));
                    *seen.entry(verdict.revision).or_default() += 1;
                }
            }
            (seen, wrongs)
        }));
    }

    // Whole versions are renamed over, as one should; all others are written in place, so that they are also seen half-written.
    let middle = texts[1].find("methods: {").expect("a method") + "methods: {".len();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = Instant::now();
    let mut swaps = 0;
    while swaps < SWAPS || lab.sidecar.generation().await < GENERATIONS {
        let news =
            || lab.sidecar.process.log().lines().filter(|line| !line.contains("portcullis::decision")).collect::<Vec<_>>().join("\n");
        assert!(started.elapsed() < PATIENCE, "{swaps} swaps, and hardly any came into force:\n{}", news());
        ticks.tick().await;
        let text = &texts[swaps % 3];
        match swaps % 14 {
            2 => fs::write(&lab.sidecar.config, "").expect("emptied"),
            5 => fs::write(&lab.sidecar.config, &texts[1][..middle]).expect("truncated"),
            7 => fs::write(&lab.sidecar.config, [0xff; 64]).expect("garbage"),
            9 => fs::write(&lab.sidecar.config, text).expect("written over"),
            12 => fs::remove_file(&lab.sidecar.config).expect("removed"),
            _ => lab.sidecar.replace_config(text),
        }
        swaps += 1;
    }
    // Each of them comes into force as soon as it is left alone.
    for (text, letter) in texts.iter().zip(LETTERS) {
        lab.sidecar.replace_config(text);
        let wanted = revision(text);
        wait::until_true(&format!("version {letter}"), PATIENCE, async || lab.sidecar.dump().await["revision"] == *wanted).await;
    }
    done.store(true, Ordering::Relaxed);

    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    for client in clients {
        let (seen, wrongs) = client.await.expect("every check was answered");
        assert!(wrongs.is_empty(), "{} wrong decisions, such as {:#?}", wrongs.len(), &wrongs[..wrongs.len().min(3)]);
        for (revision, count) in seen {
            *total.entry(revision).or_default() += count;
        }
    }
    let generations = lab.sidecar.generation().await;
    eprintln!("{} checks during {swaps} swaps, {generations} policies in force, none wrong", total.values().sum::<u64>());
    assert_eq!(total.len(), LETTERS.len(), "every version decided something: {total:?}");
    assert_eq!(lab.sidecar.dump().await["last_load"]["ok"], true);
}
