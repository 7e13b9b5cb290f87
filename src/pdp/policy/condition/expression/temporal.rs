//! Moments and spans of time as text, and their parts.

use jiff::civil::{DateTime, date};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A span of time in nanoseconds: ±292 years, as in other implementations of CEL.
pub(super) type Span = i64;

/// A moment, in nanoseconds since the Unix epoch: of the years 1 to 9999, as CEL has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i128);

const SECOND: i64 = 1_000_000_000;

/// Units of spans, each before those that it begins with.
const UNITS: [(&str, i64); 6] = [("ms", 1_000_000), ("us", 1_000), ("ns", 1), ("h", 3600 * SECOND), ("m", 60 * SECOND), ("s", SECOND)];

/// Reads a span such as `1h30m`, `-1.5s` or `250ms`.
pub(super) fn parse_span(text: &str) -> Option<Span> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        let (unit, after) = UNITS.iter().find_map(|(name, unit)| after.strip_prefix(name).map(|after| (*unit, after)))?;
        // More digits than these are out of range, or finer than a nanosecond.
        if whole.len() + fraction.len() == 0 || whole.len() > 19 || fraction.len() > 15 {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        total = total.checked_add(whole * i128::from(unit) + part * i128::from(unit) / scale)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Writes a span in seconds, such as `5400s` or `-1.5s`.
pub(super) fn format_span(span: Span) -> String {
    let sign = if span < 0 { "-" } else { "" };
    let (seconds, fraction) = (span.unsigned_abs() / SECOND.unsigned_abs(), span.unsigned_abs() % SECOND.unsigned_abs());
    if fraction == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

impl Moment {
    /// From nanoseconds since the epoch. `None`: out of range.
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Self> {
        let seconds = nanoseconds.div_euclid(SECOND.into());
        (-62_135_596_800..=253_402_300_799).contains(&seconds).then_some(Self(nanoseconds))
    }

    /// From seconds since the epoch. `None`: out of range.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::from_nanoseconds(i128::from(seconds) * i128::from(SECOND))
    }

    /// From milliseconds since the epoch. `None`: out of range.
    pub fn from_millis(millis: i64) -> Option<Self> {
        Self::from_nanoseconds(i128::from(millis) * 1_000_000)
    }

    /// Nanoseconds since the epoch.
    pub fn as_nanoseconds(self) -> i128 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn as_seconds(self) -> Option<i64> {
        i64::try_from(self.0.div_euclid(SECOND.into())).ok()
    }

    /// Reads a moment as RFC 3339 writes it; nothing looser.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.split_at_checked(19)?;
        if !has_shape(head, "0000-00-00T00:00:00") {
            return None;
        }
        let zone = match rest.strip_prefix('.') {
            Some(rest) => {
                let (fraction, zone) = digits(rest);
                if !(1..=9).contains(&fraction.len()) {
                    return None;
                }
                zone
            }
            None => rest,
        };
        let offset = match zone {
            "Z" => 0,
            _ if has_shape(zone, "+00:00") || has_shape(zone, "-00:00") => i128::from(parse_offset(zone)?),
            _ => return None,
        };
        // A leap second is a second too late, or not at all.
        if head.ends_with("60") {
            return None;
        }
        let local: DateTime = text.strip_suffix(zone)?.parse().ok()?;
        let since_epoch = local.duration_since(EPOCH).as_nanos();
        Self::from_nanoseconds(since_epoch - offset * i128::from(SECOND))
    }

    /// Writes it as RFC 3339 does, in UTC.
    pub fn format(self) -> Option<String> {
        let seconds = i64::try_from(self.0.div_euclid(SECOND.into())).ok()?;
        let nanoseconds = i32::try_from(self.0.rem_euclid(SECOND.into())).ok()?;
        EPOCH.checked_add(SignedDuration::new(seconds, nanoseconds)).ok().map(|local| format!("{local}Z"))
    }
}

/// The beginning of the Unix epoch, in UTC.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// Whether a text has digits where the pattern has zeros, and the pattern's characters elsewhere.
fn has_shape(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
}

/// The time zone of this name (IANA), or offset (`+05:30`).
pub(super) fn parse_zone(text: &str) -> Option<TimeZone> {
    if text.contains(':') {
        return Some(TimeZone::fixed(Offset::from_seconds(parse_offset(text)?).ok()?));
    }
    match text {
        "UTC" => Some(TimeZone::UTC),
        // jiff takes these for local or made-up times.
        "" | "Etc/Unknown" => None,
        _ => TimeZone::get(text).ok(),
    }
}

/// The seconds of an offset such as `+05:30`.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !has_shape(text, "00:00") {
        return None;
    }
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A part of a moment or of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Part {
    /// The part that a function gives.
    pub fn named(function: &str) -> Option<Self> {
        Some(match function {
            "getFullYear" => Self::FullYear,
            "getMonth" => Self::Month,
            "getDayOfYear" => Self::DayOfYear,
            "getDayOfMonth" => Self::DayOfMonth,
            "getDate" => Self::Date,
            "getDayOfWeek" => Self::DayOfWeek,
            "getHours" => Self::Hours,
            "getMinutes" => Self::Minutes,
            "getSeconds" => Self::Seconds,
            "getMilliseconds" => Self::Milliseconds,
            _ => return None,
        })
    }

    /// Whether a span has it.
    pub fn is_of_spans(self) -> bool {
        matches!(self, Self::Hours | Self::Minutes | Self::Seconds | Self::Milliseconds)
    }

    /// Of a moment, in a time zone. Months, days of the month (not dates) and of the year count from 0, days of the week from Sunday.
    /// `None`: so near to the end of the year 9999 that it is not in every time zone.
    pub fn of_moment(self, moment: Moment, zone: &TimeZone) -> Option<i64> {
        let local = zone.to_datetime(Timestamp::from_nanosecond(moment.0).ok()?);
        Some(match self {
            Self::FullYear => local.year().into(),
            Self::Month => i64::from(local.month()) - 1,
            Self::DayOfYear => i64::from(local.day_of_year()) - 1,
            Self::DayOfMonth => i64::from(local.day()) - 1,
            Self::Date => local.day().into(),
            Self::DayOfWeek => local.weekday().to_sunday_zero_offset().into(),
            Self::Hours => local.hour().into(),
            Self::Minutes => local.minute().into(),
            Self::Seconds => local.second().into(),
            Self::Milliseconds => local.millisecond().into(),
        })
    }

    /// Of a span: all of it in this unit.
    pub fn of_span(self, span: Span) -> Option<i64> {
        match self {
            Self::Hours => Some(span / (3600 * SECOND)),
            Self::Minutes => Some(span / (60 * SECOND)),
            Self::Seconds => Some(span / SECOND),
            Self::Milliseconds => Some(span / 1_000_000),
            _ => None,
        }
    }
}
