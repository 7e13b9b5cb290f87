//! The grammar of permissions, wildcards, and sets of them.
//!
//! A permission is a sequence of segments between separators, as its [`PermissionSyntax`] says: `blog:posts.update` has three.
//! What a route *requires* is literal. What somebody was *granted* may hold `*`: one whole segment, or, as the last
//! segment, everything that remains; a lone `*` is everything. Whatever does not fit the syntax never matches.

use std::fmt;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use smallvec::SmallVec;

/// The longest permission that is read, in bytes.
pub const MAX_PERMISSION_BYTES: usize = 256;
/// The most segments that a syntax may have.
pub const MAX_SEGMENTS: usize = 8;

/// How permissions are written: segment names between `:` and `.`, such as `service:resource.action`.
///
/// The default is the flat syntax of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionSyntax {
    separators: SmallVec<[u8; 4]>,
    text: Box<str>,
}

/// Why a permission, a grant or a syntax is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermissionError {
    /// Nothing there.
    Empty,
    /// Longer than [`MAX_PERMISSION_BYTES`], or more than [`MAX_SEGMENTS`] segments.
    TooLong,
    /// A segment between two separators is empty.
    EmptySegment,
    /// A character outside of letters, digits, `_` and `-`.
    OddCharacter(char),
    /// The segments or separators are not those of the syntax, which is named.
    WrongShape(Box<str>),
    /// A `*` where only a literal permission makes sense.
    WildcardNotAllowed,
    /// A `*` that is only a part of a segment.
    PartialWildcard,
}

impl fmt::Display for PermissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong => write!(f, "it is longer than {MAX_PERMISSION_BYTES} bytes or {MAX_SEGMENTS} segments"),
            Self::EmptySegment => f.write_str("it has an empty segment"),
            Self::OddCharacter(c) => write!(f, "it has the character {c:?}; segments are made of letters, digits, '_' and '-'"),
            Self::WrongShape(syntax) => write!(f, "it does not have the shape '{syntax}'"),
            Self::WildcardNotAllowed => f.write_str("a required permission is literal and cannot hold '*'"),
            Self::PartialWildcard => f.write_str("'*' stands for a whole segment only"),
        }
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b':' | b'.')
}

fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Splits at separators without judging the segments.
fn split(text: &str) -> Result<(Segments<'_>, Separators), PermissionError> {
    if text.is_empty() {
        return Err(PermissionError::Empty);
    }
    if text.len() > MAX_PERMISSION_BYTES {
        return Err(PermissionError::TooLong);
    }
    let mut segments = Segments::new();
    let mut separators = Separators::new();
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_separator) {
        let (segment, tail) = rest.split_at(at);
        segments.push(segment);
        separators.extend(tail.bytes().next());
        rest = tail.get(1..).unwrap_or_default();
    }
    segments.push(rest);
    if segments.len() > MAX_SEGMENTS {
        return Err(PermissionError::TooLong);
    }
    Ok((segments, separators))
}

type Segments<'a> = SmallVec<[&'a str; 4]>;
type Separators = SmallVec<[u8; 4]>;

fn check_literal(segment: &str) -> Result<(), PermissionError> {
    if segment.is_empty() {
        return Err(PermissionError::EmptySegment);
    }
    match segment.chars().find(|c| !u8::try_from(*c).is_ok_and(is_segment_byte)) {
        None => Ok(()),
        Some('*') => Err(PermissionError::PartialWildcard),
        Some(odd) => Err(PermissionError::OddCharacter(odd)),
    }
}

impl PermissionSyntax {
    /// Reads a syntax such as `service:resource.action`, `resource:action:scope` or, for flat names, `name`.
    ///
    /// # Errors
    /// Names that are not names, or more than [`MAX_SEGMENTS`] of them.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        let (segments, separators) = split(text)?;
        segments.iter().try_for_each(|segment| check_literal(segment))?;
        Ok(Self { separators, text: text.into() })
    }

    /// How many segments a permission has.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.separators.len() + 1
    }

    /// The syntax as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn wrong_shape(&self) -> PermissionError {
        PermissionError::WrongShape(self.text.clone())
    }

    /// Reads a permission that a route requires.
    ///
    /// # Errors
    /// Wildcards, odd characters, or another shape than this syntax has.
    pub fn required(&self, text: &str) -> Result<Permission, PermissionError> {
        let (segments, separators) = split(text)?;
        if segments.contains(&"*") {
            return Err(PermissionError::WildcardNotAllowed);
        }
        segments.iter().try_for_each(|segment| check_literal(segment))?;
        if separators != self.separators {
            return Err(self.wrong_shape());
        }
        Ok(Permission { text: text.into(), segments: segments.iter().map(|s| Box::from(*s)).collect() })
    }

    /// Reads a permission that a route requires without its last segment, which is `scope`: a literal, or `*`, which only a grant that
    /// ends in `*` covers.
    ///
    /// # Errors
    /// Wildcards, odd characters, or another shape than this syntax has without its last segment.
    pub fn required_in_scope(&self, text: &str, scope: &str) -> Result<Permission, PermissionError> {
        let (segments, separators) = split(text)?;
        if segments.contains(&"*") {
            return Err(PermissionError::WildcardNotAllowed);
        }
        segments.iter().try_for_each(|segment| check_literal(segment))?;
        let Some((last, first)) = self.separators.split_last() else { return Err(self.wrong_shape()) };
        if *separators != *first {
            return Err(PermissionError::WrongShape(self.without_scope().into()));
        }
        let text = format!("{text}{}{scope}", char::from(*last));
        Ok(Permission { text: text.into(), segments: segments.iter().chain([&scope]).map(|s| Box::from(*s)).collect() })
    }

    /// The syntax without its last segment, as it would be written.
    #[must_use]
    pub fn without_scope(&self) -> &str {
        self.text.rsplit_once([':', '.']).map_or("", |(before, _)| before)
    }

    /// Reads a grant, in which `*` is a wildcard if `wildcards` says so and an odd character otherwise.
    ///
    /// # Errors
    /// Odd characters, empty segments, or another shape than this syntax has.
    pub fn grant(&self, text: &str, wildcards: bool) -> Result<Grant, PermissionError> {
        let (segments, separators) = split(text)?;
        for segment in &segments {
            if *segment == "*" {
                if !wildcards {
                    return Err(PermissionError::OddCharacter('*'));
                }
            } else {
                check_literal(segment)?;
            }
        }
        let ends_in_wildcard = segments.last() == Some(&"*");
        // Shorter than the syntax is fine only where the last `*` stands for everything that remains.
        let fits = if ends_in_wildcard { self.separators.starts_with(&separators) } else { separators == self.separators };
        if !fits {
            return Err(self.wrong_shape());
        }
        if segments.len() == 1 && ends_in_wildcard {
            return Ok(Grant::Everything);
        }
        if !segments.contains(&"*") {
            return Ok(Grant::Exact(text.into()));
        }
        let literal = if ends_in_wildcard { segments.len() - 1 } else { segments.len() };
        Ok(Grant::Pattern(Pattern {
            segments: segments.iter().take(literal).map(|s| (*s != "*").then(|| Box::from(*s))).collect(),
            open_end: ends_in_wildcard,
        }))
    }
}

/// A permission that a route requires: literal, and of its syntax's shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permission {
    text: Box<str>,
    segments: SmallVec<[Box<str>; 3]>,
}

impl Permission {
    /// The permission as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Something that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// The lone `*`.
    Everything,
    /// One permission, literally.
    Exact(Box<str>),
    /// A permission with wildcards in it.
    Pattern(Pattern),
}

/// A grant with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// `None` is a `*` that stands for one segment.
    segments: SmallVec<[Option<Box<str>>; 3]>,
    /// The last segment was `*`: one or more segments of any value follow.
    open_end: bool,
}

impl Pattern {
    fn matches(&self, required: &Permission) -> bool {
        let lengths_fit =
            if self.open_end { required.segments.len() > self.segments.len() } else { required.segments.len() == self.segments.len() };
        lengths_fit
            && self.segments.iter().zip(&required.segments).all(|(granted, required)| match granted {
                None => true,
                Some(literal) => literal == required,
            })
    }
}

/// The union of some grants, laid out for quick questions.
#[derive(Debug, Clone, Default)]
pub struct PermissionSet {
    everything: bool,
    exact: HashSet<Box<str>, RandomState>,
    patterns: Vec<Pattern>,
}

impl PermissionSet {
    /// Adds a grant.
    pub fn insert(&mut self, grant: Grant) {
        match grant {
            Grant::Everything => self.everything = true,
            Grant::Exact(text) => {
                self.exact.insert(text);
            }
            Grant::Pattern(pattern) => {
                if !self.patterns.contains(&pattern) {
                    self.patterns.push(pattern);
                }
            }
        }
    }

    /// Adds all grants of another set.
    pub fn extend(&mut self, other: &Self) {
        self.everything |= other.everything;
        self.exact.extend(other.exact.iter().cloned());
        for pattern in &other.patterns {
            self.insert(Grant::Pattern(pattern.clone()));
        }
    }

    /// Whether any of the grants covers the required permission.
    #[must_use]
    pub fn allows(&self, required: &Permission) -> bool {
        self.everything || self.exact.contains(&*required.text) || self.patterns.iter().any(|p| p.matches(required))
    }

    /// Whether nothing was granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.exact.is_empty() && self.patterns.is_empty()
    }

    /// About how many bytes of memory the set holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.exact.iter().map(|text| text.len() + 40).sum::<usize>() + self.patterns.len() * 96
    }
}

#[cfg(test)]
mod tests;
