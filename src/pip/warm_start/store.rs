//! The files: whose they have to be, how they are replaced, and what of them is believed.
//!
//! For each source there is one head, and the data that it names by checksum. Data comes first and the head after it, each written
//! beside, flushed and renamed; so whenever a process dies, what is there is a head with its data, of before or of after.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::head::{Head, Name, Piece};

/// Only whoever runs the sidecar reads and writes what is kept.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Whoever may write to it, besides its owner, makes a file or a directory useless.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The longest head. A cursor of the feed is part of it.
const MAX_HEAD: u64 = 64 * 1024;
/// The most files that the data of one source is in.
const MAX_PIECES: usize = 4;
/// How often a source is looked at again whose files another process replaced meanwhile.
const MAX_READINGS: usize = 4;
/// Held by the process that writes. The system lets go of it whenever and however that ends.
const LOCK: &str = "lock";
const HEAD_SUFFIX: &str = ".head";
const DATA_SUFFIX: &str = ".data";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Why what is kept is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadError {
    /// It is not what was written.
    Damaged(String),
    /// Somebody else may have written it.
    NotOurs(String),
    /// The system says so.
    Io(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(message) | Self::NotOurs(message) | Self::Io(message)) = self;
        f.write_str(message)
    }
}

/// Why something was not kept.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Another process keeps its own here.
    Locked,
    Io(String, io::Error),
    Encoding(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("another process keeps its own in the same directory"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Encoding(message) => f.write_str(message),
        }
    }
}

/// A directory of ours.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Whose files are believed: the user that this process runs as.
    owner: u32,
}

/// A whole head with its data.
pub(super) type Stored = (Head, Vec<Vec<u8>>);

/// One reading of a source, which another process may disturb.
enum Reading {
    Nothing,
    Stored(Stored),
    /// A file was not there any more, or is another one than it was a moment ago.
    Disturbed(ReadError),
}

impl Store {
    /// Takes a directory, which is created if it is not there.
    ///
    /// # Errors
    /// When somebody else could write to it, or it cannot be used at all; in words that say what to do.
    pub(super) fn open(directory: &Path, owner: u32) -> Result<Self, String> {
        let fail = |what: String| Err(format!("{}: {what}", directory.display()));
        let metadata = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Err(error) = DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
                    return fail(match error.kind() {
                        ErrorKind::NotFound => "the directory that it is in does not exist; create it first".into(),
                        _ => format!("it is not there and cannot be created: {error}"),
                    });
                }
                fs::symlink_metadata(directory)
            }
            other => other,
        };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return fail(error.to_string()),
        };
        if metadata.is_symlink() {
            return fail("this is a symbolic link; name the directory itself".into());
        }
        if !metadata.is_dir() {
            return fail("this is no directory".into());
        }
        if metadata.uid() != owner {
            let (theirs, path) = (metadata.uid(), directory.display());
            return fail(format!(
                "it belongs to user {theirs}, and the sidecar runs as {owner}; 'chown {owner} {path}', or name another one"
            ));
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            let (mode, path) = (metadata.mode() & 0o7777, directory.display());
            return fail(format!("others can write to it (its mode is {mode:04o}), and so make keys that are trusted; 'chmod 700 {path}'"));
        }
        Ok(Self { directory: directory.into(), owner })
    }

    /// Reads what is kept under a name; nothing if there is nothing. No more than so many bytes of data.
    pub(super) fn read(&self, name: Name, max_bytes: u64) -> Result<Option<Stored>, ReadError> {
        let mut disturbed = None;
        // Another sidecar may be writing here until it ends, and replaces what was just looked at.
        for _ in 0..MAX_READINGS {
            match self.read_once(name, max_bytes)? {
                Reading::Nothing => return Ok(None),
                Reading::Stored(stored) => return Ok(Some(stored)),
                Reading::Disturbed(cause) => disturbed = Some(cause),
            }
        }
        Err(disturbed.unwrap_or_else(|| ReadError::Damaged("it changes all the time".into())))
    }

    fn read_once(&self, name: Name, max_bytes: u64) -> Result<Reading, ReadError> {
        let head_file = format!("{name}{HEAD_SUFFIX}");
        let head = match self.read_file(&head_file, MAX_HEAD)? {
            Whole::Absent => return Ok(Reading::Nothing),
            Whole::Replaced => return Ok(Reading::Disturbed(ReadError::NotOurs(format!("{head_file}: it is replaced all the time")))),
            Whole::Bytes(bytes) => bytes,
        };
        let damaged = |file: &str, what: String| ReadError::Damaged(format!("{file}: {what}"));
        let head = Head::decode(name, &head).map_err(|what| damaged(&head_file, what))?;
        if head.pieces.len() > MAX_PIECES || head.pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.bytes)) > max_bytes {
            return Err(damaged(&head_file, "it names more data than there can be".into()));
        }
        let mut pieces = Vec::new();
        for piece in &head.pieces {
            let file = piece.file_name(name);
            match self.read_file(&file, piece.bytes)? {
                Whole::Bytes(bytes) if Piece::of(&bytes) == *piece => pieces.push(bytes),
                Whole::Bytes(_) => return Err(damaged(&file, "it is not what its head says: the checksum or the length differs".into())),
                Whole::Absent | Whole::Replaced => {
                    return Ok(Reading::Disturbed(damaged(&file, "it is not there, and the head says that it is".into())));
                }
            }
        }
        Ok(Reading::Stored((head, pieces)))
    }

    /// Reads a file that only we can have written.
    fn read_file(&self, file: &str, max_bytes: u64) -> Result<Whole, ReadError> {
        let path = self.directory.join(file);
        let io = |error: io::Error| ReadError::Io(format!("{file}: {error}"));
        let named = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Whole::Absent),
            named => named.map_err(io)?,
        };
        self.check_ours(file, &named)?;
        let opened = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Whole::Absent),
            opened => opened.map_err(io)?,
        };
        let metadata = opened.metadata().map_err(io)?;
        // The file that was opened is the one that was looked at, so no symbolic link was followed.
        if (metadata.dev(), metadata.ino()) != (named.dev(), named.ino()) {
            return Ok(Whole::Replaced);
        }
        self.check_ours(file, &metadata)?;
        if metadata.len() > max_bytes {
            return Err(ReadError::Damaged(format!("{file}: it has {} bytes, and there can be {max_bytes}", metadata.len())));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        opened.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
        Ok(Whole::Bytes(bytes))
    }

    fn check_ours(&self, file: &str, metadata: &Metadata) -> Result<(), ReadError> {
        let what = if !metadata.is_file() {
            "it is no regular file".to_string()
        } else if metadata.uid() != self.owner {
            format!("it belongs to user {}, and the sidecar runs as {}", metadata.uid(), self.owner)
        } else if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            format!("others can write to it (its mode is {:04o})", metadata.mode() & 0o7777)
        } else {
            return Ok(());
        };
        Err(ReadError::NotOurs(format!("{file}: {what}")))
    }

    /// Becomes the one process that writes here, for as long as the file is held.
    pub(super) fn lock(&self) -> Result<File, WriteError> {
        let io = |error| WriteError::Io(format!("{} cannot be locked", self.directory.join(LOCK).display()), error);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(self.directory.join(LOCK));
        let file = opened.map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(WriteError::Locked),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// Whether a file of data is there, as it was left.
    pub(super) fn has(&self, name: Name, piece: &Piece) -> bool {
        let metadata = fs::symlink_metadata(self.directory.join(piece.file_name(name)));
        metadata.is_ok_and(|metadata| metadata.len() == piece.bytes && self.check_ours("", &metadata).is_ok())
    }

    /// Writes data. It counts once a head names it.
    pub(super) fn write_piece(&self, name: Name, piece: &Piece, bytes: &[u8]) -> Result<(), WriteError> {
        self.replace(&piece.file_name(name), bytes)
    }

    /// Puts another head in the place of the one that is there. From here on the data that it names is what is kept.
    pub(super) fn write_head(&self, name: Name, head: &Head) -> Result<(), WriteError> {
        let bytes = head.encode().map_err(|error| WriteError::Encoding(error.to_string()))?;
        if bytes.len() as u64 > MAX_HEAD {
            return Err(WriteError::Encoding("the cursor or the entity tag of the source is too long to be kept".into()));
        }
        self.replace(&format!("{name}{HEAD_SUFFIX}"), &bytes)
    }

    fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let path = self.directory.join(file);
        let temporary = self.directory.join(format!("{file}{TEMPORARY_SUFFIX}"));
        let write = || {
            remove(&temporary)?;
            // A new file, whatever was there: nothing is followed or written over.
            let mut new = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
            new.write_all(bytes)?;
            new.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| {
            let _ = remove(&temporary);
            WriteError::Io(format!("{} cannot be written", path.display()), error)
        })
    }

    /// Removes files of ours that nobody needs: those of sources for which `is_known` says no, data of `name` that `pieces` does not
    /// list, and what a process left behind that died while it wrote. Only for whoever holds the lock. Other files are left alone.
    pub(super) fn clean(&self, is_known: impl Fn(Name) -> bool, of: Option<(Name, &[Piece])>) -> io::Result<usize> {
        let needed: HashSet<String> = of.iter().flat_map(|(name, pieces)| pieces.iter().map(|piece| piece.file_name(*name))).collect();
        let mut removed = 0;
        for entry in fs::read_dir(&self.directory)? {
            let file = entry?.file_name();
            let Some((file, (name, suffix))) = file.to_str().and_then(|file| Some((file, parse_file_name(file)?))) else { continue };
            let is_superseded = suffix == DATA_SUFFIX && of.is_some_and(|(of, _)| of == name) && !needed.contains(file);
            if suffix == TEMPORARY_SUFFIX || is_superseded || !is_known(name) {
                remove(&self.directory.join(file))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// What came of reading one file.
enum Whole {
    Absent,
    Replaced,
    Bytes(Vec<u8>),
}

/// Reads the names that we give to files: whose it is, and the last suffix.
fn parse_file_name(file: &str) -> Option<(Name, &'static str)> {
    let (rest, suffix) = [TEMPORARY_SUFFIX, HEAD_SUFFIX, DATA_SUFFIX].into_iter().find_map(|s| Some((file.strip_suffix(s)?, s)))?;
    if suffix == TEMPORARY_SUFFIX {
        let (name, inner) = parse_file_name(rest)?;
        return (inner != TEMPORARY_SUFFIX).then_some((name, suffix));
    }
    let name = match rest.split_once('.') {
        Some((name, checksum)) if suffix == DATA_SUFFIX && checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        None if suffix == HEAD_SUFFIX => rest,
        _ => return None,
    };
    Some((Name::parse(name)?, suffix))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
