//! What the operator decided at start, in checked form.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::Uri;

use super::error::StartError;
use super::password::Cost;

/// The service's settings; fixed while it runs.
#[derive(Debug)]
pub struct Settings {
    /// The `iss` of every token.
    pub issuer: IssuerUrl,
    /// The `aud` of every token; at least one.
    pub audiences: Vec<String>,
    /// The longest lifetime of an access token, in seconds.
    pub access_ttl: i64,
    /// How long a session lives without a refresh, in seconds.
    pub refresh_ttl: i64,
    /// Opens the operator API; without it that API does not exist.
    pub admin_token: Option<ApiSecret>,
    /// Who may ask for what is between services.
    pub service_access: ServiceAccess,
    /// The cost of a password hash.
    pub password_cost: Cost,
}

/// The issuer identifier (RFC 8414 section 2): an `http` or `https` URL without query and fragment.
#[derive(Clone, Debug)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// Checks the URL; it is kept as it was written, since issuers are compared character by character.
    ///
    /// # Errors
    /// When `text` is not such a URL.
    pub fn parse(text: &str) -> Result<Self, StartError> {
        let wrong = |why: &str| StartError::new(format!("issuer {text:?} {why}; write an absolute URL such as https://id.example.com"));
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("does not begin with http:// or https://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.host().is_empty() {
            return Err(wrong("names no host"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("contains a user name"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong("has a query or a fragment"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of `path` (beginning with `/`) below the issuer.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.0.trim_end_matches('/'))
    }
}

/// A secret that opens a part of the API. Only its digest is kept, so that it cannot be printed, and so that the
/// comparison's time depends neither on the content nor on the length.
pub struct ApiSecret([u8; 32]);

impl ApiSecret {
    /// Takes the secret; `name` is what messages call it, such as `admin token`.
    ///
    /// # Errors
    /// When it is empty or cannot be sent in a header (RFC 6750 section 2.1, `b64token`).
    pub fn new(name: &str, text: &str) -> Result<Self, StartError> {
        if text.is_empty() {
            return Err(StartError::new(format!("the {name} is empty; leave it out, or choose a long random one")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(StartError::new(format!(
                "the {name} contains a space or another character that cannot be sent in a header; use letters and digits"
            )));
        }
        Ok(Self(sha256(text.as_bytes())))
    }

    /// Whether `candidate` is the secret; in constant time.
    pub fn matches(&self, candidate: &str) -> bool {
        verify_slices_are_equal(&self.0, &sha256(candidate.as_bytes())).is_ok()
    }
}

impl fmt::Debug for ApiSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiSecret(..)")
    }
}

/// Who may ask for what is between services: the directory, and the tenants' roles.
#[derive(Debug)]
pub enum ServiceAccess {
    /// Those who send this secret.
    WithSecret(ApiSecret),
    /// Whoever reaches the listener, since only this machine does.
    Open,
    /// Nobody: no secret is set, and others than this machine may reach the listener.
    Refused,
}

impl ServiceAccess {
    /// What follows from the secret that is set, or not, and from the address that the service listens on.
    pub fn new(secret: Option<ApiSecret>, listener: IpAddr) -> Self {
        match secret {
            Some(secret) => Self::WithSecret(secret),
            None if listener.is_loopback() => Self::Open,
            None => Self::Refused,
        }
    }
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut output = [0_u8; 32];
    // Both sides are 32 bytes long: zip copies all of them.
    output.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_is_an_absolute_url_kept_as_written() {
        for good in ["http://127.0.0.1:9400", "https://id.example.com/", "https://a/b"] {
            assert_eq!(IssuerUrl::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "id", "id.example.com", "/x", "ftp://a", "https://", "https://a?x", "https://a#x", "https://u@a", "https://a b"] {
            assert!(IssuerUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoint_has_one_slash() {
        for issuer in ["https://a", "https://a/"] {
            assert_eq!(IssuerUrl::parse(issuer).unwrap().endpoint("/x"), "https://a/x");
        }
    }

    #[test]
    fn secret_matches_itself_alone_and_is_never_printed() {
        let secret = ApiSecret::new("admin token", "secret").unwrap();
        assert!(secret.matches("secret"));
        for other in ["", "Secret", "secre", "secret "] {
            assert!(!secret.matches(other), "{other}");
        }
        assert_eq!(format!("{secret:?}"), "ApiSecret(..)");
        for bad in ["", "a b"] {
            assert!(ApiSecret::new("admin token", bad).unwrap_err().to_string().contains("the admin token"));
        }
    }

    #[test]
    fn services_are_served_without_a_secret_on_loopback_alone() {
        let access = |secret: Option<&str>, address: &str| {
            let secret = secret.map(|secret| ApiSecret::new("service token", secret).unwrap());
            ServiceAccess::new(secret, address.parse().unwrap())
        };
        for address in ["127.0.0.1", "127.0.0.2", "::1"] {
            assert!(matches!(access(None, address), ServiceAccess::Open), "{address}");
            assert!(matches!(access(Some("s"), address), ServiceAccess::WithSecret(_)), "{address}");
        }
        for address in ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert!(matches!(access(None, address), ServiceAccess::Refused), "{address}");
            assert!(matches!(access(Some("s"), address), ServiceAccess::WithSecret(_)), "{address}");
        }
    }

    #[test]
    fn sha256_of_the_empty_string_is_the_known_one() {
        assert_eq!(sha256(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }
}
