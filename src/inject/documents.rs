//! Manifests: several documents, of which some have pods in them.
//!
//! Documents that are not changed stay as they are written, comments included. One that is changed is written anew. If any is bad, nothing
//! comes out.

use std::fmt;

use serde_json::Value;

use super::workload::{Identity, Object, look};
use super::{LeftOut, Outcome, Settings, inject_pod, uninject_pod};

mod split;

use split::{Document, Format, split};

/// What is to be done with pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Put the sidecar in.
    Inject,
    /// Take it out again.
    Uninject,
}

/// What was found in a document, or in an item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It has the sidecar now.
    Injected,
    /// It had the sidecar already, just so.
    AlreadyInjected,
    /// It has no sidecar now.
    Removed,
    /// It had none.
    NothingToRemove,
    /// It says that it wants none.
    LeftOut(LeftOut),
    /// There are no pods in it.
    NoWorkload,
    /// It is of a kind that nobody here knows, and pods seem to be in it.
    NotFollowed,
}

impl Finding {
    /// A word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::AlreadyInjected => "already_injected",
            Self::Removed => "removed",
            Self::NothingToRemove => "nothing_to_remove",
            Self::LeftOut(_) => "left_out",
            Self::NoWorkload => "no_workload",
            Self::NotFollowed => "not_followed",
        }
    }
}

/// An object of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The number of its document, from 1. Empty ones do not count.
    pub document: usize,
    /// The numbers of the items that it is in, from 1, if its document is a list.
    pub items: Vec<usize>,
    /// Its kind, if it says.
    pub kind: Option<String>,
    /// Its name, if it has one.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.document)?;
        self.items.iter().try_for_each(|item| write!(f, ", item {item}"))?;
        if let Some(kind) = &self.kind {
            write!(f, ", {kind}")?;
        }
        if self.name.is_empty() { Ok(()) } else { write!(f, " '{}'", self.name) }
    }
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub place: Place,
    /// What became of it.
    pub finding: Finding,
    /// What whoever wrote it should know.
    pub warnings: Vec<String>,
}

/// What keeps a manifest from being injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` for the manifest as a whole.
    pub place: Option<Place>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// What comes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected {
    /// The manifest.
    pub text: String,
    /// The documents as they are now.
    pub objects: Vec<Value>,
    /// What became of each object.
    pub entries: Vec<Entry>,
}

/// Puts the sidecar into all pods of a manifest, YAML or JSON, or takes it out of them.
///
/// # Errors
/// All that is wrong with it, document by document.
pub fn manifest(text: &str, settings: &Settings, action: Action) -> Result<Injected, Vec<Problem>> {
    let mut work = Work { settings, action, entries: Vec::new(), problems: Vec::new() };
    let mut output = String::with_capacity(text.len());
    let mut objects = Vec::new();
    let mut number = 0;
    for part in split(text) {
        output.push_str(part.before);
        let place = Place { document: number + 1, items: Vec::new(), kind: None, name: String::new() };
        match part.document {
            Ok(None) => output.push_str(part.text),
            Ok(Some(Document { mut object, format })) => {
                number += 1;
                let changed = work.object(&mut object, place.clone(), None);
                match if changed { rewritten(&object, format, part.text) } else { Ok(part.text.to_string()) } {
                    Ok(text) => output.push_str(&text),
                    Err(message) => work.problems.push(Problem { place: Some(place), message }),
                }
                objects.push(object);
            }
            Err(message) => {
                number += 1;
                work.problems.push(Problem { place: Some(place), message });
            }
        }
    }
    if number == 0 {
        work.problems.push(Problem { place: None, message: "there is no document in it; give it a manifest".into() });
    }
    if work.problems.is_empty() { Ok(Injected { text: output, objects, entries: work.entries }) } else { Err(work.problems) }
}

/// A document that was changed, with the white space at its end that it had.
fn rewritten(object: &Value, format: Format, before: &str) -> Result<String, String> {
    match format {
        Format::Yaml => super::yaml::write(object),
        Format::Json => {
            let end = before.get(before.trim_end().len()..).filter(|end| end.starts_with('\n')).unwrap_or("\n");
            Ok(format!("{object:#}{end}"))
        }
    }
}

struct Work<'s> {
    settings: &'s Settings,
    action: Action,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Work<'_> {
    /// Does what is to be done with an object, and says whether it was changed.
    fn object(&mut self, object: &mut Value, mut place: Place, default: Option<(&str, &str)>) -> bool {
        let identity = match object.as_object() {
            Some(entries) => Identity::read(entries, default),
            None => Err("this must be an object with 'apiVersion' and 'kind'".to_string()),
        };
        let identity = match identity {
            Ok(identity) => identity,
            Err(message) => {
                self.problems.push(Problem { place: Some(place), message });
                return false;
            }
        };
        place.kind = Some(identity.kind.clone());
        place.name.clone_from(&identity.name);
        match look(&identity, object) {
            Object::Other => self.found(place, Finding::NoWorkload, Vec::new()),
            Object::Embeds => self.found(place, Finding::NotFollowed, Vec::new()),
            Object::List(items) => {
                let default =
                    identity.kind.strip_suffix("List").filter(|kind| !kind.is_empty()).map(|kind| (identity.api_version.as_str(), kind));
                let mut changed = false;
                for (index, item) in items.iter_mut().enumerate() {
                    let mut numbers = place.items.clone();
                    numbers.push(index + 1);
                    let place = Place { document: place.document, items: numbers, kind: None, name: String::new() };
                    changed |= self.object(item, place, default);
                }
                changed
            }
            Object::Workload(None, path) => {
                let message = format!("'{path}' is missing, where its pods are described");
                self.problems.push(Problem { place: Some(place), message });
                false
            }
            Object::Workload(Some(pod), path) => self.pod(pod, place, &identity, &path),
        }
    }

    fn pod(&mut self, pod: &mut Value, place: Place, identity: &Identity, path: &str) -> bool {
        let before = pod.clone();
        let done = match self.action {
            Action::Inject => inject_pod(pod, identity.namespace.as_deref(), self.settings).map(|outcome| match outcome {
                Outcome::Injected { warnings } if *pod == before => (Finding::AlreadyInjected, warnings),
                Outcome::Injected { warnings } => (Finding::Injected, warnings),
                Outcome::LeftOut { why } => (Finding::LeftOut(why), Vec::new()),
            }),
            Action::Uninject => {
                uninject_pod(pod).map(|removed| (if removed { Finding::Removed } else { Finding::NothingToRemove }, Vec::new()))
            }
        };
        match done {
            Ok((finding, mut warnings)) => {
                // A pod's own metadata is where it should be.
                let misplaced = if path.is_empty() { &[][..] } else { &identity.misplaced };
                warnings.extend(misplaced.iter().map(|key| format!("'{key}' has no effect here; it belongs into '{path}.metadata'")));
                self.found(place, finding, warnings)
            }
            Err(refusal) => {
                self.problems.push(Problem { place: Some(place), message: refusal.to_string() });
                false
            }
        }
    }

    fn found(&mut self, place: Place, finding: Finding, warnings: Vec<String>) -> bool {
        let changed = matches!(finding, Finding::Injected | Finding::Removed);
        self.entries.push(Entry { place, finding, warnings });
        changed
    }
}
