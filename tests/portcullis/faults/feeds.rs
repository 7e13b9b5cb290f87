//! Feeds of revocations that fail.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::ward::{self, FAULTS, NOTICED, Patient, SLACK, TROUBLES, Ward, ask, megabytes, refused};
use crate::harness::hostile::{Behaviour, Document, Hostile};
use crate::harness::oracle::{Probe, Says};
use crate::harness::turn;
use crate::harness::wait::{self, PATIENCE};

const STALE: Says = Says::Refuses(503, "revocations_stale");
/// Long enough for a busy machine to see the second failure of each before it has passed.
const MAX_STALENESS: Duration = Duration::from_secs(12);
/// When a request that gets no answer is given up: ten seconds after the feed should have answered.
const DEADLINE: Duration = Duration::from_secs(11);
/// How much the memory of the sidecar may grow with all faults at once. One of the bodies is 50 MB of nothing, which is less than a
/// list may have (160 MiB), and is read; for a moment it is there twice, and twice more before the allocator gives it back.
const GROWTH: u64 = MOST as u64 * 3 / 2;

fn revocations(url: &str) -> String {
    format!("{{ url: \"{url}\", wait: 1s, max_staleness: {}s, when_stale: deny }}", MAX_STALENESS.as_secs())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_fails_in_any_way_harms_no_decision_within_its_bound_and_fails_closed_then() {
    let began = Instant::now();
    let (hostile, dying) = (Hostile::start().await, Hostile::start().await);
    // A list of revocations may be long, so an endless one is read for a while: that has a test of its own.
    let faults: Vec<_> = FAULTS.iter().filter(|(name, ..)| *name != "endless").collect();
    let path = |name: &str| format!("/{name}");
    let names: Vec<&str> = faults.iter().map(|(name, ..)| *name).collect();
    let troubles = TROUBLES.iter().map(|(name, _)| *name);
    let mut patients: Vec<Patient> = names
        .iter()
        .copied()
        .chain(troubles.clone())
        .map(|name| Patient::with_revocations(name, &revocations(&hostile.serve(&path(name), Document::feed(&["stolen"])))))
        .collect();
    patients.push(Patient::with_revocations("dead", &revocations(&dying.serve("/dead", Document::feed(&["stolen"])))));
    let probes: Vec<Probe> = patients
        .iter()
        .flat_map(|Patient { name, .. }| {
            [ask(&**name, name, "usual", Says::Passes), ask(format!("revoked-{name}"), name, "stolen", refused())]
        })
        .collect();
    let ward = Ward::open(&patients, probes).await;
    let (oracle, before) = (&ward.oracle, ward.sidecar.process.resident_bytes());

    ward::begin(&hostile, faults.iter().copied());
    dying.refuse();
    let wanted: Vec<(String, u64)> =
        faults.iter().map(|(name, _, again)| (path(name), if *again && *name != "large" { 2 } else { 1 })).collect();
    let mut memory = ward.asked(&hostile, &wanted).await;
    oracle.rounds(2).await;
    oracle.report().assert_none_wrong();

    let broken: Vec<&str> = names.iter().copied().chain(["dead"]).collect();
    oracle.change_all(&broken, &STALE, MAX_STALENESS + SLACK);
    let (_, most) = ward.changed(&broken).await;
    memory = memory.max(most);
    oracle.rounds(2).await;
    for name in names.iter().copied().filter(|name| !["hung", "trickling"].contains(name)).chain(["dead"]) {
        assert!(ward.failures(name, "revocations").await >= 1.0, "nobody was told that {name} fails");
    }

    oracle.change_all(&broken, &Says::Passes, DEADLINE + NOTICED);
    for name in &broken {
        if *name == "dead" { dying.listen().await } else { hostile.behave(&path(name), Behaviour::Good) }
    }
    let (returned, most) = ward.changed(&broken).await;
    memory = memory.max(most);
    let Ward { oracle, .. } = ward;
    let report = oracle.stop().await;
    report.assert_none_wrong();
    for (name, after) in returned {
        let bound = if ["hung", "trickling"].contains(&name) { DEADLINE + NOTICED } else { NOTICED };
        assert!(after < bound, "{name} was back, and it took {after:?} to notice");
    }
    let paths: Vec<String> = names.into_iter().chain(troubles).map(path).collect();
    ward::assert_asked_decently(&hostile, &paths, began);
    eprintln!("memory: {:.1} MB before, at most {:.1} MB; {report}", megabytes(before), megabytes(memory));
    assert!(memory < before + GROWTH, "from {before} bytes to {memory}");
}

/// What may be held of a million entries, and what the allocator keeps: 16 bytes each, and as much again while they change.
const HELD: u64 = 48 << 20;
/// What a list of revocations may have.
const MOST: usize = 160 << 20;
const ENTRIES: usize = 1_000_000;

/// A feed's whole answer with so many sessions.
fn whole(entries: usize) -> String {
    let mut text = String::with_capacity(entries * 32);
    text.push_str("{\"cursor\":\"1\",\"full\":true,\"entries\":[{\"type\":\"sid\",\"id\":\"stolen\"}");
    for number in 1..entries {
        write!(text, ",{{\"type\":\"sid\",\"id\":\"{number:08x}\"}}").unwrap();
    }
    text.push_str("]}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_revocations_are_enforced_in_little_memory_and_fail_closed_when_their_feed_dies() {
    let _turn = turn::take().await;
    let hostile = Hostile::start().await;
    let url = hostile.serve("/feed", Document::feed(&[]));
    let settings = format!("{{ url: \"{url}\", wait: 0s, max_staleness: 15s, when_stale: deny }}");
    let probes = [
        ask("usual", "many", "usual", Says::Passes),
        ask("stolen", "many", "stolen", Says::Passes),
        ask("last", "many", &format!("{:08x}", ENTRIES - 1), Says::Passes),
    ];
    let ward = Ward::open(&[Patient::with_revocations("many", &settings)], probes).await;
    ward.oracle.rounds(20).await;
    let (before, quiet) = (ward.sidecar.process.resident_bytes(), ward.oracle.report());

    // Reading it takes seconds in a program that is not optimized.
    ward.oracle.change_all(&["stolen", "last"], &Says::Refuses(401, "token_revoked"), PATIENCE);
    hostile.publish("/feed", Document::Text(whole(ENTRIES).into()));
    let (took, most) = ward.changed(&["stolen", "last"]).await;
    let metrics = ward.sidecar.metrics().await;
    let series = metrics.names().into_iter().find(|name| name.starts_with("portcullis_revocation_entries{issuer=\"many\""));
    assert_eq!(metrics.get(series.expect("the number of entries")) as usize, ENTRIES);
    let swapped = ward.oracle.report();
    let held = wait::until("memory that is given back", PATIENCE, async || {
        let now = ward.sidecar.process.resident_bytes();
        (now < before + HELD).then_some(now)
    })
    .await;
    eprintln!(
        "a million revocations in {took:?}: {:.1} MB before, {:.1} MB at most, {:.1} MB then",
        megabytes(before),
        megabytes(most),
        megabytes(held)
    );
    eprintln!("before: {quiet}\nwith the swap: {swapped}");

    ward.oracle.change("usual", STALE, Duration::from_secs(15) + SLACK);
    ward.oracle.change_all(&["stolen", "last"], &refused(), Duration::ZERO);
    hostile.refuse();
    ward.changed(&["usual"]).await;
    ward.oracle.rounds(5).await;
    ward.oracle.stop().await.assert_none_wrong();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_list_of_revocations_is_read_up_to_its_bound_and_refused_whole() {
    let _turn = turn::take().await;
    let hostile = Hostile::start().await;
    let url = hostile.serve("/feed", Document::feed(&["stolen"]));
    let settings = format!("{{ url: \"{url}\", wait: 0s, max_staleness: 60s, when_stale: deny }}");
    let probes = [ask("usual", "endless", "usual", Says::Passes), ask("stolen", "endless", "stolen", refused())];
    let ward = Ward::open(&[Patient::with_revocations("endless", &settings)], probes).await;
    let before = ward.sidecar.process.resident_bytes();
    hostile.behave("/feed", Behaviour::Endless);
    let mut most = 0;
    wait::until_true("the list to be refused twice", PATIENCE, async || {
        most = most.max(ward.sidecar.process.resident_bytes());
        ward.failures("endless", "revocations").await >= 2.0
    })
    .await;
    let taken = hostile.sent("/feed") as usize / 2;
    eprintln!("{:.1} MB before, at most {:.1} MB; {:.1} MB taken", megabytes(before), megabytes(most), megabytes(taken as u64));
    assert!(taken < MOST + (16 << 20), "{taken} bytes were taken");
    // What came, and what the allocator has not given back of the attempt before.
    assert!(most < before + GROWTH, "from {before} bytes to {most}");
    ward.oracle.stop().await.assert_none_wrong();
}
