//! Whatever the other conditions cannot say: `when`, an expression in CEL (the Common Expression Language, cel-spec).
//!
//! Text is read by the `cel` crate, so that the grammar is everybody's: operators, precedence, literals and escapes. What it means is decided
//! here, once, when the configuration is loaded: every name and type is checked against what the route has ([`Environment`]), the
//! worst that an evaluation can cost is estimated, and the result is a program in which nothing is left to look up by name. It
//! reads values where they lie ([`Inputs`]), and only those that it mentions.
//!
//! Errors are values, as CEL has it: `error || true` is true and `error && false` is false, in either order. An error that nothing
//! absorbs is [`EvaluationError`], which is never "true".

mod check;
mod cost;
mod environment;
mod evaluate;
mod inputs;
mod pattern;
mod program;
mod scan;
mod syntax;
mod temporal;
mod types;
mod value;

use std::fmt;
use std::sync::Arc;

pub use environment::Environment;
pub use inputs::{Entry, Inputs, ListVariable, TableVariable, TextVariable, TimeVariable};

use program::Node;

/// The longest text of an expression, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;

/// The largest estimate with which an expression is accepted, in steps. A step is about what a comparison takes.
///
/// Enough for a comprehension over anything, for one within another over lists of a token or the directory, and for looking up each
/// element of the body in such a list; too little for one over the body within another over the body.
pub const MAX_ESTIMATE: u64 = 50_000_000;

/// After how many steps an evaluation ends with an error, whatever the estimate was: some 20 milliseconds.
pub const MAX_STEPS: u64 = 1_000_000;

/// A condition that was checked and can be evaluated.
#[derive(Clone)]
pub struct Expression {
    program: Arc<Program>,
}

struct Program {
    text: Box<str>,
    environment: Environment,
    root: Node,
    estimate: u64,
    reads_body: bool,
    targets: Vec<usize>,
}

impl Expression {
    /// Reads and checks an expression against what it can refer to.
    ///
    /// # Errors
    /// It is too long or nested too deep, is not CEL, names what is not there, mixes types, is not a `bool`, or could cost too much.
    pub fn compile(text: &str, environment: &Environment) -> Result<Self, ExpressionError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ExpressionError::general(format!(
                "the expression has {} bytes, and {MAX_TEXT_BYTES} are the most: split it into several conditions",
                text.len()
            )));
        }
        scan::check(text)?;
        let syntax = syntax::parse(text)?;
        let checked = check::check(&syntax, environment)?;
        let estimate = cost::estimate(&checked.root);
        if estimate > MAX_ESTIMATE {
            return Err(ExpressionError::general(format!(
                "with the largest inputs this could take {estimate} steps, and {MAX_ESTIMATE} are the most: avoid going over large lists within each other"
            )));
        }
        let check::Checked { root, reads_body, targets } = checked;
        let program = Program { text: text.into(), environment: environment.clone(), root, estimate, reads_body, targets };
        Ok(Self { program: Arc::new(program) })
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// Something that it needs is absent or not of the right kind, an index or a number is out of range, or it takes too many steps.
    pub fn holds(&self, inputs: &dyn Inputs) -> Result<bool, EvaluationError> {
        evaluate::holds(&self.program.root, inputs)
    }

    /// The text that it was compiled from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.program.text
    }

    /// Whether it reads the body, so that the body must be there, whole and parsed, before it is evaluated.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.program.reads_body
    }

    /// The targets that it reads roles or attributes of, as positions in [`Environment::targets`], ascending: the directory must have
    /// been asked for these. Their ids alone are in the request.
    #[must_use]
    pub fn targets(&self) -> &[usize] {
        &self.program.targets
    }

    /// The most steps that an evaluation is expected to take.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.program.estimate
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.program.text).finish()
    }
}

/// Two expressions are the same if they were written the same for the same environment.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.program.text == other.program.text && self.program.environment == other.program.environment
    }
}

impl Eq for Expression {}

/// A place in the text of an expression, both counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u16,
    /// The column.
    pub column: u16,
}

impl Place {
    /// The place of the character with this number, counted from 0.
    fn of_character(text: &str, number: usize) -> Self {
        let (mut line, mut column) = (1_u16, 1_u16);
        for character in text.chars().take(number) {
            if character == '\n' {
                (line, column) = (line.saturating_add(1), 1);
            } else {
                column = column.saturating_add(1);
            }
        }
        Self { line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why an expression is refused: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// Where in the expression; `None`: all of it.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
}

impl ExpressionError {
    fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }

    fn general(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "at {place} of the expression: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ExpressionError {}

/// Why an evaluation came to no result. Says where and what, and never a value from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvaluationError {
    /// Where in the expression.
    pub place: Place,
    /// What went wrong.
    pub kind: EvaluationErrorKind,
}

/// What can go wrong during an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluationErrorKind {
    /// What is read is not there.
    Absent,
    /// What is read is there, but not in a way that has one meaning: a header that is there twice.
    Unclear,
    /// A value of the body is of another kind than the operation takes.
    WrongKind,
    /// A position that the list does not have.
    OutOfRange,
    /// The result is no value of its type.
    Overflow,
    /// Division or remainder by zero.
    DivisionByZero,
    /// A text that is not what it is converted to.
    Malformed,
    /// A key of a map that is there twice.
    DuplicateKey,
    /// It would take too many steps, or too much memory.
    TooExpensive,
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            EvaluationErrorKind::Absent => "what is read is not there",
            EvaluationErrorKind::Unclear => "what is read is there several times, or not readable",
            EvaluationErrorKind::WrongKind => "a value is not of the right kind",
            EvaluationErrorKind::OutOfRange => "the list has no such position",
            EvaluationErrorKind::Overflow => "the result is out of range",
            EvaluationErrorKind::DivisionByZero => "division by zero",
            EvaluationErrorKind::Malformed => "a text cannot be converted",
            EvaluationErrorKind::DuplicateKey => "a key is there twice",
            EvaluationErrorKind::TooExpensive => "it takes too many steps",
        };
        write!(f, "at {} of the expression: {what}", self.place)
    }
}

impl std::error::Error for EvaluationError {}

#[cfg(test)]
mod tests;
