//! What can be told of a document before it is parsed. It is only ever a reason to refuse: what a document means, the parser says.

/// The most comments that a document may have. Every `#` counts, in strings too, so that nothing has to be understood to count them.
///
/// The parser's lexer takes a step deeper for each comment that follows another one, unless it was optimized well.
pub const MAX_COMMENTS: usize = 500;

/// Whether all services that take the text for a document find the same tokens in it, and whether it is worth being parsed: the
/// parser notes every stray byte and would spend on a document of nothing else ten times what it spends on a good one.
pub(super) fn is_sound(text: &str) -> bool {
    !text.contains(is_read_differently) && is_made_of_tokens(text)
}

/// Characters that do not mean the same to all services. A comment ends at U+2028 and U+2029 for graphql-java, and at a control
/// character for graphql-go; for others whatever follows is still a comment. The specification of 2021 knows no control characters at
/// all, that of 2025 does. A byte order mark can be dropped before or after names are told apart.
fn is_read_differently(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether every string has an end, and everything outside of strings and comments is a character of which tokens are made, where it
/// can stand.
fn is_made_of_tokens(text: &str) -> bool {
    let mut at = 0;
    let mut before = b' ';
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let mut bytes = rest.bytes();
        let (first, second) = (bytes.next().unwrap_or_default(), bytes.next().unwrap_or_default());
        let length = match first {
            b'#' => Some(rest.find(['\n', '\r']).unwrap_or(rest.len())),
            b'"' if rest.starts_with("\"\"\"") => block_string(rest),
            b'"' => string(rest),
            b'-' => second.is_ascii_digit().then_some(1),
            b'+' => (second.is_ascii_digit() && matches!(before, b'e' | b'E')).then_some(1),
            b'$' => (second.is_ascii_alphabetic() || second == b'_').then_some(1),
            _ => Some(rest.bytes().take_while(|byte| is_token_byte(*byte)).count()).filter(|length| *length > 0),
        };
        let Some(length) = length else { return false };
        at += length;
        before = text.as_bytes().get(at - 1).copied().unwrap_or_default();
    }
    true
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_ \t\n\r,!&().:=@[]{|}".contains(&byte)
}

/// The length of the string that the text begins with.
fn string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'\n' | b'\r' => return None,
            _ if escaped && !b"\"\\/bfnrtu".contains(&byte) => return None,
            b'"' if !escaped => return Some(at + 1),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    None
}

/// The length of the block string that the text begins with. Nothing is escaped in it but `\"""`.
fn block_string(text: &str) -> Option<usize> {
    let mut from = 3;
    loop {
        let at = from + text.get(from..)?.find("\"\"\"")?;
        from = at + 3;
        if text.as_bytes().get(at - 1) != Some(&b'\\') {
            return Some(from);
        }
    }
}
