//! Until when the caller waits: `grpc-timeout`, as gRPC's description of its use of HTTP/2 has it.

use std::time::{Duration, Instant};

use http::HeaderMap;

const HEADER: &str = "grpc-timeout";
/// An answer needs a moment to arrive: this share of the time is kept for it, and no more than [`MOST_OF_A_MOMENT`].
const SHARE: u32 = 10;
const MOST_OF_A_MOMENT: Duration = Duration::from_millis(10);
/// More digits are not allowed, so no number is too large.
const MAX_DIGITS: usize = 8;

/// There is a `grpc-timeout`, and it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// By when an answer has to be sent so that it arrives while the caller still waits; `None`: it waits as long as it takes.
pub(super) fn answer_by(headers: &HeaderMap, arrived: Instant) -> Result<Option<Instant>, Unreadable> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let timeout = parse(value.as_bytes()).filter(|_| values.next().is_none()).ok_or(Unreadable)?;
    Ok(Some(before(timeout, arrived)))
}

/// A moment before the time of a caller is up who came at `arrived`.
pub(super) fn before(timeout: Duration, arrived: Instant) -> Instant {
    arrived + (timeout - (timeout / SHARE).min(MOST_OF_A_MOMENT))
}

/// A number of at most eight digits and a unit.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (http::HeaderName::from_static(HEADER), value.parse().unwrap())).collect()
    }

    #[test]
    fn all_units_are_read() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000_u128),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("200m", 200_000_000),
            ("5u", 5_000),
            ("7n", 7),
            ("00000007n", 7),
            ("99999999H", 99_999_999 * 3_600_000_000_000),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|timeout| timeout.as_nanos()), Some(nanos), "{text}");
        }
    }

    #[test]
    fn an_answer_is_sent_a_moment_before_the_deadline() {
        let arrived = Instant::now();
        assert_eq!(answer_by(&headers(&[]), arrived), Ok(None));
        assert_eq!(answer_by(&headers(&["200m"]), arrived), Ok(Some(arrived + Duration::from_millis(190))));
        assert_eq!(answer_by(&headers(&["10m"]), arrived), Ok(Some(arrived + Duration::from_millis(9))));
        assert_eq!(answer_by(&headers(&["0m"]), arrived), Ok(Some(arrived)));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_absent() {
        for values in [&[""][..], &["m"], &["5"], &["5x"], &["-5m"], &["5 m"], &["1.5S"], &["123456789n"], &["5m", "5m"], &["5m,5m"]] {
            assert_eq!(answer_by(&headers(values), Instant::now()), Err(Unreadable), "{values:?}");
        }
    }
}
