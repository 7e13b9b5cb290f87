//! `warm_start`: where the last good keys and revocations are kept for the next start.

use std::path::PathBuf;

use super::audit::absolute;
use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};

/// Where what was pulled is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmStartSettings {
    /// A directory of the sidecar's own.
    pub directory: PathBuf,
}

pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<Located<WarmStartSettings>> {
    let mut map = node.map(problems)?;
    let directory = map.require(problems, "directory", "where it is kept, such as '/var/lib/portcullis'");
    let directory = directory.and_then(|node| absolute(&node, problems));
    map.finish(problems);
    Some(node.locate(WarmStartSettings { directory: directory? }))
}
