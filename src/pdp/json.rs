//! JSON as tokens, key sets and bodies are allowed to write it: one value, UTF-8, no duplicate members, bounded depth.
//!
//! Ordinary parsers keep the last of two members of one name, others the first: a text that means two things at once.
//! RFC 7519 section 4 lets us refuse that in tokens, RFC 8259 section 4 warns of it everywhere, and so we do refuse it.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The deepest that any caller can ask for: `serde_json` itself stops at 128, before the stack is in danger.
const DEEPEST: usize = 127;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; integers are exact up to 2^53.
    Number(f64),
    /// A string.
    String(Box<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object, members in the order of the text.
    Object(Object),
}

impl Json {
    /// The object that it is, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The whole number that it is, if it is one from 0 up to 2^53 - 1: beyond that, two numbers of a text may become one.
    #[must_use]
    pub fn as_integer(&self) -> Option<u64> {
        match self {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole and within the range")]
            Self::Number(number) if number.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(number) => Some(*number as u64),
            _ => None,
        }
    }

    /// The text that it is, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}

/// A JSON object without duplicate members.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(Box<str>, Json)>);

impl Object {
    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(member, _)| &**member == name).map(|(_, value)| value)
    }

    /// All members, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

/// The text is not one well-formed JSON value without duplicate members, or not an object where it has to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError;

/// Reads one JSON value of any kind, in which arrays and objects are nested `max_depth` deep at most (never more than 127).
///
/// # Errors
/// Everything else: bytes behind it, a byte order mark, duplicate members at any depth, invalid UTF-8, too deep. What is too deep is
/// left where that shows, so that neither the stack nor the time spent depends on how deep it would have gone.
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Json, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Seed { remaining: max_depth.min(DEEPEST) }.deserialize(&mut deserializer).map_err(|_| JsonError)?;
    deserializer.end().map_err(|_| JsonError)?;
    Ok(value)
}

/// Reads one JSON object like [`parse`].
///
/// # Errors
/// As there, and for another kind of value.
pub fn parse_object(bytes: &[u8], max_depth: usize) -> Result<Object, JsonError> {
    match parse(bytes, max_depth)? {
        Json::Object(object) => Ok(object),
        _ => Err(JsonError),
    }
}

#[derive(Clone, Copy)]
struct Seed {
    /// How many levels may still be opened.
    remaining: usize,
}

impl Seed {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.remaining.checked_sub(1).map(|remaining| Self { remaining }).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "NumericDate beyond 2^53 is refused by its own bound")]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "NumericDate beyond 2^53 is refused by its own bound")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let seed = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let seed = self.deeper()?;
        let mut object: Vec<(Box<str>, Json)> = Vec::new();
        // Short objects, the usual kind, are searched straight; long ones through a set, so that the cost stays linear.
        let mut seen: Option<std::collections::HashSet<Box<str>>> = None;
        while let Some(name) = members.next_key::<Box<str>>()? {
            let repeated = match &mut seen {
                Some(seen) => !seen.insert(name.clone()),
                None => object.iter().any(|(other, _)| *other == name),
            };
            if repeated {
                return Err(de::Error::custom("a member is there twice"));
            }
            object.push((name, members.next_value_seed(seed)?));
            if seen.is_none() && object.len() == 32 {
                seen = Some(object.iter().map(|(name, _)| name.clone()).collect());
            }
        }
        Ok(Json::Object(Object(object)))
    }
}

#[cfg(test)]
mod tests;
