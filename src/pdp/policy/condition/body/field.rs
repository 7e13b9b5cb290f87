//! Fields of a JSON body: which ones it may have (`only`), and what one of them says.

use std::fmt;

use crate::pdp::json::Json;

/// The most names that a path may have.
const MAX_NAMES: usize = 16;

/// Why a list of fields is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldError {
    /// No field is listed.
    NoFields,
    /// This is not a field: names between dots.
    NotAField(Box<str>),
    /// A field is listed beside another one that allows it already, or twice.
    Covered {
        /// What is listed in vain.
        field: Box<str>,
        /// What allows it.
        by: Box<str>,
    },
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFields => f.write_str("no field is listed; list at least one, such as 'avatar' or 'address.street'"),
            Self::NotAField(text) => write!(
                f,
                "'{text}' is not a field; write up to {MAX_NAMES} names of letters, digits, '_', '-', '$' and '@' with dots between \
                 them, such as 'address.street'"
            ),
            Self::Covered { field, by } => write!(f, "'{field}' is allowed by '{by}' already; list only one of them"),
        }
    }
}

/// A field of a JSON body: member names from the outermost object inwards, compared exactly. Items of arrays have no such name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Box<[Box<str>]>);

impl FieldPath {
    /// Reads names between dots, such as `address.street`.
    ///
    /// # Errors
    /// Empty names, and characters that could be meant as more than a name (`*`, `[0]`).
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let is_name_char = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@');
        let is_name = |name: &str| !name.is_empty() && name.chars().all(is_name_char);
        let names: Box<[Box<str>]> = text.split('.').take(MAX_NAMES + 1).map(Box::from).collect();
        if names.len() > MAX_NAMES || !names.iter().all(|name| is_name(name)) {
            return Err(FieldError::NotAField(text.into()));
        }
        Ok(Self(names))
    }

    /// Its names, of which there is at least one.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// What a body says in one field, given by its names from the outermost object inwards, if that is a string. Anything else, a missing
/// member included, says nothing.
#[must_use]
pub fn field_text<'j, N: AsRef<str>>(body: &'j Json, names: &[N]) -> Option<&'j str> {
    names.iter().try_fold(body, |value, name| value.as_object()?.get(name.as_ref()))?.as_str()
}

/// The fields that a body may have: compiled from `only`.
///
/// A listed field is allowed with all that is below it. Objects on the way to one are allowed as far as their members are, but not
/// empty: a service that replaces what it is sent would drop the fields beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedFields(Vec<(Box<str>, Allowed)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Whole,
    Only(AllowedFields),
}

impl AllowedFields {
    /// Reads a list of fields, each written as [`FieldPath::parse`] reads it.
    ///
    /// # Errors
    /// No field at all, something that is not a field, or one that another one allows already.
    pub fn parse(fields: &[&str]) -> Result<Self, FieldError> {
        if fields.is_empty() {
            return Err(FieldError::NoFields);
        }
        let mut paths = Vec::with_capacity(fields.len());
        for text in fields {
            paths.push(FieldPath::parse(text)?);
        }
        for (at, field) in paths.iter().enumerate() {
            let covers = |(other_at, other): &(usize, &FieldPath)| *other_at != at && field.0.starts_with(&other.0);
            if let Some((_, by)) = paths.iter().enumerate().find(covers) {
                return Err(FieldError::Covered { field: field.to_string().into(), by: by.to_string().into() });
            }
        }
        let mut allowed = Self(Vec::new());
        paths.iter().for_each(|path| allowed.insert(&path.0));
        Ok(allowed)
    }

    fn insert(&mut self, names: &[Box<str>]) {
        let Some((name, below)) = names.split_first() else { return };
        let known = self.0.iter().position(|(listed, _)| listed == name);
        match known.and_then(|at| self.0.get_mut(at)) {
            Some((_, Allowed::Only(fields))) => fields.insert(below),
            // It is allowed as a whole.
            Some((_, Allowed::Whole)) => {}
            None if below.is_empty() => self.0.push((name.clone(), Allowed::Whole)),
            None => {
                let mut fields = Self(Vec::new());
                fields.insert(below);
                self.0.push((name.clone(), Allowed::Only(fields)));
            }
        }
    }

    /// Whether a body has no other field than these. It has to be an object; an empty one has none at all.
    ///
    /// Names are compared exactly. A service that takes `Role` for `role` gets neither of them.
    #[must_use]
    pub fn admits(&self, body: &Json) -> bool {
        body.as_object().is_some_and(|object| object.iter().all(|(name, value)| self.admits_member(name, value)))
    }

    fn admits_member(&self, name: &str, value: &Json) -> bool {
        match self.0.iter().find(|(listed, _)| **listed == *name) {
            None => false,
            Some((_, Allowed::Whole)) => true,
            Some((_, Allowed::Only(fields))) => {
                value.as_object().is_some_and(|object| object.iter().next().is_some()) && fields.admits(value)
            }
        }
    }
}
