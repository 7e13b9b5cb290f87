//! Files of a source, which are never waited for without end.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long reading files may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What reads the files of one source, one after another. Clones take turns.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<()>>);

impl Disk {
    /// Does something that may have to wait for a disk.
    ///
    /// What takes longer than [`DEADLINE`] has failed, and goes on for nobody. Until it ends, nothing else begins, and fails as well: a
    /// disk that hangs holds one thread, not one for each attempt.
    ///
    /// # Errors
    /// It took too long, or broke down; in words.
    pub(super) async fn wait<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        self.wait_for(DEADLINE, work).await
    }

    async fn wait_for<T: Send + 'static>(&self, deadline: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let done = async {
            let turn = Arc::clone(&self.0).lock_owned().await;
            let done = spawn_blocking(move || {
                // Whether anybody still waits or not.
                let _turn = turn;
                work()
            });
            done.await.map_err(|error| error.to_string())
        };
        let done = timeout(deadline, done).await;
        done.unwrap_or_else(|_| Err(format!("the disk did not answer within {} s", deadline.as_secs())))
    }

    /// Reads a file, as [`read`] does.
    ///
    /// # Errors
    /// As there, or it took too long.
    pub(crate) async fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let file = path.to_path_buf();
        self.wait(move || read(&file, most)).await.map_err(|message| format!("{}: {message}", path.display()))?
    }
}

/// By what it is seen that a file was replaced or changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

/// Opens a file that has an end. Blocks.
///
/// # Errors
/// As the system says, or it is no regular file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // Asked before opening: opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    File::open(path)
}

/// Reads a file of at most so many bytes. Blocks.
///
/// # Errors
/// It cannot be read, is longer, or is no regular file; in words, which name it.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let failed = |message: String| format!("{}: {message}", path.display());
    let mut bytes = Vec::new();
    let read = open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(failed(format!("the file has more than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_holds_one_thread_however_often_it_is_tried() {
        let disk = Disk::default();
        let (release, hangs) = channel::<()>();
        let soon = Duration::from_millis(20);
        let error = disk.wait_for(soon, move || hangs.recv().is_ok()).await.unwrap_err();
        assert!(error.contains("did not answer"), "{error}");
        let (begun, begins) = channel();
        for _ in 0..5 {
            let begun = begun.clone();
            assert!(disk.clone().wait_for(soon, move || begun.send(()).is_ok()).await.is_err());
        }
        assert!(begins.try_recv().is_err(), "one more was begun while the first hung");
        // Other sources have nothing to do with it.
        assert_eq!(Disk::default().wait(|| 7).await, Ok(7));
        release.send(()).unwrap();
        assert_eq!(disk.wait(|| 7).await, Ok(7));
        assert!(begins.try_recv().is_err(), "what nobody waits for any more was begun");
    }

    #[tokio::test]
    async fn work_that_breaks_down_is_a_failure_and_no_end() {
        let disk = Disk::default();
        assert!(disk.wait(|| panic!("a breakdown that is meant to be")).await.is_err());
        assert_eq!(disk.wait(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_file_is_a_regular_one_of_a_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (Disk::default(), folder.path().join("file"));
        assert!(disk.read(&path, 3).await.unwrap_err().starts_with(&path.display().to_string()));
        assert!(disk.read(folder.path(), 3).await.unwrap_err().ends_with("it is no regular file"));
        fs::write(&path, "abc").unwrap();
        assert_eq!(disk.read(&path, 3).await.unwrap(), b"abc");
        assert!(disk.read(&path, 2).await.unwrap_err().ends_with("the file has more than 2 bytes"));
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(disk.read(&pipe, 3).await.unwrap_err().ends_with("it is no regular file"));
    }
}
