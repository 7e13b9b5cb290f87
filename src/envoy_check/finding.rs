//! What was found: where, how bad, and what to write instead.

use std::sync::Arc;

use serde::Serialize;

/// How bad a finding is. The order is the order of how much it matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Worth a look: something that an attacker or a bad day can make use of.
    Warning,
    /// Requests get past the check, or its answer is not to be trusted.
    Error,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its stable code.
    pub code: &'static str,
    /// How bad it is, where the finding does not say otherwise.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Line, from 1; 0: the file as a whole.
    pub line: usize,
    /// Column, from 1; 0: the file as a whole.
    pub column: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}:{}", self.file, self.line, self.column) }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is of.
    pub kind: &'static Kind,
    /// How bad it is here.
    pub severity: Severity,
    /// Where.
    pub location: Location,
    /// The way to it from the file's top, such as `static_resources.listeners[0].address`; empty: the top.
    pub at: String,
    /// The name of what it is about: a listener, a filter, a route, a cluster; empty: the file.
    pub subject: String,
    /// What it is.
    pub message: String,
    /// Whoever checks has said that it is meant to be so. Then it is told as a note.
    pub accepted: bool,
}

impl Finding {
    /// How much it counts.
    #[must_use]
    pub fn counts_as(&self) -> Severity {
        if self.accepted { Severity::Note } else { self.severity }
    }
}
