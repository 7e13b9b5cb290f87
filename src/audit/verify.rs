//! Walks a chain and finds the first place at which it is not as it was written.
//!
//! Every record holds the hash of the one before, and the hash of itself. So a record that was changed does not have the hash that it
//! says; one that was taken out, put in or moved leaves its neighbours without each other. The end is bound to nothing: that it was
//! cut off only shows against a hash that was kept elsewhere.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::chain::{ChainHash, ChainKey};

mod lines;
#[cfg(test)]
mod tests;
mod walk;

pub use lines::Lines;

use walk::{Suspicion, Walk};

/// What is known of a chain from elsewhere.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// The key of its records.
    pub key: ChainKey,
    /// The hash of the record before the first one.
    pub after: Option<ChainHash>,
    /// Hashes that its records had at some time.
    pub contains: Vec<ChainHash>,
    /// The hash of its last record.
    pub last: Option<ChainHash>,
}

/// A line of a file, without its end.
#[derive(Debug, Clone)]
pub struct Line {
    /// The file's name.
    pub file: Arc<str>,
    /// From 1.
    pub number: u64,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Whether it has an end.
    pub has_end: bool,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's name.
    #[serde(serialize_with = "text")]
    pub file: Arc<str>,
    /// From 1.
    pub line: u64,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What it looks like that somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tampering {
    /// A record was changed.
    Changed,
    /// Records were taken out.
    Removed,
    /// Something was put in.
    Inserted,
    /// Records were moved.
    Reordered,
    /// Another chain begins.
    Restarted,
    /// The end is missing.
    CutOff,
    /// The records were not made with the key.
    OtherKey,
}

impl Tampering {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Restarted => "restarted",
            Self::CutOff => "cut off",
            Self::OtherKey => "other key",
        }
    }
}

/// The first place at which a chain is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where; `None`: behind the last line.
    pub place: Option<Place>,
    /// What it looks like.
    pub kind: Tampering,
    /// The same in words.
    pub message: String,
}

/// A record at one end of what was walked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// Its number.
    pub seq: u64,
    /// When it was made.
    pub time: String,
    /// Its hash.
    pub hash: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records up to the end or the first finding.
    pub records: u64,
    /// Of those, checks.
    pub checks: u64,
    /// Checks of which a record says that they were not recorded.
    pub unrecorded: u64,
    /// The first record.
    pub first: Option<End>,
    /// The last record that is in its place.
    pub last: Option<End>,
    /// What is worth knowing and no change: writes that were cut short.
    pub notes: Vec<String>,
    /// The first place at which something is wrong.
    pub finding: Option<Finding>,
}

/// Walks lines in the order in which they were written.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(lines: impl IntoIterator<Item = io::Result<Line>>, expectations: &Expectations) -> io::Result<Report> {
    let mut walk = Walk::new(expectations);
    let mut lines = lines.into_iter();
    for line in lines.by_ref() {
        let line = line?;
        let Some(suspicion) = walk.step(&line) else { continue };
        let finding = match suspicion {
            Suspicion::Certain(finding) => finding,
            Suspicion::Gap { place, from, to } => walk::gap(place, from, to, lines, &expectations.key)?,
        };
        walk.report.finding = Some(finding);
        return Ok(walk.report);
    }
    walk.report.finding = walk.end();
    Ok(walk.report)
}
