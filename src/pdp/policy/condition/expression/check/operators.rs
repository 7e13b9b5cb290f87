//! The operators.

use cel::common::ast::{IdedExpr, operators as names};

use super::{Checker, Typed};
use crate::pdp::policy::condition::expression::ExpressionError;
use crate::pdp::policy::condition::expression::program::{Arithmetic, Comparison, Operation};
use crate::pdp::policy::condition::expression::types::Type;
use crate::pdp::policy::condition::expression::value::Value;

impl Checker<'_> {
    /// An operator with its operands; `None`: the name is that of a function.
    pub(super) fn operator(&mut self, expression: &IdedExpr, name: &str, operands: &[IdedExpr]) -> Option<Result<Typed, ExpressionError>> {
        Some(match (name, operands) {
            (names::CONDITIONAL, [condition, yes, no]) => self.conditional(expression, condition, yes, no),
            (names::LOGICAL_NOT, [operand]) => {
                self.truth(operand, "!").map(|operand| self.typed(expression, Operation::Not(Box::new(operand.node)), Type::Bool))
            }
            (names::LOGICAL_AND, [left, right]) => self.logical(expression, "&&", left, right),
            (names::LOGICAL_OR, [left, right]) => self.logical(expression, "||", left, right),
            (names::EQUALS, [left, right]) => self.equal(expression, left, right, false),
            (names::NOT_EQUALS, [left, right]) => self.equal(expression, left, right, true),
            (names::LESS, [left, right]) => self.compare(expression, Comparison::Less, left, right),
            (names::LESS_EQUALS, [left, right]) => self.compare(expression, Comparison::LessOrEqual, left, right),
            (names::GREATER, [left, right]) => self.compare(expression, Comparison::Greater, left, right),
            (names::GREATER_EQUALS, [left, right]) => self.compare(expression, Comparison::GreaterOrEqual, left, right),
            (names::NEGATE, [operand]) => self.negate(expression, operand),
            (names::ADD, [left, right]) => self.arithmetic(expression, Arithmetic::Add, left, right),
            (names::SUBSTRACT, [left, right]) => self.arithmetic(expression, Arithmetic::Subtract, left, right),
            (names::MULTIPLY, [left, right]) => self.arithmetic(expression, Arithmetic::Multiply, left, right),
            (names::DIVIDE, [left, right]) => self.arithmetic(expression, Arithmetic::Divide, left, right),
            (names::MODULO, [left, right]) => self.arithmetic(expression, Arithmetic::Remainder, left, right),
            (names::IN, [left, right]) => self.within(expression, left, right),
            (names::INDEX, [left, right]) => self.index(expression, left, right),
            _ => return None,
        })
    }

    fn truth(&mut self, operand: &IdedExpr, operator: &str) -> Result<Typed, ExpressionError> {
        let typed = self.expression(operand)?;
        match &typed.kind {
            Type::Bool | Type::Dyn => Ok(typed),
            other => Err(self.error(operand, format!("'{operator}' takes a bool, and this is {other:#}: compare it with something"))),
        }
    }

    fn logical(&mut self, expression: &IdedExpr, name: &str, left: &IdedExpr, right: &IdedExpr) -> Result<Typed, ExpressionError> {
        let left = Box::new(self.truth(left, name)?.node);
        let right = Box::new(self.truth(right, name)?.node);
        let operation = if name == "&&" { Operation::And(left, right) } else { Operation::Or(left, right) };
        Ok(self.typed(expression, operation, Type::Bool))
    }

    fn conditional(
        &mut self,
        expression: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Result<Typed, ExpressionError> {
        let condition = self.truth(condition, "?")?;
        let (yes, no) = (self.expression(yes)?, self.expression(no)?);
        if !yes.kind.is_comparable_with(&no.kind) {
            return Err(self.error(expression, format!("this is either {:#} or {:#}: make both the same", yes.kind, no.kind)));
        }
        let kind = yes.kind.join(no.kind);
        let operation = Operation::If(Box::new(condition.node), Box::new(yes.node), Box::new(no.node));
        Ok(self.typed(expression, operation, kind))
    }

    fn equal(&mut self, expression: &IdedExpr, left: &IdedExpr, right: &IdedExpr, not: bool) -> Result<Typed, ExpressionError> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        if !left.kind.is_comparable_with(&right.kind) {
            let null = |a: &Typed, b: &Typed| a.kind == Type::Null && Self::is_optional(&b.node);
            let instead = if null(&left, &right) || null(&right, &left) { ": write has(...) to know whether it is there" } else { "" };
            return Err(self.error(expression, format!("{:#} never equals {:#}{instead}", left.kind, right.kind)));
        }
        let equal = self.typed(expression, Operation::Equal(Box::new(left.node), Box::new(right.node)), Type::Bool);
        if not { Ok(self.typed(expression, Operation::Not(Box::new(equal.node)), Type::Bool)) } else { Ok(equal) }
    }

    fn compare(
        &mut self,
        expression: &IdedExpr,
        comparison: Comparison,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed, ExpressionError> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        for kind in [&left.kind, &right.kind] {
            if matches!(kind, Type::Null | Type::List(_) | Type::Map(_)) {
                return Err(self.error(expression, format!("{kind:#} is neither less nor greater than anything")));
            }
        }
        if !left.kind.is_comparable_with(&right.kind) {
            return Err(self.error(expression, format!("{:#} cannot be compared with {:#}", left.kind, right.kind)));
        }
        Ok(self.typed(expression, Operation::Compare(comparison, Box::new(left.node), Box::new(right.node)), Type::Bool))
    }

    fn negate(&mut self, expression: &IdedExpr, operand: &IdedExpr) -> Result<Typed, ExpressionError> {
        let operand = self.expression(operand)?;
        if !operand.kind.is_number() && operand.kind != Type::Dyn {
            return Err(self.error(expression, format!("'-' takes a number, and this is {:#}", operand.kind)));
        }
        let kind = operand.kind.clone();
        Ok(self.typed(expression, Operation::Negate(Box::new(operand.node)), kind))
    }

    fn arithmetic(
        &mut self,
        expression: &IdedExpr,
        arithmetic: Arithmetic,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed, ExpressionError> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let Some(kind) = result(arithmetic, &left.kind, &right.kind) else {
            let sign = match arithmetic {
                Arithmetic::Add => "+",
                Arithmetic::Subtract => "-",
                Arithmetic::Multiply => "*",
                Arithmetic::Divide => "/",
                Arithmetic::Remainder => "%",
            };
            let instead = if left.kind.is_number() && right.kind.is_number() { ": convert one with double(...) or int(...)" } else { "" };
            return Err(self.error(expression, format!("there is no '{sign}' of {:#} and {:#}{instead}", left.kind, right.kind)));
        };
        Ok(self.typed(expression, Operation::Arithmetic(arithmetic, Box::new(left.node), Box::new(right.node)), kind))
    }

    fn within(&mut self, expression: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Result<Typed, ExpressionError> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        match &right.kind {
            Type::List(element) if left.kind.is_comparable_with(element) => {}
            Type::List(element) => {
                return Err(self.error(expression, format!("{:#} is never in a list of {element}", left.kind)));
            }
            Type::Map(_) if matches!(left.kind, Type::String | Type::Dyn) => {
                if let Some(key) = left.literal_text() {
                    self.check_key(expression, &right, key)?;
                }
            }
            Type::Map(_) => return Err(self.error(expression, format!("keys of maps are strings, and this is {:#}", left.kind))),
            Type::Dyn => {}
            Type::String => return Err(self.error(expression, "'in' looks into lists and maps: write text.contains(part)")),
            other => return Err(self.error(expression, format!("'in' looks into lists and maps, and this is {other:#}"))),
        }
        Ok(self.typed(expression, Operation::In(Box::new(left.node), Box::new(right.node)), Type::Bool))
    }

    fn index(&mut self, expression: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Result<Typed, ExpressionError> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let kind = match (&left.kind, &right.kind) {
            (Type::List(element), Type::Int | Type::Dyn) => (**element).clone(),
            (Type::List(_), other) => return Err(self.error(expression, format!("a position in a list is an int, and this is {other:#}"))),
            (Type::Map(value), Type::String | Type::Dyn) => (**value).clone(),
            (Type::Map(_), other) => return Err(self.error(expression, format!("keys of maps are strings, and this is {other:#}"))),
            (Type::Dyn, Type::Int | Type::Double | Type::String | Type::Dyn) => Type::Dyn,
            (Type::Dyn, other) => return Err(self.error(expression, format!("nothing is found under {other:#}"))),
            (other, _) => return Err(self.error(expression, format!("{other:#} has no elements"))),
        };
        if let Some(key) = right.literal_text() {
            self.check_key(expression, &left, key)?;
            let key: Box<str> = key.into();
            return Ok(self.typed(expression, Operation::Member(Box::new(left.node), key), kind));
        }
        if let Operation::Literal(Value::Int(position)) = &right.node.operation
            && *position < 0
        {
            return Err(self.error(expression, "positions count from 0"));
        }
        Ok(self.typed(expression, Operation::Index(Box::new(left.node), Box::new(right.node)), kind))
    }
}

/// The type of what an arithmetic operator gives. `None`: it does not take these operands.
fn result(arithmetic: Arithmetic, left: &Type, right: &Type) -> Option<Type> {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    use Type::{Double, Duration, Dyn, Int, List, String, Timestamp};
    Some(match (arithmetic, left, right) {
        (_, Int, Int) => Int,
        (Add | Subtract | Multiply | Divide, Double, Double) => Double,
        (Add, String, String) => String,
        (Add, List(a), List(b)) => List(Box::new((**a).clone().join((**b).clone()))),
        (Add | Subtract, Timestamp, Duration) | (Add, Duration, Timestamp) => Timestamp,
        (Add | Subtract, Duration, Duration) | (Subtract, Timestamp, Timestamp) => Duration,
        (_, Dyn, Dyn) => Dyn,
        // With the other operand unknown, the known one must at least be one that the operator takes somewhere.
        (Remainder, Int, Dyn) | (Remainder, Dyn, Int) => Dyn,
        (Multiply | Divide, Int | Double, Dyn) | (Multiply | Divide, Dyn, Int | Double) => Dyn,
        (Subtract, Int | Double | Timestamp | Duration, Dyn) | (Subtract, Dyn, Int | Double | Timestamp | Duration) => Dyn,
        (Add, Int | Double | String | List(_) | Timestamp | Duration, Dyn)
        | (Add, Dyn, Int | Double | String | List(_) | Timestamp | Duration) => Dyn,
        _ => return None,
    })
}
