use std::path::PathBuf;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::pdp::revocation::{Batch, Revocation, RevocationKind, RevocationList};
use crate::pdp::time::UnixTime;
use crate::pip::warm_start::entries;
use crate::pip::warm_start::head::Kind;

const NAME: Name = Name { kind: Kind::Keys, source: SourceId(1) };
const LIST: Name = Name { kind: Kind::Revocations, source: SourceId(2) };

struct Running {
    folder: TempDir,
    store: Arc<Store>,
    desk: Arc<Desk>,
    metrics: Arc<Metrics>,
    task: JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        Self::in_folder(TempDir::new().unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        use std::os::unix::fs::MetadataExt;
        let owner = folder.path().metadata().unwrap().uid();
        let store = Arc::new(Store::open(&folder.path().join("kept"), owner).unwrap());
        let (desk, metrics) = (Arc::new(Desk::default()), Arc::new(Metrics::new().unwrap()));
        let sources = [NAME.source, LIST.source];
        let writer = Writer::new(Arc::clone(&store), Arc::clone(&desk), Arc::clone(&metrics), sources.into_iter());
        Self { folder, store, desk, metrics, task: tokio::spawn(writer.run()) }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    fn document(&self, text: &str, is_news: bool) {
        self.put(NAME, Content::Document(Bytes::from(text.to_string())), is_news);
    }

    fn put(&self, name: Name, content: Content, is_news: bool) {
        let bound = Duration::from_secs(3600);
        self.desk.put(name, Item { content, confirmed: Moment::now(), cursor: None, etag: None, bound, is_news });
    }

    fn kept(&self, name: Name) -> Option<Vec<Vec<u8>>> {
        self.store.read(name, 1 << 20).unwrap().map(|(_, pieces)| pieces)
    }

    async fn until(&self, what: &str, mut probe: impl FnMut() -> bool) {
        let start = Instant::now();
        while !probe() {
            assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_kept(&self, text: &str) {
        self.until(text, || self.kept(NAME).is_some_and(|pieces| pieces == [text.as_bytes()])).await;
    }

    fn writes(&self, result: &str) -> u64 {
        let text = String::from_utf8(self.metrics.encode().unwrap()).unwrap();
        let series = format!("portcullis_warm_start_writes_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.parse().unwrap())
    }

    fn files(&self, end: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(end)).collect()
    }

    async fn close(self) -> TempDir {
        self.desk.close();
        self.task.await.unwrap();
        self.folder
    }
}

#[tokio::test]
async fn news_is_written_at_once_and_its_predecessor_removed() {
    let running = Running::start();
    for text in ["one", "two", "three"] {
        running.document(text, true);
        running.until_kept(text).await;
    }
    running.until("one file of data", || running.files(".data").len() == 1).await;
    running.close().await;
}

#[tokio::test]
async fn confirmations_are_written_now_and_then_and_the_last_one_at_the_end() {
    let running = Running::start();
    running.document("one", true);
    running.until_kept("one").await;
    let confirmed = |store: &Store| store.read(NAME, 1 << 20).unwrap().unwrap().0.confirmed;
    let first = confirmed(&running.store);
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        running.document("one", false);
    }
    assert_eq!(running.writes("ok"), 1, "a bound of an hour needs no confirmation every millisecond");
    assert_eq!(confirmed(&running.store), first);
    let store = Arc::clone(&running.store);
    let _folder = running.close().await;
    assert!(confirmed(&store) != first, "what was confirmed last is kept at the end");
}

#[tokio::test]
async fn a_source_that_cannot_be_kept_does_not_keep_others_from_it() {
    let running = Running::start();
    let content = || Content::Document(Bytes::from_static(b"one"));
    let endless = Some("c".repeat(1 << 20));
    let bound = Duration::from_secs(3600);
    running.desk.put(LIST, Item { content: content(), confirmed: Moment::now(), cursor: endless, etag: None, bound, is_news: true });
    running.until("a failure", || running.writes("failed") > 0).await;
    running.document("one", true);
    running.until_kept("one").await;
    assert!(running.kept(LIST).is_none());
    running.close().await;
}

#[tokio::test]
async fn confirmations_do_not_make_news_wait_nor_hide_it() {
    let running = Running::start();
    running.document("one", true);
    running.until_kept("one").await;
    running.document("two", true);
    running.document("two", false);
    running.until_kept("two").await;
    running.close().await;
}

fn list(from: &RevocationList, ids: std::ops::Range<u32>) -> RevocationList {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    let entries = ids.iter().map(|id| Revocation { kind: RevocationKind::Token, id, before: None, expires: None });
    from.with(entries.collect::<Batch>(), UnixTime::from_millis(0))
}

#[tokio::test]
async fn of_a_long_list_only_what_came_since_is_written() {
    let running = Running::start();
    let long = list(&RevocationList::default(), 0..10_000);
    running.put(LIST, Content::Revocations(long.clone()), true);
    let length = |running: &Running| running.kept(LIST).map(|pieces| entries::decode(&pieces).unwrap().len());
    running.until("the list", || length(&running) == Some(10_000)).await;
    let table = std::fs::metadata(largest(&running)).unwrap();
    running.put(LIST, Content::Revocations(list(&long, 10_000..10_010)), true);
    running.until("the longer list", || length(&running) == Some(10_010)).await;
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(largest(&running)).unwrap().ino(), table.ino(), "the table was written again");
    running.close().await;
}

fn largest(running: &Running) -> PathBuf {
    let paths = running.files(".data").into_iter().map(|name| running.directory().join(name));
    paths.max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len())).unwrap()
}

#[tokio::test]
async fn data_that_vanished_is_written_again_with_the_next_confirmation() {
    let running = Running::start();
    let bound = Duration::from_millis(1);
    let put = |is_news| {
        let content = Content::Document(Bytes::from_static(b"one"));
        running.desk.put(NAME, Item { content, confirmed: Moment::now(), cursor: None, etag: None, bound, is_news });
    };
    put(true);
    running.until_kept("one").await;
    std::fs::remove_file(largest(&running)).unwrap();
    put(false);
    running.until("the data", || running.store.read(NAME, 1 << 20).is_ok_and(|kept| kept.is_some())).await;
    running.close().await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_counted_and_tried_again() {
    let running = Running::start();
    let in_the_way = running.directory().join(format!("{NAME}.head.tmp"));
    std::fs::create_dir(&in_the_way).unwrap();
    running.document("one", true);
    running.until("a failure", || running.writes("failed") > 0).await;
    assert_eq!(running.kept(NAME), None);
    std::fs::remove_dir(&in_the_way).unwrap();
    running.until_kept("one").await;
    running.close().await;
}

#[tokio::test]
async fn a_second_process_waits_until_the_first_one_lets_go() {
    let running = Running::start();
    let lock = running.store.lock().unwrap();
    running.document("one", true);
    running.until("the lock to be asked for", || running.writes("locked") > 0).await;
    assert_eq!((running.kept(NAME), running.writes("failed")), (None, 0));
    drop(lock);
    running.until_kept("one").await;
    running.close().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_disk_that_takes_nothing() {
    let running = Running::start();
    let _lock = running.store.lock().unwrap();
    running.document("one", true);
    running.until("the lock to be asked for", || running.writes("locked") > 0).await;
    running.close().await;
}

#[tokio::test]
async fn files_of_sources_that_are_gone_are_removed() {
    let running = Running::start();
    running.document("one", true);
    running.until_kept("one").await;
    running.desk.forget(NAME.source);
    running.until("no file", || running.files(".data").is_empty() && running.files(".head").is_empty()).await;
    let folder = running.close().await;

    // And at the next start, those of sources that were taken out meanwhile.
    let running = Running::in_folder(folder);
    let gone = Name { kind: Kind::TenantRoles, source: SourceId(99) };
    running.store.write_head(gone, &Head::new(gone, Vec::new(), Moment::now(), None, None)).unwrap();
    running.document("two", true);
    running.until_kept("two").await;
    assert_eq!(running.files(".head").len(), 1);
    running.close().await;
}
