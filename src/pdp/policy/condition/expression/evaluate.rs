//! Runs a program on the values of one request.

mod arithmetic;
mod containers;
mod functions;

use std::borrow::Cow;

use super::inputs::Inputs;
use super::program::{Comparison, Node, Operation};
use super::temporal::Moment;
use super::value::{Value, order};
use super::{EvaluationError, EvaluationErrorKind, MAX_STEPS, Place};
use containers::{element, length};

/// Whether a program gives `true`.
pub(super) fn holds(root: &Node, inputs: &dyn Inputs) -> Result<bool, EvaluationError> {
    Evaluation { inputs, locals: Vec::new(), steps: 0 }.truth(root)
}

/// What is made on the way.
struct Evaluation<'a> {
    inputs: &'a dyn Inputs,
    /// The variables of the comprehensions around, the outermost first.
    locals: Vec<Value<'a>>,
    steps: u64,
}

/// The steps that it takes to make a list of this many elements.
const STEPS_PER_ELEMENT: usize = 4;
/// How many bytes of text are read or written in a step.
const BYTES_PER_STEP: usize = 8;

fn error(place: Place, kind: EvaluationErrorKind) -> EvaluationError {
    EvaluationError { place, kind }
}

impl<'a> Evaluation<'a> {
    /// Takes steps; there are only so many. Since everything that follows takes some too, nothing absorbs this error.
    fn charge(&mut self, place: Place, steps: usize) -> Result<(), EvaluationError> {
        self.steps = self.steps.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX));
        if self.steps > MAX_STEPS { Err(error(place, EvaluationErrorKind::TooExpensive)) } else { Ok(()) }
    }

    fn truth(&mut self, node: &'a Node) -> Result<bool, EvaluationError> {
        match self.evaluate(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err(error(node.place, EvaluationErrorKind::WrongKind)),
        }
    }

    fn evaluate(&mut self, node: &'a Node) -> Result<Value<'a>, EvaluationError> {
        let place = node.place;
        self.charge(place, 1)?;
        let absent = || error(place, EvaluationErrorKind::Absent);
        Ok(match &node.operation {
            Operation::Literal(value) => value.borrow(),
            Operation::Text(variable) => Value::String(self.inputs.text(*variable).ok_or_else(absent)?),
            Operation::List(variable) => self.texts(place, self.inputs.list(*variable))?,
            Operation::Time(variable) => {
                let millis = self.inputs.time(*variable).ok_or_else(absent)?.as_millis();
                Value::Timestamp(Moment::from_millis(millis).ok_or_else(|| error(place, EvaluationErrorKind::Overflow))?)
            }
            Operation::Table(table) => Value::Table(*table),
            Operation::CrossedTenants => Value::Bool(self.inputs.crossed_tenants()),
            Operation::Body => Value::of_json(self.inputs.body().ok_or_else(absent)?),
            Operation::Local(depth) => self.locals.get(*depth).cloned().ok_or_else(absent)?,
            Operation::HasText(variable) => Value::Bool(self.inputs.text(*variable).is_some()),
            Operation::HasTime(variable) => Value::Bool(self.inputs.time(*variable).is_some()),
            Operation::HasMember(map, name) => {
                let map = self.evaluate(map)?;
                Value::Bool(self.lookup(place, &map, name)?.is_some())
            }
            Operation::Member(map, name) => {
                let map = self.evaluate(map)?;
                self.lookup(place, &map, name)?.ok_or_else(absent)?
            }
            Operation::Index(container, key) => {
                let container = self.evaluate(container)?;
                let key = self.evaluate(key)?;
                self.index(place, &container, &key)?
            }
            Operation::In(value, container) => Value::Bool(self.within(place, value, container)?),
            Operation::Not(operand) => Value::Bool(!self.truth(operand)?),
            Operation::And(left, right) => Value::Bool(self.decided_by(false, left, right)?),
            Operation::Or(left, right) => Value::Bool(self.decided_by(true, left, right)?),
            Operation::If(condition, yes, no) => {
                if self.truth(condition)? {
                    self.evaluate(yes)?
                } else {
                    self.evaluate(no)?
                }
            }
            Operation::Equal(left, right) => {
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                Value::Bool(self.equal(place, &left, &right)?)
            }
            Operation::Compare(comparison, left, right) => {
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                self.charge_comparison(place, &left, &right)?;
                let order = order(&left, &right).ok_or_else(|| error(place, EvaluationErrorKind::WrongKind))?;
                Value::Bool(match comparison {
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                })
            }
            Operation::Negate(operand) => {
                let operand = self.evaluate(operand)?;
                arithmetic::negate(&operand).map_err(|kind| error(place, kind))?
            }
            Operation::Arithmetic(operator, left, right) => {
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                self.arithmetic(place, *operator, left, right)?
            }
            Operation::Call(function, arguments) => {
                let mut values = smallvec::SmallVec::<[Value<'a>; 2]>::new();
                for argument in arguments {
                    values.push(self.evaluate(argument)?);
                }
                self.call(place, *function, &values)?
            }
            Operation::Matches(text, pattern) => {
                let text = self.evaluate(text)?;
                let text = text.as_str().ok_or_else(|| error(place, EvaluationErrorKind::WrongKind))?;
                let steps_per_byte = usize::try_from(pattern.steps_per_byte).unwrap_or(usize::MAX);
                self.charge(place, text.len().saturating_mul(steps_per_byte))?;
                Value::Bool(pattern.matches(text))
            }
            Operation::Part(part, time, zone) => {
                let part = match self.evaluate(time)? {
                    Value::Timestamp(moment) => part.of_moment(moment, zone).ok_or(EvaluationErrorKind::Overflow),
                    Value::Duration(span) => part.of_span(span).ok_or(EvaluationErrorKind::WrongKind),
                    _ => Err(EvaluationErrorKind::WrongKind),
                };
                Value::Int(part.map_err(|kind| error(place, kind))?)
            }
            Operation::NewList(elements) => {
                self.charge(place, elements.len() * STEPS_PER_ELEMENT)?;
                let mut values = Vec::with_capacity(elements.len());
                for element in elements {
                    values.push(self.evaluate(element)?);
                }
                Value::List(values.into())
            }
            Operation::NewMap(entries) => self.new_map(place, entries)?,
            Operation::All(range, body) => Value::Bool(self.every(range, body, true)?),
            Operation::Exists(range, body) => Value::Bool(!self.every(range, body, false)?),
            Operation::ExistsOne(range, body) => {
                let mut count = 0_usize;
                for element in self.elements(range)? {
                    if self.with_local(element, |evaluation| evaluation.truth(body))? {
                        count += 1;
                    }
                }
                Value::Bool(count == 1)
            }
            Operation::Collect(range, filter, body) => self.collect(range, filter.as_deref(), body.as_deref())?,
        })
    }

    fn texts(&mut self, place: Place, texts: Vec<Cow<'a, str>>) -> Result<Value<'a>, EvaluationError> {
        self.charge(place, texts.len().saturating_mul(STEPS_PER_ELEMENT))?;
        Ok(Value::List(texts.into_iter().map(Value::String).collect::<Vec<_>>().into()))
    }

    /// `||` (decided by `true`) and `&&` (decided by `false`): an operand that decides does so whatever the other one is, an error
    /// included. Otherwise an error stays an error.
    fn decided_by(&mut self, decisive: bool, left: &'a Node, right: &'a Node) -> Result<bool, EvaluationError> {
        let left = self.truth(left);
        if left == Ok(decisive) {
            return left;
        }
        match self.truth(right) {
            Ok(right) if right == decisive => Ok(decisive),
            Ok(_) => left,
            Err(error) => left.and(Err(error)),
        }
    }

    /// Whether `body` gives `wanted` for every element. One that does not decides, whatever errors there are for others.
    fn every(&mut self, range: &'a Node, body: &'a Node, wanted: bool) -> Result<bool, EvaluationError> {
        let mut pending = Ok(());
        for element in self.elements(range)? {
            match self.with_local(element, |evaluation| evaluation.truth(body)) {
                Ok(truth) if truth == wanted => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind == EvaluationErrorKind::TooExpensive => return Err(error),
                Err(error) => pending = pending.and(Err(error)),
            }
        }
        pending.map(|()| true)
    }

    fn collect(&mut self, range: &'a Node, filter: Option<&'a Node>, body: Option<&'a Node>) -> Result<Value<'a>, EvaluationError> {
        let mut collected = Vec::new();
        for element in self.elements(range)? {
            let value = self.with_local(element.clone(), |evaluation| {
                if let Some(filter) = filter
                    && !evaluation.truth(filter)?
                {
                    return Ok(None);
                }
                body.map_or(Ok(element), |body| evaluation.evaluate(body)).map(Some)
            })?;
            if let Some(value) = value {
                self.charge(range.place, STEPS_PER_ELEMENT)?;
                collected.push(value);
            }
        }
        Ok(Value::List(collected.into()))
    }

    fn with_local<R>(&mut self, value: Value<'a>, run: impl FnOnce(&mut Self) -> Result<R, EvaluationError>) -> Result<R, EvaluationError> {
        self.locals.push(value);
        let result = run(self);
        self.locals.pop();
        result
    }

    /// What a comprehension goes over: elements of lists, keys of maps.
    fn elements(&mut self, range: &'a Node) -> Result<Vec<Value<'a>>, EvaluationError> {
        let value = self.evaluate(range)?;
        if let Some(length) = length(&value) {
            self.charge(range.place, length.saturating_mul(STEPS_PER_ELEMENT))?;
            return Ok((0..length).filter_map(|position| element(&value, position)).collect());
        }
        let keys = self.keys(range.place, &value)?.ok_or_else(|| error(range.place, EvaluationErrorKind::WrongKind))?;
        Ok(keys.into_iter().map(Value::String).collect())
    }

    fn new_map(&mut self, place: Place, entries: &'a [(Node, Node)]) -> Result<Value<'a>, EvaluationError> {
        self.charge(place, entries.len() * (STEPS_PER_ELEMENT + entries.len()))?;
        let mut map: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let written = key.place;
            let key = self.evaluate(key)?;
            let name = key.as_str().ok_or_else(|| error(written, EvaluationErrorKind::WrongKind))?;
            if map.iter().any(|(other, _)| other.as_str() == Some(name)) {
                return Err(error(written, EvaluationErrorKind::DuplicateKey));
            }
            let value = self.evaluate(value)?;
            map.push((key, value));
        }
        Ok(Value::Map(map.into()))
    }
}
