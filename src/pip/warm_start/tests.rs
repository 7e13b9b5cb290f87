use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::{RevocationFeed, RevocationOrigin, RevocationSource, SourceFeed};
use crate::pdp::token::profile::WhenStale;

const BOUND: Duration = Duration::from_secs(60);

fn source(id: u128) -> Arc<Source> {
    let origin = RevocationOrigin::Feed(RevocationFeed { url: "http://id.test/r".parse().unwrap(), token_file: None, wait: BOUND });
    let feed = SourceFeed::Revocations(RevocationSource { origin, max_staleness: BOUND, when_stale: WhenStale::Deny });
    Arc::new(Source { id: SourceId(id), issuer: "main".into(), transport: crate::config::Transport::default(), feed })
}

async fn open(folder: &TempDir) -> (WarmStart, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let settings = WarmStartSettings { directory: folder.path().join("kept") };
    (WarmStart::open(Some(&settings), &[source(1)], &metrics).await, metrics)
}

fn loads(metrics: &Metrics, result: &str) -> bool {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    text.contains(&format!("portcullis_warm_start_loads_total{{feed=\"keys\",issuer=\"main\",result=\"{result}\"}} 1"))
}

async fn read(warm_start: &WarmStart) -> Option<Kept<(usize, Bytes)>> {
    warm_start.document(Kind::Keys, &source(1), BOUND, |document| Ok(document.len())).await
}

fn keep(warm_start: &WarmStart, document: &'static str) {
    let news = News { cursor: Some("7"), etag: Some("\"e\""), confirmed: Instant::now(), bound: BOUND, is_news: true };
    warm_start.keep_document(Kind::Keys, SourceId(1), &Bytes::from_static(document.as_bytes()), &news);
}

/// Keeps a document and ends, as a process would.
async fn kept(folder: &TempDir, document: &'static str) {
    let (warm_start, _) = open(folder).await;
    keep(&warm_start, document);
    warm_start.close().await;
}

#[tokio::test]
async fn the_next_process_reads_what_was_kept_once() {
    let folder = TempDir::new().unwrap();
    kept(&folder, "document").await;
    let (warm_start, metrics) = open(&folder).await;
    let found = read(&warm_start).await.unwrap();
    assert_eq!(found.data, (8, Bytes::from_static(b"document")));
    assert_eq!((found.cursor.as_deref(), found.etag.as_deref()), (Some("7"), Some("\"e\"")));
    assert!(found.age < Duration::from_secs(30) && found.confirmed.elapsed() >= found.age);
    assert_eq!(found.good_for(BOUND), BOUND);
    assert!(loads(&metrics, "ok"));
    // What this process was told since is newer.
    assert!(read(&warm_start).await.is_none());
}

#[tokio::test]
async fn what_this_process_keeps_is_not_read_back() {
    let folder = TempDir::new().unwrap();
    kept(&folder, "old").await;
    let (warm_start, _) = open(&folder).await;
    keep(&warm_start, "new");
    assert!(read(&warm_start).await.is_none());
}

#[tokio::test]
async fn nothing_is_there_at_the_first_start() {
    let folder = TempDir::new().unwrap();
    let (warm_start, metrics) = open(&folder).await;
    assert!(read(&warm_start).await.is_none());
    assert!(loads(&metrics, "none"));
    let nothing = WarmStart::open(None, &[], &metrics).await;
    assert!(!nothing.is_open() && read(&nothing).await.is_none());
    keep(&nothing, "x");
    nothing.forget(SourceId(1));
    nothing.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_counted_and_replaced_by_what_comes() {
    let folder = TempDir::new().unwrap();
    kept(&folder, "document").await;
    let directory = folder.path().join("kept");
    let data =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap_or_default() == "data");
    fs::write(data.unwrap(), "documemt").unwrap();
    let (warm_start, metrics) = open(&folder).await;
    assert!(read(&warm_start).await.is_none());
    assert!(loads(&metrics, "damaged"));
    // The same data as before, whose file is there and damaged.
    keep(&warm_start, "document");
    warm_start.close().await;
    assert_eq!(read(&open(&folder).await.0).await.unwrap().data.0, 8);
}

#[tokio::test]
async fn what_does_not_make_sense_to_its_reader_is_refused() {
    let folder = TempDir::new().unwrap();
    kept(&folder, "document").await;
    let (warm_start, metrics) = open(&folder).await;
    let found = warm_start.document(Kind::Keys, &source(1), BOUND, |_| Err::<(), _>("no key set".into())).await;
    assert!(found.is_none() && loads(&metrics, "invalid"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_no_reason_not_to_start() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("kept"), "a file").unwrap();
    let (warm_start, metrics) = open(&folder).await;
    assert!(!warm_start.is_open() && read(&warm_start).await.is_none());
    assert!(loads(&metrics, "no_directory"));
    keep(&warm_start, "document");
    warm_start.close().await;
    assert_eq!(fs::read_to_string(folder.path().join("kept")).unwrap(), "a file");
}

/// Writes what another process would have kept when its clocks showed this.
fn confirmed_at(folder: &TempDir, moment: serde_json::Value) {
    let store = open_store(&folder.path().join("kept")).unwrap();
    let name = Name { kind: Kind::Keys, source: SourceId(1) };
    let piece = head::Piece::of(b"document");
    store.write_piece(name, &piece, b"document").unwrap();
    let moment: Moment = serde_json::from_value(moment).unwrap();
    store.write_head(name, &head::Head::new(name, vec![piece], moment, None, None)).unwrap();
}

#[tokio::test]
async fn the_age_goes_on_counting_while_no_process_runs() {
    let folder = TempDir::new().unwrap();
    let millis = crate::clock::now().as_millis();
    let at = |ago_seconds: i64| serde_json::json!({ "wall": millis - ago_seconds * 1000, "boot": null });
    confirmed_at(&folder, at(40));
    let found = read(&open(&folder).await.0).await.unwrap();
    assert!((40..60).contains(&found.age.as_secs()), "{:?}", found.age);
    assert!(found.confirmed.elapsed() >= found.age);
    // Past its bound it still serves to go on from: what it is good for is for others to say.
    confirmed_at(&folder, at(3600));
    assert!(read(&open(&folder).await.0).await.unwrap().age >= Duration::from_secs(3600));
    for (ago, result) in [(2 * 86_400, "too_old"), (-3600, "future")] {
        confirmed_at(&folder, at(ago));
        let (warm_start, metrics) = open(&folder).await;
        assert!(read(&warm_start).await.is_none());
        assert!(loads(&metrics, result), "{result}");
    }
}

#[test]
fn what_this_clock_cannot_reach_back_to_shortens_what_it_is_good_for() {
    let kept = Kept { data: (), cursor: None, etag: None, confirmed: Instant::now(), beyond: Duration::from_secs(50), age: BOUND };
    assert_eq!(kept.good_for(BOUND), Duration::from_secs(10));
    assert_eq!(kept.good_for(Duration::from_secs(40)), Duration::ZERO);
}
