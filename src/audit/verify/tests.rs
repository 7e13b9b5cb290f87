use proptest::prelude::*;

use super::*;
use crate::audit::chain::Link;
use crate::audit::damage::Damage;

fn expectations(key: &ChainKey) -> Expectations {
    Expectations { key: key.clone(), after: None, contains: Vec::new(), last: None }
}

fn keyed() -> ChainKey {
    ChainKey::new(&[7; 32]).unwrap()
}

/// A record, as members.
fn check(number: u64) -> String {
    format!(r#""time":"2026-11-22T08:00:0{}.000Z","event":"check","who":{{"subject":"user-{number}"}}"#, number % 10)
}

/// A chain of so many checks, each a line without its end.
fn chain(key: &ChainKey, length: u64) -> Vec<String> {
    let mut link = Link::NONE;
    (1..=length)
        .map(|number| {
            let (line, next) = key.compose(&link, &check(number), None);
            link = next;
            line.trim_end().to_string()
        })
        .collect()
}

fn link_of(line: &str) -> Link {
    ChainKey::none().check(line.as_bytes()).unwrap().link()
}

/// Reads a text as one file.
fn lines(name: &str, text: &[u8]) -> Vec<io::Result<Line>> {
    let file: Arc<str> = name.into();
    let line = |(index, bytes): (usize, &[u8])| {
        let has_end = bytes.ends_with(b"\n");
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec();
        Ok(Line { file: Arc::clone(&file), number: index as u64 + 1, bytes, has_end })
    };
    text.split_inclusive(|byte| *byte == b'\n').enumerate().map(line).collect()
}

fn report_on(text: &str) -> Report {
    verify(lines("a", text.as_bytes()), &expectations(&ChainKey::none())).unwrap()
}

fn whole(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What is wrong with these lines, and in which line.
fn found(lines: &[String]) -> Option<(Tampering, u64)> {
    let finding = report_on(&whole(lines)).finding?;
    Some((finding.kind, finding.place.map_or(0, |place| place.line)))
}

#[test]
fn a_chain_as_it_was_written_is_intact() {
    for key in [ChainKey::none(), keyed()] {
        let lines_of_chain = chain(&key, 5);
        let report = verify(lines("a", whole(&lines_of_chain).as_bytes()), &expectations(&key)).unwrap();
        assert_eq!((report.finding, report.records, report.checks), (None, 5, 5));
        let (first, last) = (report.first.unwrap(), report.last.unwrap());
        assert_eq!((first.seq, &*first.time, last.seq, &*last.time), (1, "2026-11-22T08:00:01.000Z", 5, "2026-11-22T08:00:05.000Z"));
        assert!(lines_of_chain[4].ends_with(&format!("{}\"}}", last.hash)));
    }
    assert_eq!(report_on(""), Report::default());
    // The end of the last line alone is nothing.
    assert_eq!(report_on(whole(&chain(&ChainKey::none(), 3)).trim_end()).finding, None);
}

#[test]
fn a_record_that_was_changed_is_found() {
    let intact = chain(&ChainKey::none(), 5);
    for at in 0..5 {
        for (from, to) in
            [("user-", "root-"), ("check", "xheck"), ("\"hash\":\"", "\"hash\":\"0"), ("{\"seq\"", "{ \"seq\""), ("\"}", "\"} ")]
        {
            let mut lines = intact.clone();
            lines[at] = lines[at].replacen(from, to, 1);
            assert_ne!(lines[at], intact[at], "{from}");
            let (kind, line) = found(&lines).unwrap();
            assert_eq!(line, at as u64 + 1, "{from}");
            assert!(kind == Tampering::Changed || at == 4, "{from}: {kind:?}");
        }
    }
}

#[test]
fn a_record_that_was_made_anew_does_not_fit_its_neighbour() {
    // Without a key anybody can compute a hash, but not the one that the next record holds.
    let intact = chain(&ChainKey::none(), 5);
    let forged = |after: &str, number| ChainKey::none().compose(&link_of(after), &check(number), None).0.trim_end().to_string();
    let mut lines = intact.clone();
    lines[2] = forged(&intact[1], 99);
    assert_eq!(found(&lines), Some((Tampering::Changed, 3)));

    let mut lines = intact.clone();
    lines.insert(2, forged(&intact[1], 99));
    assert_eq!(found(&lines), Some((Tampering::Inserted, 3)));
}

#[test]
fn records_that_were_removed_leave_a_gap() {
    let intact = chain(&ChainKey::none(), 7);
    for (from, to, line) in [(0, 1, 1), (0, 3, 1), (2, 3, 3), (1, 5, 2), (5, 6, 6)] {
        let mut lines = intact.clone();
        lines.drain(from..to);
        assert_eq!(found(&lines), Some((Tampering::Removed, line)), "{from}..{to}");
    }
    let message = report_on(&whole(&[&intact[..2], &intact[5..]].concat())).finding.unwrap().message;
    assert_eq!(message, "records 3 to 5 are missing before this line; they were removed");
}

#[test]
fn what_was_put_in_is_found() {
    let intact = chain(&ChainKey::none(), 5);
    let mut other = chain(&ChainKey::none(), 1);
    other[0] = ChainKey::none().compose(&Link::NONE, &check(77), None).0.trim_end().to_string();
    let with = |at: usize, line: &str| {
        let mut lines = intact.clone();
        lines.insert(at, line.into());
        found(&lines)
    };
    assert_eq!(with(3, "garbage"), Some((Tampering::Inserted, 4)));
    assert_eq!(with(0, "garbage"), Some((Tampering::Inserted, 1)));
    assert_eq!(with(3, ""), Some((Tampering::Inserted, 4)));
    // A record twice.
    assert_eq!(with(3, &intact[2]), Some((Tampering::Inserted, 4)));
    assert_eq!(with(4, &intact[1]), Some((Tampering::Inserted, 5)));
    assert_eq!(with(3, &other[0]), Some((Tampering::Restarted, 4)));
    // Behind the end, where nothing goes on from it.
    assert_eq!(with(5, "garbage"), Some((Tampering::Changed, 6)));
}

#[test]
fn records_that_were_moved_are_found() {
    let intact = chain(&ChainKey::none(), 6);
    for order in [[0, 2, 1, 3, 4, 5], [0, 1, 2, 4, 5, 3], [0, 3, 4, 1, 2, 5], [0, 1, 2, 3, 5, 4], [5, 4, 3, 2, 1, 0]] {
        let lines: Vec<String> = order.iter().map(|at| intact[*at].clone()).collect();
        let (kind, _) = found(&lines).unwrap();
        // Of what begins with another record than the first, only that is known.
        let expected = if order[0] == 0 { Tampering::Reordered } else { Tampering::Removed };
        assert_eq!(kind, expected, "{order:?}");
    }
}

#[test]
fn that_the_end_was_cut_off_shows_against_a_hash_that_was_kept_elsewhere() {
    let intact = chain(&ChainKey::none(), 6);
    let hashes: Vec<ChainHash> = intact.iter().map(|line| link_of(line).hash).collect();
    let walk = |lines_of_chain: &[String], contains: &[ChainHash], last: Option<ChainHash>| {
        let expectations = Expectations { contains: contains.to_vec(), last, ..expectations(&ChainKey::none()) };
        verify(lines("a", whole(lines_of_chain).as_bytes()), &expectations).unwrap().finding.map(|finding| finding.kind)
    };
    assert_eq!(walk(&intact, &[hashes[1], hashes[4]], Some(hashes[5])), None);
    assert_eq!(walk(&intact[..5], &[], None), None);
    assert_eq!(walk(&intact[..5], &[], Some(hashes[5])), Some(Tampering::CutOff));
    assert_eq!(walk(&intact[..5], &[hashes[4]], None), None);
    assert_eq!(walk(&intact[..4], &[hashes[4]], None), Some(Tampering::CutOff));
    assert_eq!(walk(&[], &[], Some(hashes[5])), Some(Tampering::CutOff));
    // Half of the last record.
    let half = format!("{}{}", whole(&intact[..5]), &intact[5][..80]);
    assert_eq!(report_on(&half).finding.unwrap().kind, Tampering::CutOff);
}

#[test]
fn files_are_one_chain_in_their_order() {
    let intact = chain(&ChainKey::none(), 6);
    let read = |parts: &[(&str, &[String])], after: Option<ChainHash>| {
        let all: Vec<_> = parts.iter().flat_map(|(name, part)| lines(name, whole(part).as_bytes())).collect();
        verify(all, &Expectations { after, ..expectations(&ChainKey::none()) }).unwrap()
    };
    let (old, new) = intact.split_at(4);
    assert_eq!(read(&[("old", old), ("new", new)], None).finding, None);
    let finding = read(&[("new", new), ("old", old)], None).finding.unwrap();
    assert_eq!((finding.kind, finding.place.unwrap().to_string()), (Tampering::Removed, "new:1".to_string()));
    let finding = read(&[("old", &old[..3]), ("new", new)], None).finding.unwrap();
    assert_eq!((finding.kind, finding.place.unwrap().to_string()), (Tampering::Removed, "new:1".to_string()));
    assert_eq!(read(&[("new", new)], Some(link_of(&old[3]).hash)).finding, None);
    assert_eq!(read(&[("new", new)], Some(link_of(&old[2]).hash)).finding.unwrap().kind, Tampering::Removed);
    assert!(read(&[("new", new)], None).finding.unwrap().message.contains(&format!("'--after {}'", link_of(&old[3]).hash)));
}

#[test]
fn a_key_keeps_others_from_making_records() {
    let lines_of_chain = chain(&keyed(), 3);
    let with = |key: &ChainKey, text: &[String]| verify(lines("a", whole(text).as_bytes()), &expectations(key)).unwrap().finding;
    assert_eq!(with(&keyed(), &lines_of_chain), None);
    assert_eq!(with(&ChainKey::none(), &lines_of_chain).unwrap().kind, Tampering::OtherKey);
    assert_eq!(with(&keyed(), &chain(&ChainKey::none(), 3)).unwrap().kind, Tampering::OtherKey);
    assert_eq!(with(&ChainKey::new(&[8; 32]).unwrap(), &lines_of_chain).unwrap().kind, Tampering::Changed);
}

/// A chain in which a write was cut short: half a line, and a record that says so.
fn damaged(torn: &str) -> Vec<String> {
    let mut lines = chain(&ChainKey::none(), 2);
    let mut damage = Damage::default();
    damage.push(torn.as_bytes());
    let (line, link) = ChainKey::none().compose(&link_of(&lines[1]), &check(3), damage.note().as_ref());
    lines.extend([torn.to_string(), line.trim_end().to_string()]);
    lines.push(ChainKey::none().compose(&link, &check(4), None).0.trim_end().to_string());
    lines
}

#[test]
fn half_a_line_that_the_next_record_knows_of_is_no_change() {
    for torn in [r#"{"seq":3,"time":"2026"#, "{", "several\nlines"] {
        let report = report_on(&whole(&damaged(torn)));
        assert_eq!((report.finding, report.records, report.notes.len()), (None, 4, 1), "{torn}");
        assert!(report.notes[0].starts_with(&format!("a:3: {} bytes", torn.len())), "{}", report.notes[0]);
    }
    // It cannot be changed or removed either.
    for (at, text) in [(2, "x"), (2, "{\"seq\":3,\"time\":\"2027"), (2, "")] {
        let mut lines = damaged(r#"{"seq":3,"time":"2026"#);
        lines[at] = text.into();
        assert_eq!(found(&lines), Some((Tampering::Changed, 3)), "{text}");
    }
    let mut lines = damaged("{");
    lines.remove(2);
    assert_eq!(found(&lines), Some((Tampering::Removed, 3)));
    // What somebody else wrote while nobody looked is another matter.
    assert_eq!(found(&damaged(r#"{"seq":3,"who":"nobody"}"#)), Some((Tampering::Inserted, 3)));
}

proptest! {
    #[test]
    fn any_changed_byte_is_found(at in 0_usize..10_000, byte in any::<u8>(), with_key in any::<bool>(), with_damage in any::<bool>()) {
        let key = if with_key { keyed() } else { ChainKey::none() };
        let text = whole(&if with_damage && !with_key { damaged("{\"seq\":3,\"ti") } else { chain(&key, 4) });
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        prop_assert!(verify(lines("a", &bytes), &expectations(&key)).unwrap().finding.is_some());
    }

    #[test]
    fn anything_is_answered_without_a_panic(text in "[ -~\n\"{}:,]{0,300}") {
        let _ = report_on(&text);
    }

    #[test]
    fn a_piece_that_was_cut_out_is_found(from in 0_usize..2_000, length in 1_usize..2_000) {
        let text = whole(&chain(&ChainKey::none(), 5));
        let last = link_of(&chain(&ChainKey::none(), 5)[4]).hash;
        let from = from % text.len();
        let to = (from + length).min(text.len());
        let rest = [&text[..from], &text[to..]].concat();
        // The end of the last line is nothing.
        prop_assume!(rest.trim_end() != text.trim_end());
        let expectations = Expectations { last: Some(last), ..expectations(&ChainKey::none()) };
        prop_assert!(verify(lines("a", rest.as_bytes()), &expectations).unwrap().finding.is_some());
    }
}
