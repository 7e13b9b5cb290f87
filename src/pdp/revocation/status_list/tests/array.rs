//! The array: the examples of the draft, what is beyond its end, and what is no array.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::pdp::revocation::status_list::statuses::Statuses;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    title: String,
    bits: u64,
    entries: usize,
    lst: String,
    statuses: BTreeMap<String, u8>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<Vectors>(include_str!("vectors.json")).unwrap().vectors
}

fn decode(bits: u64, lst: &str) -> Result<Statuses, EncodingError> {
    Statuses::decode(Width::of_bits(bits).unwrap(), lst)
}

#[test]
fn the_examples_of_the_draft_say_what_the_draft_says() {
    let vectors = vectors();
    assert_eq!(vectors.iter().map(|vector| vector.bits).collect::<Vec<_>>(), [1, 2, 1, 2, 4, 8]);
    for Vector { title, bits, entries, lst, statuses } in vectors {
        let list = decode(bits, &lst).unwrap();
        assert_eq!(list.len(), entries, "{title}");
        for (index, status) in &statuses {
            assert_eq!(list.get(index.parse().unwrap()), Some(*status), "{title}: {index}");
        }
        // And all others are VALID.
        let set = (0..entries as u64).filter(|index| list.get(*index) != Some(0)).count();
        assert_eq!(set, statuses.values().filter(|status| **status != 0).count(), "{title}");
        assert_eq!(list.get(entries as u64), None, "{title}");
    }
}

#[test]
fn beyond_the_end_there_is_no_status() {
    for (bits, len) in [(1, 16), (2, 8), (4, 4), (8, 2)] {
        let list = decode(bits, &lst(&[0xff, 0xff])).unwrap();
        assert_eq!(list.len(), len);
        assert!(list.get(len as u64 - 1).is_some());
        for beyond in [len as u64, len as u64 + 1, 1 << 32, (1 << 53) - 1, u64::MAX] {
            assert_eq!(list.get(beyond), None, "{bits} bits, {beyond}");
        }
    }
    assert_eq!(decode(1, &lst(&[])).unwrap().get(0), None);
}

#[test]
fn there_are_four_widths() {
    for bits in [0, 3, 5, 6, 7, 9, 16, u64::MAX] {
        assert_eq!(Width::of_bits(bits), None, "{bits}");
    }
}

#[test]
fn an_array_is_exactly_one_whole_zlib_stream() {
    let good = zlib(b"a list of some statuses, a list of some statuses");
    let decode = |bytes: &[u8]| decode(1, &URL_SAFE_NO_PAD.encode(bytes)).map(|_| ());
    assert_eq!(decode(&good), Ok(()));
    for length in 0..good.len() {
        assert_eq!(decode(&good[..length]), Err(EncodingError::Damaged), "cut off at {length}");
    }
    assert_eq!(decode(&[&good[..], &[0]].concat()), Err(EncodingError::Damaged));
    assert_eq!(decode(&[&good[..], &good[..]].concat()), Err(EncodingError::Damaged));
    // The last four bytes are the checksum (RFC 1950 section 2.2).
    for bit in 0..32 {
        let mut damaged = good.clone();
        let last = damaged.len() - 4;
        damaged[last + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&damaged), Err(EncodingError::Damaged), "bit {bit} of the checksum");
    }
    // A gzip stream, a bare DEFLATE stream, and one that needs a dictionary.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&[0; 8]).unwrap();
    assert_eq!(decode(&gzip.finish().unwrap()), Err(EncodingError::Damaged));
    assert_eq!(decode(&good[2..good.len() - 4]), Err(EncodingError::Damaged));
    assert_eq!(decode(&[0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1]), Err(EncodingError::Damaged));
}

#[test]
fn whichever_bit_is_wrong_the_array_is_refused_or_was_not_changed() {
    let plain = b"a list of some statuses, a list of some statuses";
    let good = zlib(plain);
    let whole = Statuses::new(Width::Eight, plain.as_slice().into());
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Some bits, such as those for the level of compression, say nothing of what is in it; the header has a checksum of its own.
        if let Ok(list) = decode(8, &URL_SAFE_NO_PAD.encode(damaged)) {
            assert_eq!(list, whole, "bit {bit}");
        }
    }
}

#[test]
fn base64url_is_canonical() {
    let good = lst(&[0xb9, 0xa3]);
    assert_eq!(good.len() % 4, 2, "there are left-over bits");
    assert!(decode(1, &good).is_ok());
    let loose = format!("{}{}", &good[..good.len() - 1], if good.ends_with('Q') { 'R' } else { 'B' });
    for bad in [
        format!("{good}="),
        format!("{good}=="),
        format!(" {good}"),
        format!("{good}\n"),
        loose,
        good.replace('_', "/") + "+",
        String::new(),
    ] {
        assert_eq!(decode(1, &bad), Err(EncodingError::Damaged), "{bad:?}");
    }
}

#[test]
fn a_bomb_is_left_at_the_cap() {
    let zeros = vec![0; MAX_BYTES + 1];
    assert_eq!(decode(1, &lst(&zeros[..MAX_BYTES])).unwrap().len(), 8 * MAX_BYTES);
    assert_eq!(decode(1, &lst(&zeros)), Err(EncodingError::TooLarge));
    // A gigabyte of zeros: its first part says nothing of how it goes on.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..64 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < MAX_BYTES / 2);
    assert_eq!(decode(1, &URL_SAFE_NO_PAD.encode(bomb)), Err(EncodingError::TooLarge));
}

proptest! {
    #[test]
    fn any_array_comes_back_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..200), width in 0..4_u32) {
        let bits = 1 << width;
        let list = decode(bits, &lst(&bytes)).unwrap();
        let mask = u8::try_from((1_u16 << bits) - 1).unwrap();
        // Place by place, as section 4.1 draws it.
        let drawn: Vec<u8> = bytes.iter().flat_map(|byte| (0..8 / bits).map(move |place| (byte >> (place * bits)) & mask)).collect();
        prop_assert_eq!(list.revoked(), drawn.iter().filter(|status| **status != 0).count());
        let read: Vec<u8> = (0..list.len() as u64).map(|index| list.get(index).unwrap()).collect();
        prop_assert_eq!(read, drawn);
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in ".{0,80}") {
        let _ = decode(1, &URL_SAFE_NO_PAD.encode(&bytes));
        let _ = decode(1, &text);
        // As what stands between the ends of a stream, too.
        let _ = decode(8, &URL_SAFE_NO_PAD.encode([&[0x78, 0xda], &bytes[..]].concat()));
    }
}
