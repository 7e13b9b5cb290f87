//! How records are bound to one another: each line ends with a hash over the line, in which the hash of the line before stands.
//!
//! A line is one JSON object without white space, its members always in the same order. What is hashed is the line as it stands, up to
//! the last member: nothing has to be brought into a normal form before it can be checked, and any tool can check it.

use std::fmt;
use std::path::Path;

use aws_lc_rs::{digest, hmac};
use serde::Deserialize;

use super::damage::DamageNote;

/// The shortest key, in bytes (RFC 2104 section 3: not below the length of the hash).
const MIN_KEY_BYTES: usize = 32;
/// The longest key file.
const MAX_KEY_BYTES: usize = 4096;

/// A SHA-256 or HMAC-SHA-256, written in lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What stands in the first record of a chain for the one before it.
    pub const NONE: Self = Self([0; 32]);

    /// Reads exactly 64 lower-case digits: one hash has one spelling.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(bytes))
    }

    pub(super) fn of(digest: &digest::Digest) -> Self {
        Self::from_slice(digest.as_ref())
    }

    fn from_slice(slice: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (byte, from) in bytes.iter_mut().zip(slice) {
            *byte = *from;
        }
        Self(bytes)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The end of a chain: the last record that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number; 0: there is none yet.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
}

impl Link {
    /// Where nothing was recorded yet.
    pub const NONE: Self = Self { seq: 0, hash: ChainHash::NONE };
}

/// With what records are bound: a plain hash, which anybody can compute, or one that needs a key.
#[derive(Clone)]
pub struct ChainKey(Option<hmac::Key>);

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ChainKey(..)" } else { "ChainKey(none)" })
    }
}

impl ChainKey {
    /// No key: SHA-256.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A key: HMAC-SHA-256 (RFC 2104).
    ///
    /// # Errors
    /// When it is too short to be a secret.
    pub fn new(key: &[u8]) -> Result<Self, String> {
        if key.len() < MIN_KEY_BYTES {
            return Err(format!(
                "the key has {} bytes, and it needs at least {MIN_KEY_BYTES}; make one with 'openssl rand -hex 32'",
                key.len()
            ));
        }
        Ok(Self(Some(hmac::Key::new(hmac::HMAC_SHA256, key))))
    }

    /// The key in a file: its bytes as they are, without a line end behind them.
    ///
    /// # Errors
    /// When there is no file, or no key in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let in_file = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let length = std::fs::metadata(path).map_err(|error| in_file(&error))?.len();
        if length > MAX_KEY_BYTES as u64 {
            return Err(in_file(&format!("this has {length} bytes and is no key")));
        }
        let bytes = std::fs::read(path).map_err(|error| in_file(&error))?;
        let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        Self::new(key.strip_suffix(b"\r").unwrap_or(key)).map_err(|error| in_file(&error))
    }

    /// Whether it takes a secret to make records.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.0.is_some()
    }

    /// The name of the last member, which tells how it was made.
    fn label(&self) -> &'static str {
        if self.is_secret() { "mac" } else { "hash" }
    }

    fn hash(&self, bytes: &[u8]) -> ChainHash {
        match &self.0 {
            None => ChainHash::of(&digest::digest(&digest::SHA256, bytes)),
            Some(key) => ChainHash::from_slice(hmac::sign(key, bytes).as_ref()),
        }
    }

    /// The line of the record that comes after another one, and the end of the chain that it makes. `members` is what the record says,
    /// without braces.
    pub(super) fn compose(&self, after: &Link, members: &str, damage: Option<&DamageNote>) -> (String, Link) {
        let seq = after.seq.saturating_add(1);
        let mut line = format!("{{\"seq\":{seq},{members}");
        if let Some(DamageNote { bytes, sha256 }) = damage {
            line.push_str(&format!(",\"damage\":{{\"bytes\":{bytes},\"sha256\":\"{sha256}\"}}"));
        }
        line.push_str(&format!(",\"prev\":\"{}\"", after.hash));
        let hash = self.hash(line.as_bytes());
        line.push_str(&format!(",\"{}\":\"{hash}\"}}\n", self.label()));
        (line, Link { seq, hash })
    }

    /// Reads a line without its end, and checks that it is as it was written.
    pub(super) fn check(&self, line: &[u8]) -> Result<ChainRecord, NotARecord> {
        let sealed = Sealed::split(line).ok_or(NotARecord::NoForm)?;
        let fields = serde_json::from_slice::<Fields<'_>>(line).ok();
        if sealed.label != self.label() {
            return Err(NotARecord::OtherSeal { is_secret: !self.is_secret() });
        }
        if self.hash(sealed.content) != sealed.hash {
            return Err(NotARecord::Altered { claims: sealed.hash, seq: fields.map(|fields| fields.seq) });
        }
        let record = fields.and_then(|fields| {
            let prev = ChainHash::parse(fields.prev.as_bytes())?;
            Some(ChainRecord {
                seq: fields.seq,
                time: fields.time.into(),
                event: fields.event.into(),
                records: fields.records.unwrap_or(0),
                damage: fields.damage,
                prev,
                hash: sealed.hash,
            })
        });
        record.ok_or(NotARecord::NoForm)
    }
}

/// A record that is as it was written; whether it stands in its place is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainRecord {
    pub seq: u64,
    pub time: String,
    pub event: String,
    /// How many records it says are missing.
    pub records: u64,
    /// What it says stands before it and is no record.
    pub damage: Option<DamageNote>,
    pub prev: ChainHash,
    pub hash: ChainHash,
}

impl ChainRecord {
    pub fn link(&self) -> Link {
        Link { seq: self.seq, hash: self.hash }
    }
}

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotARecord {
    /// It does not look like one.
    NoForm,
    /// It was made with a key, and there is none to check it with, or the other way round.
    OtherSeal { is_secret: bool },
    /// Its hash is another one than it says.
    Altered { claims: ChainHash, seq: Option<u64> },
}

#[derive(Deserialize)]
struct Fields<'l> {
    seq: u64,
    time: std::borrow::Cow<'l, str>,
    event: std::borrow::Cow<'l, str>,
    records: Option<u64>,
    damage: Option<DamageNote>,
    prev: std::borrow::Cow<'l, str>,
}

/// A line cut into what is hashed and the hash: `...,"hash":"<64 digits>"}`.
struct Sealed<'l> {
    content: &'l [u8],
    label: &'static str,
    hash: ChainHash,
}

impl<'l> Sealed<'l> {
    fn split(line: &'l [u8]) -> Option<Self> {
        let (front, digits) = line.strip_suffix(b"\"}")?.split_last_chunk::<64>()?;
        let hash = ChainHash::parse(digits)?;
        let labels: [(&'static str, &[u8]); 2] = [("hash", b",\"hash\":\""), ("mac", b",\"mac\":\"")];
        let (label, content) = labels.iter().find_map(|(label, text)| Some((*label, front.strip_suffix(*text)?)))?;
        content.starts_with(b"{\"seq\":").then_some(Self { content, label, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ChainKey {
        ChainKey::new(b"0123456789abcdef0123456789abcdef").unwrap()
    }

    const MEMBERS: &str = r#""time":"2026-11-22T08:00:00.000Z","event":"start""#;

    #[test]
    fn a_record_holds_the_hash_of_the_one_before_and_ends_with_its_own() {
        for key in [ChainKey::none(), key()] {
            let (first, one) = key.compose(&Link::NONE, MEMBERS, None);
            let (second, two) = key.compose(&one, MEMBERS, Some(&DamageNote { bytes: 3, sha256: "abc".into() }));
            let record = key.check(first.trim_end().as_bytes()).unwrap();
            assert_eq!((record.link(), record.prev), (one, ChainHash::NONE));
            let record = key.check(second.trim_end().as_bytes()).unwrap();
            assert_eq!((record.link(), record.prev, record.damage.unwrap().bytes), (two, one.hash, 3));
            assert_eq!((one.seq, two.seq), (1, 2));
        }
    }

    #[test]
    fn the_hash_is_what_other_tools_compute() {
        // printf '%s' '{"seq":1,...,"prev":"000..."' | sha256sum, and | openssl dgst -sha256 -hmac KEY
        let (line, _) = ChainKey::none().compose(&Link::NONE, r#""a":1"#, None);
        let zeros = "0".repeat(64);
        assert_eq!(
            line,
            format!(
                "{{\"seq\":1,\"a\":1,\"prev\":\"{zeros}\",\"hash\":\"68b0eed178ee6df443df12715e07cc2dfa46ece6191eec1d02767d5ccb8c3bcb\"}}\n"
            )
        );
        let (line, _) = key().compose(&Link::NONE, r#""a":1"#, None);
        assert_eq!(
            line,
            format!(
                "{{\"seq\":1,\"a\":1,\"prev\":\"{zeros}\",\"mac\":\"1cb276fc185576b23693f51eca6638e020fb03992aa326d4dfd2e73c4098e26b\"}}\n"
            )
        );
    }

    #[test]
    fn another_key_or_none_does_not_do() {
        let (keyed, _) = key().compose(&Link::NONE, MEMBERS, None);
        let (plain, _) = ChainKey::none().compose(&Link::NONE, MEMBERS, None);
        let other = ChainKey::new(b"another-key-another-key-another-k").unwrap();
        assert!(matches!(other.check(keyed.trim_end().as_bytes()), Err(NotARecord::Altered { seq: Some(1), .. })));
        assert_eq!(ChainKey::none().check(keyed.trim_end().as_bytes()).unwrap_err(), NotARecord::OtherSeal { is_secret: true });
        assert_eq!(key().check(plain.trim_end().as_bytes()).unwrap_err(), NotARecord::OtherSeal { is_secret: false });
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(ChainKey::read(&path).unwrap_err().contains("No such file"));
        for (text, said) in [("", "has 0 bytes"), ("short\n", "has 5 bytes"), (&*"x".repeat(5000), "is no key")] {
            std::fs::write(&path, text).unwrap();
            assert!(ChainKey::read(&path).unwrap_err().contains(said), "{said}");
        }
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\r\n").unwrap();
        let (line, link) = key().compose(&Link::NONE, MEMBERS, None);
        assert_eq!(ChainKey::read(&path).unwrap().check(line.trim_end().as_bytes()).unwrap().link(), link);
        assert_eq!(format!("{:?} {:?}", key(), ChainKey::none()), "ChainKey(..) ChainKey(none)");
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(ChainHash::parse(text.as_bytes()).unwrap().to_string(), text);
        for odd in [text.to_uppercase(), text[1..].to_string(), format!("{text}0"), text.replace('f', "g")] {
            assert_eq!(ChainHash::parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
