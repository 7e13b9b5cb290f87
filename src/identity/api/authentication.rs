//! Who is asking: the bearer of one of our access tokens.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use super::super::Identity;
use super::super::error::ApiError;
use super::super::token::{AccessClaims, VerifiedToken};

/// The caller: a token that verifies, and that is neither revoked nor of an ended session.
pub struct Caller(VerifiedToken);

impl Caller {
    /// The claims of the caller's token.
    pub fn claims(&self) -> &AccessClaims {
        &self.0.claims
    }

    /// The caller's token claims, by value.
    pub fn into_claims(self) -> AccessClaims {
        self.0.claims
    }
}

impl FromRequestParts<Arc<Identity>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, identity: &Arc<Identity>) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers)?;
        identity.authenticate(token).await.map(Self)
    }
}

/// The bearer token of a request (RFC 6750 section 2.1): exactly one `authorization` header, exactly one token in it.
///
/// # Errors
/// 401, without an error code when there is no credential at all.
pub fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(ApiError::credential_missing)?;
    if values.next().is_some() {
        return Err(ApiError::invalid_token());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(ApiError::invalid_token)?;
    let well_formed =
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if well_formed { Ok(token) } else { Err(ApiError::invalid_token()) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn exactly_one_bearer_token_is_accepted() {
        assert_eq!(bearer(&headers(&["Bearer a.b.c"])).unwrap(), "a.b.c");
        assert_eq!(bearer(&headers(&["bearer x"])).unwrap(), "x");
        let bad: [&[&'static str]; 8] =
            [&[], &["Bearer"], &["Bearer "], &["Bearer  x"], &["Bearer x y"], &["Bearer x,y"], &["Basic x"], &["Bearer x", "Bearer x"]];
        for values in bad {
            assert!(bearer(&headers(values)).is_err(), "{values:?}");
        }
    }
}
