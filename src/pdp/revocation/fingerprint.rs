//! Ids as 96 bits of their SHA-256: short enough to hold millions, long enough that nobody finds two that agree.

use aws_lc_rs::digest;

use super::RevocationKind;

/// 96 bits of the SHA-256 of a kind and an id. Two ids that agreed would only mean that one of them is refused without need; to
/// find an id that agrees with a given one takes 2^96 attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// How many bits it has.
    pub const BITS: u32 = 96;

    /// The fingerprint of an id.
    #[must_use]
    pub fn of(kind: RevocationKind, id: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[kind as u8]);
        context.update(id.as_bytes());
        let bytes = context.finish();
        Self(bytes.as_ref().iter().take(Self::BITS as usize / 8).fold(0, |value, byte| value << 8 | u128::from(*byte)))
    }

    /// From its bits; what is beyond them is cut off.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(bits & (u128::MAX >> (u128::BITS - Self::BITS)))
    }

    /// Its bits, the lowest 96 of this number.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.0
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Adds one.
    pub fn insert(&mut self, kind: RevocationKind) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(self, kind: RevocationKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As a number, for storing it.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From what [`Kinds::bits`] gave.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}
