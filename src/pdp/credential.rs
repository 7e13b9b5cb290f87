//! The credential that a request carries: at most one, and only where the configuration says it is.

use std::fmt;

use super::request::{HeaderValue, Headers};

mod authorization;

/// A bearer token as it was sent (RFC 6750 section 2.1). It is not verified, and it never shows itself in logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    /// The characters of the token.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({} bytes)", self.0.len())
    }
}

/// What is wrong with a credential that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialError {
    /// More than one.
    Repeated,
    /// Not `Bearer` and a token.
    Malformed,
}

/// Looks for the credential. "Cannot be read" is an error and never "not there".
///
/// # Errors
/// A credential that is repeated or malformed.
pub fn bearer_token<'a>(headers: &Headers<'a>) -> Result<Option<BearerToken<'a>>, CredentialError> {
    match headers.single("authorization") {
        HeaderValue::Absent => Ok(None),
        HeaderValue::Several => Err(CredentialError::Repeated),
        HeaderValue::One(value) => authorization::parse(value).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<&'static str>, CredentialError> {
        let mut headers = Headers::default();
        for value in values {
            headers.push("authorization", value.as_bytes());
        }
        bearer_token(&headers).map(|token| token.map(|token| token.as_str()))
    }

    #[test]
    fn one_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        assert_eq!(read(&["Bearer a.b.c"]), Ok(Some("a.b.c")));
        assert_eq!(read(&["bearer a.b.c"]), Ok(Some("a.b.c")));
        assert_eq!(read(&["BEARER  a-_~+/9=="]), Ok(Some("a-_~+/9==")));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_not_absent() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Basic dTpw",
            "Bearera.b.c",
            "Bearer a b",
            "Bearer\ta",
            " Bearer a",
            "Bearer a ",
            "Bearer a=b",
            "Bearer =",
            "Bearer é",
            "Bearer a\0",
        ] {
            assert_eq!(read(&[value]), Err(CredentialError::Malformed), "{value:?}");
        }
    }

    #[test]
    fn two_credentials_are_refused_joined_or_not() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(CredentialError::Repeated));
        assert_eq!(read(&["Bearer a,Bearer b"]), Err(CredentialError::Repeated));
        assert_eq!(read(&["Bearer a, "]), Err(CredentialError::Repeated));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let mut headers = Headers::default();
        headers.push("authorization", b"Bearer secret");
        assert_eq!(format!("{:?}", bearer_token(&headers)), "Ok(Some(BearerToken(6 bytes)))");
    }
}
