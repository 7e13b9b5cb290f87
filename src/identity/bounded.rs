//! Maps as a client or a seed file sends them: no name twice, and no more names than fit.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A JSON object with at most `MAX` members. `serde_json` would let the last of two members with one name win; here that
/// is an error, since whoever wrote both meant both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BoundedMap<K: Ord, V, const MAX: usize>(BTreeMap<K, V>);

impl<K: Ord, V, const MAX: usize> BoundedMap<K, V, MAX> {
    /// Adds a member.
    ///
    /// # Errors
    /// When there is one of that name, or the map is full.
    pub fn add(&mut self, name: K, value: V) -> Result<(), String>
    where
        K: AsRef<str>,
    {
        if self.0.contains_key(&name) {
            return Err(format!("member {:?} is there twice", name.as_ref()));
        }
        if self.0.len() >= MAX {
            return Err(format!("more than {MAX} members"));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord, V, const MAX: usize> Default for BoundedMap<K, V, MAX> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V, const MAX: usize> Deref for BoundedMap<K, V, MAX> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de, K, V, const MAX: usize> Deserialize<'de> for BoundedMap<K, V, MAX>
where
    K: Deserialize<'de> + Ord + AsRef<str>,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<K, V, const MAX: usize>(PhantomData<(K, V)>);

        impl<'de, K, V, const MAX: usize> Visitor<'de> for Members<K, V, MAX>
        where
            K: Deserialize<'de> + Ord + AsRef<str>,
            V: Deserialize<'de>,
        {
            type Value = BoundedMap<K, V, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut map = BoundedMap::default();
                while let Some((name, value)) = members.next_entry()? {
                    map.add(name, value).map_err(A::Error::custom)?;
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::Identifier;
    use super::*;

    type Two = BoundedMap<Identifier, u8, 2>;

    #[test]
    fn names_are_checked_unique_and_few() {
        let read = |text: &str| serde_json::from_str::<Two>(text).map_err(|error| error.to_string());
        assert_eq!(serde_json::to_string(&read(r#"{"b":1,"a":2}"#).unwrap()).unwrap(), r#"{"a":2,"b":1}"#);
        for (text, expected) in [
            (r#"{"a":1,"a":1}"#, "member \"a\" is there twice"),
            (r#"{"a":1,"b":1,"c":1}"#, "more than 2 members"),
            (r#"{"a b":1}"#, "identifier \"a b\""),
            (r#"{"a":300}"#, "300"),
            ("[]", "an object"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
