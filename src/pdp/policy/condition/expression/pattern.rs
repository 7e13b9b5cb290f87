//! The patterns of `matches`: compiled once, in linear time of the text, and of a bounded size.

use regex::{Regex, RegexBuilder};

/// The sizes that are tried, in bytes; the first that fits says how much a byte of text can cost. The last is the largest allowed.
const SIZES: [usize; 4] = [4 << 10, 8 << 10, 16 << 10, 32 << 10];

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    /// Steps for a byte of text, at worst.
    pub steps_per_byte: u64,
}

impl Pattern {
    /// Compiles a pattern in the syntax of RE2.
    ///
    /// # Errors
    /// It is malformed or too large; says which.
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let pattern = ascii_classes(pattern)?;
        for size in SIZES {
            match RegexBuilder::new(&pattern).size_limit(size).dfa_size_limit(1 << 20).nest_limit(32).build() {
                Ok(regex) => return Ok(Self { regex, steps_per_byte: u64::try_from(size / 512).unwrap_or(u64::MAX) }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    let text = error.to_string();
                    let reason = text.rsplit("error: ").next().unwrap_or_default().trim().to_owned();
                    return Err(if reason.is_empty() { "it is not a regular expression".to_owned() } else { reason });
                }
            }
        }
        Err("it is too large: bound its repetitions and shorten it".to_owned())
    }

    /// Whether the pattern is found anywhere in a text.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// `\d`, `\w`, `\s` are about ASCII, as in RE2: a digit of another script must not pass for one.
fn ascii_classes(pattern: &str) -> Result<String, String> {
    let mut result = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => result.push_str("[0-9]"),
            Some('D') => result.push_str("[^0-9]"),
            Some('w') => result.push_str("[0-9A-Za-z_]"),
            Some('W') => result.push_str("[^0-9A-Za-z_]"),
            Some('s') => result.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => result.push_str("[^\\t\\n\\f\\r ]"),
            Some(unsupported @ ('b' | 'B' | 'p' | 'P')) => {
                return Err(format!("there is no '\\{unsupported}' here: write out the characters, such as [a-z0-9]"));
            }
            Some(other) => result.extend(['\\', other]),
            None => result.push('\\'),
        }
    }
    Ok(result)
}
