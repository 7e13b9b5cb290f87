//! A look at the text before it is parsed.
//!
//! The parser is recursive, and so is everything behind it. How deep it goes is bounded here, on the characters, so that no text can
//! exhaust the stack; what the lexer would read differently from this look (odd escapes, open quotes) is refused as well.

use super::{ExpressionError, Place};

/// The deepest nesting, each bracket or condition counted as [`BRACKET`], each operator or selection in a chain as one.
const MAX_DEPTH: u32 = 128;
/// What opening a bracket costs: it goes through every level of the grammar.
const BRACKET: u32 = 4;

/// Bounds how deep a text can be nested.
pub(super) fn check(text: &str) -> Result<(), ExpressionError> {
    let characters: Vec<char> = text.chars().collect();
    let mut scan = Scan { text, characters: &characters, position: 0, open: Vec::new(), current: Level::default() };
    while let Some(character) = scan.peek(0) {
        scan.token(character)?;
    }
    Ok(())
}

struct Scan<'t> {
    text: &'t str,
    characters: &'t [char],
    position: usize,
    /// What is around the innermost bracket that is open.
    open: Vec<Level>,
    /// What is in it.
    current: Level,
}

/// How deep what is being read within a bracket already is.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// By the conditions (`?`) before it.
    conditions: u32,
    /// By the chain that it is part of.
    chain: u32,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ExpressionError {
        ExpressionError::at(Place::of_character(self.text, at), message)
    }

    fn token(&mut self, character: char) -> Result<(), ExpressionError> {
        match character {
            '"' | '\'' => return self.string(false),
            '/' if self.peek(1) == Some('/') => {
                while self.peek(0).is_some_and(|next| next != '\n') {
                    self.position += 1;
                }
                return Ok(());
            }
            '&' | '|' => self.current.chain = 0, // the parser keeps these balanced
            ',' => self.current = Level::default(),
            '?' => {
                self.current.conditions += BRACKET;
                self.deeper(0)?;
            }
            '(' | '[' | '{' => {
                self.deeper(BRACKET)?;
                self.open.push(std::mem::take(&mut self.current));
            }
            ')' | ']' | '}' => {
                if let Some(around) = self.open.pop() {
                    self.current = around;
                }
            }
            '`' => return Err(self.error(self.position, "'`' has no meaning here: write m[\"name\"] for an odd name")),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => return self.word(),
            _ if character.is_whitespace() || character == ':' => {}
            _ => self.deeper(1)?,
        }
        self.position += 1;
        Ok(())
    }

    fn word(&mut self) -> Result<(), ExpressionError> {
        let start = self.position;
        while self.peek(0).is_some_and(|next| next.is_ascii_alphanumeric() || next == '_') {
            self.position += 1;
        }
        let word = self.characters.get(start..self.position).unwrap_or_default();
        if matches!(self.peek(0), Some('"' | '\'')) {
            return match word {
                ['r' | 'R'] => self.string(true),
                ['b' | 'B'] | ['b' | 'B', 'r' | 'R'] => Err(self.error(start, "there are no bytes here: write a string, \"...\"")),
                _ => Err(self.error(self.position, "unexpected string")),
            };
        }
        if word == ['i', 'n'] {
            self.deeper(1)?;
        }
        Ok(())
    }

    /// Passes over a string literal, exactly as the grammar delimits it.
    fn string(&mut self, raw: bool) -> Result<(), ExpressionError> {
        let start = self.position;
        let Some(quote) = self.peek(0) else { return Ok(()) };
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.position += if triple { 3 } else { 1 };
        while let Some(character) = self.peek(0) {
            if character == '\\' && !raw {
                self.escape()?;
            } else if triple && character == quote && self.peek(1) == Some(quote) && self.peek(2) == Some(quote) {
                self.position += 3;
                return Ok(());
            } else if !triple && character == quote {
                self.position += 1;
                return Ok(());
            } else if !triple && matches!(character, '\n' | '\r') {
                break;
            } else {
                self.position += 1;
            }
        }
        Err(self.error(start, "this string is not closed"))
    }

    fn escape(&mut self) -> Result<(), ExpressionError> {
        let is = |at: Option<char>, radix: u32| at.is_some_and(|character| character.is_digit(radix));
        let digits = match self.peek(1) {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => 0,
            Some('x' | 'X') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('0'..='3') if is(self.peek(2), 8) && is(self.peek(3), 8) => {
                self.position += 4;
                return Ok(());
            }
            _ => return Err(self.bad_escape()),
        };
        if !(0..digits).all(|number| is(self.peek(2 + number), 16)) {
            return Err(self.bad_escape());
        }
        self.position += 2 + digits;
        Ok(())
    }

    fn bad_escape(&self) -> ExpressionError {
        self.error(self.position, "no such escape: write '\\\\' for a backslash, or r\"...\" for a text without escapes")
    }

    fn deeper(&mut self, by: u32) -> Result<(), ExpressionError> {
        self.current.chain += by;
        if self.open.iter().chain([&self.current]).map(|level| level.conditions + level.chain).sum::<u32>() > MAX_DEPTH {
            return Err(self.error(self.position, "nested too deep from here on: split the expression into several conditions"));
        }
        Ok(())
    }
}
