//! Values during an evaluation, borrowed from the request, the body or the expression wherever possible.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use super::inputs::TableVariable;
use super::temporal::{Moment, Span};
use crate::pdp::json::{Json, Object};

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Cow<'a, str>),
    Timestamp(Moment),
    Duration(Span),
    List(Items<'a, Value<'a>>),
    Map(Items<'a, (Value<'a>, Value<'a>)>),
    /// A list of the body.
    Array(&'a [Json]),
    /// A map of the body.
    Object(&'a Object),
    /// A map that is read entry by entry.
    Table(TableVariable),
}

/// Elements that are written in the expression, or were made by it.
#[derive(Debug, Clone)]
pub(super) enum Items<'a, T> {
    Borrowed(&'a [T]),
    Owned(Arc<[T]>),
}

impl<T> Deref for Items<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Borrowed(items) => items,
            Self::Owned(items) => items,
        }
    }
}

impl<T> From<Vec<T>> for Items<'_, T> {
    fn from(items: Vec<T>) -> Self {
        Self::Owned(items.into())
    }
}

impl<'a> Value<'a> {
    /// The same value, borrowed: nothing is copied.
    pub fn borrow(&'a self) -> Self {
        match self {
            Self::String(text) => Self::String(Cow::Borrowed(text)),
            Self::List(items) => Self::List(Items::Borrowed(items)),
            Self::Map(entries) => Self::Map(Items::Borrowed(entries)),
            other => other.clone(),
        }
    }

    /// A value of the body. Its numbers are doubles, as everywhere in CEL.
    pub fn of_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Double(*number),
            Json::String(text) => Self::String(Cow::Borrowed(text)),
            Json::Array(items) => Self::Array(items),
            Json::Object(object) => Self::Object(object),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}

/// The order of two values that are neither lists nor maps. `None`: they have none.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => order_mixed(*a, *b),
        (Value::Double(a), Value::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// 2^63: the first double above every `i64`.
const ABOVE_INT: f64 = 9_223_372_036_854_775_808.0;

/// By value and exactly: converting the integer would lose its last digits.
fn order_mixed(int: i64, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= ABOVE_INT {
        return Some(Ordering::Less);
    }
    if double < -ABOVE_INT {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range of i64, as was just checked")]
    let whole = double.trunc() as i64;
    Some(int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}

/// The integer that a double is, if it is one.
pub(super) fn whole(double: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "within the range of i64, as is checked")]
    let int = || double as i64;
    (double.fract() == 0.0 && (-ABOVE_INT..ABOVE_INT).contains(&double)).then(int)
}

/// A double without its fraction; `None`: too large for an integer. The limits themselves are excluded, as in cel-go.
pub(super) fn truncated(double: f64) -> Option<i64> {
    if double <= -ABOVE_INT { None } else { whole(double.trunc()) }
}

impl<'a> Items<'a, Value<'a>> {
    /// An element, borrowed where the list is.
    pub fn at(&self, position: usize) -> Option<Value<'a>> {
        match self {
            Self::Borrowed(items) => items.get(position).map(Value::borrow),
            Self::Owned(items) => items.get(position).cloned(),
        }
    }
}
