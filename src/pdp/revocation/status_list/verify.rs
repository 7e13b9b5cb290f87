//! The only way from a Status List Token's text to a [`StatusList`] (draft-ietf-oauth-status-list-20 sections 5.1 and 8.3).

use std::fmt;
use std::time::Duration;

use super::StatusList;
use super::statuses::{EncodingError, MAX_BYTES, Statuses, Width};
use crate::pdp::decision::Reason;
use crate::pdp::json::{Json, Object};
use crate::pdp::time::UnixTime;
use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::claims::numeric_date;
use crate::pdp::token::jws::CompactJws;
use crate::pdp::token::key::KeySet;
use crate::pdp::token::profile::KeyIdPolicy;
use crate::pdp::token::status::STATUS_LIST_TYPE;
use crate::pdp::token::verify::signing_key;

/// The longest `ttl` that means anything, in seconds: ten years.
const MAX_TTL: f64 = 3650.0 * 86_400.0;

/// What a Status List Token must be like for it to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusListRules {
    /// Its `sub`, compared exactly: the `uri` in the tokens that refer to it.
    pub uri: Box<str>,
    /// Its `iss`, if it has one.
    pub issuer: Box<str>,
    /// One of these must be in its `aud`, if it has one.
    pub audiences: Vec<Box<str>>,
    /// The algorithms that are allowed.
    pub algorithms: Vec<Algorithm>,
    /// Whether it has to name its key.
    pub key_id: KeyIdPolicy,
    /// How far the issuer's clock may be ahead of ours.
    pub leeway: Duration,
}

/// Why a Status List Token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListRefused {
    /// It is no compact JWS of two JSON objects.
    Malformed,
    /// No key of the issuer signed it in a way that is allowed.
    Signature(Reason),
    /// `typ` is not [`STATUS_LIST_TYPE`].
    Type,
    /// This claim is missing, has the wrong shape, or is not what it has to be.
    Claim(&'static str),
    /// `exp` has passed.
    Expired,
    /// `iat` or `nbf` is still to come.
    NotYetValid,
    /// The array cannot be read.
    Encoding(EncodingError),
    /// It is older than the one that is held.
    RolledBack,
}

impl ListRefused {
    /// The cause as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature(Reason::KeyUnknown) => "key_unknown",
            Self::Signature(_) => "signature",
            Self::Type => "type",
            Self::Claim(_) => "claims",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Encoding(EncodingError::Damaged) => "encoding",
            Self::Encoding(EncodingError::TooLarge) => "too_large",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl fmt::Display for ListRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the answer is no compact JWS of two JSON objects"),
            Self::Signature(reason) => write!(f, "its signature does not count: {reason}"),
            Self::Type => write!(f, "its 'typ' is not '{STATUS_LIST_TYPE}'"),
            Self::Claim(name) => write!(f, "its '{name}' is missing, has the wrong shape, or is not what it has to be"),
            Self::Expired => f.write_str("its 'exp' has passed"),
            Self::NotYetValid => f.write_str("its 'iat' or 'nbf' is still to come"),
            Self::Encoding(EncodingError::Damaged) => f.write_str("its 'lst' is not base64url of one whole ZLIB stream"),
            Self::Encoding(EncodingError::TooLarge) => write!(f, "its 'lst' has more than {MAX_BYTES} bytes when it is decompressed"),
            Self::RolledBack => f.write_str("its 'iat' is before that of the list that is held: somebody shows us an old list"),
        }
    }
}

/// What becomes of a list whose `exp` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expired {
    Refused,
    Read,
}

impl StatusListRules {
    /// Verifies a Status List Token, the cheap checks first: nothing is decompressed that no key of the issuer signed.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, text: &str, keys: &KeySet, now: UnixTime) -> Result<StatusList, ListRefused> {
        self.read(text, keys, now, Expired::Refused)
    }

    /// The same for a list that was verified before and kept since: its `exp` may have passed, so that [`StatusList::good_for`] says
    /// that it is good no more. It is still the last one that was known, which no older one follows.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify_kept(&self, text: &str, keys: &KeySet, now: UnixTime) -> Result<StatusList, ListRefused> {
        self.read(text, keys, now, Expired::Read)
    }

    fn read(&self, text: &str, keys: &KeySet, now: UnixTime, expired: Expired) -> Result<StatusList, ListRefused> {
        let jws = CompactJws::parse(text).map_err(|_| ListRefused::Malformed)?;
        // Kinds of token exclude each other (RFC 8725 section 3.11): one that is good for getting in is no list.
        if jws.header.typ.as_deref() != Some(STATUS_LIST_TYPE) {
            return Err(ListRefused::Type);
        }
        let key = signing_key(&jws, &self.algorithms, self.key_id, keys).map_err(ListRefused::Signature)?;
        let payload = &jws.payload;
        self.check_names(payload)?;

        let time = |name| numeric_date(payload.get(name)).map_err(|_| ListRefused::Claim(name));
        let issued_at = time("iat")?.ok_or(ListRefused::Claim("iat"))?;
        let expires = time("exp")?;
        let latest = now.plus(self.leeway);
        if issued_at > latest || time("nbf")?.is_some_and(|not_before| not_before > latest) {
            return Err(ListRefused::NotYetValid);
        }
        // Without the leeway, which would make an old list good for longer.
        if expired == Expired::Refused && expires.is_some_and(|expires| now >= expires) {
            return Err(ListRefused::Expired);
        }
        let ttl = ttl(payload.get("ttl"))?;
        Ok(StatusList { statuses: statuses(payload)?, signer: key.signer(), issued_at, expires, ttl })
    }

    /// Whom it is from, whom it is for, and which list it is.
    fn check_names(&self, payload: &Object) -> Result<(), ListRefused> {
        let is = |claim: Option<&Json>, text: &str| claim.and_then(Json::as_str) == Some(text);
        if !is(payload.get("sub"), &self.uri) {
            return Err(ListRefused::Claim("sub"));
        }
        if payload.get("iss").is_some_and(|issuer| !is(Some(issuer), &self.issuer)) {
            return Err(ListRefused::Claim("iss"));
        }
        let ours = |audience: &Json| audience.as_str().is_some_and(|audience| self.audiences.iter().any(|ours| **ours == *audience));
        let for_us = match payload.get("aud") {
            None => true,
            Some(Json::Array(audiences)) => audiences.iter().any(ours),
            Some(audience) => ours(audience),
        };
        if for_us { Ok(()) } else { Err(ListRefused::Claim("aud")) }
    }
}

/// A positive number of seconds.
fn ttl(claim: Option<&Json>) -> Result<Option<Duration>, ListRefused> {
    match claim {
        None => Ok(None),
        Some(Json::Number(seconds)) if *seconds > 0.0 && *seconds <= MAX_TTL => Ok(Some(Duration::from_secs_f64(*seconds))),
        Some(_) => Err(ListRefused::Claim("ttl")),
    }
}

fn statuses(payload: &Object) -> Result<Statuses, ListRefused> {
    let list = payload.get("status_list").and_then(Json::as_object).ok_or(ListRefused::Claim("status_list"))?;
    let bits = list.get("bits").and_then(Json::as_integer).and_then(Width::of_bits).ok_or(ListRefused::Claim("bits"))?;
    let lst = list.get("lst").and_then(Json::as_str).ok_or(ListRefused::Claim("lst"))?;
    Statuses::decode(bits, lst).map_err(ListRefused::Encoding)
}
