//! Standard output, which may be a pipe whose reader has had enough.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes all of it. A reader that went away early (`| head`) is no failure.
pub(super) fn write(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line. What cannot be written is nobody's loss: the exit status says the same.
pub(super) fn line(text: impl Display) {
    let _ = write(format!("{text}\n").as_bytes());
}

/// Such as `1 route` and `2 routes`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
