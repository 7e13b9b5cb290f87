//! Functions and comprehensions.

use cel::common::ast::{CallExpr, Expr, IdedExpr};
use jiff::tz::TimeZone;

use super::{Checker, Typed, suggest};
use crate::pdp::policy::condition::expression::ExpressionError;
use crate::pdp::policy::condition::expression::pattern::Pattern;
use crate::pdp::policy::condition::expression::program::{Function, Operation};
use crate::pdp::policy::condition::expression::temporal::{self, Moment, Part};
use crate::pdp::policy::condition::expression::types::Type;
use crate::pdp::policy::condition::expression::value::Value;

/// Every function and macro, for suggestions; with `.` those that are written behind a value.
const KNOWN: &[&str] = &[
    "has",
    "size",
    "int",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "dyn",
    "math.greatest",
    "math.least",
    ".all",
    ".exists",
    ".exists_one",
    ".filter",
    ".map",
    ".size",
    ".startsWith",
    ".endsWith",
    ".contains",
    ".matches",
    ".lowerAscii",
    ".upperAscii",
    ".trim",
    ".split",
    ".getFullYear",
    ".getMonth",
    ".getDayOfYear",
    ".getDayOfMonth",
    ".getDate",
    ".getDayOfWeek",
    ".getHours",
    ".getMinutes",
    ".getSeconds",
    ".getMilliseconds",
];

impl Checker<'_> {
    pub(super) fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Result<Typed, ExpressionError> {
        let name = call.func_name.as_str();
        match &call.target {
            None => {
                if let Some(result) = self.operator(expression, name, &call.args) {
                    return result;
                }
                match (name, call.args.as_slice()) {
                    ("has", [argument]) => self.has(expression, argument),
                    _ => self.conversion(expression, name, &call.args),
                }
            }
            Some(target) if self.is_math(target) => self.extreme(expression, name, &call.args),
            Some(target) => {
                if let Some(result) = self.comprehension(expression, name, target, &call.args) {
                    return result;
                }
                self.method(expression, name, target, &call.args)
            }
        }
    }

    fn unknown_function(&self, expression: &IdedExpr, name: &str, behind: bool) -> ExpressionError {
        let written = if behind { format!(".{name}") } else { name.to_owned() };
        let other = if behind { name.to_owned() } else { format!(".{name}") };
        let plain = |known: &str| known.trim_start_matches('.').to_owned();
        let message = if KNOWN.contains(&written.as_str()) {
            format!("'{name}' does not take that many arguments")
        } else if KNOWN.contains(&other.as_str()) {
            if behind { format!("write {name}(x) instead of x.{name}()") } else { format!("write x.{name}(...) instead of {name}(x, ...)") }
        } else {
            match (name, suggest::nearest(&written, KNOWN)) {
                ("max", _) => "there is no function 'max'; did you mean 'math.greatest'?".to_owned(),
                ("min", _) => "there is no function 'min'; did you mean 'math.least'?".to_owned(),
                (_, Some(nearest)) => format!("there is no function '{name}'; did you mean '{}'?", plain(nearest)),
                (_, None) => {
                    let all: Vec<String> = KNOWN.iter().map(|known| plain(known)).collect();
                    format!("there is no function '{name}': there are {}", all.join(", "))
                }
            }
        };
        self.error(expression, message)
    }

    fn expect(&self, expression: &IdedExpr, function: &str, typed: &Typed, wanted: &[Type]) -> Result<(), ExpressionError> {
        if typed.kind == Type::Dyn || wanted.contains(&typed.kind) {
            return Ok(());
        }
        let wanted: Vec<String> = wanted.iter().map(|kind| format!("{kind:#}")).collect();
        Err(self.error(expression, format!("'{function}' takes {}, and this is {:#}", wanted.join(" or "), typed.kind)))
    }

    fn function(&self, expression: &IdedExpr, function: Function, arguments: Vec<Typed>, kind: Type) -> Typed {
        let arguments = arguments.into_iter().map(|argument| argument.node).collect();
        self.typed(expression, Operation::Call(function, arguments), kind)
    }

    /// Functions that stand before their argument.
    fn conversion(&mut self, expression: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Result<Typed, ExpressionError> {
        use Type::{Bool, Double, Duration, Int, String, Timestamp};
        let (function, wanted, kind): (_, &[Type], _) = match name {
            "size" => (Function::Size, &[], Int),
            "dyn" => (Function::ToDyn, &[], Type::Dyn),
            "int" => (Function::ToInt, &[Int, Double, String, Timestamp], Int),
            "double" => (Function::ToDouble, &[Int, Double, String], Double),
            "string" => (Function::ToString, &[Bool, Int, Double, String, Timestamp, Duration], String),
            "bool" => (Function::ToBool, &[Bool, String], Bool),
            "timestamp" => (Function::ToTimestamp, &[String, Int, Timestamp], Timestamp),
            "duration" => (Function::ToDuration, &[String, Duration], Duration),
            _ => return Err(self.unknown_function(expression, name, false)),
        };
        let [written] = arguments else { return Err(self.unknown_function(expression, name, false)) };
        let argument = self.expression(written)?;
        match function {
            Function::Size => self.expect_sized(expression, &argument)?,
            Function::ToDyn => {}
            _ => self.expect(written, name, &argument, wanted)?,
        }
        // What is written out is read now, so that a mistake in it shows now.
        let constant = match (function, argument.literal_text()) {
            (Function::ToTimestamp, Some(text)) => {
                Some(Moment::parse(text).map(Value::Timestamp).ok_or("this is no point in time: write it like 2026-01-31T08:00:00Z"))
            }
            (Function::ToDuration, Some(text)) => {
                Some(temporal::parse_span(text).map(Value::Duration).ok_or("this is no span of time: write it like 90s, 15m or 1h30m"))
            }
            _ => None,
        };
        match constant {
            Some(Ok(value)) => Ok(self.typed(expression, Operation::Literal(value), kind)),
            Some(Err(message)) => Err(self.error(written, message)),
            None => Ok(self.function(expression, function, vec![argument], kind)),
        }
    }

    fn expect_sized(&self, expression: &IdedExpr, argument: &Typed) -> Result<(), ExpressionError> {
        match &argument.kind {
            Type::String | Type::List(_) | Type::Map(_) | Type::Dyn => Ok(()),
            other => Err(self.error(expression, format!("'size' takes a string, a list or a map, and this is {other:#}"))),
        }
    }

    fn is_math(&self, target: &IdedExpr) -> bool {
        matches!(&target.expr, Expr::Ident(name) if name == "math" && !self.locals.iter().any(|(local, _)| local == name))
    }

    /// `math.greatest(a, b, ...)`, `math.least(a, b, ...)`
    fn extreme(&mut self, expression: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Result<Typed, ExpressionError> {
        let function = match name {
            "greatest" => Function::Greatest,
            "least" => Function::Least,
            _ => return Err(self.error(expression, "'math' has 'greatest' and 'least' only")),
        };
        if arguments.len() < 2 {
            return Err(self.error(expression, format!("'math.{name}' takes two numbers or more")));
        }
        let mut typed = Vec::with_capacity(arguments.len());
        for written in arguments {
            let argument = self.expression(written)?;
            self.expect(written, &format!("math.{name}"), &argument, &[Type::Int, Type::Double])?;
            typed.push(argument);
        }
        let kind = typed.iter().map(|argument| argument.kind.clone()).reduce(Type::join).unwrap_or(Type::Dyn);
        Ok(self.function(expression, function, typed, kind))
    }

    /// Functions that stand behind what they are about.
    fn method(&mut self, expression: &IdedExpr, name: &str, target: &IdedExpr, arguments: &[IdedExpr]) -> Result<Typed, ExpressionError> {
        if let Some(part) = Part::named(name) {
            return self.part(expression, name, part, target, arguments);
        }
        let (function, count, kind) = match name {
            "size" => (Function::Size, 0, Type::Int),
            "startsWith" => (Function::StartsWith, 1, Type::Bool),
            "endsWith" => (Function::EndsWith, 1, Type::Bool),
            "contains" => (Function::Contains, 1, Type::Bool),
            "lowerAscii" => (Function::LowerAscii, 0, Type::String),
            "upperAscii" => (Function::UpperAscii, 0, Type::String),
            "trim" => (Function::Trim, 0, Type::String),
            "split" => (Function::Split, 1, Type::List(Box::new(Type::String))),
            "matches" => return self.matches(expression, target, arguments),
            _ => return Err(self.unknown_function(expression, name, true)),
        };
        if arguments.len() != count {
            return Err(self.unknown_function(expression, name, true));
        }
        let text = self.expression(target)?;
        if function == Function::Size {
            self.expect_sized(expression, &text)?;
        } else if name == "contains" && matches!(text.kind, Type::List(_) | Type::Map(_)) {
            return Err(self.error(expression, "'contains' looks into strings: write 'x in list'"));
        } else {
            self.expect(expression, name, &text, &[Type::String])?;
        }
        let mut typed = vec![text];
        for written in arguments {
            let argument = self.expression(written)?;
            self.expect(written, name, &argument, &[Type::String])?;
            typed.push(argument);
        }
        Ok(self.function(expression, function, typed, kind))
    }

    fn matches(&mut self, expression: &IdedExpr, target: &IdedExpr, arguments: &[IdedExpr]) -> Result<Typed, ExpressionError> {
        let [written] = arguments else { return Err(self.unknown_function(expression, "matches", true)) };
        let text = self.expression(target)?;
        self.expect(expression, "matches", &text, &[Type::String])?;
        let pattern = self.expression(written)?;
        let Some(pattern) = pattern.literal_text() else {
            return Err(
                self.error(written, "the pattern of 'matches' is written out, so that it can be compiled beforehand: r\"^[a-z]+$\"")
            );
        };
        let pattern = Pattern::compile(pattern).map_err(|reason| self.error(written, format!("this pattern cannot be used: {reason}")))?;
        Ok(self.typed(expression, Operation::Matches(Box::new(text.node), pattern), Type::Bool))
    }

    /// `now.getHours("Europe/Berlin")`
    fn part(
        &mut self,
        expression: &IdedExpr,
        name: &str,
        part: Part,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Result<Typed, ExpressionError> {
        let time = self.expression(target)?;
        let wanted: &[Type] = if part.is_of_spans() { &[Type::Timestamp, Type::Duration] } else { &[Type::Timestamp] };
        self.expect(expression, name, &time, wanted)?;
        let zone = match arguments {
            [] => TimeZone::UTC,
            [_] if time.kind == Type::Duration => return Err(self.error(expression, "a duration has no time zone")),
            [written] => {
                let zone = self.expression(written)?;
                let Some(text) = zone.literal_text() else {
                    return Err(self.error(written, "the time zone is written out: \"Europe/Berlin\" or \"+05:30\""));
                };
                temporal::parse_zone(text).ok_or_else(|| {
                    self.error(written, format!("there is no time zone '{text}': write it like \"Europe/Berlin\" or \"+05:30\""))
                })?
            }
            _ => return Err(self.unknown_function(expression, name, true)),
        };
        Ok(self.typed(expression, Operation::Part(part, Box::new(time.node), zone), Type::Int))
    }

    /// `list.all(x, ...)` and its like; `None`: the name is that of no comprehension.
    fn comprehension(
        &mut self,
        expression: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Option<Result<Typed, ExpressionError>> {
        let (variable, bodies) = match (name, arguments) {
            ("all" | "exists" | "exists_one" | "existsOne" | "filter" | "map", [variable, body]) => (variable, [Some(body), None]),
            ("map", [variable, filter, body]) => (variable, [Some(body), Some(filter)]),
            ("all" | "exists" | "exists_one" | "existsOne" | "filter" | "map", _) => {
                return Some(Err(self.error(expression, format!("'{name}' takes a variable and an expression: list.{name}(x, ...)"))));
            }
            _ => return None,
        };
        Some(self.loop_over(expression, name, target, variable, bodies))
    }

    fn loop_over(
        &mut self,
        expression: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        variable: &IdedExpr,
        [body, filter]: [Option<&IdedExpr>; 2],
    ) -> Result<Typed, ExpressionError> {
        let Expr::Ident(local) = &variable.expr else {
            return Err(self.error(variable, format!("this is the name of a variable: list.{name}(x, ...)")));
        };
        let taken = super::Record::Root.members(self.environment).contains(&local.as_str())
            || matches!(local.as_str(), "body" | "math")
            || self.locals.iter().any(|(other, _)| other == local)
            || local.starts_with('.');
        if taken {
            return Err(self.error(variable, format!("'{local}' means something else already: choose another name")));
        }
        let range = self.expression(target)?;
        let element = match &range.kind {
            Type::List(element) => (**element).clone(),
            Type::Map(_) => Type::String,
            Type::Dyn => Type::Dyn,
            other => return Err(self.error(expression, format!("'{name}' goes over lists and maps, and this is {other:#}"))),
        };
        self.locals.push((local.clone(), element.clone()));
        let body = body.map(|body| self.expression(body).map(|typed| (typed, body))).transpose();
        let filter = filter.map(|filter| self.expression(filter).map(|typed| (typed, filter))).transpose();
        self.locals.pop();
        let (body, filter) = (body?, filter?);
        let Some((body, written)) = body else { return Err(self.error(expression, "something is missing here")) };
        let truth = |typed: &Typed, written: &IdedExpr| match &typed.kind {
            Type::Bool | Type::Dyn => Ok(()),
            other => Err(self.error(written, format!("'{name}' asks whether something is true, and this is {other:#}"))),
        };
        if let Some((filter, written)) = &filter {
            truth(filter, written)?;
        }
        let list = |kind: Type| Type::List(Box::new(kind));
        let range = Box::new(range.node);
        if name == "map" {
            let kind = list(body.kind);
            let operation = Operation::Collect(range, filter.map(|(filter, _)| Box::new(filter.node)), Some(Box::new(body.node)));
            return Ok(self.typed(expression, operation, kind));
        }
        truth(&body, written)?;
        let predicate = Box::new(body.node);
        let (operation, kind) = match name {
            "all" => (Operation::All(range, predicate), Type::Bool),
            "exists" => (Operation::Exists(range, predicate), Type::Bool),
            "filter" => (Operation::Collect(range, Some(predicate), None), list(element)),
            _ => (Operation::ExistsOne(range, predicate), Type::Bool),
        };
        Ok(self.typed(expression, operation, kind))
    }
}
