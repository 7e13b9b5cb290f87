//! `+`, `-`, `*`, `/`, `%`. Nothing wraps, and nothing is rounded to an integer unseen.

use super::{BYTES_PER_STEP, Evaluation, STEPS_PER_ELEMENT, element, error, length};
use crate::pdp::policy::condition::expression::program::Arithmetic;
use crate::pdp::policy::condition::expression::temporal::Moment;
use crate::pdp::policy::condition::expression::value::Value;
use crate::pdp::policy::condition::expression::{EvaluationError, EvaluationErrorKind, Place};

/// The negative of a number.
pub(super) fn negate<'a>(operand: &Value<'a>) -> Result<Value<'a>, EvaluationErrorKind> {
    match operand {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(EvaluationErrorKind::Overflow),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(EvaluationErrorKind::WrongKind),
    }
}

impl<'a> Evaluation<'a> {
    pub(super) fn arithmetic(
        &mut self,
        place: Place,
        operator: Arithmetic,
        left: Value<'a>,
        right: Value<'a>,
    ) -> Result<Value<'a>, EvaluationError> {
        if operator == Arithmetic::Add {
            if let (Value::String(a), Value::String(b)) = (&left, &right) {
                self.charge(place, (a.len() + b.len()) / BYTES_PER_STEP)?;
                return Ok(Value::String(format!("{a}{b}").into()));
            }
            if let (Some(a), Some(b)) = (length(&left), length(&right)) {
                self.charge(place, (a + b).saturating_mul(STEPS_PER_ELEMENT))?;
                let both = (0..a).filter_map(|at| element(&left, at)).chain((0..b).filter_map(|at| element(&right, at)));
                return Ok(Value::List(both.collect::<Vec<_>>().into()));
            }
        }
        scalar(operator, &left, &right).map_err(|kind| error(place, kind))
    }
}

fn scalar<'a>(operator: Arithmetic, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, EvaluationErrorKind> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => ints(operator, *a, *b).map(Value::Int),
        (Value::Double(a), Value::Double(b)) => doubles(operator, *a, *b).map(Value::Double),
        _ => times(operator, left, right),
    }
}

fn ints(operator: Arithmetic, a: i64, b: i64) -> Result<i64, EvaluationErrorKind> {
    match operator {
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => return Err(EvaluationErrorKind::DivisionByZero),
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
    .ok_or(EvaluationErrorKind::Overflow)
}

fn doubles(operator: Arithmetic, a: f64, b: f64) -> Result<f64, EvaluationErrorKind> {
    match operator {
        Arithmetic::Add => Ok(a + b),
        Arithmetic::Subtract => Ok(a - b),
        Arithmetic::Multiply => Ok(a * b),
        Arithmetic::Divide => Ok(a / b),
        Arithmetic::Remainder => Err(EvaluationErrorKind::WrongKind),
    }
}

fn times<'a>(operator: Arithmetic, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, EvaluationErrorKind> {
    let moved = |time: Moment, span: i128| {
        let moved = time.as_nanoseconds().checked_add(span).and_then(Moment::from_nanoseconds);
        moved.map(Value::Timestamp).ok_or(EvaluationErrorKind::Overflow)
    };
    let span = |span: Option<i64>| span.map(Value::Duration).ok_or(EvaluationErrorKind::Overflow);
    match (operator, left, right) {
        (Arithmetic::Add, Value::Timestamp(time), Value::Duration(by)) | (Arithmetic::Add, Value::Duration(by), Value::Timestamp(time)) => {
            moved(*time, i128::from(*by))
        }
        (Arithmetic::Subtract, Value::Timestamp(time), Value::Duration(by)) => moved(*time, -i128::from(*by)),
        (Arithmetic::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            span(i64::try_from(a.as_nanoseconds() - b.as_nanoseconds()).ok())
        }
        (Arithmetic::Add, Value::Duration(a), Value::Duration(b)) => span(a.checked_add(*b)),
        (Arithmetic::Subtract, Value::Duration(a), Value::Duration(b)) => span(a.checked_sub(*b)),
        _ => Err(EvaluationErrorKind::WrongKind),
    }
}
