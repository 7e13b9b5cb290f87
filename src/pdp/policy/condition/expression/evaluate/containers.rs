//! Lists and maps, wherever they lie: in the expression, in the request or in its body.

use std::borrow::Cow;

use super::{Evaluation, EvaluationError, EvaluationErrorKind, Place, STEPS_PER_ELEMENT, error};
use crate::pdp::policy::condition::expression::inputs::{Entry, TableVariable};
use crate::pdp::policy::condition::expression::program::{Node, Operation};
use crate::pdp::policy::condition::expression::value::{Value, order, whole};

impl<'a> Evaluation<'a> {
    /// The keys of a map. `None`: it is none.
    pub(super) fn keys(&mut self, place: Place, value: &Value<'a>) -> Result<Option<Vec<Cow<'a, str>>>, EvaluationError> {
        let keys: Vec<Cow<'a, str>> = match value {
            Value::Object(object) => object.iter().map(|(name, _)| Cow::Borrowed(name)).collect(),
            Value::Table(table) => self.names(place, *table)?,
            Value::Map(entries) => {
                entries.iter().filter_map(|(key, _)| if let Value::String(key) = key { Some(key.clone()) } else { None }).collect()
            }
            _ => return Ok(None),
        };
        self.charge(place, keys.len().saturating_mul(STEPS_PER_ELEMENT))?;
        Ok(Some(keys))
    }

    /// The names under which a table has values.
    pub(super) fn names(&self, place: Place, table: TableVariable) -> Result<Vec<Cow<'a, str>>, EvaluationError> {
        self.inputs.names(table).ok_or_else(|| error(place, EvaluationErrorKind::Unclear))
    }

    /// The value of a map under a name.
    pub(super) fn lookup(&mut self, place: Place, map: &Value<'a>, name: &str) -> Result<Option<Value<'a>>, EvaluationError> {
        let mut looked_at = 0;
        let found = match map {
            Value::Table(table) => match self.inputs.entry(*table, name) {
                Entry::Value(text) => Some(Value::String(text)),
                Entry::Absent => None,
                // Neither there nor not there: a service behind may take the first, or the last.
                Entry::Unclear => return Err(error(place, EvaluationErrorKind::Unclear)),
            },
            Value::Object(object) => {
                let mut members = object.iter().inspect(|_| looked_at += 1);
                members.find(|(other, _)| *other == name).map(|(_, json)| Value::of_json(json))
            }
            Value::Map(entries) => {
                let mut entries = entries.iter().inspect(|_| looked_at += 1);
                entries.find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone())
            }
            _ => return Err(error(place, EvaluationErrorKind::WrongKind)),
        };
        self.charge(place, 1 + looked_at / 4)?;
        Ok(found)
    }

    pub(super) fn index(&mut self, place: Place, container: &Value<'a>, key: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
        if let Some(length) = length(container) {
            let position = match key {
                Value::Int(position) => *position,
                Value::Double(position) => whole(*position).ok_or_else(|| error(place, EvaluationErrorKind::OutOfRange))?,
                _ => return Err(error(place, EvaluationErrorKind::WrongKind)),
            };
            let position = usize::try_from(position).ok().filter(|position| *position < length);
            return position.and_then(|position| element(container, position)).ok_or_else(|| error(place, EvaluationErrorKind::OutOfRange));
        }
        let name = key.as_str().ok_or_else(|| error(place, EvaluationErrorKind::WrongKind))?;
        self.lookup(place, container, name)?.ok_or_else(|| error(place, EvaluationErrorKind::Absent))
    }

    pub(super) fn within(&mut self, place: Place, value: &'a Node, container: &'a Node) -> Result<bool, EvaluationError> {
        let value = self.evaluate(value)?;
        // The usual case, a text in a list of the token, needs no values for the list's elements.
        if let (Operation::List(variable), Value::String(text)) = (&container.operation, &value) {
            let list = self.inputs.list(*variable);
            self.charge(place, 1 + list.len())?;
            return Ok(list.iter().any(|element| element == text));
        }
        let container = self.evaluate(container)?;
        if let Some(length) = length(&container) {
            for position in 0..length {
                let equal = match &container {
                    Value::List(items) => match items.get(position) {
                        Some(item) => self.equal(place, item, &value)?,
                        None => false,
                    },
                    other => match element(other, position) {
                        Some(element) => self.equal(place, &element, &value)?,
                        None => false,
                    },
                };
                if equal {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        match &value {
            Value::String(name) => Ok(self.lookup(place, &container, name)?.is_some()),
            // Keys are strings, and nothing else equals one.
            Value::Bool(_) | Value::Int(_) | Value::Double(_)
                if matches!(container, Value::Object(_) | Value::Map(_) | Value::Table(_)) =>
            {
                Ok(false)
            }
            _ => Err(error(place, EvaluationErrorKind::WrongKind)),
        }
    }

    pub(super) fn charge_comparison(&mut self, place: Place, left: &Value<'a>, right: &Value<'a>) -> Result<(), EvaluationError> {
        match (left, right) {
            (Value::String(a), Value::String(b)) => self.charge(place, 1 + a.len().min(b.len()) / 64),
            _ => self.charge(place, 1),
        }
    }

    /// Whether two values are equal. Values of different types are not; numbers are compared by value.
    pub(super) fn equal(&mut self, place: Place, left: &Value<'a>, right: &Value<'a>) -> Result<bool, EvaluationError> {
        self.charge_comparison(place, left, right)?;
        if let (Some(a), Some(b)) = (length(left), length(right)) {
            if a != b {
                return Ok(false);
            }
            for position in 0..a {
                let (Some(a), Some(b)) = (element(left, position), element(right, position)) else { return Ok(false) };
                if !self.equal(place, &a, &b)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        if is_map(left) && is_map(right) {
            let (Some(names), Some(others)) = (self.keys(place, left)?, self.keys(place, right)?) else { return Ok(false) };
            if names.len() != others.len() {
                return Ok(false);
            }
            for name in names {
                let (Some(a), Some(b)) = (self.lookup(place, left, &name)?, self.lookup(place, right, &name)?) else { return Ok(false) };
                if !self.equal(place, &a, &b)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::String(a), Value::String(b)) => a == b,
            _ => order(left, right).is_some_and(std::cmp::Ordering::is_eq),
        })
    }
}

fn is_map(value: &Value<'_>) -> bool {
    matches!(value, Value::Map(_) | Value::Object(_) | Value::Table(_))
}

/// How many elements a list has. `None`: it is none.
pub(super) fn length(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::List(items) => Some(items.len()),
        Value::Array(items) => Some(items.len()),
        _ => None,
    }
}

/// An element of a list.
pub(super) fn element<'a>(value: &Value<'a>, position: usize) -> Option<Value<'a>> {
    match value {
        Value::List(items) => items.at(position),
        Value::Array(items) => items.get(position).map(Value::of_json),
        _ => None,
    }
}
