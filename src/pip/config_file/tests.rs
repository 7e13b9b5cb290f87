//! The watcher against the ways in which configurations are replaced, each with notifications alone and with polling
//! alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const DEBOUNCE: Duration = Duration::from_millis(20);
/// Reaching it means a hung test, not a slow machine.
const LONG: Duration = Duration::from_secs(30);

/// What may wake the watcher in a test, besides a nudge.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Notification,
    Poll,
    NudgeOnly,
}

const BOTH: [By; 2] = [By::Notification, By::Poll];

impl By {
    fn watch(self, path: &Path, running: Option<ContentHash>) -> ConfigWatcher {
        self.watch_with_tests(path, |_| Vec::new(), running)
    }

    fn watch_with_tests(self, path: &Path, named: NamedTests, running: Option<ContentHash>) -> ConfigWatcher {
        let never = Duration::from_secs(24 * 3600);
        let poll_interval = match self {
            Self::Poll => Duration::from_millis(20),
            Self::Notification | Self::NudgeOnly => never,
        };
        let notified = Arc::new(Notify::new());
        let notifications = match self {
            Self::Notification => {
                let notifications = Notifications::new(Arc::clone(&notified));
                assert!(notifications.is_some(), "this system has no notifications");
                notifications
            }
            Self::Poll | Self::NudgeOnly => None,
        };
        let probe = Probe { path: path.to_owned(), named, folders: Vec::new(), notifications };
        ConfigWatcher::spawn_with(probe, notified, running, DEBOUNCE, poll_interval)
    }

    /// A watcher whose consumer runs what is at `path` now, and which has looked once already.
    async fn watch_running(self, path: &Path) -> ConfigWatcher {
        // Without a running version the first reading is reported, which tells that it has happened.
        let mut watcher = self.watch(path, None);
        let running = read(path).expect("readable");
        assert_eq!(changed(&mut watcher).await.hash, running.hash);
        watcher
    }
}

async fn event(watcher: &mut ConfigWatcher) -> ConfigEvent {
    let event = timeout(LONG, watcher.changed()).await;
    event.expect("an event in time").expect("a watch that lives")
}

async fn changed(watcher: &mut ConfigWatcher) -> Arc<ConfigSource> {
    match event(watcher).await {
        ConfigEvent::Changed(source) => source,
        ConfigEvent::Failed(error) => panic!("expected a change, got: {error}"),
    }
}

async fn failed(watcher: &mut ConfigWatcher) -> ReadError {
    match event(watcher).await {
        ConfigEvent::Failed(error) => error,
        ConfigEvent::Changed(source) => panic!("expected a failure, got {source:?}"),
    }
}

fn texts(source: &ConfigSource) -> Vec<&str> {
    source.files.iter().map(|file| file.text.as_str()).collect()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
}

/// A directory, and the path of a file `config.yaml` in it with the text "one".
fn one_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yaml");
    write(&path, "one");
    (directory, path)
}

/// A directory as the kubelet lays it out: each file a symlink through `..data` into a directory of this version.
fn config_map(text: &str) -> TempDir {
    let mount = tempfile::tempdir().expect("a directory");
    fs::create_dir(mount.path().join("..v1")).expect("created");
    write(&mount.path().join("..v1/config.yaml"), text);
    symlink("..v1", mount.path().join("..data")).expect("linked");
    symlink("..data/config.yaml", mount.path().join("config.yaml")).expect("linked");
    mount
}

/// The way of the kubelet: a new directory, then `..data` renamed over, then the old directory removed.
fn swap_config_map(mount: &Path, from: &str, to: &str, text: &str) {
    fs::create_dir(mount.join(to)).expect("created");
    write(&mount.join(to).join("config.yaml"), text);
    symlink(to, mount.join("..data_tmp")).expect("linked");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("renamed");
    fs::remove_dir_all(mount.join(from)).expect("removed");
}

#[tokio::test]
async fn a_plain_rewrite_is_reported() {
    for by in BOTH {
        let (_directory, path) = one_file();
        let mut watcher = by.watch_running(&path).await;
        for text in ["two", "three", "four"] {
            write(&path, text);
            assert_eq!(texts(&*changed(&mut watcher).await), [text], "{by:?}");
        }
    }
}

#[tokio::test]
async fn a_rename_over_the_file_is_reported_again_and_again() {
    for by in BOTH {
        let (directory, path) = one_file();
        let mut watcher = by.watch_running(&path).await;
        for text in ["two", "three", "four"] {
            let fresh = directory.path().join("config.yaml.new");
            write(&fresh, text);
            fs::rename(&fresh, &path).expect("renamed");
            assert_eq!(texts(&*changed(&mut watcher).await), [text], "{by:?}");
        }
    }
}

#[tokio::test]
async fn an_editor_that_moves_the_old_file_away_is_followed() {
    for by in BOTH {
        let (directory, path) = one_file();
        let mut watcher = by.watch_running(&path).await;
        fs::rename(&path, directory.path().join("config.yaml~")).expect("renamed");
        let fresh = directory.path().join(".config.yaml.swp");
        write(&fresh, "two");
        fs::rename(&fresh, &path).expect("renamed");
        // A machine that stops between the two renames may see the gap; what must come is the new text.
        let source = loop {
            match event(&mut watcher).await {
                ConfigEvent::Changed(source) => break source,
                ConfigEvent::Failed(error) => assert!(matches!(error, ReadError::NotFound { .. })),
            }
        };
        assert_eq!(texts(&source), ["two"], "{by:?}");
    }
}

#[tokio::test]
async fn a_config_map_swap_is_reported_for_the_file_and_for_the_directory() {
    for by in BOTH {
        for whole in [false, true] {
            let mount = config_map("one");
            let path = match whole {
                true => mount.path().to_owned(),
                false => mount.path().join("config.yaml"),
            };
            let mut watcher = by.watch_running(&path).await;
            for (from, to) in [("..v1", "..v2"), ("..v2", "..v3"), ("..v3", "..v4")] {
                swap_config_map(mount.path(), from, to, to);
                let source = changed(&mut watcher).await;
                assert_eq!(texts(&source), [to], "{by:?}");
                let shown = &source.files[0].path;
                assert_eq!(*shown, mount.path().join("config.yaml"));
            }
        }
    }
}

#[tokio::test]
async fn a_rewrite_of_what_a_symlink_leads_to_is_reported() {
    for by in BOTH {
        let (_directory, target) = one_file();
        let elsewhere = tempfile::tempdir().expect("a directory");
        let link = elsewhere.path().join("linked.yaml");
        symlink(&target, &link).expect("linked");
        let mut watcher = by.watch_running(&link).await;
        write(&target, "two");
        assert_eq!(texts(&*changed(&mut watcher).await), ["two"], "{by:?}");
    }
}

#[tokio::test]
async fn a_vanished_file_is_reported_once_and_its_return_too() {
    for by in BOTH {
        let (directory, path) = one_file();
        let mut watcher = by.watch_running(&path).await;
        fs::remove_file(&path).expect("removed");
        let gone = ReadError::NotFound { path: path.clone() };
        assert_eq!(failed(&mut watcher).await, gone, "{by:?}");

        // More readings, which must not report it again: the next event is the return.
        write(&directory.path().join("unrelated"), "");
        watcher.nudge().nudge();
        write(&path, "one");
        assert_eq!(texts(&*changed(&mut watcher).await), ["one"], "{by:?}");
    }
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_followed() {
    for by in BOTH {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("conf.d");
        let lay = |text| {
            fs::create_dir(&path).expect("created");
            write(&path.join("a.yaml"), text);
        };
        lay("one");
        let mut watcher = by.watch_running(&path).await;
        fs::remove_dir_all(&path).expect("removed");
        // Emptied, then gone: both may be seen.
        while !matches!(failed(&mut watcher).await, ReadError::NotFound { .. }) {}
        lay("two");
        let mut seen = event(&mut watcher).await;
        if matches!(seen, ConfigEvent::Failed(_)) {
            seen = event(&mut watcher).await; // created, but still empty
        }
        assert!(matches!(seen, ConfigEvent::Changed(s) if texts(&s) == ["two"]));
        // More than one, since the first may be seen by a reading that an earlier event is still owed.
        for text in ["three", "four", "five"] {
            write(&path.join("a.yaml"), text);
            assert_eq!(texts(&*changed(&mut watcher).await), [text], "{by:?}");
        }
    }
}

#[tokio::test]
async fn files_added_to_and_removed_from_a_directory_are_reported() {
    for by in BOTH {
        let (directory, path) = one_file();
        let mut watcher = by.watch_running(directory.path()).await;
        let second = directory.path().join("second.yml");
        write(&second, "two");
        assert_eq!(texts(&*changed(&mut watcher).await), ["one", "two"]);
        fs::rename(&second, directory.path().join("a.yml")).expect("renamed");
        assert_eq!(texts(&*changed(&mut watcher).await), ["two", "one"]);
        fs::remove_file(&path).expect("removed");
        assert_eq!(texts(&*changed(&mut watcher).await), ["two"], "{by:?}");
        fs::remove_file(directory.path().join("a.yml")).expect("removed");
        let empty = directory.path().to_owned();
        assert_eq!(failed(&mut watcher).await, ReadError::EmptyDirectory { path: empty });
    }
}

#[tokio::test]
async fn a_touch_is_no_change() {
    for by in BOTH {
        let (directory, path) = one_file();
        let mut watcher = by.watch_running(&path).await;
        write(&path, "one");
        fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)).expect("touched");
        write(&directory.path().join("unrelated.yaml"), "two");
        let nothing = timeout(DEBOUNCE * 10, watcher.changed()).await;
        assert!(nothing.is_err(), "{by:?}: {nothing:?}");

        write(&path, "two");
        let source = changed(&mut watcher).await;
        assert_eq!(texts(&source), ["two"], "{by:?}");
    }
}

/// What is made of these readings, in this order, when `reported` was reported; and how many of them were taken.
async fn settled(reported: Option<&str>, readings: &[Option<&str>]) -> (Option<Reading>, usize) {
    let reported = reported.map(|text| Reported::from(&reading(Some(text))));
    let mut left = readings.iter();
    let next = || {
        let next = left.next().map(|text| reading(*text));
        async move { next }
    };
    let settled = settle(reported.as_ref(), Duration::ZERO, next).await;
    (settled, readings.len() - left.len())
}

/// A reading of a file with this text, or of none.
fn reading(text: Option<&str>) -> Reading {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yaml");
    if let Some(text) = text {
        write(&path, text);
    }
    // The path differs from reading to reading; the watcher's would not.
    match read(&path) {
        Ok(mut source) => {
            source.files.clear();
            Ok(source)
        }
        Err(_) => Err(ReadError::NotFound { path: PathBuf::from("config.yaml") }),
    }
}

#[tokio::test]
async fn content_as_reported_is_no_news() {
    let one = Some("one");
    assert_eq!(settled(one, &[one, one]).await, (None, 1));
    assert_eq!(settled(None, &[one, one]).await, (Some(reading(one)), 2));
    assert_eq!(settled(None, &[None, None]).await, (Some(reading(None)), 2));
}

#[tokio::test]
async fn a_half_written_file_is_not_believed() {
    let (old, whole) = (Some("old"), Some("routes: [a, b]"));
    let growing = [Some(""), Some("routes:"), Some("routes: [a"), whole, whole];
    assert_eq!(settled(old, &growing).await, (Some(reading(whole)), 5));
}

#[tokio::test]
async fn a_gap_between_remove_and_create_is_not_reported() {
    let (old, new) = (Some("old"), Some("new"));
    assert_eq!(settled(old, &[None, old, old]).await, (None, 3));
    let replaced = [None, new, new];
    assert_eq!(settled(old, &replaced).await, (Some(reading(new)), 3));
}

#[tokio::test]
async fn content_that_never_settles_arrives_all_the_same() {
    let texts: Vec<_> = (0..2 * MAX_READINGS).map(|n| n.to_string()).collect();
    let readings: Vec<_> = texts.iter().map(|text| Some(text.as_str())).collect();
    let last = reading(readings[MAX_READINGS - 1]);
    assert_eq!(settled(None, &readings).await, (Some(last), MAX_READINGS));
}

#[tokio::test]
async fn a_nudge_reads_without_notification_and_poll() {
    let (_directory, path) = one_file();
    let mut watcher = By::NudgeOnly.watch_running(&path).await;
    let nudge = watcher.nudge();
    nudge.nudge(); // nothing new: reports nothing
    write(&path, "two");
    nudge.nudge();
    assert_eq!(texts(&*changed(&mut watcher).await), ["two"]);
}

#[tokio::test]
async fn a_change_before_the_watch_began_is_reported() {
    for by in [By::Notification, By::Poll, By::NudgeOnly] {
        let (_directory, path) = one_file();
        let running = read(&path).expect("readable").hash;
        write(&path, "two");
        let mut watcher = by.watch(&path, Some(running));
        assert_eq!(texts(&*changed(&mut watcher).await), ["two"], "{by:?}");
    }
}

#[tokio::test]
async fn what_runs_already_is_not_reported() {
    let (_directory, path) = one_file();
    let running = read(&path).expect("readable").hash;
    let mut watcher = By::Poll.watch(&path, Some(running));
    let nothing = timeout(DEBOUNCE * 10, watcher.changed()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test]
async fn a_path_that_does_not_exist_yet_is_reported_and_then_found() {
    for by in BOTH {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.yaml");
        let mut watcher = by.watch(&path, None);
        assert!(matches!(failed(&mut watcher).await, ReadError::NotFound { .. }));
        write(&path, "one");
        assert_eq!(texts(&*changed(&mut watcher).await), ["one"], "{by:?}");
    }
}

#[tokio::test]
async fn a_dropped_watcher_ends_its_task() {
    let (_directory, path) = one_file();
    let watcher = By::Poll.watch_running(&path).await;
    let task = watcher.task.clone();
    drop(watcher);
    let ended = async {
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(LONG, ended).await.is_ok());
}

#[tokio::test]
async fn what_was_reported_may_come_by_among_others_without_an_end_to_the_looking() {
    let [a, b, c] = ["a", "b", "c"].map(Some);
    let swapped = [b, a, c, a, b, c, a, b, a, c, b];
    assert_eq!(settled(a, &swapped).await, (Some(reading(c)), MAX_READINGS));
    assert_eq!(settled(a, &[b, a, b, b, a]).await, (Some(reading(b)), 4));
    assert_eq!(settled(a, &[b, c, a, a, b]).await, (None, 4));
    assert_eq!(settled(b, &swapped[1..]).await, (None, MAX_READINGS), "the last one is what was reported");
}

/// The test texts' configurations name their tests one by one, a line each.
fn lines(files: &[ConfigFile]) -> Vec<String> {
    files.iter().flat_map(|file| file.text.lines().map(str::to_string)).collect()
}

#[tokio::test]
async fn a_change_of_a_named_test_alone_is_reported() {
    for by in BOTH {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, tests) = (directory.path().join("config.yaml"), directory.path().join("deep/tests"));
        fs::create_dir_all(&tests).expect("created");
        write(&path, "deep/tests/*.yaml");
        write(&tests.join("a.yaml"), "a");
        let mut watcher = by.watch_with_tests(&path, lines, None);
        let first = changed(&mut watcher).await;
        assert_eq!(first.hash, read_with_tests(&path, lines).expect("readable").hash);
        let said = |source: &ConfigSource| source.tests.iter().map(|file| file.text.clone()).collect::<Vec<_>>();
        assert_eq!(said(&first), ["a"], "{by:?}");

        write(&tests.join("a.yaml"), "changed");
        assert_eq!(said(&*changed(&mut watcher).await), ["changed"], "{by:?}");
        write(&tests.join("b.yaml"), "new");
        assert_eq!(said(&*changed(&mut watcher).await), ["changed", "new"], "{by:?}");
        fs::remove_file(tests.join("a.yaml")).expect("removed");
        assert_eq!(said(&*changed(&mut watcher).await), ["new"], "{by:?}");
        fs::remove_file(tests.join("b.yaml")).expect("removed");
        assert!(matches!(failed(&mut watcher).await, ReadError::NoTests { .. }), "{by:?}");
        // Back as it was when it was last good.
        write(&tests.join("b.yaml"), "new");
        assert_eq!(said(&*changed(&mut watcher).await), ["new"], "{by:?}");
    }
}

#[test]
fn named_tests_are_read_in_order_each_once_and_their_hash_is_of_everything() {
    let (directory, path) = one_file();
    let folder = directory.path();
    fs::create_dir(folder.join("tests")).expect("created");
    for (name, text) in [("tests/b.yaml", "b"), ("tests/a.yaml", "a"), ("tests/.hidden.yaml", "h"), ("other.yaml", "o")] {
        write(&folder.join(name), text);
    }
    let reading = |patterns: &str| {
        write(&path, patterns);
        read_with_tests(&path, lines)
    };
    let source = reading("other.yaml\ntests/*.yaml\ntests/a.yaml").expect("readable");
    assert_eq!(source.tests.iter().map(|file| file.text.as_str()).collect::<Vec<_>>(), ["o", "a", "b"]);
    assert_eq!(source.files.len(), 1);
    assert_ne!(source.hash, read(&path).expect("readable").hash, "the tests are part of it");
    write(&folder.join("tests/a.yaml"), "changed");
    assert_ne!(source.hash, read_with_tests(&path, lines).expect("readable").hash);
    let absolute = folder.join("tests/b.yaml").display().to_string();
    assert_eq!(reading(&absolute).expect("readable").tests.len(), 1);

    assert!(matches!(reading("tests/*.yml"), Err(ReadError::NoTests { .. })));
    assert!(matches!(reading("tests/c.yaml"), Err(ReadError::NotFound { .. })));
    assert!(matches!(reading("nowhere/*.yaml"), Err(ReadError::NotFound { .. })));
    assert!(matches!(reading("tests"), Err(ReadError::NotAFile { .. })));
    assert!(matches!(reading("*.yaml"), Err(ReadError::IsConfiguration { .. })), "it matches the configuration itself");
    fs::write(folder.join("tests/latin.yaml"), [b'a', 0xe9]).expect("written");
    assert!(matches!(reading("tests/*.yaml"), Err(ReadError::NotUtf8 { line: 1, .. })));
}

#[test]
fn a_test_in_the_folder_of_a_configuration_is_part_of_it_and_cannot_be_named() {
    let directory = tempfile::tempdir().expect("a directory");
    write(&directory.path().join("a.yaml"), "b.yaml");
    write(&directory.path().join("b.yaml"), "");
    let error = read_with_tests(directory.path(), lines).expect_err("refused");
    assert_eq!(error, ReadError::IsConfiguration { path: directory.path().join("b.yaml") });
    assert!(error.to_string().contains("keep tests in a folder of their own"));
}

#[tokio::test]
async fn a_config_map_with_its_tests_is_swapped_as_a_whole() {
    for by in BOTH {
        let mount = config_map("tests.yaml\n# one");
        write(&mount.path().join("..v1/tests.yaml"), "one");
        symlink("..data/tests.yaml", mount.path().join("tests.yaml")).expect("linked");
        let mut watcher = by.watch_with_tests(&mount.path().join("config.yaml"), |_| vec!["tests.yaml".into()], None);
        let pair = |source: &ConfigSource| {
            [&source.files[0].text, &source.tests[0].text].map(|text| text.rsplit(' ').next().unwrap_or_default().to_string())
        };
        assert_eq!(pair(&*changed(&mut watcher).await), ["one", "one"], "{by:?}");
        for (from, to, text) in [("..v1", "..v2", "two"), ("..v2", "..v3", "three")] {
            fs::create_dir(mount.path().join(to)).expect("created");
            write(&mount.path().join(to).join("config.yaml"), &format!("tests.yaml\n# {text}"));
            write(&mount.path().join(to).join("tests.yaml"), text);
            symlink(to, mount.path().join("..data_tmp")).expect("linked");
            fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).expect("renamed");
            fs::remove_dir_all(mount.path().join(from)).expect("removed");
            assert_eq!(pair(&*changed(&mut watcher).await), [text, text], "{by:?}");
        }
    }
}

#[tokio::test]
async fn what_was_refused_is_reported_once_more_when_somebody_asks() {
    let (_directory, path) = one_file();
    let mut watcher = By::NudgeOnly.watch_running(&path).await;
    watcher.refused(true);
    for _ in 0..2 {
        watcher.nudge().nudge();
        assert_eq!(texts(&*changed(&mut watcher).await), ["one"]);
    }
    watcher.refused(false);
    watcher.nudge().nudge();
    let nothing = timeout(DEBOUNCE * 10, watcher.changed()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}
