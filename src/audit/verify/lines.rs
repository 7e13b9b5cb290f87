//! The lines of files, one after another.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::Line;

/// The longest line that is read whole. Records are far shorter; what is longer is none.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// Reads files in this order. `-` is standard input.
pub struct Lines {
    files: VecDeque<PathBuf>,
    current: Option<Current>,
}

struct Current {
    name: Arc<str>,
    reader: Box<dyn BufRead>,
    number: u64,
}

impl Lines {
    /// The lines of these files.
    #[must_use]
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: files.into_iter().collect(), current: None }
    }

    fn advance(&mut self) -> io::Result<Option<Line>> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.files.pop_front() else { return Ok(None) };
                self.current = Some(Current::open(&path).map_err(|error| named(&path.display().to_string(), &error))?);
            }
            let Some(current) = &mut self.current else { return Ok(None) };
            match current.line().map_err(|error| named(&current.name, &error))? {
                Some(line) => return Ok(Some(line)),
                None => self.current = None,
            }
        }
    }
}

fn named(file: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{file}: {error}"))
}

impl Current {
    fn open(path: &PathBuf) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { name: "standard input".into(), reader: Box::new(io::stdin().lock()), number: 0 });
        }
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self { name: path.display().to_string().into(), reader: Box::new(BufReader::new(file)), number: 0 })
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let has_end = bytes.last() == Some(&b'\n');
        if has_end {
            bytes.pop();
        }
        Ok(Some(Line { file: Arc::clone(&self.name), number: self.number, bytes, has_end }))
    }
}

impl Iterator for Lines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
