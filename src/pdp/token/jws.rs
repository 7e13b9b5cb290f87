//! Compact JWS (RFC 7515 section 3.1): three canonical segments, nothing trusted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::MAX_JSON_DEPTH;
use crate::pdp::json::{self, Json, Object};

/// The longest `kid` and `typ`, in bytes.
const MAX_HEADER_STRING: usize = 256;

/// A token taken apart. All of it was written by whoever sent it.
#[derive(Debug)]
pub struct CompactJws<'a> {
    /// The bytes that the signature is over: header and payload as they were sent.
    pub signing_input: &'a str,
    /// The signature, still base64url.
    pub signature: &'a str,
    /// The decoded header.
    pub header: JoseHeader,
    /// The decoded payload.
    pub payload: Object,
}

/// The parameters of a JOSE header that are looked at (RFC 7515 section 4.1). `jku`, `jwk`, `x5u` and `x5c` are not
/// among them: a token never brings its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoseHeader {
    /// `alg`, as text: it is only ever compared with what the configuration allows.
    pub algorithm: Box<str>,
    /// `kid`.
    pub key_id: Option<Box<str>>,
    /// `typ`, lower case, without `application/`.
    pub typ: Option<Box<str>>,
}

/// The token is not a compact JWS that we would ever accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<'a> CompactJws<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Anything but three canonical base64url segments with a JSON object each for header and payload; an
    /// extension that must be understood (`crit`, `b64`, `zip`).
    pub fn parse(token: &'a str) -> Result<Self, Malformed> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Malformed)?;
        if payload.contains('.') {
            return Err(Malformed);
        }
        // Decoded here only to know that it is canonical; verification decodes it again, after the cheap checks.
        decode(signature)?;
        let header = JoseHeader::from_object(&json::parse_object(&decode(header)?, MAX_JSON_DEPTH).map_err(|_| Malformed)?)?;
        let payload = json::parse_object(&decode(payload)?, MAX_JSON_DEPTH).map_err(|_| Malformed)?;
        Ok(Self { signing_input, signature, header, payload })
    }
}

/// Canonical base64url: no padding, no whitespace, no left-over bits.
fn decode(segment: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Malformed)
}

impl JoseHeader {
    fn from_object(object: &Object) -> Result<Self, Malformed> {
        if ["crit", "b64", "zip"].iter().any(|name| object.get(name).is_some()) {
            return Err(Malformed);
        }
        let algorithm = string(object, "alg")?.ok_or(Malformed)?;
        let typ = string(object, "typ")?.map(|typ| media_type(&typ));
        Ok(Self { algorithm, key_id: string(object, "kid")?, typ })
    }
}

fn string(object: &Object, name: &str) -> Result<Option<Box<str>>, Malformed> {
    match object.get(name) {
        None => Ok(None),
        Some(Json::String(text)) if !text.is_empty() && text.len() <= MAX_HEADER_STRING => Ok(Some(text.clone())),
        Some(_) => Err(Malformed),
    }
}

/// A `typ` in the form in which two of them can be compared (RFC 7515 section 4.1.9).
#[must_use]
pub fn media_type(typ: &str) -> Box<str> {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).into()
}
