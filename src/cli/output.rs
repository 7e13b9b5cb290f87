//! Standard output, which may be a pipe whose reader has had enough.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Writes all of it. A reader that went away early (`| head`) is no failure.
pub(super) fn write(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Whether colours are of use: on a terminal, unless its user wants none (<https://no-color.org>).
pub(super) fn has_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a text. What cannot be written is nobody's loss: the exit status says the same.
pub(super) fn say(text: impl Display) {
    let _ = write(text.to_string().as_bytes());
}

/// Writes a line, as [`say`] does.
pub(super) fn line(text: impl Display) {
    say(format_args!("{text}\n"));
}

/// Such as `1 route` and `2 routes`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
