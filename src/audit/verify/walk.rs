//! One step after another along a chain, and what each one looks like.

use std::io;
use std::sync::Arc;

use super::{End, Expectations, Finding, Line, Place, Report, Tampering};
use crate::audit::chain::{ChainHash, ChainKey, ChainRecord, Link, NotARecord};
use crate::audit::damage::{Damage, DamageNote};

/// What a line looks like as far as it is known.
pub(super) enum Suspicion {
    Certain(Finding),
    /// Records are missing here; it depends on what follows whether they are somewhere else.
    Gap {
        place: Place,
        from: u64,
        to: u64,
    },
}

/// Records that are missing in one place were moved if they are in another.
pub(super) fn gap(place: Place, from: u64, to: u64, rest: impl Iterator<Item = io::Result<Line>>, key: &ChainKey) -> io::Result<Finding> {
    for line in rest {
        let line = line?;
        if let Ok(record) = key.check(&line.bytes)
            && (from..=to).contains(&record.seq)
        {
            let other = Place { file: line.file, line: line.number };
            let message = format!("records were moved: number {from} should be here, and number {} is at {other}", record.seq);
            return Ok(Finding { place: Some(place), kind: Tampering::Reordered, message });
        }
    }
    let message = if from == to {
        format!("record {from} is missing before this line; it was removed")
    } else {
        format!("records {from} to {to} are missing before this line; they were removed")
    };
    Ok(Finding { place: Some(place), kind: Tampering::Removed, message })
}

/// The state of a walk.
pub(super) struct Walk<'e> {
    expectations: &'e Expectations,
    /// The last record in its place, and the hash before it.
    last: Option<(Link, ChainHash)>,
    last_place: Option<Place>,
    /// Lines since then that are no records.
    pending: Option<Pending>,
    /// Hashes that were not met yet.
    missing: Vec<ChainHash>,
    pub report: Report,
}

/// Lines that are no records, which the next record may explain.
struct Pending {
    place: Place,
    cause: NotARecord,
    lines: u64,
    damage: Damage,
    /// A line of it is a whole JSON object, which no write that was cut short leaves behind.
    has_object: bool,
    has_end: bool,
}

impl<'e> Walk<'e> {
    /// At the beginning.
    pub fn new(expectations: &'e Expectations) -> Self {
        let missing = expectations.contains.clone();
        Self { expectations, last: None, last_place: None, pending: None, missing, report: Report::default() }
    }

    /// The next line. `None`: there is nothing wrong with it so far.
    pub fn step(&mut self, line: &Line) -> Option<Suspicion> {
        let place = Place { file: Arc::clone(&line.file), line: line.number };
        match self.expectations.key.check(&line.bytes) {
            Ok(record) => {
                let suspicion = self.explain(&record, &place).map(Suspicion::Certain).or_else(|| self.link(&record, &place));
                if suspicion.is_none() {
                    self.count(&record, place);
                }
                suspicion
            }
            Err(NotARecord::OtherSeal { is_secret }) => Some(Suspicion::Certain(other_seal(place, is_secret))),
            Err(cause) => {
                let pending = self.pending.get_or_insert_with(|| Pending {
                    place,
                    cause,
                    lines: 0,
                    damage: Damage::default(),
                    has_object: false,
                    has_end: true,
                });
                pending.lines += 1;
                pending.damage.push(&line.bytes);
                pending.has_object |= serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line.bytes).is_ok();
                pending.has_end = line.has_end;
                if line.has_end {
                    pending.damage.push(b"\n");
                }
                None
            }
        }
    }

    /// Whether what stands before a record is what the record says.
    fn explain(&mut self, record: &ChainRecord, place: &Place) -> Option<Finding> {
        let pending = self.pending.take();
        let note = pending.as_ref().and_then(|pending| pending.damage.note());
        match (pending, &record.damage) {
            (None, None) => None,
            (Some(pending), Some(said)) if note.as_ref() == Some(said) && !pending.has_object => {
                let Place { file, line } = pending.place;
                let DamageNote { bytes, .. } = said;
                self.report
                    .notes
                    .push(format!("{file}:{line}: {bytes} bytes are no record: a write that was cut short, as record {} says", record.seq));
                None
            }
            (Some(pending), Some(said)) => {
                let (kind, message) = if note.as_ref() == Some(said) {
                    (Tampering::Inserted, format!("this was put in by somebody else, as record {} says", record.seq))
                } else {
                    (Tampering::Changed, format!("these bytes are no record, and not the ones that record {} found here", record.seq))
                };
                Some(Finding { place: Some(pending.place), kind, message })
            }
            (Some(pending), None) => Some(self.misplaced(pending, record)),
            // The file before the first one is not here, and may end with it.
            (None, Some(said)) if self.last.is_none() => {
                self.report.notes.push(format!("{place}: the file before it ends with {} bytes that are no record", said.bytes));
                None
            }
            (None, Some(said)) => Some(Finding {
                place: Some(place.clone()),
                kind: Tampering::Removed,
                message: format!("{} bytes before this line, of which it says that they are no record, are missing", said.bytes),
            }),
        }
    }

    /// Lines that are no records stand before a record that does not know of them.
    fn misplaced(&self, pending: Pending, next: &ChainRecord) -> Finding {
        let before = self.last.map_or(ChainHash::NONE, |(last, _)| last.hash);
        let claims = match pending.cause {
            NotARecord::Altered { claims, .. } => Some(claims),
            _ => None,
        };
        let (kind, message) = if claims == Some(next.prev) {
            (Tampering::Changed, "this record was changed: its hash is not the one of what it says".to_string())
        } else if next.prev == before {
            let what = if pending.lines == 1 { "this line was".into() } else { format!("{} lines were", pending.lines) };
            (Tampering::Inserted, format!("{what} put in: the record behind goes on from the one before"))
        } else {
            (Tampering::Changed, "this line was changed: it is no record any more".into())
        };
        Finding { place: Some(pending.place), kind, message }
    }

    /// Whether a record comes after the one before.
    fn link(&self, record: &ChainRecord, place: &Place) -> Option<Suspicion> {
        let certain = |place: Option<Place>, kind, message: String| Some(Suspicion::Certain(Finding { place, kind, message }));
        let here = || Some(place.clone());
        let is_first = record.seq == 1 && record.prev == ChainHash::NONE;
        let Some((last, before_last)) = self.last else {
            let prev = record.prev;
            return match self.expectations.after {
                Some(after) if prev == after => None,
                None if is_first => None,
                Some(_) => {
                    certain(here(), Tampering::Removed, format!("this record comes after {prev}, and not after the hash that was given"))
                }
                None => {
                    let advice = format!("name the files before this one as well, or say '--after {prev}' if they were looked at");
                    certain(
                        here(),
                        Tampering::Removed,
                        format!("this is record {}, and those before it are not here; {advice}", record.seq),
                    )
                }
            };
        };
        let expected = last.seq.saturating_add(1);
        if record.prev == last.hash && record.seq == expected {
            return None;
        }
        if is_first {
            return certain(here(), Tampering::Restarted, "a chain begins here that does not go on from what stands before it".into());
        }
        if record.seq > expected {
            return Some(Suspicion::Gap { place: place.clone(), from: expected, to: record.seq - 1 });
        }
        let it = || self.last_place.clone();
        if record.seq == expected {
            let message = "this record was made anew: the one behind it goes on from another one of the same number";
            return certain(it(), Tampering::Changed, message.into());
        }
        if record.seq == last.seq && record.prev == before_last && record.hash != last.hash {
            return certain(it(), Tampering::Inserted, "this record was put in: the one behind it goes on from the one before it".into());
        }
        certain(
            here(),
            Tampering::Inserted,
            format!("number {} was there before: this is a copy of a record, or one that was moved", record.seq),
        )
    }

    fn count(&mut self, record: &ChainRecord, place: Place) {
        let report = &mut self.report;
        let end = End { seq: record.seq, time: record.time.clone(), hash: record.hash.to_string() };
        report.records += 1;
        report.checks += u64::from(record.event == "check");
        report.unrecorded += record.records;
        report.first.get_or_insert_with(|| end.clone());
        report.last = Some(end);
        self.missing.retain(|hash| *hash != record.hash);
        self.last = Some((record.link(), record.prev));
        self.last_place = Some(place);
    }

    /// What is wrong with the end.
    pub fn end(&mut self) -> Option<Finding> {
        let cut_off = |message: String| Some(Finding { place: None, kind: Tampering::CutOff, message });
        if let Some(pending) = self.pending.take() {
            let (kind, message) = if pending.has_end {
                (Tampering::Changed, "this line was changed, or put in: it is no record")
            } else {
                (Tampering::CutOff, "the last line is no whole record: it was cut short or changed, or is being written at this moment")
            };
            return Some(Finding { place: Some(pending.place), kind, message: message.into() });
        }
        if let Some(hash) = self.missing.first() {
            return cut_off(format!("there is no record with the hash {hash}: the end was cut off, or the chain made anew"));
        }
        let last = self.last.map(|(link, _)| link);
        match (self.expectations.last, last) {
            (Some(expected), Some(last)) if last.hash != expected => {
                cut_off(format!("the last record is another one than was expected: its hash is {}", last.hash))
            }
            (Some(_), None) => cut_off("there are no records".into()),
            _ => None,
        }
    }
}

fn other_seal(place: Place, is_secret: bool) -> Finding {
    let message = if is_secret {
        "this record was made with a key, and none was given: name it with '--key-file'"
    } else {
        "this record was made without a key, as anybody can"
    };
    Finding { place: Some(place), kind: Tampering::OtherKey, message: message.into() }
}
