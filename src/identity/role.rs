//! Roles as a membership has them, everywhere or within a boundary; and what describes the member besides.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounded::BoundedMap;
use super::id::{AttributeValue, GrantName, Identifier};

/// The member of an assignment that names its role.
const ROLE: &str = "role";

/// What describes a member in one tenant, and what bounds the assignment of a role: `{"department": "d1"}`.
pub type Attributes = BoundedMap<Identifier, AttributeValue, 32>;

/// A role of a membership, written as `"sales"`, or as `{"role": "sales", "department": "d1"}` where it counts for that
/// department alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The name alone.
    Named(GrantName),
    /// An assignment.
    Assigned {
        /// The role's name.
        role: GrantName,
        /// Where it counts: where all of these hold.
        boundary: Attributes,
    },
}

impl Role {
    /// The role's name.
    pub fn name(&self) -> &GrantName {
        match self {
            Self::Named(role) | Self::Assigned { role, .. } => role,
        }
    }

    /// Where it counts; empty when that is everywhere.
    fn bounds(&self) -> Option<&Attributes> {
        match self {
            Self::Named(_) => None,
            Self::Assigned { boundary, .. } => Some(boundary).filter(|boundary| !boundary.is_empty()),
        }
    }

    /// Whether it counts everywhere in its tenant.
    pub fn is_unbounded(&self) -> bool {
        self.bounds().is_none()
    }

    /// The value of one member of its boundary.
    pub fn bound(&self, name: &Identifier) -> Option<&AttributeValue> {
        self.bounds()?.get(name)
    }

    /// The names of its boundary.
    pub fn bound_names(&self) -> impl Iterator<Item = &Identifier> {
        self.bounds().into_iter().flat_map(|boundary| boundary.keys())
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(role) => role.serialize(serializer),
            Self::Assigned { role, boundary } => {
                let mut map = serializer.serialize_map(Some(1 + boundary.len()))?;
                map.serialize_entry(ROLE, role)?;
                for (name, value) in boundary.iter() {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrAssignment;

        impl<'de> Visitor<'de> for NameOrAssignment {
            type Value = Role;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a role's name or an object with the member 'role'")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Role, E> {
                GrantName::try_from(text.to_owned()).map(Role::Named).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Role, A::Error> {
                let mut role = None;
                let mut boundary = Attributes::default();
                while let Some(name) = members.next_key::<String>()? {
                    if name == ROLE {
                        if role.replace(members.next_value()?).is_some() {
                            return Err(A::Error::duplicate_field(ROLE));
                        }
                    } else {
                        let name = Identifier::try_from(name).map_err(A::Error::custom)?;
                        boundary.add(name, members.next_value()?).map_err(A::Error::custom)?;
                    }
                }
                let role = role.ok_or_else(|| A::Error::missing_field(ROLE))?;
                Ok(Role::Assigned { role, boundary })
            }
        }

        deserializer.deserialize_any(NameOrAssignment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Role, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn role_is_written_as_it_was_read() {
        for text in [r#""sales""#, r#"{"role":"sales"}"#, r#"{"role":"sales","branch":"b","department":"d1"}"#] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert_eq!(read(r#"{"department":"d1","role":"sales"}"#).unwrap().name().as_str(), "sales");
    }

    #[test]
    fn only_a_boundary_bounds() {
        assert!(read(r#""sales""#).unwrap().is_unbounded());
        assert!(read(r#"{"role":"sales"}"#).unwrap().is_unbounded());
        let bounded = read(r#"{"role":"sales","department":"d1"}"#).unwrap();
        assert!(!bounded.is_unbounded());
        let department = Identifier::try_from("department".to_owned()).unwrap();
        assert_eq!(bounded.bound(&department).unwrap().as_str(), "d1");
    }

    #[test]
    fn malformed_roles_are_refused() {
        for (text, expected) in [
            ("1", "a role's name or an object"),
            (r#""a,b""#, "role or permission \"a,b\""),
            ("{}", "missing field `role`"),
            (r#"{"department":"d1"}"#, "missing field `role`"),
            (r#"{"role":"a","role":"b"}"#, "duplicate field `role`"),
            (r#"{"role":"a","x":"1","x":"2"}"#, "member \"x\" is there twice"),
            (r#"{"role":"a","department":1}"#, "integer `1`"),
            (r#"{"role":"a","department":""}"#, "attribute value \"\""),
            (r#"{"role":"a","depart ment":"d1"}"#, "identifier \"depart ment\""),
            (r#"{"role":["a"]}"#, "sequence"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
