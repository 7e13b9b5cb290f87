//! An array of statuses of one width, and its compressed form (draft-ietf-oauth-status-list-20 section 4).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::{Decompress, FlushDecompress, Status};

/// The most bytes that a list may have when it is decompressed: 128 million entries of one bit.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The first allocation for them. Memory grows with what was decompressed, never with what a list claims to be.
const FIRST_BYTES: usize = 64 * 1024;

/// How many bits one status takes: as many as fit into a byte without one being on both sides of a border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// VALID and INVALID.
    One,
    /// SUSPENDED besides, and one more.
    Two,
    /// 16 statuses.
    Four,
    /// 256 statuses.
    Eight,
}

impl Width {
    /// Of the member `bits`.
    #[must_use]
    pub fn of_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            1 => Self::One,
            2 => Self::Two,
            4 => Self::Four,
            8 => Self::Eight,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    const fn mask(self) -> u8 {
        match self {
            Self::One => 0b1,
            Self::Two => 0b11,
            Self::Four => 0b1111,
            Self::Eight => u8::MAX,
        }
    }

    /// What a byte holds, from its least significant bit on.
    fn statuses_of(self, byte: u8) -> impl Iterator<Item = u8> {
        (0..8 / self.bits()).map(move |place| (byte >> (place * self.bits())) & self.mask())
    }
}

/// Why an encoded array is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingError {
    /// It is not canonical base64url of exactly one whole ZLIB stream (RFC 1950) with the right checksum.
    Damaged,
    /// It has more than [`MAX_BYTES`] when it is decompressed.
    TooLarge,
}

/// Statuses, one after the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Statuses {
    width: Width,
    bytes: Box<[u8]>,
    /// How many of them are not VALID.
    revoked: usize,
}

impl std::fmt::Debug for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statuses").field("width", &self.width).field("len", &self.len()).finish()
    }
}

impl Statuses {
    /// From the array itself.
    #[must_use]
    pub fn new(width: Width, bytes: Box<[u8]>) -> Self {
        let revoked =
            bytes.iter().filter(|byte| **byte != 0).map(|byte| width.statuses_of(*byte).filter(|status| *status != 0).count()).sum();
        Self { width, bytes, revoked }
    }

    /// From the member `lst`: base64url without padding (RFC 7515 section 2) of a ZLIB stream.
    ///
    /// # Errors
    /// When it is anything else, or has bytes behind it, or is too large.
    pub fn decode(width: Width, lst: &str) -> Result<Self, EncodingError> {
        let compressed = URL_SAFE_NO_PAD.decode(lst).map_err(|_| EncodingError::Damaged)?;
        Ok(Self::new(width, inflate(&compressed)?.into_boxed_slice()))
    }

    /// The status at this place, counted from zero and within a byte from its least significant bit; `None` beyond the end.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<u8> {
        let per_byte = u64::from(8 / self.width.bits());
        let byte = self.bytes.get(usize::try_from(index / per_byte).ok()?)?;
        self.width.statuses_of(*byte).nth(usize::try_from(index % per_byte).ok()?)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() * usize::from(8 / self.width.bits())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many of them are not VALID.
    #[must_use]
    pub fn revoked(&self) -> usize {
        self.revoked
    }
}

/// Decompresses exactly one ZLIB stream. The bytes are counted while they come, so what is too large is left where that shows.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let mut stream = Decompress::new(true);
    let mut bytes = Vec::new();
    loop {
        if bytes.len() == bytes.capacity() {
            // One byte more than allowed has room, to tell a list that just fits from one that does not.
            let most = (MAX_BYTES + 1).saturating_sub(bytes.len());
            bytes.reserve_exact(bytes.len().max(FIRST_BYTES).min(most));
        }
        let consumed = usize::try_from(stream.total_in()).map_err(|_| EncodingError::TooLarge)?;
        let rest = compressed.get(consumed..).ok_or(EncodingError::Damaged)?;
        let before = bytes.len();
        let status = stream.decompress_vec(rest, &mut bytes, FlushDecompress::None).map_err(|_| EncodingError::Damaged)?;
        if bytes.len() > MAX_BYTES {
            return Err(EncodingError::TooLarge);
        }
        if status == Status::StreamEnd {
            let whole = usize::try_from(stream.total_in()) == Ok(compressed.len());
            return if whole { Ok(bytes) } else { Err(EncodingError::Damaged) };
        }
        // There was room, and nothing came of what was left: the stream is cut off.
        if bytes.len() == before && bytes.len() < bytes.capacity() && usize::try_from(stream.total_in()) == Ok(consumed) {
            return Err(EncodingError::Damaged);
        }
    }
}
