//! `audit`: where what audited routes are asked for is recorded.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};

use super::SECOND;
use super::issuer::{duration_or, file, optional};

const MILLISECOND: Duration = Duration::from_millis(1);

/// An audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The file that records are appended to.
    pub file: PathBuf,
    /// What becomes of requests that cannot be recorded.
    pub when_unwritable: WhenUnwritable,
    /// A file with the key that records are bound with; `None`: a plain hash.
    pub key_file: Option<PathBuf>,
    /// How many records can wait to be written.
    pub max_queue: usize,
    /// How long an answer waits for its record.
    pub deadline: Duration,
    /// Whether an answer also waits until its record is on the disk.
    pub sync: bool,
}

/// What becomes of requests that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnwritable {
    /// They are not answered before they are recorded.
    Deny,
    /// They go on, and are counted.
    Continue,
}

pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<Located<AuditSettings>> {
    let mut map = node.map(problems)?;
    let path = map.require(problems, "file", "where records go, such as '/var/log/portcullis/audit.jsonl'");
    let path = path.and_then(|node| absolute(&node, problems));
    let key_file = map.take("key_file").map(|node| absolute(&node, problems));
    let choices = [("deny", WhenUnwritable::Deny), ("continue", WhenUnwritable::Continue)];
    let when_unwritable = map.take("when_unwritable").map_or(Some(WhenUnwritable::Deny), |node| node.choice(problems, &choices));
    let max_queue = map.take("max_queue").map_or(Some(1024), |node| node.usize(problems, 1..=65_536));
    let deadline = duration_or(map.take("deadline"), problems, 50 * MILLISECOND, MILLISECOND..=10 * SECOND);
    let sync = map.take("sync").map_or(Some(false), |node| node.bool(problems));
    map.finish(problems);
    let settings = AuditSettings {
        file: path?,
        when_unwritable: when_unwritable?,
        key_file: optional(key_file)?,
        max_queue: max_queue?,
        deadline: deadline?,
        sync: sync?,
    };
    if settings.key_file.as_ref() == Some(&settings.file) {
        node.problem(problems, "'file' and 'key_file' are the same file");
        return None;
    }
    Some(node.locate(settings))
}

/// Where a file is must not depend on where the sidecar was started.
pub(super) fn absolute(node: &Node<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let path = file(node, problems)?;
    if path.is_absolute() {
        return Some(path);
    }
    node.problem(problems, format!("the path must be absolute, and it is '{}'", path.display()));
    None
}
