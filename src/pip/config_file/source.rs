//! Reads a configuration, a file or a directory, into memory within bounds.

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

/// Size in bytes, all files together, above which a configuration is refused.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Number of files above which a directory is refused.
pub(super) const MAX_FILES: usize = 1024;

/// A configuration as it was read: not parsed, but whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource {
    /// The files, in the order of their names.
    pub files: Vec<ConfigFile>,
    /// The policy tests that it names.
    pub tests: Vec<ConfigFile>,
    /// The hash of what was read.
    pub hash: ContentHash,
}

/// One file of a configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// The path as the operator knows it, symlinks not resolved.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

impl fmt::Debug for ConfigFile {
    // Without the text: it may be long, and what is in it is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).field("bytes", &self.text.len()).finish()
    }
}

/// SHA-256 of a configuration, displayed in hexadecimal. For a single file it is what `sha256sum` prints. For a directory
/// it covers the names too, each name and content preceded by its length (64 bit, big endian), so that no two sets of
/// files share a hash. The policy tests that a configuration names, if any, are covered in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn finish(context: digest::Context) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(hash)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Why a configuration cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// There is nothing at this path, or a symlink on the way leads nowhere.
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// The operating system refuses to read it.
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// It is a pipe, a device, or a directory where a file is expected.
    NotAFile {
        /// What is no file.
        path: PathBuf,
    },
    /// The directory has no file to read.
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory has more than 1024 files to read.
    TooManyFiles {
        /// The directory.
        path: PathBuf,
    },
    /// A path of tests that no file matches.
    NoTests {
        /// The path.
        path: PathBuf,
    },
    /// More than 1024 files are tests.
    TooManyTests {
        /// The path that went over the bound.
        path: PathBuf,
    },
    /// What is named as a test is part of the configuration.
    IsConfiguration {
        /// The file.
        path: PathBuf,
    },
    /// The files have more than [`MAX_BYTES`] together.
    TooLarge {
        /// The file that went over the bound.
        path: PathBuf,
    },
    /// The content is not UTF-8.
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line of the first bad byte, counted from 1.
        line: usize,
    },
}

impl ReadError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        // ENOTDIR: a parent directory was replaced by a file, so the path is as gone as with ENOENT.
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            return Self::NotFound { path };
        }
        let why = error.to_string();
        Self::Unreadable { path, why }
    }

    /// The file or directory that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::NotFound { path }
            | Self::Unreadable { path, .. }
            | Self::NotAFile { path }
            | Self::EmptyDirectory { path }
            | Self::TooManyFiles { path }
            | Self::NoTests { path }
            | Self::TooManyTests { path }
            | Self::IsConfiguration { path }
            | Self::TooLarge { path }
            | Self::NotUtf8 { path, .. } => path,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::NotFound { .. } => write!(f, "{path}: no such file or directory"),
            Self::Unreadable { why, .. } => write!(f, "{path}: cannot be read: {why}"),
            Self::NotAFile { .. } => {
                write!(f, "{path}: is not a regular file; name a file or a directory of *.yaml files")
            }
            Self::EmptyDirectory { .. } => {
                write!(f, "{path}: the directory has no *.yaml or *.yml file")
            }
            Self::TooManyFiles { .. } => write!(f, "{path}: the directory has more than {MAX_FILES} *.yaml and *.yml files"),
            Self::NoTests { .. } => write!(f, "{path}: there is no such policy test, and 'configuration.tests' names it"),
            Self::TooManyTests { .. } => write!(f, "{path}: 'configuration.tests' names more than {MAX_FILES} files"),
            Self::IsConfiguration { .. } => {
                write!(f, "{path}: is part of the configuration and no policy test; keep tests in a folder of their own, such as 'tests'")
            }
            Self::TooLarge { .. } => write!(f, "{path}: the configuration is larger than {} MiB", MAX_BYTES / (1024 * 1024)),
            Self::NotUtf8 { line, .. } => write!(f, "{path}:{line}: is not valid utf-8"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads the file `path`, or all `*.yaml` and `*.yml` files directly in the directory `path`, in the order of their names.
///
/// Symlinks are followed. Names that begin with a dot are left out: editors, and the `..data` of a Kubernetes ConfigMap.
/// Whatever else matches must be readable; a file that cannot be read is never treated as absent. Blocks on the file
/// system, so it belongs on a blocking thread.
pub fn read(path: &Path) -> Result<ConfigSource, ReadError> {
    read_within(path, MAX_BYTES)
}

pub(super) fn read_within(path: &Path, max_bytes: usize) -> Result<ConfigSource, ReadError> {
    let metadata = fs::metadata(path).map_err(|error| ReadError::io(path, &error))?;
    let mut room = max_bytes;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut files = Vec::new();
    if metadata.is_dir() {
        for path in list(path)? {
            let file = read_file(path, &mut room)?;
            let name = file.path.file_name().unwrap_or_default();
            for part in [name.as_encoded_bytes(), file.text.as_bytes()] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            files.push(file);
        }
    } else {
        let file = read_file(path.to_owned(), &mut room)?;
        context.update(file.text.as_bytes());
        files.push(file);
    }
    let hash = ContentHash::finish(context);
    Ok(ConfigSource { files, tests: Vec::new(), hash })
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let unreadable = |error| ReadError::io(directory, &error);
    let path = || directory.to_owned();
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if is_config_name(&name) {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            return Err(ReadError::TooManyFiles { path: path() });
        }
    }
    if names.is_empty() {
        return Err(ReadError::EmptyDirectory { path: path() });
    }
    names.sort();
    Ok(names.iter().map(|name| directory.join(name)).collect())
}

fn is_config_name(name: &OsStr) -> bool {
    let extension = Path::new(name).extension();
    let hidden = name.as_encoded_bytes().starts_with(b".");
    !hidden && extension.is_some_and(|e| e == "yaml" || e == "yml")
}

/// Reads one file and takes its size from `room`.
pub(super) fn read_file(path: PathBuf, room: &mut usize) -> Result<ConfigFile, ReadError> {
    let io = |error: io::Error| ReadError::io(&path, &error);
    // Asked before opening: opening a pipe would wait for its writer.
    if !fs::metadata(&path).map_err(io)?.is_file() {
        return Err(ReadError::NotAFile { path });
    }
    let mut bytes = Vec::new();
    File::open(&path)
        .map_err(io)?
        // One byte more than there is room for tells "too large" from "just fits", also when the file grows meanwhile.
        .take((*room as u64).saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io)?;
    *room = match room.checked_sub(bytes.len()) {
        Some(left) => left,
        None => return Err(ReadError::TooLarge { path }),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(ConfigFile { path, text }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line_ends = error.as_bytes().iter().take(valid);
            let line = 1 + line_ends.filter(|byte| **byte == b'\n').count();
            Err(ReadError::NotUtf8 { path, line })
        }
    }
}
