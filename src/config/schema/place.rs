//! Where in a request something stands: `{ path: user }`, `{ header: x-department }`, `{ query: id }`, `{ body: employee.id }`.

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Map, Node};

/// A place in a request.
#[derive(Debug, Clone)]
pub(crate) enum PlaceSchema {
    Path(String),
    Header(String),
    Query(String),
    Body(String),
}

/// What a request is about, or has.
#[derive(Debug, Clone)]
pub(crate) enum RevealedSchema {
    Place(PlaceSchema),
    /// A target, and which of its attributes if that is not plain.
    Target {
        target: String,
        attribute: Option<String>,
    },
}

/// Takes the one place out of a mapping. `None`: there is none, or it was wrong and is reported. Several are a problem.
pub(super) fn take(map: &mut Map<'_>, problems: &mut Problems) -> Result<Option<PlaceSchema>, Several> {
    let found = [
        map.take("path").map(|node| node.string(problems).map(|name| PlaceSchema::Path(name.value))),
        map.take("header").map(|node| super::header_name(&node, problems).map(|name| PlaceSchema::Header(name.value))),
        map.take("query").map(|node| node.string(problems).map(|name| PlaceSchema::Query(name.value))),
        map.take("body").map(|node| node.string(problems).map(|name| PlaceSchema::Body(name.value))),
    ];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(place), None) => place.map(Some).ok_or(Several::Reported),
        (Some(_), Some(_)) => Err(Several::Places),
    }
}

/// Why there is not one place.
pub(super) enum Several {
    /// There is more than one.
    Places,
    /// It could not be read, and that is reported.
    Reported,
}

const PLACES: &str = "{ path: parameter }, { header: x-name }, { query: name } or { body: field }";

/// Reads exactly one place.
pub(super) fn place(node: &Node<'_>, problems: &mut Problems) -> Option<Located<PlaceSchema>> {
    let mut map = node.map(problems)?;
    let place = take(&mut map, problems);
    map.finish(problems);
    match place {
        Ok(Some(place)) => Some(node.locate(place)),
        Err(Several::Reported) => None,
        Ok(None) | Err(Several::Places) => {
            node.problem(problems, format!("say in one way where it stands: {PLACES}"));
            None
        }
    }
}

/// Reads exactly one place, or a target.
pub(super) fn revealed(node: &Node<'_>, problems: &mut Problems) -> Option<Located<RevealedSchema>> {
    let mut map = node.map(problems)?;
    let target = map.take("target").map(|node| node.string(problems));
    let attribute = map.take("attribute").and_then(|node| node.string(problems));
    let place = take(&mut map, problems);
    map.finish(problems);
    match (target, place) {
        (Some(target), Ok(None)) => {
            let attribute = attribute.map(|attribute| attribute.value);
            Some(node.locate(RevealedSchema::Target { target: target?.value, attribute }))
        }
        (None, Ok(Some(place))) => {
            if let Some(attribute) = attribute {
                attribute.problem(problems, "only a target has attributes; leave this out");
            }
            Some(node.locate(RevealedSchema::Place(place)))
        }
        (_, Err(Several::Reported)) => None,
        _ => {
            node.problem(problems, format!("say in one way where it stands: {PLACES}, or {{ target: name }}"));
            None
        }
    }
}
