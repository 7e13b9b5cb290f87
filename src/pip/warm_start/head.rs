//! The small file that says what is kept for a source: two lines, one of JSON and the checksum of that.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::pdp::token::profile::SourceId;

/// The only form that is written and read. Another one is refused, and written over by the next confirmation.
const FORMAT: &str = "portcullis-warm-start/1";

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A JWK set.
    Keys,
    /// A revocation list.
    Revocations,
    /// A status list, as it was signed.
    StatusList,
    /// Roles that tenants defined.
    TenantRoles,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Keys, Self::Revocations, Self::StatusList, Self::TenantRoles];

    /// Its name in file names, and as a metric label: that of the feed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Revocations => "revocations",
            Self::StatusList => "status_list",
            Self::TenantRoles => "tenant_roles",
        }
    }
}

/// Names what is kept: of which kind, and from which source. The source's id covers everything that the data depends on, so another
/// configuration never takes it for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub kind: Kind,
    pub source: SourceId,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:032x}", self.kind.as_str(), self.source.0)
    }
}

impl Name {
    /// Reads what [`Name`]'s `Display` wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, source) = text.split_once('-')?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let name = Self { kind, source: SourceId(u128::from_str_radix(source, 16).ok()?) };
        // Neither '+' nor capitals nor missing zeros.
        (name.to_string() == text).then_some(name)
    }
}

/// What a file of data must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piece {
    /// SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
}

impl Piece {
    pub(super) fn of(data: &[u8]) -> Self {
        Self { sha256: sha256(data), bytes: data.len() as u64 }
    }

    /// The name of its file: data is never written over by other data.
    pub(super) fn file_name(&self, name: Name) -> String {
        let short: String = self.sha256.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        format!("{name}.{short}.data")
    }
}

/// What is known of the data that is kept for a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    format: String,
    kind: Kind,
    source: String,
    /// The files that the data is in, in their order.
    pub pieces: Vec<Piece>,
    /// When the source last said that this is how things are.
    pub confirmed: Moment,
    /// Up to where the source had been read.
    pub cursor: Option<String>,
    /// What the source calls this version.
    pub etag: Option<String>,
}

impl Head {
    pub(super) fn new(name: Name, pieces: Vec<Piece>, confirmed: Moment, cursor: Option<String>, etag: Option<String>) -> Self {
        Self { format: FORMAT.into(), kind: name.kind, source: format!("{:032x}", name.source.0), pieces, confirmed, cursor, etag }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        let checksum = sha256(&text);
        text.extend_from_slice(checksum.as_bytes());
        text.push(b'\n');
        Ok(text)
    }

    /// Reads what [`Head::encode`] wrote for this name, to the byte.
    pub(super) fn decode(name: Name, bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
        let (text, checksum) = bytes.split_at(end + 1);
        if checksum.strip_suffix(b"\n") != Some(sha256(text).as_bytes()) {
            return Err("its checksum does not fit".into());
        }
        let head: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if head.format != FORMAT {
            return Err(format!("it is of the form '{}', and this version reads '{FORMAT}'", head.format));
        }
        if head.kind != name.kind || head.source != format!("{:032x}", name.source.0) {
            return Err("it is about another source".into());
        }
        Ok(head)
    }
}

fn sha256(data: &[u8]) -> String {
    digest::digest(&digest::SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { kind: Kind::Revocations, source: SourceId(0xabc) };

    fn head() -> Head {
        let pieces = vec![Piece::of(b"table"), Piece::of(b"")];
        Head::new(NAME, pieces, Moment::now(), Some("c 1".into()), None)
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(NAME.to_string(), "revocations-00000000000000000000000000000abc");
        assert_eq!(Name::parse(&NAME.to_string()), Some(NAME));
        for other in [
            "",
            "revocations",
            "revocations-abc",
            "revocations-00000000000000000000000000000ABC",
            "revocations-+0000000000000000000000000000abc",
            "roles-00000000000000000000000000000abc",
            "keys-000000000000000000000000000000abc",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_for_its_own_source_only() {
        let bytes = head().encode().unwrap();
        let read = Head::decode(NAME, &bytes).unwrap();
        assert_eq!((read.pieces, read.cursor, read.etag), (head().pieces, Some("c 1".into()), None));
        assert!(Head::decode(Name { kind: Kind::Keys, ..NAME }, &bytes).is_err());
        assert!(Head::decode(Name { source: SourceId(0xabd), ..NAME }, &bytes).is_err());
    }

    #[test]
    fn no_byte_of_a_head_can_be_changed_lost_or_added() {
        let bytes = head().encode().unwrap();
        for index in 0..bytes.len() {
            assert!(Head::decode(NAME, &bytes[..index]).is_err(), "cut at {index}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                assert!(Head::decode(NAME, &changed).is_err(), "bit {bit} of byte {index}");
            }
        }
        for more in [&b"\n"[..], b" ", b"x"] {
            assert!(Head::decode(NAME, &[&bytes, more].concat()).is_err());
            assert!(Head::decode(NAME, &[more, &bytes].concat()).is_err());
        }
    }

    #[test]
    fn another_form_is_refused_although_its_checksum_fits() {
        let mut other = head();
        other.format = "portcullis-warm-start/2".into();
        assert!(Head::decode(NAME, &other.encode().unwrap()).unwrap_err().contains("portcullis-warm-start/2"));
    }
}
