//! The one decoder of request paths.
//!
//! A resource has exactly one canonical spelling here. Whatever another component could read differently (an encoded slash
//! or dot, `//`, a backslash, a NUL, `;`, a broken escape, ...) is refused and never repaired, because a repaired path is a
//! guess about what the service behind will do with the original one.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

/// The longest path with query that is looked at, in bytes.
pub const MAX_PATH_BYTES: usize = 8 * 1024;
/// The most segments a path may have.
pub const MAX_SEGMENTS: usize = 64;

/// A request path in canonical form, split and percent-decoded once (RFC 3986 section 3.3).
///
/// A trailing slash counts: `/a/` has the segments `a` and the empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedPath<'a> {
    segments: SmallVec<[Cow<'a, str>; 8]>,
    query: Option<&'a str>,
}

/// Why a path is not canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// Longer than [`MAX_PATH_BYTES`] or more than [`MAX_SEGMENTS`] segments.
    TooLong,
    /// Empty, `*`, or in absolute or authority form.
    NotAbsolute,
    /// `//`.
    EmptySegment,
    /// `.` or `..`, plain or encoded.
    DotSegment,
    /// `%2F` or `%5C`.
    EncodedSlash,
    /// `\`, which some servers read as `/`.
    Backslash,
    /// `;`, plain or encoded: path parameters that some servers cut off.
    PathParameter,
    /// A control character, plain or encoded, NUL included.
    ControlCharacter,
    /// `%` that two hexadecimal digits do not follow.
    BadEscape,
    /// Escapes that do not decode to UTF-8.
    NotUtf8,
    /// An escape of a character that needs none (RFC 3986 section 2.3), such as `%61` for `a`.
    NeedlessEscape,
    /// `%25` before two hexadecimal digits: an escape for whoever decodes twice.
    DoubleEncoding,
    /// `%3F` or `%23`: a query or fragment for whoever decodes before splitting.
    EncodedDelimiter,
    /// A character that RFC 3986 does not allow in a path or query, written plainly.
    ForbiddenCharacter,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the path is too long",
            Self::NotAbsolute => "the path does not start with '/'",
            Self::EmptySegment => "the path has an empty segment ('//')",
            Self::DotSegment => "the path has a '.' or '..' segment",
            Self::EncodedSlash => "the path has an encoded slash or backslash",
            Self::Backslash => "the path has a backslash",
            Self::PathParameter => "the path has a ';'",
            Self::ControlCharacter => "the path has a control character",
            Self::BadEscape => "the path has a '%' without two hexadecimal digits",
            Self::NotUtf8 => "the path does not decode to UTF-8",
            Self::NeedlessEscape => "the path escapes a character that needs no escape",
            Self::DoubleEncoding => "the path is encoded twice",
            Self::EncodedDelimiter => "the path has an encoded '?' or '#'",
            Self::ForbiddenCharacter => "the path has a character that must be percent-encoded",
        })
    }
}

impl<'a> NormalizedPath<'a> {
    /// Reads a request target in origin form (RFC 9112 section 3.2.1), query included.
    ///
    /// # Errors
    /// Whatever keeps the path from being canonical; nothing is repaired.
    pub fn parse(target: &'a str) -> Result<Self, PathError> {
        if target.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let Some(relative) = path.strip_prefix('/') else {
            return Err(PathError::NotAbsolute);
        };
        if let Some(query) = query {
            check_query(query)?;
        }
        let mut segments = SmallVec::new();
        let mut rest = Some(relative);
        while let Some(text) = rest {
            let (segment, after) = match text.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (text, None),
            };
            // Only the last segment may be empty: that is a trailing slash, or the root.
            if segment.is_empty() && after.is_some() {
                return Err(PathError::EmptySegment);
            }
            if segments.len() == MAX_SEGMENTS {
                return Err(PathError::TooLong);
            }
            segments.push(decode_segment(segment)?);
            rest = after;
        }
        Ok(Self { segments, query })
    }

    /// The decoded segments; at least one, and only the last one can be empty.
    #[must_use]
    pub fn segments(&self) -> &[Cow<'a, str>] {
        &self.segments
    }

    /// The query as it was sent, without the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 without `%` and without `;`.
fn is_plain_segment_byte(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

fn decode_segment(segment: &str) -> Result<Cow<'_, str>, PathError> {
    if segment.bytes().all(is_plain_segment_byte) {
        return if matches!(segment, "." | "..") { Err(PathError::DotSegment) } else { Ok(Cow::Borrowed(segment)) };
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.as_bytes();
    while let Some((&byte, tail)) = bytes.split_first() {
        bytes = tail;
        match byte {
            b'%' => {
                let (escaped, tail) = hex_pair(bytes).ok_or(PathError::BadEscape)?;
                bytes = tail;
                match escaped {
                    b'/' | b'\\' => return Err(PathError::EncodedSlash),
                    b'.' => return Err(PathError::DotSegment),
                    b';' => return Err(PathError::PathParameter),
                    b'?' | b'#' => return Err(PathError::EncodedDelimiter),
                    b'%' if hex_pair(bytes).is_some() => return Err(PathError::DoubleEncoding),
                    control if control.is_ascii_control() => return Err(PathError::ControlCharacter),
                    needless if is_unreserved(needless) => return Err(PathError::NeedlessEscape),
                    other => decoded.push(other),
                }
            }
            b'\\' => return Err(PathError::Backslash),
            b';' => return Err(PathError::PathParameter),
            control if control.is_ascii_control() => return Err(PathError::ControlCharacter),
            plain if is_plain_segment_byte(plain) => decoded.push(plain),
            _ => return Err(PathError::ForbiddenCharacter),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| PathError::NotUtf8)?;
    if decoded.chars().any(char::is_control) {
        return Err(PathError::ControlCharacter);
    }
    Ok(Cow::Owned(decoded))
}

/// The byte that two hexadecimal digits at the front stand for, and what follows them.
fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, tail @ ..] = bytes else { return None };
    Some((hex_value(*high)? << 4 | hex_value(*low)?, tail))
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The query does not decide unless a route names it, so it only has to be free of what splits a request in two.
fn check_query(query: &str) -> Result<(), PathError> {
    for byte in query.bytes() {
        if byte.is_ascii_control() {
            return Err(PathError::ControlCharacter);
        }
        if byte == b'#' || byte == b' ' || !byte.is_ascii() {
            return Err(PathError::ForbiddenCharacter);
        }
    }
    Ok(())
}

/// What a query says of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryValue {
    /// The parameter is not there.
    Absent,
    /// It is there once, with this decoded value.
    One(String),
    /// It is there more than once, or two readers could disagree on whether it is.
    Ambiguous,
}

/// Looks for one parameter in a query (`application/x-www-form-urlencoded`).
///
/// A `;` or a broken escape anywhere makes the answer ambiguous: some servers split at `;`, and what they do with a broken
/// escape is anybody's guess.
#[must_use]
pub fn query_value(query: Option<&str>, name: &str) -> QueryValue {
    let Some(query) = query else { return QueryValue::Absent };
    if query.contains(';') {
        return QueryValue::Ambiguous;
    }
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(key), Some(value)) = (decode_form(key), decode_form(value)) else {
            return QueryValue::Ambiguous;
        };
        if key == name && found.replace(value).is_some() {
            return QueryValue::Ambiguous;
        }
    }
    found.map_or(QueryValue::Absent, QueryValue::One)
}

/// The decoded names of a query's parameters, as often as they are there. `None`: readers could disagree, as in [`query_value`].
#[must_use]
pub fn query_names(query: Option<&str>) -> Option<Vec<String>> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Some(Vec::new()) };
    if query.contains(';') {
        return None;
    }
    query.split('&').map(|pair| decode_form(pair.split_once('=').map_or(pair, |(name, _)| name))).collect()
}

fn decode_form(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&byte, tail)) = bytes.split_first() {
        bytes = tail;
        decoded.push(match byte {
            b'%' => {
                let (escaped, tail) = hex_pair(bytes)?;
                bytes = tail;
                escaped
            }
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests;
