//! The file that records are appended to. Nothing in it is ever written over or cut away, by us.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::chain::{ChainKey, Link, NotARecord};
use super::damage::{Damage, DamageNote};

/// Only whoever runs the sidecar reads and writes it.
const MODE: u32 = 0o600;
/// How far back from the end the last record is looked for, in bytes: first, and at most.
const TAIL: [u64; 3] = [64 * 1024, 512 * 1024, 4 * 1024 * 1024];
/// How often another process is asked to let go of the file.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Why records cannot be appended.
#[derive(Debug)]
pub(super) enum FileError {
    /// The system says so.
    Io(io::Error),
    /// The folder is not there.
    NoFolder,
    /// It is a folder, a pipe, a device.
    NotRegular,
    /// Another process writes to it.
    Locked,
    /// There is something in it, and no record of the trail at its end.
    NotATrail,
    /// The same, and it is in records with a key or without one.
    OtherKey { is_secret: bool },
    /// Another file was put in its place, and that is no empty one.
    Replaced,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NoFolder => f.write_str("its folder does not exist; create it, writable for whoever runs the sidecar"),
            Self::NotRegular => f.write_str("this is no regular file"),
            Self::Locked => f.write_str("another process writes to it; each sidecar needs a file of its own"),
            Self::NotATrail => f.write_str(
                "there is something in it, and no record at its end that was made with the same key; move it away, and a new trail begins",
            ),
            Self::OtherKey { is_secret: true } => {
                f.write_str("its records were made with a key, and there is no 'key_file'; name it, or move the file away")
            }
            Self::OtherKey { is_secret: false } => {
                f.write_str("its records were made without a key, and there is a 'key_file'; move the file away, and a new trail begins")
            }
            Self::Replaced => f.write_str("another file with something in it was put in its place; move it away"),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is there under the file's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The file as we left it.
    None,
    /// A new file: the old one was moved away or removed.
    New,
    /// The same file, shorter or longer than we left it.
    Altered { expected: u64, found: u64 },
}

/// An open trail file.
#[derive(Debug)]
pub(super) struct TrailFile {
    path: PathBuf,
    key: ChainKey,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    /// How long it is if nobody else touches it.
    length: u64,
    /// Its last line has no end.
    ends_open: bool,
    damage: Damage,
}

impl TrailFile {
    /// Opens the file, or creates it, and finds the end of the chain in it. A process that still writes to it gets `patience` to end.
    pub fn open(path: &Path, key: &ChainKey, patience: Duration) -> Result<(Self, Link), FileError> {
        let file = open(path)?;
        lock(&file, patience)?;
        // Whoever held it may have written, or moved it away, up to now.
        let (metadata, named) = (file.metadata()?, fs::metadata(path)?);
        if identity(&metadata) != identity(&named) {
            return Err(FileError::Locked);
        }
        let mut trail = Self {
            path: path.into(),
            key: key.clone(),
            file,
            identity: identity(&metadata),
            length: metadata.len(),
            ends_open: false,
            damage: Damage::default(),
        };
        let link = trail.examine()?;
        Ok((trail, link))
    }

    /// Looks at what is there under the name now, and follows. `last` is the last record that was written.
    pub fn follow(&mut self, last: &Link) -> Result<Change, FileError> {
        match fs::metadata(&self.path) {
            Ok(named) if identity(&named) == self.identity => {
                let (expected, found) = (self.length, named.len());
                if expected == found {
                    return Ok(Change::None);
                }
                self.length = found;
                // The chain goes on from what was written, also where that is no longer there.
                if let Err(error) = self.examine() {
                    // It is still altered the next time.
                    self.length = expected;
                    return Err(error);
                }
                Ok(Change::Altered { expected, found })
            }
            Ok(_) => self.reopen(last),
            Err(error) if error.kind() == ErrorKind::NotFound => self.reopen(last),
            Err(error) => Err(error.into()),
        }
    }

    fn reopen(&mut self, last: &Link) -> Result<Change, FileError> {
        let (mut new, end) = Self::open(&self.path, &self.key, Duration::ZERO).map_err(|error| match error {
            FileError::NotATrail | FileError::OtherKey { .. } => FileError::Replaced,
            other => other,
        })?;
        // Who waits for the disk waits for this one too.
        self.file.sync_data()?;
        if new.length == 0 {
            // What the old file ends with still has to be said.
            new.damage = std::mem::take(&mut self.damage);
            *self = new;
            return Ok(Change::New);
        }
        if end != *last {
            return Err(FileError::Replaced);
        }
        // It was only moved and moved back.
        *self = new;
        Ok(Change::None)
    }

    /// What the next record has to say of what stands before it.
    pub fn damage(&self) -> Option<DamageNote> {
        self.damage.note()
    }

    /// Appends a line. After an error, what was written of it is damage.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let lead: &[u8] = if self.ends_open { b"\n" } else { b"" };
        let bytes = [lead, line].concat();
        let (written, outcome) = self.write(&bytes);
        self.length = self.length.saturating_add(written as u64);
        if written > lead.len() && written + 1 >= bytes.len() {
            // All of the record; its line end can also come before the next one.
            self.ends_open = written < bytes.len();
            self.damage = Damage::default();
            return Ok(());
        }
        let torn = bytes.get(..written).unwrap_or_default();
        if let Some(last) = torn.last() {
            // The end of a whole record's line is no damage.
            let of_record = if self.damage.note().is_none() { lead.len() } else { 0 };
            self.damage.push(torn.get(of_record..).unwrap_or_default());
            self.ends_open = *last != b'\n';
        }
        outcome
    }

    /// Writes as much as the system takes.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// Waits until what was written is on the disk (`fdatasync`).
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Finds the last record, and what stands behind it.
    fn examine(&mut self) -> Result<Link, FileError> {
        self.damage = Damage::default();
        self.ends_open = false;
        if self.length == 0 {
            return Ok(Link::NONE);
        }
        let mut cause = FileError::NotATrail;
        for window in TAIL {
            let begin = self.length.saturating_sub(window);
            let mut tail = Vec::new();
            self.file.seek(SeekFrom::Start(begin))?;
            Read::by_ref(&mut self.file).take(self.length - begin).read_to_end(&mut tail)?;
            match last_record(&tail, &self.key) {
                Ok((link, behind)) => {
                    self.damage.push(behind);
                    self.ends_open = tail.last() != Some(&b'\n');
                    return Ok(link);
                }
                Err(NotARecord::OtherSeal { is_secret }) => cause = FileError::OtherKey { is_secret },
                Err(_) => {}
            }
            if begin == 0 {
                break;
            }
        }
        Err(cause)
    }
}

/// The last line that is a record, and what comes after its end.
fn last_record<'t>(tail: &'t [u8], key: &ChainKey) -> Result<(Link, &'t [u8]), NotARecord> {
    let mut cause = NotARecord::NoForm;
    let mut end = tail.len();
    loop {
        let front = tail.get(..end).unwrap_or_default();
        let begin = front.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        match key.check(front.get(begin..).unwrap_or_default()) {
            Ok(record) => {
                let behind = tail.get(end..).unwrap_or_default();
                return Ok((record.link(), behind.strip_prefix(b"\n").unwrap_or(behind)));
            }
            Err(seal @ NotARecord::OtherSeal { .. }) => cause = seal,
            Err(_) => {}
        }
        if begin == 0 {
            return Err(cause);
        }
        end = begin - 1;
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open(path: &Path) -> Result<File, FileError> {
    // To open a pipe waits for whoever reads it.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(FileError::NotRegular);
    }
    let opened = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => FileError::NoFolder,
        _ => error.into(),
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(FileError::NotRegular) }
}

/// Two that append to one chain would break it.
fn lock(file: &File, patience: Duration) -> Result<(), FileError> {
    let begin = Instant::now();
    let mut waits = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begin.elapsed() >= patience => return Err(FileError::Locked),
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut waits, true) {
                    tracing::info!(seconds = patience.as_secs(), "another process writes to the audit trail; waiting for its end");
                }
                thread::sleep(LOCK_POLL);
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
