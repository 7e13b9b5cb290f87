//! What a plain scalar is: text, or something else that looks like text.

use serde_json::{Number, Value};

/// The largest whole number that a float holds without a gap below it.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a scalar cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// `.inf` and `.nan`, which JSON does not have.
    NotFinite,
}

/// What an unquoted scalar without a tag is.
pub(super) fn resolve(text: &str) -> Result<Value, Unreadable> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Value::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Value::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" => {
            return Err(Unreadable::NotFinite);
        }
        _ => {}
    }
    let number = match text.as_bytes().first() {
        // Behind a point, an underscore has to be between digits.
        Some(b'.') if between_digits(text) => float(&text.replace('_', "")),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    };
    Ok(number.map_or_else(|| Value::String(text.into()), Value::Number))
}

/// Whether each underscore has a digit on both sides.
fn between_digits(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    text.match_indices('_').all(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        before.ends_with(is_digit) && after.starts_with(is_digit)
    })
}

/// A whole number: decimal, or with `0x`, `0b`, `0o`, or octal by a leading zero.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_str() {
        digits if digits.starts_with("0x") => (16, digits.get(2..)?),
        digits if digits.starts_with("0b") => (2, digits.get(2..)?),
        digits if digits.starts_with("0o") => (8, digits.get(2..)?),
        digits if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        digits => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if negative { Some(Number::from(0_i64.checked_sub_unsigned(size)?)) } else { Some(Number::from(size)) }
}

/// A float. Whole numbers come out as such: to `kubectl`, `1.0` and `1` are the same.
fn float(text: &str) -> Option<Number> {
    if !is_float(text) {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
    if value.fract() == 0.0 && value.abs() <= EXACT { Some(Number::from(value as i64)) } else { Number::from_f64(value) }
}

/// An optional sign, digits with an optional point among or before them, an optional exponent.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => are_digits(whole) && are_digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && are_digits(mantissa),
    };
    is_mantissa && exponent.is_none_or(|exponent| !exponent.is_empty() && are_digits(exponent))
}
