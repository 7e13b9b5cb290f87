//! What the feed answers, read straight into what stays of it: a million entries are never held as text besides the body.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::pdp::revocation::{Batch, Revocation};
use crate::pdp::time::UnixTime;
use crate::pip::revocation::entry;

/// So many of an answer's publication times are kept. They are for a histogram, which more would not make any truer.
const MAX_TIMES: usize = 10_000;

/// An answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// Up to where it reaches.
    pub cursor: String,
    /// Whether these are all entries, or those since the cursor of the question.
    pub full: bool,
    /// The entries.
    pub entries: Entries,
}

/// The entries of an answer.
#[derive(Debug, Default)]
pub(in crate::pip::revocation) struct Entries {
    pub batch: Batch,
    /// When they were published, as far as they say so.
    pub published: Vec<UnixTime>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    before: Option<f64>,
    expires: Option<f64>,
    at: Option<f64>,
}

impl Entries {
    /// An entry that cannot be read fails the whole answer: leaving it out would be a revocation that nobody enforces.
    fn push(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        let Entry { kind, id, before, expires, at } = entry;
        let (kind, id) = (entry::kind(kind)?, entry::id(id)?);
        self.batch.push(&Revocation { kind, id, before: time(*before)?, expires: time(*expires)? });
        if self.published.len() < MAX_TIMES {
            self.published.extend(time(*at)?);
        }
        Ok(())
    }
}

fn time(seconds: Option<f64>) -> Result<Option<UnixTime>, String> {
    seconds.map(entry::time).transpose()
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some(entry) = list.next_element::<Entry<'de>>()? {
                    entries.push(&entry).map_err(A::Error::custom)?;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entry: &str) -> Result<Answer, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"cursor":"c","full":true,"entries":[{entry}]}}"#))
    }

    #[test]
    fn entries_are_read_whole() {
        let answer =
            read(r#"{"type":"sid","id":"s\u0031"},{"type":"sub","id":"u","before":17.5,"expires":20,"at":1.25,"more":{}}"#).unwrap();
        assert_eq!((answer.cursor.as_str(), answer.full, answer.entries.batch.len()), ("c", true, 2));
        assert_eq!(answer.entries.published, [UnixTime::from_millis(1250)]);
    }

    #[test]
    fn an_entry_that_cannot_be_enforced_fails_the_answer() {
        for entry in [
            r#"{"type":"session","id":"s"}"#,
            r#"{"type":"sid","id":""}"#,
            r#"{"type":"sid"}"#,
            r#"{"id":"s"}"#,
            r#"{"type":"sid","id":7}"#,
            r#"{"type":"sid","id":"s","id":"t"}"#,
            r#"{"type":"sub","id":"u","before":-1}"#,
            r#"{"type":"sub","id":"u","before":1e300}"#,
            r#"{"type":"sub","id":"u","before":"soon"}"#,
            r#""s""#,
            "null",
        ] {
            assert!(read(entry).is_err(), "{entry}");
        }
    }
}
