//! Moments, spans and their text.

use super::super::temporal::{Moment, format_span, parse_span, parse_zone};
use super::*;

#[test]
fn spans_are_read_as_they_are_written() {
    for (text, nanoseconds) in [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("1s", 1_000_000_000),
        ("+1s", 1_000_000_000),
        ("-1.5s", -1_500_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1m0.5s", 60_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("250ms", 250_000_000),
        ("3us", 3_000),
        ("7ns", 7),
        ("1.9ns", 1),
        ("9223372036854775807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
    ] {
        assert_eq!(parse_span(text), Some(nanoseconds), "{text}");
    }
    for text in [
        "",
        "-",
        "s",
        "1",
        "1d",
        "1 s",
        " 1s",
        "1s ",
        "1s1",
        "--1s",
        "1e3s",
        "1h-1m",
        ".s",
        "0x1s",
        "9223372036854775808ns",
        "2562048h",
        "1.5.5s",
        "inf",
        "١s",
        "99999999999999999999s",
        "0.0000000000000001s",
    ] {
        assert_eq!(parse_span(text), None, "{text}");
    }
}

#[test]
fn spans_are_written_in_seconds() {
    for (span, text) in [
        (0, "0s"),
        (1, "0.000000001s"),
        (-500_000_000, "-0.5s"),
        (5_400_000_000_000, "5400s"),
        (i64::MIN, "-9223372036.854775808s"),
        (i64::MAX, "9223372036.854775807s"),
    ] {
        assert_eq!(format_span(span), text);
        assert_eq!(parse_span(text), Some(span), "{text}");
    }
}

#[test]
fn moments_are_read_as_rfc_3339_has_them() {
    for (text, millis) in [
        ("2026-07-16T06:30:15.250Z", NOW),
        ("2026-07-16T08:30:15.25+02:00", NOW),
        ("2026-07-15T22:30:15.250-08:00", NOW),
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ] {
        assert_eq!(Moment::parse(text), Moment::from_millis(millis), "{text}");
    }
    for text in [
        "",
        "2026-07-16",
        "2026-07-16 06:30:15Z",
        "2026-07-16t06:30:15z",
        "2026-07-16T06:30:15",
        "2026-07-16T06:30Z",
        "2026-07-16T06:30:15+0200",
        "2026-07-16T06:30:15+02",
        "2026-07-16T06:30:15.Z",
        "2026-07-16T06:30:15.1234567890Z",
        "2026-07-16T06:30:15Z[UTC]",
        "2026-07-16T06:30:15+02:00[Europe/Berlin]",
        "2026-02-30T00:00:00Z",
        "2026-07-16T24:00:00Z",
        "2026-07-16T06:60:00Z",
        "2026-06-30T23:59:60Z",
        "0000-12-31T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "+02026-07-16T06:30:15Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "２026-07-16T06:30:15Z",
        "äääääääääääääääääääääääää",
    ] {
        assert_eq!(Moment::parse(text), None, "{text}");
    }
}

#[test]
fn a_time_zone_has_a_known_name_or_an_offset() {
    for zone in ["UTC", "Europe/Berlin", "America/Los_Angeles", "+05:30", "-08:00", "05:30", "-00:30"] {
        assert!(parse_zone(zone).is_some(), "{zone}");
    }
    for zone in ["", "Mars/Base", "24:00", "5:30", "+5:30", "+05:60", "+-5:30", "05:3", ":", "+05:30:00", "Etc/Unknown"] {
        assert!(parse_zone(zone).is_none(), "{zone}");
    }
}

#[test]
fn moments_and_spans_have_parts() {
    for text in [
        "now == timestamp('2026-07-16T06:30:15.250Z')",
        "now.getFullYear() == 2026 && now.getMonth() == 6 && now.getDate() == 16 && now.getDayOfMonth() == 15 && now.getDayOfYear() == 196",
        "now.getHours() == 6 && now.getMinutes() == 30 && now.getSeconds() == 15 && now.getMilliseconds() == 250 && now.getDayOfWeek() == 4",
        "now.getHours('Europe/Berlin') == 8 && now.getHours('-08:00') == 22 && now.getDate('-08:00') == 15 && now.getMinutes('+05:30') == 0",
        "timestamp('2026-07-19T00:00:00Z').getDayOfWeek() == 0",
        "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90 && duration('1.5s').getSeconds() == 1 && duration('1.5s').getMilliseconds() == 1500",
        "now - duration('6h30m15.250s') == timestamp('2026-07-16T00:00:00Z') && duration('1h') + now > now && now + duration('1s') > now",
        "duration('1h') + duration('30m') == duration('90m') && duration('1h') - duration('30m') == duration('1800s')",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60 && int(timestamp('1969-12-31T23:59:59.500Z')) == -1 && timestamp(60) == timestamp('1970-01-01T00:01:00Z')",
        "string(now) == '2026-07-16T06:30:15.25Z' && string(duration('1h')) == '3600s' && timestamp(now) == now && duration(duration('1s')) == duration('1s')",
        "timestamp('2026-07-16T08:30:15.250+02:00') == now && timestamp(request.headers.exists(h, true) ? '2026-07-16T00:00:00Z' : 'x') < now",
    ] {
        assert!(is_true(text), "{text}");
    }
}
