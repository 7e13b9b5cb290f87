//! `configuration`: how the configuration itself is loaded.

use std::path::{Component, Path};
use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{self, Located, Node};

use super::issuer::optional;
use super::{DAY, SECOND};

/// How a configuration is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadRules {
    /// Policy tests that it has to pass before it comes into force: paths relative to its folder, with `*` in their last part.
    pub tests: Vec<String>,
    /// How long the sidecar stays ready while what is on the disk cannot be loaded; `None`: for ever.
    pub max_stale: Option<Duration>,
}

pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<Located<LoadRules>> {
    let mut map = node.map(problems)?;
    let tests = map.take("tests").map(|node| tests(&node, problems));
    let max_stale = map.take("max_stale").map(|node| node.duration(problems, SECOND..=30 * DAY));
    map.finish(problems);
    let rules = LoadRules { tests: optional(tests)?.unwrap_or_default(), max_stale: optional(max_stale)? };
    Some(node.locate(rules))
}

fn tests(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let patterns = node.strings(problems)?;
    if patterns.is_empty() {
        node.problem(problems, "there must be at least one, such as 'tests/*.yaml'; leave it out if there are none");
    }
    let mut read: Vec<String> = Vec::new();
    for pattern in patterns {
        if let Some(message) = odd(&pattern.value) {
            pattern.problem(problems, message);
        } else if read.contains(&pattern.value) {
            pattern.problem(problems, format!("'{}' is there twice", pattern.value));
        } else {
            read.push(pattern.value);
        }
    }
    Some(read)
}

/// What keeps a pattern from being one.
fn odd(pattern: &str) -> Option<String> {
    let path = Path::new(pattern);
    if let Some(sign) = pattern.chars().find(|c| matches!(c, '?' | '[' | ']' | '{' | '}')) {
        return Some(format!("'{sign}' has no meaning in a path of tests; only '*' has, for any characters of a file's name"));
    }
    if pattern.contains("**") || path.parent().is_some_and(|folder| folder.to_string_lossy().contains('*')) {
        return Some(format!("'*' can stand for characters of a file's name only, and not of a folder's: '{pattern}'; list the folders"));
    }
    if pattern.ends_with('/') || !matches!(path.components().next_back(), Some(Component::Normal(_))) {
        return Some(format!("'{pattern}' names no files; to take all tests of a folder, write 'tests/*.yaml'"));
    }
    None
}

/// The patterns that a text names, as far as it can be read: whether the text is good is not asked here.
pub(in crate::config) fn named(text: &str) -> Vec<String> {
    // To look for a word is quicker than to parse, and most configurations name no tests.
    if !text.contains("configuration") {
        return Vec::new();
    }
    let mut unheard = Problems::default();
    let documents = yaml::load("", text, &mut unheard).unwrap_or_default();
    let mut patterns = Vec::new();
    for document in &documents {
        let root = Node::root(document, "");
        let section = root.map(&mut unheard).and_then(|mut map| map.take("configuration"));
        let tests = section.and_then(|node| node.map(&mut unheard)?.take("tests")?.strings(&mut unheard));
        patterns.extend(tests.unwrap_or_default().into_iter().map(|pattern| pattern.value).filter(|pattern| odd(pattern).is_none()));
    }
    patterns
}
