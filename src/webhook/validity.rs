//! From when to when a certificate is valid (RFC 5280 section 4.1.2.5). rustls asks that of its peers' certificates only, not of ours.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::pdp::time::UnixTime;

/// ASN.1 tags (X.690), as certificates have them.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The first and the last second in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before: UnixTime,
    pub not_after: UnixTime,
}

impl Validity {
    /// Reads it from a certificate in DER; `None` if that is no certificate.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, SEQUENCE)?;
        let (fields, _) = expect(certificate, SEQUENCE)?;
        let fields = match element(fields)? {
            (VERSION, _, rest) => rest,
            _ => fields,
        };
        let (_serial, rest) = expect(fields, INTEGER)?;
        let (_signature_algorithm, rest) = expect(rest, SEQUENCE)?;
        let (_issuer, rest) = expect(rest, SEQUENCE)?;
        let (validity, _) = expect(rest, SEQUENCE)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Self { not_before, not_after })
    }

    /// Why the certificate cannot be used at this time, if it cannot.
    pub fn problem(&self, now: UnixTime) -> Option<String> {
        let seconds = now.as_seconds();
        if seconds > self.not_after.as_seconds() {
            Some(format!("the certificate has expired at {}", written(self.not_after)))
        } else if seconds < self.not_before.as_seconds() {
            Some(format!("the certificate is not valid before {}", written(self.not_before)))
        } else {
            None
        }
    }
}

/// A time as logs have it.
pub(super) fn written(time: UnixTime) -> String {
    jiff::Timestamp::from_second(time.as_seconds()).map_or_else(|error| error.to_string(), |time| time.to_string())
}

/// The first element: its tag, its content, and what comes behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Up to four bytes of length; a certificate has no use for more.
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(length, _)| matches!(length.len(), 1..=4))?;
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time(bytes: &[u8]) -> Option<(UnixTime, &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, others) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, others) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, others)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, others) = digits.split_at_checked(4)?;
            (year.parse().ok()?, others)
        }
        _ => return None,
    };
    let pair = |at: usize| others.get(at..at + 2)?.parse::<i8>().ok();
    let civil = DateTime::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?, 0).ok()?;
    let seconds = civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    Some((UnixTime::from_seconds(seconds), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn at(text: &str) -> UnixTime {
        UnixTime::from_seconds(text.parse::<jiff::Timestamp>().unwrap().as_second())
    }

    fn certificate(years: [i32; 2]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".into()]).unwrap();
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 3, 4));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for years in [[2020, 2030], [1999, 2049], [2026, 2050], [2026, 2999]] {
            let validity = Validity::of(&certificate(years)).unwrap();
            let [not_before, not_after] = years.map(|year| at(&format!("{year}-03-04T00:00:00Z")));
            assert_eq!(validity, Validity { not_before, not_after });
        }
    }

    #[test]
    fn it_says_when_a_certificate_cannot_be_used() {
        let validity = Validity::of(&certificate([2020, 2030])).unwrap();
        assert_eq!(validity.problem(at("2030-03-04T00:00:00Z")), None);
        assert_eq!(validity.problem(at("2020-03-04T00:00:00Z")), None);
        assert_eq!(validity.problem(at("2030-03-04T00:00:01Z")).unwrap(), "the certificate has expired at 2030-03-04T00:00:00Z");
        assert_eq!(validity.problem(at("2020-03-03T23:59:59Z")).unwrap(), "the certificate is not valid before 2020-03-04T00:00:00Z");
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_of_a_certificate_is_more_than_unreadable() {
        let whole = certificate([2020, 2030]);
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = Validity::of(&bytes);
            }
        }
    }
}
