//! What an expression is compiled to: every name resolved, every type checked, every constant read.

use jiff::tz::TimeZone;

use super::Place;
use super::inputs::{ListVariable, TableVariable, TextVariable, TimeVariable};
use super::pattern::Pattern;
use super::temporal::Part;
use super::value::Value;

/// An operation and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub place: Place,
    pub operation: Operation,
}

/// The operations. What their operands are was checked, except where these are `dyn`.
#[derive(Debug)]
pub(super) enum Operation {
    Literal(Value<'static>),
    Text(TextVariable),
    List(ListVariable),
    Time(TimeVariable),
    Table(TableVariable),
    CrossedTenants,
    Body,
    /// The variable of the comprehension at this depth, the outermost being 0.
    Local(usize),
    HasText(TextVariable),
    HasTime(TimeVariable),
    /// Whether a map has this key.
    HasMember(Box<Node>, Box<str>),
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Equal(Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Pattern),
    Part(Part, Box<Node>, TimeZone),
    NewList(Vec<Node>),
    NewMap(Vec<(Node, Node)>),
    All(Box<Node>, Box<Node>),
    Exists(Box<Node>, Box<Node>),
    ExistsOne(Box<Node>, Box<Node>),
    /// Of every element for which the second holds (if there is a second), the third, or the element itself.
    Collect(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Functions of values alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    ToInt,
    ToDouble,
    ToString,
    ToBool,
    ToTimestamp,
    ToDuration,
    ToDyn,
    Greatest,
    Least,
}
