//! Resolves names and checks types: from what was written to a program.

mod functions;
mod operators;
mod suggest;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as names};

use super::environment::Environment;
use super::inputs::{ListVariable, TableVariable, TextVariable};
use super::program::{Node, Operation};
use super::syntax::Syntax;
use super::types::{Name, Record, Type};
use super::value::Value;
use super::{ExpressionError, Place};

/// A checked expression, and what has to be there for its evaluation.
pub(super) struct Checked {
    pub root: Node,
    pub reads_body: bool,
    pub targets: Vec<usize>,
}

/// Checks a whole expression.
pub(super) fn check(syntax: &Syntax<'_>, environment: &Environment) -> Result<Checked, ExpressionError> {
    let mut checker = Checker { syntax, environment, locals: Vec::new(), reads_body: false, targets: Vec::new() };
    let root = checker.expression(&syntax.root)?;
    let place = Place { line: 1, column: 1 };
    match root.kind {
        Type::Bool => {}
        Type::Dyn => {
            return Err(ExpressionError::at(place, "what this gives is only known when it is evaluated: write '== true' behind it"));
        }
        other => {
            return Err(ExpressionError::at(place, format!("this is {other:#}, and a condition is a bool: compare it with something")));
        }
    }
    let Checker { reads_body, mut targets, .. } = checker;
    targets.sort_unstable();
    targets.dedup();
    Ok(Checked { root: root.node, reads_body, targets })
}

struct Checker<'c> {
    syntax: &'c Syntax<'c>,
    environment: &'c Environment,
    /// The variables of the comprehensions around, the outermost first.
    locals: Vec<(String, Type)>,
    reads_body: bool,
    targets: Vec<usize>,
}

/// A node and the type of what it gives.
struct Typed {
    node: Node,
    kind: Type,
}

impl Typed {
    /// The text that it is, if that is written out.
    fn literal_text(&self) -> Option<&str> {
        if let Operation::Literal(value) = &self.node.operation { value.as_str() } else { None }
    }
}

impl Checker<'_> {
    fn place(&self, expression: &IdedExpr) -> Place {
        self.syntax.place(expression).unwrap_or(Place { line: 1, column: 1 })
    }

    fn error(&self, expression: &IdedExpr, message: impl Into<String>) -> ExpressionError {
        ExpressionError::at(self.place(expression), message)
    }

    fn typed(&self, expression: &IdedExpr, operation: Operation, kind: Type) -> Typed {
        Typed { node: Node { place: self.place(expression), operation }, kind }
    }

    fn expression(&mut self, expression: &IdedExpr) -> Result<Typed, ExpressionError> {
        if let Some(name) = self.name(expression)? {
            return self.named(expression, name);
        }
        match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.local(expression, name),
            Expr::Select(select) => {
                let map = self.expression(&select.operand)?;
                self.member(expression, map, &select.field)
            }
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => {
                let elements = list.elements.iter().map(|element| self.expression(element)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.new_list(expression, elements))
            }
            Expr::Map(map) => self.new_map(expression, map),
            Expr::Struct(_) => Err(self.error(expression, "there are no messages here: write a map, {\"name\": value}")),
            Expr::Comprehension(_) | Expr::Unspecified => Err(self.error(expression, "this is not understood")),
        }
    }

    /// What an expression stands for, if it is nothing but a name of the environment.
    fn name(&self, expression: &IdedExpr) -> Result<Option<Name>, ExpressionError> {
        let (owner, member) = match &expression.expr {
            Expr::Ident(name) if self.locals.iter().any(|(local, _)| local == name) => return Ok(None),
            Expr::Ident(name) => (Record::Root, name.as_str()),
            Expr::Select(select) => match self.name(&select.operand)? {
                Some(Name::Record(record)) => (record, select.field.as_str()),
                _ => return Ok(None),
            },
            // path["user"], targets["user"]
            Expr::Call(CallExpr { func_name, target: None, args }) if func_name == names::INDEX => {
                let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = args.as_slice() else { return Ok(None) };
                match self.name(operand)? {
                    Some(Name::Record(record)) => (record, name.inner()),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        match owner.member(member, self.environment) {
            Some(name) => Ok(Some(name)),
            None => Err(self.error(expression, self.unknown(owner, member))),
        }
    }

    fn unknown(&self, owner: Record, name: &str) -> String {
        let mut members = owner.members(self.environment);
        let what = match owner {
            Record::Root if name == "body" => return "the body cannot be read here: only where the route reads it".to_owned(),
            Record::Root if name == "math" => return "'math' has functions only: write math.greatest(a, b) or math.least(a, b)".to_owned(),
            Record::Root => {
                members.extend(self.locals.iter().map(|(local, _)| local.as_str()));
                format!("there is no '{name}' here")
            }
            Record::Request => format!("'request' has no '{name}'"),
            Record::Principal => format!("'principal' has no '{name}'"),
            Record::Peer => format!("'peer' has no '{name}'"),
            Record::Path => format!("the route's path has no parameter '{name}'"),
            Record::Targets => format!("the route declares no target '{name}'"),
            Record::Target(_) => format!("a target has no '{name}'"),
        };
        match suggest::nearest(name, &members) {
            Some(nearest) => format!("{what}; did you mean '{nearest}'?"),
            None if members.is_empty() => format!("{what}: it has none at all"),
            None => format!("{what}: there are {}", members.join(", ")),
        }
    }

    fn named(&mut self, expression: &IdedExpr, name: Name) -> Result<Typed, ExpressionError> {
        let list = || Type::List(Box::new(Type::String));
        let (operation, kind) = match name {
            Name::Record(record) => {
                let members = record.members(self.environment);
                let members = if members.is_empty() { "it has none here".to_owned() } else { members.join(", ") };
                return Err(self.error(expression, format!("this is no value by itself: name one of its members ({members})")));
            }
            Name::Text(variable) => (Operation::Text(variable), Type::String),
            Name::List(variable) => {
                if let ListVariable::TargetRoles(number) = variable {
                    self.targets.push(number);
                }
                (Operation::List(variable), list())
            }
            Name::Time(variable) => (Operation::Time(variable), Type::Timestamp),
            Name::Table(variable) => {
                if let TableVariable::TargetAttributes(number) = variable {
                    self.targets.push(number);
                }
                (Operation::Table(variable), Type::Map(Box::new(Type::String)))
            }
            Name::CrossedTenants => (Operation::CrossedTenants, Type::Bool),
            Name::Body => {
                self.reads_body = true;
                (Operation::Body, Type::Dyn)
            }
        };
        Ok(self.typed(expression, operation, kind))
    }

    fn local(&self, expression: &IdedExpr, name: &str) -> Result<Typed, ExpressionError> {
        match self.locals.iter().enumerate().find(|(_, (local, _))| local == name) {
            Some((depth, (_, kind))) => Ok(self.typed(expression, Operation::Local(depth), kind.clone())),
            None => Err(self.error(expression, self.unknown(Record::Root, name))),
        }
    }

    fn literal(&self, expression: &IdedExpr, literal: &LiteralValue) -> Result<Typed, ExpressionError> {
        let (value, kind) = match literal {
            LiteralValue::Null => (Value::Null, Type::Null),
            LiteralValue::Boolean(value) => (Value::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Value::Int(*value.inner()), Type::Int),
            LiteralValue::Double(value) => (Value::Double(*value.inner()), Type::Double),
            LiteralValue::String(value) => (Value::String(value.inner().to_owned().into()), Type::String),
            LiteralValue::UInt(_) => return Err(self.error(expression, "there are no unsigned numbers here: leave the 'u' out")),
            LiteralValue::Bytes(_) => return Err(self.error(expression, "there are no bytes here: write a string, \"...\"")),
        };
        Ok(self.typed(expression, Operation::Literal(value), kind))
    }

    /// `map.name`
    fn member(&self, expression: &IdedExpr, map: Typed, name: &str) -> Result<Typed, ExpressionError> {
        let kind = match &map.kind {
            Type::Map(value) => (**value).clone(),
            Type::Dyn => Type::Dyn,
            other => return Err(self.error(expression, format!("{other:#} has no members, and so no '{name}'"))),
        };
        self.check_key(expression, &map, name)?;
        Ok(self.typed(expression, Operation::Member(Box::new(map.node), name.into()), kind))
    }

    /// A key that a map can never have is a mistake.
    fn check_key(&self, expression: &IdedExpr, map: &Typed, key: &str) -> Result<(), ExpressionError> {
        if matches!(map.node.operation, Operation::Table(TableVariable::Headers)) && key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let lower = key.to_ascii_lowercase();
            return Err(self.error(expression, format!("names of headers are in lower case here: write \"{lower}\"")));
        }
        Ok(())
    }

    fn new_list(&self, expression: &IdedExpr, elements: Vec<Typed>) -> Typed {
        let mut kinds = elements.iter().map(|element| element.kind.clone());
        let first = kinds.next().unwrap_or(Type::Dyn);
        let kind = Type::List(Box::new(kinds.fold(first, Type::join)));
        let nodes: Vec<Node> = elements.into_iter().map(|element| element.node).collect();
        // A list of constants is made once, here, and not whenever it is looked into.
        let operation = match constants(nodes) {
            Ok(values) => Operation::Literal(Value::List(values.into())),
            Err(nodes) => Operation::NewList(nodes),
        };
        self.typed(expression, operation, kind)
    }

    fn new_map(&mut self, expression: &IdedExpr, map: &cel::common::ast::MapExpr) -> Result<Typed, ExpressionError> {
        use cel::common::ast::EntryExpr;
        let mut entries = Vec::with_capacity(map.entries.len());
        let mut kind: Option<Type> = None;
        let mut keys: Vec<String> = Vec::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { return Err(self.error(expression, "this is not understood")) };
            let key = self.expression(&entry.key)?;
            if key.kind != Type::String {
                return Err(self.error(&entry.key, format!("keys of maps are strings here, and this is {:#}", key.kind)));
            }
            if let Some(text) = key.literal_text() {
                if keys.iter().any(|other| other == text) {
                    return Err(self.error(&entry.key, format!("the key '{text}' is there twice")));
                }
                keys.push(text.to_owned());
            }
            let value = self.expression(&entry.value)?;
            kind = Some(match kind {
                Some(kind) => kind.join(value.kind),
                None => value.kind,
            });
            entries.push((key.node, value.node));
        }
        let kind = Type::Map(Box::new(kind.unwrap_or(Type::Dyn)));
        Ok(self.typed(expression, Operation::NewMap(entries), kind))
    }

    /// `has(x.name)`
    fn has(&mut self, expression: &IdedExpr, argument: &IdedExpr) -> Result<Typed, ExpressionError> {
        let Expr::Select(select) = &argument.expr else {
            let instead = "write has(x.name); for a name with other characters, '\"na-me\" in x'";
            return Err(self.error(argument, format!("'has' asks for a member: {instead}")));
        };
        if let Some(Name::Record(_)) = self.name(&select.operand)? {
            let operation = match self.name(argument)? {
                Some(Name::Text(variable)) => Operation::HasText(variable),
                Some(Name::Time(variable)) => Operation::HasTime(variable),
                // Lists and tables are always there, if empty.
                _ => Operation::Literal(Value::Bool(true)),
            };
            return Ok(self.typed(expression, operation, Type::Bool));
        }
        let map = self.expression(&select.operand)?;
        match &map.kind {
            Type::Map(_) | Type::Dyn => {}
            other => return Err(self.error(argument, format!("{other:#} has no members, and so no '{}'", select.field))),
        }
        self.check_key(argument, &map, &select.field)?;
        Ok(self.typed(expression, Operation::HasMember(Box::new(map.node), select.field.as_str().into()), Type::Bool))
    }

    /// Whether an expression is a text of the request that is only known to be there by `has`; for messages.
    fn is_optional(node: &Node) -> bool {
        matches!(node.operation, Operation::Text(variable) if !matches!(variable, TextVariable::Method | TextVariable::RequestPath))
            || matches!(node.operation, Operation::Time(_))
    }
}

/// The values of nodes that are all constants; else the nodes.
fn constants(nodes: Vec<Node>) -> Result<Vec<Value<'static>>, Vec<Node>> {
    if !nodes.iter().all(|node| matches!(node.operation, Operation::Literal(_))) {
        return Err(nodes);
    }
    Ok(nodes.into_iter().filter_map(|node| if let Operation::Literal(value) = node.operation { Some(value) } else { None }).collect())
}
