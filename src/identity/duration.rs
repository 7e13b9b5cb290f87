//! Durations as people write them: `90s`, `15m`, `12h`, `30d`.

use serde::{Deserialize, Serialize};

/// The longest lifetime of an access token that can be configured, in seconds: a day.
pub const MAX_ACCESS_TTL: i64 = 24 * 60 * 60;

/// Reads a duration as seconds.
///
/// # Errors
/// When it is not a positive whole number and a unit, or longer than ten years.
pub fn seconds(text: &str) -> Result<i64, String> {
    const UNITS: [(char, i64); 4] = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
    const LONGEST: i64 = 10 * 365 * 24 * 60 * 60;
    UNITS
        .into_iter()
        .find_map(|(unit, length)| text.strip_suffix(unit).map(|digits| (digits, length)))
        .filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|(digits, length)| digits.parse::<i64>().ok()?.checked_mul(length))
        .filter(|seconds| (1..=LONGEST).contains(seconds))
        .ok_or_else(|| "write a whole number and a unit: 90s, 15m, 12h or 30d".to_owned())
}

/// The lifetime of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessTtl(i64);

impl AccessTtl {
    /// In seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

impl TryFrom<String> for AccessTtl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let length = seconds(&text).map_err(|error| format!("lifetime {text:?}: {error}"))?;
        if length <= MAX_ACCESS_TTL { Ok(Self(length)) } else { Err(format!("lifetime {text:?} is longer than 24h; choose a shorter one")) }
    }
}

impl From<AccessTtl> for String {
    fn from(ttl: AccessTtl) -> Self {
        format!("{}s", ttl.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [("1s", 1), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for bad in ["", "s", "15", "0s", "-1s", "+1s", "1.5h", "1w", "1 s", "99999999999999999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lifetime_of_a_token_is_at_most_a_day() {
        assert_eq!(AccessTtl::try_from("24h".to_owned()).unwrap().seconds(), 86_400);
        assert_eq!(String::from(AccessTtl::try_from("5m".to_owned()).unwrap()), "300s");
        for bad in ["25h", "5", ""] {
            let error = AccessTtl::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains(&format!("lifetime {bad:?}")), "{error}");
        }
    }
}
