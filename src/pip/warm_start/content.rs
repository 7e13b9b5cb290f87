//! What is kept, as pieces of data.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::entries;
use super::head::Piece;
use crate::pdp::revocation::RevocationList;
use crate::pdp::revocation::table::Table;

/// Something that a source gave.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// As it came, to be read again just as carefully.
    Document(Bytes),
    /// In two pieces: the sorted part of it, which can be large and stays the same for long, and what came since.
    Revocations(RevocationList),
}

/// The pieces that are on disk.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub pieces: Vec<Piece>,
    /// What the first piece was made of.
    table: Option<Weak<Table>>,
}

/// The bytes of a piece.
pub(super) enum Data<'d> {
    Here(&'d [u8]),
    /// They were not needed so far.
    Later(&'d dyn Fn() -> Vec<u8>),
}

impl<'d> Data<'d> {
    pub(super) fn bytes(self) -> Cow<'d, [u8]> {
        match self {
            Self::Here(bytes) => Cow::Borrowed(bytes),
            Self::Later(make) => Cow::Owned(make()),
        }
    }
}

impl Stored {
    /// What was read.
    pub(super) fn new(pieces: Vec<Piece>) -> Self {
        Self { pieces, table: None }
    }

    /// The piece that was made of this very table.
    fn of_table(&self, table: &Arc<Table>) -> Option<&Piece> {
        let known = self.table.as_ref()?;
        self.pieces.first().filter(|_| Weak::ptr_eq(known, &Arc::downgrade(table)))
    }
}

impl Content {
    /// Hands over each piece to be stored, with its data in case that is not there yet.
    pub(super) fn store<E>(&self, before: Option<&Stored>, mut put: impl FnMut(&Piece, Data<'_>) -> Result<(), E>) -> Result<Stored, E> {
        match self {
            Self::Document(document) => {
                let piece = Piece::of(document);
                put(&piece, Data::Here(document))?;
                Ok(Stored::new(vec![piece]))
            }
            Self::Revocations(list) => {
                let parts = list.parts();
                let encode = || entries::encode_table(&parts.table);
                let sorted = match before.and_then(|before| before.of_table(&parts.table)) {
                    Some(known) => {
                        put(known, Data::Later(&encode))?;
                        known.clone()
                    }
                    None => {
                        let data = encode();
                        let piece = Piece::of(&data);
                        put(&piece, Data::Here(&data))?;
                        piece
                    }
                };
                let data = entries::encode_recent(&parts);
                let recent = Piece::of(&data);
                put(&recent, Data::Here(&data))?;
                Ok(Stored { pieces: vec![sorted, recent], table: Some(Arc::downgrade(&parts.table)) })
            }
        }
    }
}
