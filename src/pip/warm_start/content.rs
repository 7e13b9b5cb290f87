//! What is kept, as pieces of data.

use std::borrow::Cow;

use bytes::Bytes;

use super::head::Piece;

/// Something that a source gave.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// As it came, to be read again just as carefully.
    Document(Bytes),
}

/// The pieces that are on disk.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub pieces: Vec<Piece>,
}

impl Content {
    /// Hands over each piece to be stored, with its data in case that is not there yet.
    pub(super) fn store<'c, E>(
        &'c self,
        _before: Option<&Stored>,
        mut put: impl FnMut(&Piece, &dyn Fn() -> Cow<'c, [u8]>) -> Result<(), E>,
    ) -> Result<Stored, E> {
        match self {
            Self::Document(document) => {
                let piece = Piece::of(document);
                put(&piece, &|| Cow::Borrowed(document))?;
                Ok(Stored { pieces: vec![piece] })
            }
        }
    }
}
