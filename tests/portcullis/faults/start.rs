//! Identity services that are not there at the start.

use std::time::Duration;

use super::ward::{FAULTS, HEALTHY, Patient, Ward, ask};
use crate::harness::grpc;
use crate::harness::hostile::{Behaviour, Document, Hostile};
use crate::harness::oracle::Says;
use crate::harness::wait::{self, PATIENCE};

const UNAVAILABLE: Says = Says::Refuses(503, "keys_unavailable");
const STALE: Says = Says::Refuses(503, "revocations_stale");
/// From an identity service's return to being ready.
const READY_AGAIN: Duration = Duration::from_secs(5);
/// When a fetch that gets no answer is given up.
const DEADLINE: Duration = Duration::from_secs(10);
/// What Envoy asks about.
const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";
const SERVING: Result<i32, String> = Ok(1);
const NOT_SERVING: Result<i32, String> = Ok(2);

fn jwks(url: &str) -> String {
    format!("{{ url: \"{url}\", refresh: 5m, max_stale: 24h, cooldown: 500ms }}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_identity_services_the_sidecar_lives_is_not_ready_and_denies_until_they_come_and_then_not_for_long() {
    let (hostile, dead) = (Hostile::start().await, Hostile::start().await);
    let path = |name: &str| format!("/{name}");
    // What is down altogether waits for both, and each of the others for its keys.
    let dead_feed = format!("{{ url: \"{}\", wait: 30s, max_staleness: 60s }}", dead.serve("/revocations", Document::feed(&["stolen"])));
    let mut patients = vec![
        Patient::with_keys("dead", &jwks(&dead.serve("/keys", Document::keys(&["rsa-a"])))),
        Patient::with_revocations("dead-feed", &dead_feed),
    ];
    dead.refuse();
    for (name, behaviour, _) in FAULTS {
        patients.push(Patient::with_keys(name, &jwks(&hostile.serve(&path(name), Document::keys(&["rsa-a"])))));
        hostile.behave(&path(name), behaviour);
    }
    let names: Vec<&str> = patients.iter().map(|patient| &*patient.name).collect();
    let down = |name: &str| if name == "dead-feed" { STALE } else { UNAVAILABLE };
    let probes: Vec<_> = names
        .iter()
        .map(|name| ask(*name, name, "usual", down(name)))
        .chain([ask("stolen", "dead-feed", "stolen", down("dead-feed"))])
        .collect();
    let ward = Ward::unready(&patients, probes).await;
    let (oracle, client) = (&ward.oracle, ward.sidecar.connect().await);
    // Until every one of them has been tried so often that the pauses have become long.
    wait::until_true("failures", PATIENCE, async || ward.failures("dead", "keys").await >= 4.0).await;
    assert_eq!(ward.sidecar.get("/livez").await.status, 200);
    let unready = ward.sidecar.get("/readyz").await;
    assert_eq!(unready.status, 503);
    assert!(names.iter().all(|name| unready.text().contains(name)) && !unready.text().contains(HEALTHY), "{}", unready.text());
    assert_eq!(grpc::health(&client, AUTHORIZATION).await, NOT_SERVING);
    oracle.report().assert_none_wrong();

    oracle.change_all(&names, &Says::Passes, DEADLINE + READY_AGAIN);
    oracle.change("stolen", Says::Refuses(401, "token_revoked"), DEADLINE + READY_AGAIN);
    dead.listen().await;
    for (name, ..) in FAULTS {
        hostile.behave(&path(name), Behaviour::Good);
    }
    let (returned, _) = ward.changed(&names).await;
    ward.sidecar.ready().await;
    wait::until_true("the health service to say so", PATIENCE, async || grpc::health(&client, AUTHORIZATION).await == SERVING).await;
    let report = ward.oracle.stop().await;
    report.assert_none_wrong();
    assert!(report.count("stolen", "allowed") == 0, "a revoked token passed");
    for (name, after) in returned {
        let bound = if ["hung", "trickling"].contains(&name) { DEADLINE + READY_AGAIN } else { READY_AGAIN };
        assert!(after < bound, "{name} was back, and it took {after:?} to notice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_trusts_and_a_name_that_nobody_knows_close_their_issuers_only() {
    let hostile = Hostile::start_untrusted().await;
    let patients = [
        Patient::with_keys("untrusted", &jwks(&hostile.serve("/keys", Document::keys(&["rsa-a"])))),
        // RFC 6761 section 6.4: nobody ever has a name that ends like this one.
        Patient::with_keys("nameless", &jwks("http://identity.invalid/keys")),
        Patient::with_revocations("untrusted-feed", &format!("{{ url: \"{}\" }}", hostile.serve("/feed", Document::feed(&[])))),
    ];
    let probes = ["untrusted", "nameless"].map(|name| ask(name, name, "usual", UNAVAILABLE));
    let ward = Ward::unready(&patients, probes.into_iter().chain([ask("untrusted-feed", "untrusted-feed", "usual", STALE)])).await;
    wait::until_true("failures", PATIENCE, async || {
        let failed = [("untrusted", "keys"), ("nameless", "keys"), ("untrusted-feed", "revocations")];
        let mut all = true;
        for (issuer, feed) in failed {
            all &= ward.failures(issuer, feed).await >= 2.0;
        }
        all
    })
    .await;
    assert_eq!(ward.sidecar.get("/livez").await.status, 200);
    assert_eq!(ward.sidecar.get("/readyz").await.status, 503);
    ward.oracle.stop().await.assert_none_wrong();
    assert_eq!(hostile.requests("/keys") + hostile.requests("/feed"), 0, "somebody was asked who could not prove who they are");
}
