//! The paths that a source file names, read without compiling it.

use std::iter::Peekable;
use std::vec::IntoIter;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Other(char),
}

/// All paths of more than one segment, and everything in `use`, as seen from the crate's root: `super::x` in `pdp::token::jws` is
/// `crate::pdp::token::x`. Comments, strings and modules under `#[cfg(test)]` say nothing.
pub fn named_in(module: &str, source: &str) -> Vec<String> {
    let mut tokens = without_tests(tokens(source)).into_iter().peekable();
    let mut paths = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) if word == "use" => use_tree(&mut tokens, &[], &mut paths),
            Token::Word(word) if tokens.peek() == Some(&Token::Colons) => paths.push(path_from(word, &mut tokens)),
            _ => {}
        }
    }
    paths.into_iter().map(|path| from_root(module, &path)).collect()
}

fn path_from(first: String, tokens: &mut Peekable<IntoIter<Token>>) -> Vec<String> {
    let mut path = vec![first];
    while tokens.peek() == Some(&Token::Colons) {
        tokens.next();
        // `Vec::<u8>` goes on with something else than a name.
        let Some(Token::Word(_)) = tokens.peek() else { break };
        if let Some(Token::Word(word)) = tokens.next() {
            path.push(word);
        }
    }
    path
}

/// One branch of `use a::{b, c::{d, e as f}, g::*}`, up to the `,`, `}` or `;` that ends it.
fn use_tree(tokens: &mut Peekable<IntoIter<Token>>, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.peek() {
        match token {
            Token::Word(word) if word == "as" => {
                tokens.next();
                tokens.next();
            }
            Token::Word(word) => {
                // `use a::{self}` names `a`.
                if word != "self" || path.is_empty() {
                    path.push(word.clone());
                }
                tokens.next();
            }
            Token::Colons | Token::Other('*') => {
                tokens.next();
            }
            Token::Other('{') => {
                tokens.next();
                while tokens.peek().is_some_and(|token| *token != Token::Other('}')) {
                    use_tree(tokens, &path, paths);
                    if tokens.peek() == Some(&Token::Other(',')) {
                        tokens.next();
                    }
                }
                tokens.next();
                return;
            }
            Token::Other(_) => break,
        }
    }
    paths.push(path);
}

fn from_root(module: &str, path: &[String]) -> String {
    let mut place: Vec<&str> = std::iter::once("crate").chain(module.split("::")).collect();
    let mut rest = path;
    let mut relative = false;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "super" => {
                place.pop();
            }
            "self" => {}
            _ => break,
        }
        relative = true;
        rest = others;
    }
    if !relative {
        return path.join("::");
    }
    place.into_iter().chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

/// Leaves out `#[cfg(test)] mod name { ... }` and what else stands under `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let word = |text: &str| Token::Word(text.to_string());
    let attribute =
        [Token::Other('#'), Token::Other('['), word("cfg"), Token::Other('('), word("test"), Token::Other(')'), Token::Other(']')];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&attribute) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at = after_item(&tokens, at + attribute.len());
    }
    kept
}

/// The place after an item or a field that begins at `start`.
fn after_item(tokens: &[Token], start: usize) -> usize {
    const ITEMS: [&str; 10] = ["fn", "mod", "impl", "use", "struct", "enum", "const", "static", "trait", "type"];
    let is_item = |token: &Token| matches!(token, Token::Word(word) if ITEMS.contains(&word.as_str()));
    let mut depth = 0_usize;
    let mut item = false;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        item |= is_item(token);
        match token {
            Token::Other('{' | '(' | '[') => depth += 1,
            // What closes here was opened before: the field was the last one.
            Token::Other('}' | ')' | ']') if depth == 0 => return at,
            Token::Other(closing @ ('}' | ')' | ']')) => {
                depth -= 1;
                if depth == 0 && *closing == '}' {
                    return at + 1;
                }
            }
            Token::Other(';') if depth == 0 => return at + 1,
            Token::Other(',') if depth == 0 && !item => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Splits source text, without comments and with literals left out.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        if c == '/' && next == '/' {
            at = skip_while(&chars, at, |c| c != '\n');
        } else if c == '/' && next == '*' {
            at = after_block_comment(&chars, at);
        } else if let Some(end) = after_raw_string(&chars, at) {
            at = end;
        } else if c == '"' {
            at = after_quoted(&chars, at + 1, '"');
        } else if c == '\'' {
            // A lifetime has no closing quote right behind its first character; a character literal has, unless it is an escape.
            let is_literal = next == '\\' || chars.get(at + 2) == Some(&'\'');
            at = if is_literal { after_quoted(&chars, at + 1, '\'') } else { at + 1 };
        } else if is_word(c) {
            let end = skip_while(&chars, at, is_word);
            tokens.push(Token::Word(chars[at..end].iter().collect()));
            at = end;
        } else if c == ':' && next == ':' {
            tokens.push(Token::Colons);
            at += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Other(c));
            }
            at += 1;
        }
    }
    tokens
}

fn skip_while(chars: &[char], start: usize, belongs: impl Fn(char) -> bool) -> usize {
    chars[start..].iter().position(|c| !belongs(*c)).map_or(chars.len(), |length| start + length)
}

fn after_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The place after `r"..."`, `r#"..."#` and the like (`br`, `cr`), if one begins here.
fn after_raw_string(chars: &[char], start: usize) -> Option<usize> {
    if start > 0 && (chars[start - 1].is_alphanumeric() || chars[start - 1] == '_') {
        return None;
    }
    let mut at = start;
    if matches!(chars[at], 'b' | 'c') {
        at += 1;
    }
    if chars.get(at) != Some(&'r') {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    at += 1 + hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let length = chars[at + 1..].windows(end.len()).position(|window| window == end)?;
    Some(at + 1 + length + end.len())
}

fn after_quoted(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

#[test]
fn paths_are_seen_from_the_root() {
    let named = |source: &str| named_in("a::b", source);
    assert_eq!(named("use x::{self, y, z::{w as v, u}, t::*};"), ["x", "x::y", "x::z::w", "x::z::u", "x::t"]);
    assert_eq!(
        named("use super::c; use super::super::d; use self::e; use crate::f;"),
        ["crate::a::c", "crate::d", "crate::a::b::e", "crate::f"]
    );
    assert_eq!(named("pub(crate) use x; fn f() -> g::H<i::J> { k::l::m() }"), ["x", "g::H", "i::J", "k::l::m"]);
    assert_eq!(named("let a: Vec<u8> = Vec::<u8>::new();"), ["Vec"]);
    assert_eq!(
        named("struct S { #[cfg(test)] x: a::B, y: c::D, #[cfg(test)] z: e::F } #[cfg(test)] fn f(g: H, i: J::K) { l::m() } n::o"),
        ["c::D", "n::o"]
    );
    assert_eq!(named("// a::b\n/* /* c::d */ e::f */ \"g::h\\\" i::j\" b'\\'' '\"' r#\"k::l\"# m::n"), ["m::n"]);
}
