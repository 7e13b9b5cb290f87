//! Standard output, which may be a pipe whose reader has had enough.

use std::io::{self, ErrorKind, Write};

/// Writes all of it. A reader that went away early (`| head`) is no failure.
pub(super) fn write(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
