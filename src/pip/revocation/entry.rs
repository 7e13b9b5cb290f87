//! Entries as sources write them: as members of a set, as fields of a stream's entry, as JSON.
//!
//! An entry that cannot be read fails everything that came with it: leaving it out would be a revocation that nobody enforces.

use std::borrow::Cow;

use crate::pdp::revocation::RevocationKind;
use crate::pdp::time::UnixTime;

/// The kind of an entry, by its name.
///
/// # Errors
/// There is none of this name.
pub(super) fn kind(name: &str) -> Result<RevocationKind, String> {
    RevocationKind::parse(name).ok_or_else(|| format!("an entry has the unknown type '{}'", shortened(name)))
}

/// An id, which has to be something.
///
/// # Errors
/// It is empty.
pub(super) fn id(id: &str) -> Result<&str, String> {
    if id.is_empty() { Err("an entry has no id".into()) } else { Ok(id) }
}

/// Seconds since the epoch as a time, rounded up to milliseconds.
///
/// # Errors
/// It is no date, or lies beyond the year 9999, as seconds do that are milliseconds in truth.
pub(super) fn time(seconds: f64) -> Result<UnixTime, String> {
    let millis = (seconds * 1000.0).ceil();
    #[allow(clippy::cast_precision_loss, reason = "compared with a number of whole seconds")]
    if seconds >= 0.0 && millis <= UnixTime::MAX.as_millis() as f64 {
        #[allow(clippy::cast_possible_truncation, reason = "within the range of dates")]
        return Ok(UnixTime::from_millis(millis as i64));
    }
    Err(format!("an entry has the time {seconds}, which is no number of seconds since 1970"))
}

/// The beginning of a text that somebody else wrote, for messages.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        None => text.escape_debug().collect::<String>().into(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().escape_debug()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_and_are_rounded_up() {
        assert_eq!(time(1.0), Ok(UnixTime::from_seconds(1)));
        assert_eq!(time(1.0001), Ok(UnixTime::from_millis(1001)));
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 1.8e12] {
            assert!(time(seconds).is_err(), "{seconds}");
        }
    }

    #[test]
    fn what_others_wrote_is_cut_short_and_escaped_in_messages() {
        assert_eq!(shortened("a\nb"), "a\\nb");
        assert_eq!(shortened(&"é".repeat(1000)).chars().count(), 65);
    }
}
