//! Tokens, good ones and every kind of bad one.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::template::{fill, fill_text};
use super::{NOW_SECONDS, keys, object};

/// How to make a token. The default one is in date, signed by `rsa-a`, and says nothing of issuer and audience.
#[derive(Debug, Clone)]
pub struct TokenSpec {
    /// The signing key's name.
    pub key: String,
    /// When it is now, in milliseconds since the epoch.
    pub now: i64,
    /// How it is really signed, whatever the header says: an `alg`, `none`, or `hs256:pem`, `hs256:der`, `hs256:n` with the public
    /// key as the secret. `None`: as the key does by default.
    pub sign: Option<String>,
    /// Header parameters over the usual `alg`, `kid` and `typ`.
    pub header: Map<String, Value>,
    /// Header parameters that are left out.
    pub without_header: Vec<String>,
    /// The header's text; `${header}` is what it would have been.
    pub raw_header: Option<String>,
    /// Claims over the usual ones. Times may be relative: `now`, `+5m`, `-10s`, `+1500ms`.
    pub claims: Map<String, Value>,
    /// Claims that are left out.
    pub without: Vec<String>,
    /// The payload's text; `${payload}` is what it would have been.
    pub raw_payload: Option<String>,
    /// The header's segment as it is signed; `${segment}` is what it would have been.
    pub header_segment: Option<String>,
    /// The payload's segment as it is signed; `${segment}` is what it would have been.
    pub payload_segment: Option<String>,
    /// The segment whose last character gets bits that decode to nothing: `header`, `payload` or `signature`.
    pub loose_bits: Option<String>,
    /// What is done to the signature.
    pub tampering: Vec<Tampering>,
    /// Claims that replace the signed ones after signing.
    pub forged: Map<String, Value>,
    /// The token's text, with `${header}`, `${payload}` and `${signature}` for the segments.
    pub text: Option<String>,
}

/// The most bytes that a signature grows by.
const MAX_EXTENSION: usize = 1 << 20;

/// A change to the bytes of a signature.
#[derive(Debug, Clone, Copy)]
pub enum Tampering {
    /// The bit of this number, from the left, is turned over.
    Flip(usize),
    /// This many bytes are cut off at the end.
    Truncate(usize),
    /// This many zero bytes are added.
    Extend(usize),
    /// All bytes become zero.
    Zero,
}

impl Default for TokenSpec {
    fn default() -> Self {
        Self {
            key: "rsa-a".into(),
            now: NOW_SECONDS * 1000,
            sign: None,
            header: Map::new(),
            without_header: Vec::new(),
            raw_header: None,
            claims: Map::new(),
            without: Vec::new(),
            raw_payload: None,
            header_segment: None,
            payload_segment: None,
            loose_bits: None,
            tampering: Vec::new(),
            forged: Map::new(),
            text: None,
        }
    }
}

impl TokenSpec {
    /// A good token with these claims besides the usual ones.
    #[must_use]
    pub fn with_claims(claims: Value) -> Self {
        Self { claims: object(claims), ..Self::default() }
    }

    /// Makes the token, as text that need not be one.
    ///
    /// # Errors
    /// When the specification names a key, an algorithm or a hole that there is not.
    pub fn mint(&self) -> Result<Vec<u8>, String> {
        let key = keys::named(&self.key)?;
        let sign = self.sign.as_deref().unwrap_or_else(|| key.default_algorithm());
        let algorithm = if sign.starts_with("hs256:") { "HS256" } else { sign };

        let mut header = object(json!({ "alg": algorithm, "kid": key.name, "typ": "at+jwt" }));
        merge(&mut header, &self.header, &self.without_header, self.now)?;
        let header = raw(self.raw_header.as_deref(), "header", &Value::Object(header))?;

        let mut claims = usual_claims(self.now);
        merge(&mut claims, &self.claims, &self.without, self.now)?;
        let payload = raw(self.raw_payload.as_deref(), "payload", &Value::Object(claims.clone()))?;

        let header = segment(header, self.loose_bits.as_deref() == Some("header"), self.header_segment.as_deref())?;
        let mut payload = segment(payload, self.loose_bits.as_deref() == Some("payload"), self.payload_segment.as_deref())?;

        let input = [header.as_slice(), b".", payload.as_slice()].concat();
        let mut signature = match sign.strip_prefix("hs256:") {
            Some(form) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.public_as_secret(form)?), &input).as_ref().to_vec(),
            None if sign == "none" => Vec::new(),
            None => key.sign(sign, &input)?,
        };
        for tampering in &self.tampering {
            tampering.apply(&mut signature);
        }
        let mut signature = URL_SAFE_NO_PAD.encode(signature).into_bytes();
        if self.loose_bits.as_deref() == Some("signature") {
            set_loose_bit(&mut signature)?;
        }

        if !self.forged.is_empty() {
            merge(&mut claims, &self.forged, &[], self.now)?;
            payload = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string()).into_bytes();
        }
        let parts: [(&str, &[u8]); 3] = [("header", &header), ("payload", &payload), ("signature", &signature)];
        fill(self.text.as_deref().unwrap_or("${header}.${payload}.${signature}"), &parts)
    }
}

/// The claims of a token that is in date.
fn usual_claims(now: i64) -> Map<String, Value> {
    object(json!({
        "sub": "alice", "iat": seconds(now.saturating_sub(60_000)), "exp": seconds(now.saturating_add(300_000)), "jti": "token-1", "sid": "session-1",
    }))
}

fn merge(target: &mut Map<String, Value>, over: &Map<String, Value>, without: &[String], now: i64) -> Result<(), String> {
    for (name, value) in over {
        let mut value = filled(value)?;
        if matches!(&**name, "exp" | "nbf" | "iat" | "auth_time")
            && let Some(millis) = value.as_str().and_then(relative_millis)
        {
            value = seconds(now.saturating_add(millis));
        }
        target.insert(name.clone(), value);
    }
    for name in without {
        target.remove(name).ok_or_else(|| format!("'{name}' is not there and cannot be left out"))?;
    }
    Ok(())
}

fn filled(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, &[])?),
        Value::Array(items) => Value::Array(items.iter().map(filled).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| Ok((name.clone(), filled(value)?))).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

fn seconds(millis: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "dates are far below 2^53 milliseconds")]
    if millis % 1000 == 0 { json!(millis / 1000) } else { json!(millis as f64 / 1000.0) }
}

/// `now`, `+5m`, `-1500ms`: how much later than now, in milliseconds.
#[must_use]
pub fn relative_millis(text: &str) -> Option<i64> {
    if text == "now" {
        return Some(0);
    }
    let (sign, span) = match text.split_at_checked(1)? {
        ("+", span) => (1, span),
        ("-", span) => (-1, span),
        _ => return None,
    };
    let digits = span.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = span.split_at_checked(digits)?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(sign * unit)
}

fn raw(text: Option<&str>, name: &str, usual: &Value) -> Result<Vec<u8>, String> {
    let usual = usual.to_string();
    // `${members}` lets a raw object repeat or reorder members of the usual one.
    let members = usual.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    match text {
        Some(text) => fill(text, &[(name, usual.as_bytes()), ("members", members.as_bytes())]),
        None => Ok(usual.into_bytes()),
    }
}

fn segment(mut json: Vec<u8>, loose: bool, template: Option<&str>) -> Result<Vec<u8>, String> {
    // Only a segment of another length than 0 modulo 4 has left-over bits.
    while loose && json.len().is_multiple_of(3) {
        json.push(b' ');
    }
    let mut segment = URL_SAFE_NO_PAD.encode(json).into_bytes();
    if loose {
        set_loose_bit(&mut segment)?;
    }
    template.map_or(Ok(segment.clone()), |template| fill(template, &[("segment", &segment)]))
}

/// Turns the lowest bit of the last character on: canonical base64url has it off where it decodes to nothing.
fn set_loose_bit(segment: &mut [u8]) -> Result<(), String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if segment.len().is_multiple_of(4) {
        return Err("the segment has no left-over bits".into());
    }
    let last = segment.last_mut().ok_or("the segment is empty")?;
    let value = ALPHABET.iter().position(|c| c == last).ok_or("the segment is not base64url")?;
    *last = *ALPHABET.get(value | 1).ok_or("the segment is not base64url")?;
    Ok(())
}

impl Tampering {
    fn apply(self, signature: &mut Vec<u8>) {
        match self {
            Self::Flip(bit) => {
                if let Some(byte) = signature.get_mut(bit / 8) {
                    *byte ^= 0x80 >> (bit % 8);
                }
            }
            Self::Truncate(bytes) => signature.truncate(signature.len().saturating_sub(bytes)),
            Self::Extend(bytes) => signature.resize(signature.len().saturating_add(bytes.min(MAX_EXTENSION)), 0),
            Self::Zero => signature.fill(0),
        }
    }
}
