use std::time::{Duration, Instant};

use super::*;
use crate::pdp::revocation::RevocationList;

const SOURCE: SourceId = SourceId(7);

fn live() -> Live<()> {
    Live::new(Snapshot::default(), ())
}

fn nothing() -> Arc<RevocationData> {
    Arc::new(RevocationList::default().into())
}

#[test]
fn data_is_there_within_its_bound_and_gone_after_it() {
    let live = live();
    let (fresh, stale) = (Instant::now(), Instant::now().checked_sub(Duration::from_secs(60)).unwrap());
    live.publish_keys(SOURCE, Arc::default(), fresh, Duration::from_secs(30));
    assert!(live.keys(SOURCE).is_some());
    // The bound counts from the confirmation, not from the publication.
    live.publish_keys(SOURCE, Arc::default(), stale, Duration::from_secs(30));
    assert!(live.keys(SOURCE).is_none());
}

#[test]
fn a_revocation_list_past_its_bound_is_stale_and_never_fresh() {
    let live = live();
    assert!(matches!(live.revocations(SOURCE), Revocations::Missing));
    let stale = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    live.publish_revocations(SOURCE, nothing(), stale, Duration::from_secs(30));
    assert!(matches!(live.revocations(SOURCE), Revocations::Stale(_)));
    live.publish_revocations(SOURCE, nothing(), Instant::now(), Duration::from_secs(30));
    assert!(matches!(live.revocations(SOURCE), Revocations::Fresh(_)));
    live.forget(SOURCE);
    assert!(matches!(live.revocations(SOURCE), Revocations::Missing));
}

#[test]
fn replacing_the_policy_counts_generations() {
    let live = live();
    assert_eq!(live.version().generation, 1);
    assert_eq!(live.replace(Snapshot::default(), ()), 2);
    assert_eq!(live.version().generation, 2);
}

#[tokio::test]
async fn an_unknown_key_wakes_its_refresher_once() {
    let live = live();
    let refresher = live.refetch().subscribe(SOURCE);
    let unknown = |key_id: &str| UnknownKey { source: SOURCE, key_id: key_id.into() };
    live.key_is_unknown(unknown("k1"));
    refresher.notified().await;
    live.key_is_unknown(unknown("k1"));
    assert!(tokio::time::timeout(Duration::from_millis(50), refresher.notified()).await.is_err(), "the same key asked again");
    live.key_is_unknown(unknown("k2"));
    refresher.notified().await;
}
