//! Identifiers: the random ones that we make, and the rules for those that users choose.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The longest identifier, in bytes.
const MAX_IDENTIFIER: usize = 128;

/// The longest e-mail address, in bytes (RFC 5321 section 4.5.3.1.3, without the angle brackets).
const MAX_EMAIL: usize = 254;

/// The longest value of an attribute, in bytes.
const MAX_ATTRIBUTE: usize = 256;

/// 128 random bits in lower-case hex: identifiers of sessions and tokens.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(32);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// 256 random bits in base64url: a bearer secret.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The identifier of a user, client or tenant, or the name of an attribute, as its operator chose it: letters, digits,
/// `.`, `_`, `-`, beginning with a letter or digit, so that it is one path segment, one header value and one claim without
/// any escaping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Identifier(String);

impl Identifier {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Identifier {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let continues_well = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if begins_well && continues_well && text.len() <= MAX_IDENTIFIER {
            Ok(Self(text))
        } else {
            Err(format!(
                "identifier {text:?} is not 1 to {MAX_IDENTIFIER} letters, digits, '.', '_' or '-', beginning with a letter or digit"
            ))
        }
    }
}

impl AsRef<str> for Identifier {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An e-mail address, compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Email(String);

impl Email {
    /// The spelling under which an address is stored and looked up. Anything may be looked up; only what
    /// [`Email::try_from`] accepts is stored.
    pub fn lookup_key(text: &str) -> String {
        text.to_lowercase()
    }

    /// The stored spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let has_parts = text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let odd = text.chars().any(|c| c.is_whitespace() || c.is_control());
        if has_parts && !odd && text.len() <= MAX_EMAIL {
            Ok(Self(Self::lookup_key(&text)))
        } else {
            Err(format!("{text:?} is not an e-mail address"))
        }
    }
}

/// The name of a role or permission: printable ASCII without spaces, commas or quotes, since the sidecar joins them with
/// commas in a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct GrantName(String);

impl GrantName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GrantName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=MAX_IDENTIFIER).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"\\".contains(&byte)) {
            Ok(Self(text))
        } else {
            Err(format!(
                "role or permission {text:?} is not 1 to {MAX_IDENTIFIER} printable ASCII characters without spaces, commas, quotes and backslashes"
            ))
        }
    }
}

impl AsRef<str> for GrantName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The value of an attribute, such as the name of a department.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AttributeValue(String);

impl AttributeValue {
    /// The text.
    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AttributeValue {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=MAX_ATTRIBUTE).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(format!("attribute value {text:?} is not 1 to {MAX_ATTRIBUTE} bytes without control characters"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_differ_and_have_their_length() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
        assert_eq!(random_id().unwrap().len(), 32);
        assert_eq!(random_secret().unwrap().len(), 43);
    }

    #[test]
    fn identifier_admits_one_plain_path_segment() {
        for good in ["acme", "u-1", "A.b_c", "0"] {
            assert!(Identifier::try_from(good.to_owned()).is_ok(), "{good}");
        }
        let long = "a".repeat(MAX_IDENTIFIER + 1);
        for bad in ["", ".", "..", "-a", "a/b", "a b", "a%2f", "ä", "a\n", &long] {
            assert!(Identifier::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn email_is_stored_in_lower_case() {
        let email = Email::try_from("Alice@Example.com".to_owned()).unwrap();
        assert_eq!(email.as_str(), "alice@example.com");
        for bad in ["", "alice", "@x", "a@", "a b@x", "a@x\n"] {
            assert!(Email::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn grant_name_cannot_split_a_header_list() {
        for good in ["admin", "blog:posts.*", "*", "orders:read:own"] {
            assert!(GrantName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a,b", "a b", "a\"b", "a\\b", "ä", "a\r\n"] {
            assert!(GrantName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
    #[test]
    fn attribute_value_is_short_text() {
        for good in ["d1", "Büro 3"] {
            assert!(AttributeValue::try_from(good.to_owned()).is_ok(), "{good}");
        }
        let long = "a".repeat(MAX_ATTRIBUTE + 1);
        for bad in ["", "a\nb", &long] {
            assert!(AttributeValue::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
