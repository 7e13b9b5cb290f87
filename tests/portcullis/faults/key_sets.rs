//! Sources of keys that fail.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::ward::{self, FAULTS, NOTICED, Patient, SLACK, TROUBLES, Ward, ask, megabytes};
use crate::harness::authority::Authority;
use crate::harness::hostile::{Behaviour, Document, Hostile};
use crate::harness::mesh;
use crate::harness::oracle::Says;
use crate::harness::tls_front::TlsFront;

const UNAVAILABLE: Says = Says::Refuses(503, "keys_unavailable");
/// Long enough for a busy machine to see the second failure of each before it has passed.
const MAX_STALE: Duration = Duration::from_secs(10);
/// When a fetch that gets no answer is given up.
const DEADLINE: Duration = Duration::from_secs(10);
/// How much the memory of the sidecar may grow with all faults at once: for each of them what one key set may have, 1 MiB, and as
/// much for reading it.
const GROWTH: u64 = (FAULTS.len() as u64) << 21;

fn jwks(url: &str) -> String {
    format!("{{ url: \"{url}\", refresh: 1s, max_stale: {}s, cooldown: 500ms }}", MAX_STALE.as_secs())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_in_any_way_harms_no_decision_within_its_bound_closes_its_issuer_then_and_nobody_elses() {
    let began = Instant::now();
    let (hostile, dying) = (Hostile::start().await, Hostile::start().await);
    let faults = FAULTS.iter().map(|(name, ..)| *name);
    let troubles = TROUBLES.iter().map(|(name, _)| *name);
    let path = |name: &str| format!("/{name}");
    let mut patients: Vec<Patient> = faults
        .clone()
        .chain(troubles)
        .map(|name| Patient::with_keys(name, &jwks(&hostile.serve(&path(name), Document::keys(&["rsa-a"])))))
        .collect();
    patients.push(Patient::with_keys("dead", &jwks(&dying.serve("/dead", Document::keys(&["rsa-a"])))));
    // One whose certificate suddenly is of an authority that nobody knows.
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), mesh::folder());
    authority.write(&folder.path().join("ca.pem"));
    let front = TlsFront::start(hostile.address, &authority.for_host("localhost"), None).await;
    hostile.serve("/distrusted", Document::keys(&["rsa-a"]));
    let mut distrusted = Patient::with_keys("distrusted", &jwks(&(front.url("localhost") + "/distrusted")));
    write!(distrusted.sources, ", tls: {{ ca: {}/ca.pem }}", folder.path().display()).unwrap();
    patients.push(distrusted);
    let probes: Vec<_> = patients.iter().map(|patient| ask(&*patient.name, &patient.name, "usual", Says::Passes)).collect();
    let ward = Ward::open(&patients, probes).await;
    let (oracle, before) = (&ward.oracle, ward.sidecar.process.resident_bytes());

    // Within the bound nobody notices.
    ward::begin(&hostile, &FAULTS);
    dying.refuse();
    front.show(&stranger.for_host("localhost"), None);
    let wanted: Vec<(String, u64)> = FAULTS.iter().map(|(name, _, again)| (path(name), if *again { 2 } else { 1 })).collect();
    let mut memory = ward.asked(&hostile, &wanted).await;
    oracle.rounds(2).await;
    oracle.report().assert_none_wrong();

    // After it the issuer is closed, and only that.
    let broken: Vec<&str> = faults.clone().chain(["dead", "distrusted"]).collect();
    oracle.change_all(&broken, &UNAVAILABLE, MAX_STALE + SLACK);
    let (_, most) = ward.changed(&broken).await;
    memory = memory.max(most);
    oracle.rounds(2).await;
    for name in faults.clone().filter(|name| !["hung", "trickling"].contains(name)).chain(["dead", "distrusted"]) {
        assert!(ward.failures(name, "keys").await >= 1.0, "nobody was told that {name} fails");
    }

    // And open again as soon as it is back.
    oracle.change_all(&broken, &Says::Passes, DEADLINE + NOTICED);
    for name in &broken {
        match *name {
            "dead" => dying.listen().await,
            "distrusted" => front.show(&authority.for_host("localhost"), None),
            name => hostile.behave(&path(name), Behaviour::Good),
        }
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
    let paths: Vec<String> = faults.chain(TROUBLES.iter().map(|(name, _)| *name)).map(path).collect();
    ward::assert_asked_decently(&hostile, &paths, began);
    for path in ["/endless", "/large", "/gzip-bomb"] {
        // What lies in the buffers of two sockets comes on top of the one that is read.
        let per_request = hostile.sent(path) / hostile.requests(path);
        assert!(per_request < 16 << 20, "{per_request} bytes were taken from {path} each time");
    }
    eprintln!("memory: {:.1} MB before, at most {:.1} MB; {report}", megabytes(before), megabytes(memory));
    assert!(memory < before + GROWTH, "from {before} bytes to {memory}");
}
