//! The functions.

use std::borrow::Cow;

use super::{BYTES_PER_STEP, Evaluation, error, length};
use crate::pdp::policy::condition::expression::program::Function;
use crate::pdp::policy::condition::expression::temporal::{self, Moment};
use crate::pdp::policy::condition::expression::value::{Value, order, truncated};
use crate::pdp::policy::condition::expression::{EvaluationError, EvaluationErrorKind, Place};

impl<'a> Evaluation<'a> {
    pub(super) fn call(&mut self, place: Place, function: Function, arguments: &[Value<'a>]) -> Result<Value<'a>, EvaluationError> {
        let bytes = arguments.iter().filter_map(Value::as_str).map(str::len).sum::<usize>();
        self.charge(place, bytes / BYTES_PER_STEP)?;
        let wrong = || error(place, EvaluationErrorKind::WrongKind);
        let [first, rest @ ..] = arguments else { return Err(wrong()) };
        match function {
            Function::Size => self.size(place, first),
            Function::ToDyn => Ok(first.clone()),
            Function::Split => {
                let (Some(text), Some(separator)) = (first.as_str(), rest.first().and_then(Value::as_str)) else { return Err(wrong()) };
                let parts: Vec<Cow<'a, str>> = if separator.is_empty() {
                    text.chars().map(|character| Cow::Owned(character.to_string())).collect()
                } else {
                    text.split(separator).map(|part| Cow::Owned(part.to_owned())).collect()
                };
                self.texts(place, parts)
            }
            Function::Greatest | Function::Least => extreme(function == Function::Greatest, first, rest).map_err(|kind| error(place, kind)),
            Function::StartsWith | Function::EndsWith | Function::Contains => {
                let (Some(text), Some(part)) = (first.as_str(), rest.first().and_then(Value::as_str)) else { return Err(wrong()) };
                Ok(Value::Bool(match function {
                    Function::StartsWith => text.starts_with(part),
                    Function::EndsWith => text.ends_with(part),
                    _ => text.contains(part),
                }))
            }
            Function::LowerAscii => first.as_str().map(|text| Value::String(text.to_ascii_lowercase().into())).ok_or_else(wrong),
            Function::UpperAscii => first.as_str().map(|text| Value::String(text.to_ascii_uppercase().into())).ok_or_else(wrong),
            Function::Trim => first.as_str().map(|text| Value::String(text.trim().to_owned().into())).ok_or_else(wrong),
            Function::ToInt | Function::ToDouble | Function::ToString | Function::ToBool | Function::ToTimestamp | Function::ToDuration => {
                convert(function, first).map_err(|kind| error(place, kind))
            }
        }
    }

    fn size(&mut self, place: Place, value: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
        let size = match value {
            Value::String(text) => text.chars().count(),
            Value::Map(entries) => entries.len(),
            Value::Object(object) => object.iter().count(),
            Value::Table(table) => self.names(place, *table)?.len(),
            other => length(other).ok_or_else(|| error(place, EvaluationErrorKind::WrongKind))?,
        };
        i64::try_from(size).map(Value::Int).map_err(|_| error(place, EvaluationErrorKind::Overflow))
    }
}

fn extreme<'a>(greatest: bool, first: &Value<'a>, rest: &[Value<'a>]) -> Result<Value<'a>, EvaluationErrorKind> {
    let mut found = first;
    for value in rest {
        if !matches!((found, value), (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_))) {
            return Err(EvaluationErrorKind::WrongKind);
        }
        let order = order(value, found).ok_or(EvaluationErrorKind::WrongKind)?;
        if if greatest { order.is_gt() } else { order.is_lt() } {
            found = value;
        }
    }
    Ok(found.clone())
}

fn convert<'a>(function: Function, value: &Value<'a>) -> Result<Value<'a>, EvaluationErrorKind> {
    use EvaluationErrorKind::{Malformed, Overflow, WrongKind};
    match (function, value) {
        (Function::ToInt, Value::Int(_))
        | (Function::ToDouble, Value::Double(_))
        | (Function::ToString, Value::String(_))
        | (Function::ToBool, Value::Bool(_))
        | (Function::ToTimestamp, Value::Timestamp(_))
        | (Function::ToDuration, Value::Duration(_)) => Ok(value.clone()),
        (Function::ToInt, Value::Double(value)) => truncated(*value).map(Value::Int).ok_or(Overflow),
        (Function::ToInt, Value::String(text)) => text.parse().map(Value::Int).map_err(|_| Malformed),
        (Function::ToInt, Value::Timestamp(time)) => time.as_seconds().map(Value::Int).ok_or(Overflow),
        #[expect(clippy::cast_precision_loss, reason = "a double has 53 bits, as everybody who asks for one knows")]
        (Function::ToDouble, Value::Int(value)) => Ok(Value::Double(*value as f64)),
        // "nan" and "inf" compare with nothing as one would expect.
        (Function::ToDouble, Value::String(text)) => {
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Double).ok_or(Malformed)
        }
        (Function::ToString, Value::Bool(value)) => Ok(Value::String(value.to_string().into())),
        (Function::ToString, Value::Int(value)) => Ok(Value::String(value.to_string().into())),
        (Function::ToString, Value::Double(value)) => Ok(Value::String(value.to_string().into())),
        (Function::ToString, Value::Timestamp(time)) => time.format().map(|text| Value::String(text.into())).ok_or(Overflow),
        (Function::ToString, Value::Duration(span)) => Ok(Value::String(temporal::format_span(*span).into())),
        (Function::ToBool, Value::String(text)) => match &**text {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(Malformed),
        },
        (Function::ToTimestamp, Value::String(text)) => Moment::parse(text).map(Value::Timestamp).ok_or(Malformed),
        (Function::ToTimestamp, Value::Int(seconds)) => Moment::from_seconds(*seconds).map(Value::Timestamp).ok_or(Overflow),
        (Function::ToDuration, Value::String(text)) => temporal::parse_span(text).map(Value::Duration).ok_or(Malformed),
        _ => Err(WrongKind),
    }
}
