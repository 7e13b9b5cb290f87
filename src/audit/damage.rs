//! What stands between two records and is none: half a line that a crash or a full disk left behind, or what somebody else wrote.
//!
//! It is never cut away. The next record says how long it is and what its hash is, so that it cannot be changed any more either.

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;

use super::chain::ChainHash;

/// What a record says of the damage before it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DamageNote {
    /// How long it is, without the line end before the record.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// Damage as it adds up. One line end behind it does not belong to it: that is there so that the record begins a line of its own.
#[derive(Clone)]
pub(super) struct Damage {
    context: Context,
    bytes: u64,
    line_end: bool,
    is_there: bool,
}

impl std::fmt::Debug for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Damage({} bytes)", self.bytes)
    }
}

impl Default for Damage {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0, line_end: false, is_there: false }
    }
}

impl Damage {
    /// Adds what comes next.
    pub fn push(&mut self, bytes: &[u8]) {
        let Some((last, front)) = bytes.split_last() else { return };
        self.is_there = true;
        if std::mem::take(&mut self.line_end) {
            self.count(b"\n");
        }
        self.count(front);
        if *last == b'\n' {
            self.line_end = true;
        } else {
            self.count(&[*last]);
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    /// What the next record has to say; `None`: there is no damage.
    pub fn note(&self) -> Option<DamageNote> {
        self.is_there.then(|| DamageNote { bytes: self.bytes, sha256: ChainHash::of(&self.context.clone().finish()).to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(pieces: &[&str]) -> Option<DamageNote> {
        let mut damage = Damage::default();
        pieces.iter().for_each(|piece| damage.push(piece.as_bytes()));
        damage.note()
    }

    #[test]
    fn damage_is_the_same_however_it_came_about_and_without_the_last_line_end() {
        assert_eq!(note(&[]), None);
        assert_eq!(note(&[""]), None);
        let half = note(&["abc"]).unwrap();
        assert_eq!((half.bytes, &half.sha256[..8]), (3, "ba7816bf"));
        for pieces in [&["a", "bc"][..], &["abc\n"], &["ab", "c", "\n"]] {
            assert_eq!(note(pieces), Some(half.clone()));
        }
        assert_eq!(note(&["abc\n", "\n"]), note(&["abc\n\n"]));
        assert_eq!(note(&["abc\n\n"]).unwrap().bytes, 4);
        assert_eq!(note(&["\n"]).unwrap().bytes, 0);
    }
}
