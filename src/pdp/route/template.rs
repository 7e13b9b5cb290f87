//! Path templates: `/tenants/{tenant}/posts/{id}`, `/static/{path...}`.

use std::fmt;

use crate::pdp::path::{NormalizedPath, PathError};

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSegment {
    /// This text, percent-decoded.
    Static(Box<str>),
    /// One segment that is not empty.
    Param(Box<str>),
    /// All segments that are left, at least one, the first of them not empty.
    Rest(Box<str>),
}

/// A path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<TemplateSegment>,
}

/// Why a path template is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A static part that no canonical path can have, so that the route could never match.
    NeverMatches(PathError),
    /// A brace that does not enclose a whole segment.
    PartialParameter(Box<str>),
    /// A parameter without a proper name.
    BadName(Box<str>),
    /// Two parameters of one name.
    RepeatedName(Box<str>),
    /// Something follows `{rest...}`.
    RestNotLast,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMatches(cause) => write!(f, "no request can ever match it, since {cause}"),
            Self::PartialParameter(segment) => {
                write!(f, "'{segment}' mixes text and braces; a parameter is a whole segment, such as '{{id}}'")
            }
            Self::BadName(name) => write!(f, "'{{{name}}}' needs a name of letters, digits and '_'"),
            Self::RepeatedName(name) => write!(f, "the parameter '{{{name}}}' is there twice"),
            Self::RestNotLast => f.write_str("a '{name...}' takes all that is left, so it must be the last segment"),
        }
    }
}

impl PathTemplate {
    /// Reads a template. Static segments are written as they appear in a request, needed escapes included.
    ///
    /// # Errors
    /// Templates that could never match, and parameters that are none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let relative = text.strip_prefix('/').ok_or(TemplateError::NeverMatches(PathError::NotAbsolute))?;
        let written: Vec<&str> = relative.split('/').collect();
        let mut segments: Vec<TemplateSegment> = Vec::with_capacity(written.len());
        let mut names: Vec<&str> = Vec::new();
        for (index, segment) in written.iter().enumerate() {
            if matches!(segments.last(), Some(TemplateSegment::Rest(_))) {
                return Err(TemplateError::RestNotLast);
            }
            let last = index + 1 == written.len();
            if segment.is_empty() && !last {
                return Err(TemplateError::NeverMatches(PathError::EmptySegment));
            }
            if let Some(inner) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                let (name, rest) = inner.strip_suffix("...").map_or((inner, false), |name| (name, true));
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    return Err(TemplateError::BadName(inner.into()));
                }
                if names.contains(&name) {
                    return Err(TemplateError::RepeatedName(name.into()));
                }
                names.push(name);
                segments.push(if rest { TemplateSegment::Rest(name.into()) } else { TemplateSegment::Param(name.into()) });
            } else if segment.contains(['{', '}']) {
                return Err(TemplateError::PartialParameter((*segment).into()));
            } else {
                segments.push(TemplateSegment::Static(static_segment(segment)?));
            }
        }
        if segments.len() > crate::pdp::path::MAX_SEGMENTS || text.len() > crate::pdp::path::MAX_PATH_BYTES {
            return Err(TemplateError::NeverMatches(PathError::TooLong));
        }
        Ok(Self { segments })
    }

    /// The segments, from the left.
    #[must_use]
    pub fn segments(&self) -> &[TemplateSegment] {
        &self.segments
    }

    /// The parameters that are one segment each, and their positions among the path's segments.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, usize)> {
        self.segments.iter().enumerate().filter_map(|(position, segment)| match segment {
            TemplateSegment::Param(name) => Some((&**name, position)),
            TemplateSegment::Static(_) | TemplateSegment::Rest(_) => None,
        })
    }

    /// At which position among the path's segments the parameter of this name stands. `{rest...}` has none, as it is not
    /// one segment.
    #[must_use]
    pub fn position_of(&self, name: &str) -> Option<usize> {
        self.parameters().find(|(other, _)| *other == name).map(|(_, position)| position)
    }
}

fn static_segment(segment: &str) -> Result<Box<str>, TemplateError> {
    let target = format!("/{segment}");
    let path = NormalizedPath::parse(&target).map_err(TemplateError::NeverMatches)?;
    match (path.query(), path.segments()) {
        (None, [only]) => Ok(only.as_ref().into()),
        _ => Err(TemplateError::NeverMatches(PathError::ForbiddenCharacter)),
    }
}
