//! From text to a syntax tree, by the `cel` crate.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::{Env, ParseError};

use super::{ExpressionError, Place};

/// The tree of an expression, as it was written: macros are still calls.
pub(super) struct Syntax<'t> {
    text: &'t str,
    source: SourceInfo,
    /// Its root.
    pub root: IdedExpr,
}

impl Syntax<'_> {
    /// Where a node stands; `None` where the parser did not note it.
    pub fn place(&self, node: &IdedExpr) -> Option<Place> {
        let (start, _) = self.source.offset_for(node.id)?;
        // The parser counts bytes.
        let before = self.text.get(..usize::try_from(start).ok()?)?;
        Some(Place::of_character(self.text, before.chars().count()))
    }
}

/// Parses a text that passed [`super::scan`].
pub(super) fn parse(text: &str) -> Result<Syntax<'_>, ExpressionError> {
    // Without macros and optional values: what they mean is decided by `check`, which also knows better messages.
    let parser = Env::default().with_optional_support(false).parser();
    match parser.parse_with_source_info(text) {
        Ok((root, source)) => Ok(Syntax { text, source, root }),
        Err(errors) => Err(errors.errors.first().map_or_else(|| ExpressionError::general("this is not CEL"), |error| explain(error, text))),
    }
}

/// What the parser says, in words for those who do not know its grammar.
fn explain(error: &ParseError, text: &str) -> ExpressionError {
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    // "mismatched input 'x' expecting {...}", "extraneous input 'x' ...", "token recognition error at: 'x'", "no viable alternative at input 'x'"
    // "missing 'x' at 'y'"
    let missing = message.strip_prefix("missing '").and_then(|rest| rest.split_once("' at '"));
    let offending = message.split_once('\'').and_then(|(_, rest)| {
        let rest = rest.split(" expecting ").next().unwrap_or(rest);
        rest.rsplit_once('\'').map(|(token, _)| token.trim())
    });
    let end = offending == Some("<EOF>");
    let what = if let Some(name) = message.strip_prefix("reserved identifier: ") {
        format!("'{name}' is a reserved word: choose another name")
    } else if message.starts_with("invalid ") {
        format!("{message}: it is out of range")
    } else if let Some((missing, at)) = missing {
        let before = at.strip_suffix('\'').unwrap_or(at);
        let place = if before == "<EOF>" { "at the end".to_owned() } else { format!("before '{before}'") };
        format!("'{missing}' is missing {place}")
    } else if end && text.trim().is_empty() {
        "the expression is empty: write what has to be true".to_owned()
    } else if end {
        "the expression ends too early: something is missing or not closed".to_owned()
    } else {
        match offending {
            Some("=") => "unexpected '=': write '==' to compare".to_owned(),
            Some("&") => "unexpected '&': write '&&'".to_owned(),
            Some("|") => "unexpected '|': write '||'".to_owned(),
            Some(token @ (".?" | "[?" | "?")) => format!("unexpected '{token}': write has(x.name) to know whether it is there"),
            Some("and") => "unexpected 'and': write '&&'".to_owned(),
            Some("or") => "unexpected 'or': write '||'".to_owned(),
            Some("not") => "unexpected 'not': write '!'".to_owned(),
            Some(token) => format!("unexpected '{}'", token.escape_debug().take(40).collect::<String>()),
            None => "this is not CEL".to_owned(),
        }
    };
    let at = |number: isize| u16::try_from(number).ok().filter(|number| *number > 0);
    match (at(error.pos.0), at(error.pos.1)) {
        (Some(line), Some(column)) => ExpressionError::at(Place { line, column }, what),
        _ => ExpressionError::general(what),
    }
}
