//! Feeds of revocations that fail.

use std::time::{Duration, Instant};

use super::ward::{self, FAULTS, Patient, TROUBLES, Ward, ask, megabytes, refused};
use crate::harness::hostile::{Behaviour, Document, Hostile};
use crate::harness::oracle::{Probe, Says};

const STALE: Says = Says::Refuses(503, "revocations_stale");
const MAX_STALENESS: Duration = Duration::from_secs(8);
/// For a busy machine.
const SLACK: Duration = Duration::from_secs(5);
/// How long the return of an identity service may go unnoticed.
const NOTICED: Duration = Duration::from_secs(5);
/// When a request that gets no answer is given up: ten seconds after the feed should have answered.
const DEADLINE: Duration = Duration::from_secs(11);
/// How much the memory of the sidecar may grow with all faults at once: less than one list may have. One of the bodies is 50 MB of
/// nothing, which is within that bound and is read.
const GROWTH: u64 = 160 << 20;

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

    for (name, behaviour) in faults.iter().map(|(name, behaviour, _)| (name, behaviour)).chain(TROUBLES.iter().map(|(n, b)| (n, b))) {
        hostile.behave(&path(name), *behaviour);
    }
    dying.refuse();
    let wanted: Vec<(String, u64)> = faults.iter().map(|(name, _, again)| (path(name), if *again { 2 } else { 1 })).collect();
    let mut memory = ward.asked(&hostile, &wanted).await;
    oracle.rounds(2).await;
    oracle.report().assert_none_wrong();
    for name in names.iter().copied().filter(|name| !["hung", "trickling"].contains(name)).chain(["dead"]) {
        assert!(ward.failures(name, "revocations").await >= 1.0, "nobody was told that {name} fails");
    }

    let broken: Vec<&str> = names.iter().copied().chain(["dead"]).collect();
    oracle.change_all(&broken, &STALE, MAX_STALENESS + SLACK);
    let (_, most) = ward.changed(&broken).await;
    memory = memory.max(most);
    oracle.rounds(2).await;

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
        let bound = if ["hung", "trickling"].contains(&name) { DEADLINE } else { NOTICED };
        assert!(after < bound, "{name} was back, and it took {after:?} to notice");
    }
    let paths: Vec<String> = names.into_iter().chain(troubles).map(path).collect();
    ward::assert_asked_decently(&hostile, &paths, began);
    eprintln!("memory: {:.1} MB before, at most {:.1} MB; {report}", megabytes(before), megabytes(memory));
    assert!(memory < before + GROWTH, "from {before} bytes to {memory}");
}
