//! Notifications of the file system, armed on directories.
//!
//! A watch on a file dies when the file is replaced, and Kubernetes replaces a ConfigMap by renaming a symlink, `..data`,
//! in the directory of the mount. So the directories are watched: the one that holds the path, the path itself when it is
//! a directory, and the one that the path leads to through symlinks. Notifications only say when to read again, so a
//! missed one costs time until the next poll and nothing else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A directory and what identifies it on its file system: another directory under the same name needs a new watch.
type Directory = (PathBuf, (u64, u64));

/// The watches of one configuration path.
#[derive(Debug)]
pub(super) struct Notifications {
    watcher: RecommendedWatcher,
    armed: Vec<Directory>,
    /// Set when something was removed or renamed: a watch may have died with it, even where the names and inode numbers
    /// are the same afterwards.
    disturbed: Arc<AtomicBool>,
}

impl Notifications {
    /// Wakes `notified` when something may have changed. `None` where the system offers no notifications; then there is
    /// polling.
    pub(super) fn new(notified: Arc<Notify>) -> Option<Self> {
        let disturbed = Arc::new(AtomicBool::new(false));
        let handler = {
            let disturbed = Arc::clone(&disturbed);
            move |event: notify::Result<Event>| {
                // An error means that notifications were lost, which is a reason to look as well.
                let kind = event.map_or(EventKind::Any, |event| event.kind);
                if removes_or_renames(kind) {
                    disturbed.store(true, Ordering::Release);
                }
                if may_change_content(kind) {
                    notified.notify_one();
                }
            }
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => Some(Self { watcher, armed: Vec::new(), disturbed }),
            Err(error) => {
                tracing::warn!(%error, "no file system notifications; the configuration is polled only");
                None
            }
        }
    }

    /// Watches the directories that matter for these paths as they resolve now.
    pub(super) fn arm<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) {
        let wanted = directories(paths);
        let disturbed = self.disturbed.swap(false, Ordering::AcqRel);
        if !disturbed && wanted == self.armed {
            return;
        }
        for (directory, _) in self.armed.drain(..) {
            // It fails when the directory is gone, and the watch with it.
            let _ = self.watcher.unwatch(&directory);
        }
        for (directory, identity) in wanted {
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => self.armed.push((directory, identity)),
                Err(error) => {
                    tracing::debug!(%error, directory = ?directory, "cannot watch; it is polled only");
                }
            }
        }
    }
}

/// The directories to watch, each once. Those that do not exist are left out; the parent's watch tells when they come.
fn directories<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<Directory> {
    let mut found: Vec<Directory> = Vec::new();
    for path in paths {
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".")),
            parent => parent,
        };
        let target = fs::canonicalize(path).ok();
        let candidates = [parent, Some(path), target.as_deref().and_then(Path::parent)];
        for candidate in candidates.into_iter().flatten() {
            let Ok(metadata) = fs::metadata(candidate) else {
                continue;
            };
            let identity = (metadata.dev(), metadata.ino());
            // One directory under two names would share one watch, and removing it for one name would end both.
            if metadata.is_dir() && found.iter().all(|(_, known)| *known != identity) {
                found.push((candidate.to_owned(), identity));
            }
        }
    }
    found
}

fn removes_or_renames(kind: EventKind) -> bool {
    matches!(kind, EventKind::Any | EventKind::Other | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
}

/// Reading a file is an event too; without this the watcher would wake itself for ever.
fn may_change_content(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn reading_and_arming_wake_nobody_and_writing_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.yaml");
        fs::write(&path, "one").expect("written");
        let notified = Arc::new(Notify::new());
        let mut notifications = Notifications::new(Arc::clone(&notified)).expect("notifications");
        notifications.arm([&*path]);

        for _ in 0..3 {
            fs::read(&path).expect("read");
            fs::read_dir(directory.path()).expect("read").count();
            notifications.disturbed.store(true, Ordering::Release);
            notifications.arm([&*path]);
        }
        let woken = timeout(Duration::from_millis(100), notified.notified()).await;
        assert!(woken.is_err(), "the watcher would wake itself for ever");

        fs::write(&path, "two").expect("written");
        let woken = timeout(Duration::from_secs(30), notified.notified()).await;
        assert!(woken.is_ok());
    }
}
