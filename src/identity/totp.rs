//! One-time passwords by time: RFC 6238 with SHA-1, 30 seconds and 6 digits, which is what authenticator apps use.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use serde::Deserialize;

use super::clock::UnixTime;

/// The length of a time step, in seconds (RFC 6238 section 4.1, `X`).
const STEP: i64 = 30;

/// How many steps before and after the present one are accepted (RFC 6238 section 5.2): a clock that is a little off.
const WINDOW: i64 = 1;

/// The number of digits of a code.
const DIGITS: usize = 6;

/// The lengths that a secret may have, in bytes (RFC 4226 section 4, R6: at least 128 bits).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// A user's secret, shared with the user's device. It is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TotpSecret(Vec<u8>);

impl TotpSecret {
    /// The secret as it is stored. Unlike a password's, its hash would be of no use: codes are made from it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for TotpSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // The text itself is a secret, so no message repeats it.
        let bytes = decode_base32(&text).ok_or("the totp secret is not base32: letters a to z and digits 2 to 7")?;
        if SECRET_BYTES.contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(format!(
                "the totp secret has {} bytes and must have {} to {}: 32 characters of base32 are the usual 20",
                bytes.len(),
                SECRET_BYTES.start(),
                SECRET_BYTES.end()
            ))
        }
    }
}

impl From<Vec<u8>> for TotpSecret {
    fn from(stored: Vec<u8>) -> Self {
        Self(stored)
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// A code as a client sent it: 6 digits. It is never printed.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Code([u8; DIGITS]);

impl Code {
    /// The time step that the code belongs to, if it is that of the present step or of one beside it.
    ///
    /// Every step in the window is tried, whichever fits, and each comparison takes constant time.
    pub fn step(self, secret: &TotpSecret, now: UnixTime) -> Option<i64> {
        let present = now.div_euclid(STEP);
        (present - WINDOW..=present + WINDOW).fold(None, |found, step| {
            let expected = Self::of(secret, step);
            let fits = verify_slices_are_equal(&expected.0, &self.0).is_ok();
            if fits { Some(step) } else { found }
        })
    }

    /// The code of a time step (RFC 4226 section 5.3).
    fn of(secret: &TotpSecret, step: i64) -> Self {
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret.0);
        let tag = sign(&key, &step.to_be_bytes());
        let bytes = tag.as_ref();
        let offset = usize::from(bytes.last().copied().unwrap_or(0) & 0x0f);
        let truncated = bytes.iter().skip(offset).take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
        let mut digits = [b'0'; DIGITS];
        let mut rest = truncated;
        for digit in digits.iter_mut().rev() {
            // A remainder of ten fits into a byte.
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(digits)
    }
}

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: [u8; DIGITS] = text.as_bytes().try_into().map_err(|_| "a code has 6 digits")?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err("a code has 6 digits".to_owned()) }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// Base32 (RFC 4648 section 6) in either case, padded or not. `None` for anything else, bits that are left over and are not
/// zero included.
fn decode_base32(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for character in digits.bytes() {
        let value = match character.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        buffer = buffer << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
        buffer &= (1 << bits) - 1;
    }
    let padded = text.len() != digits.len();
    let whole = bits < 5 && buffer == 0 && (!padded || text.len().is_multiple_of(8));
    whole.then_some(bytes)
}

#[cfg(test)]
impl TotpSecret {
    /// The code that a device with this secret shows at `now`.
    pub fn code_at(&self, now: UnixTime) -> String {
        String::from_utf8(Code::of(self, now.div_euclid(STEP)).0.to_vec()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret(b"12345678901234567890".to_vec())
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // RFC 6238 appendix B, SHA1; the last 6 of its 8 digits.
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code_at(time), code, "{time}");
        }
    }

    #[test]
    fn code_counts_one_step_before_and_after_its_own() {
        let code = Code::try_from(secret().code_at(900)).unwrap();
        for (now, expected) in [(869, None), (870, Some(30)), (900, Some(30)), (929, Some(30)), (959, Some(30)), (960, None)] {
            assert_eq!(code.step(&secret(), now), expected, "{now}");
        }
        assert_eq!(code.step(&TotpSecret(b"another secret of 20".to_vec()), 900), None);
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (text, bytes) in
            [("", ""), ("MY======", "f"), ("MZXQ====", "fo"), ("MZXW6===", "foo"), ("MZXW6YQ=", "foob"), ("MZXW6YTB", "fooba")]
        {
            assert_eq!(decode_base32(text).unwrap(), bytes.as_bytes(), "{text}");
            assert_eq!(decode_base32(&text.to_lowercase().replace('=', "")).unwrap(), bytes.as_bytes(), "{text}");
        }
        for bad in ["M", "MZX", "MZ", "M1", "M8", "MY=", "MY=A====", "M Y", "ä", "MZXW6YTB="] {
            assert_eq!(decode_base32(bad), None, "{bad}");
        }
    }

    #[test]
    fn secret_is_long_enough_and_never_shown() {
        let good = TotpSecret::try_from("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned()).unwrap();
        assert_eq!(good, secret());
        assert_eq!(format!("{good:?}"), "TotpSecret(..)");
        for bad in ["", "JBSWY3DPEHPK3PXP", "not base32!", &"A".repeat(128)] {
            let error = TotpSecret::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("totp secret") && (bad.is_empty() || !error.contains(bad)), "{error}");
        }
    }

    #[test]
    fn code_has_six_digits() {
        assert_eq!(format!("{:?}", Code::try_from("012345".to_owned()).unwrap()), "Code(..)");
        for bad in ["", "12345", "1234567", "12345a", "12 456", "１２"] {
            assert!(Code::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
