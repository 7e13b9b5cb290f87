//! `Authorization: Bearer <token>` (RFC 6750 section 2.1).

use super::{BearerToken, CredentialError};

pub(super) fn parse(value: &[u8]) -> Result<BearerToken<'_>, CredentialError> {
    let text = std::str::from_utf8(value).map_err(|_| CredentialError::Malformed)?;
    let (scheme, rest) = text.split_once(' ').ok_or(CredentialError::Malformed)?;
    let token = rest.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || !is_b64token(token) {
        return Err(CredentialError::Malformed);
    }
    Ok(BearerToken(token))
}

/// `b64token` of RFC 6750: at least one character, then any number of `=`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    // No early end: a loop that looks at every byte, whatever came before, is compiled to look at many at once.
    !body.is_empty() && body.bytes().fold(true, |fits, byte| fits & is_b64token_byte(byte))
}

fn is_b64token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}
