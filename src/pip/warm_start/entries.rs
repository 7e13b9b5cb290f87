//! Revocation lists as bytes. All numbers are little-endian.
//!
//! `whole: u64, bounded: u64`, then as many entries of 16 bytes, and of 16 bytes with 8 for their moment. What came last begins with
//! `kinds: u8, has forgotten: u8, until: i64` besides.

use std::sync::Arc;

use crate::pdp::revocation::fingerprint::Kinds;
use crate::pdp::revocation::table::{Bounded, Table, Whole};
use crate::pdp::revocation::{Parts, RevocationList};
use crate::pdp::time::UnixTime;

pub(super) fn encode_table(table: &Table) -> Vec<u8> {
    encode(Vec::new(), table.whole(), table.bounded())
}

/// Everything of a list but its table.
pub(super) fn encode_recent(parts: &Parts) -> Vec<u8> {
    let mut bytes = vec![parts.kinds.bits(), u8::from(parts.forgotten_until.is_some())];
    bytes.extend_from_slice(&parts.forgotten_until.map_or(0, UnixTime::as_millis).to_le_bytes());
    encode(bytes, &parts.whole, &parts.bounded)
}

fn encode(mut bytes: Vec<u8>, whole: &[Whole], bounded: &[Bounded]) -> Vec<u8> {
    bytes.reserve_exact(16 + 16 * whole.len() + 24 * bounded.len());
    bytes.extend_from_slice(&(whole.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(bounded.len() as u64).to_le_bytes());
    for entry in whole {
        bytes.extend_from_slice(&entry.bits().to_le_bytes());
    }
    for Bounded { entry, before } in bounded {
        bytes.extend_from_slice(&entry.bits().to_le_bytes());
        bytes.extend_from_slice(&before.as_millis().to_le_bytes());
    }
    bytes
}

/// Reads a list of its two pieces.
pub(super) fn decode(pieces: &[Vec<u8>]) -> Result<RevocationList, String> {
    let [sorted, recent] = pieces else { return Err(format!("a revocation list has two pieces, and here are {}", pieces.len())) };
    read(sorted, recent).ok_or_else(|| "it is no revocation list".to_string())
}

fn read(sorted: &[u8], mut recent: &[u8]) -> Option<RevocationList> {
    let (whole, bounded) = entries(sorted)?;
    let [kinds, has_forgotten] = take(&mut recent)?;
    let until = UnixTime::from_millis(i64::from_le_bytes(take(&mut recent)?));
    let forgotten_until = match has_forgotten {
        0 => None,
        1 => Some(until),
        _ => return None,
    };
    let table = Arc::new(Table::new(whole, bounded));
    let (whole, bounded) = entries(recent)?;
    Some(RevocationList::from_parts(Parts { table, whole, bounded, kinds: Kinds::from_bits(kinds), forgotten_until }))
}

fn entries(mut bytes: &[u8]) -> Option<(Vec<Whole>, Vec<Bounded>)> {
    let whole = usize::try_from(u64::from_le_bytes(take(&mut bytes)?)).ok()?;
    let bounded = usize::try_from(u64::from_le_bytes(take(&mut bytes)?)).ok()?;
    // Before anything is made room for: there are exactly as many bytes as that takes.
    if whole.checked_mul(16)?.checked_add(bounded.checked_mul(24)?)? != bytes.len() {
        return None;
    }
    let entry = |bytes: &mut &[u8]| Some(Whole::from_bits(u128::from_le_bytes(take(bytes)?)));
    let whole: Vec<Whole> = (0..whole).map(|_| entry(&mut bytes)).collect::<Option<_>>()?;
    let bounded = (0..bounded).map(|_| {
        let entry = entry(&mut bytes)?;
        Some(Bounded { entry, before: UnixTime::from_millis(i64::from_le_bytes(take(&mut bytes)?)) })
    });
    let bounded = bounded.collect::<Option<_>>()?;
    Some((whole, bounded))
}

/// Takes so many bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pdp::revocation::{Batch, Revocation, RevocationKind};

    fn pieces(list: &RevocationList) -> [Vec<u8>; 2] {
        let parts = list.parts();
        [encode_table(&parts.table), encode_recent(&parts)]
    }

    fn batch(entries: &[(u8, Option<i64>, Option<i64>)]) -> Batch {
        let kinds = [RevocationKind::Token, RevocationKind::Session, RevocationKind::Subject];
        let mut batch = Batch::default();
        for (id, before, expires) in entries {
            let (kind, time) = (kinds[usize::from(id % 3)], |millis: &Option<i64>| millis.map(UnixTime::from_millis));
            batch.push(&Revocation { kind, id: &id.to_string(), before: time(before), expires: time(expires) });
        }
        batch
    }

    fn steps() -> impl Strategy<Value = Vec<(u8, Option<i64>, Option<i64>)>> {
        prop::collection::vec((any::<u8>(), prop::option::of(0..9_000_i64), prop::option::of(0..2_000_000_i64)), 0..40)
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(first in steps(), then in steps(), now in 0..2_000_000_i64) {
            let now = UnixTime::from_millis(now);
            let list = RevocationList::full(batch(&first), now).with(batch(&then), now);
            let written = pieces(&list);
            let read = decode(&written).unwrap();
            prop_assert_eq!(read.len(), list.len());
            prop_assert_eq!(read.is_complete_at(UnixTime::from_millis(0)), list.is_complete_at(UnixTime::from_millis(0)));
            // Bytes and lists are one and the same.
            prop_assert_eq!(pieces(&read), written);
        }

        #[test]
        fn a_piece_that_is_cut_or_longer_is_refused(first in steps(), then in steps(), cut in any::<prop::sample::Index>()) {
            let now = UnixTime::from_millis(0);
            let written = pieces(&RevocationList::full(batch(&first), now).with(batch(&then), now));
            for which in 0..2 {
                let mut pieces = written.clone();
                pieces[which].push(0);
                prop_assert!(decode(&pieces).is_err());
                let mut pieces = written.clone();
                let length = cut.index(pieces[which].len());
                pieces[which].truncate(length);
                prop_assert!(decode(&pieces).is_err());
            }
            prop_assert!(decode(&written[..1]).is_err());
        }
    }

    #[test]
    fn numbers_that_promise_more_than_there_is_are_refused_before_room_is_made() {
        let mut bytes = vec![0xff; 16];
        assert!(entries(&bytes).is_none());
        bytes[7] = 0;
        assert!(entries(&bytes).is_none());
    }
}
