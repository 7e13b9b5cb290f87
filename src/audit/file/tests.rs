use std::fs;

use tempfile::TempDir;

use super::*;
use crate::audit::chain::ChainHash;
use crate::audit::verify::{Expectations, Lines, Report, verify};

struct Bench {
    folder: TempDir,
    link: Link,
}

const MEMBERS: &str = r#""time":"2026-11-22T08:00:00.000Z","event":"check""#;

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), link: Link::NONE }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn open(&mut self) -> TrailFile {
        let (file, link) = TrailFile::open(&self.path(), &ChainKey::none(), Duration::ZERO).unwrap();
        self.link = link;
        file
    }

    fn error(&self) -> FileError {
        TrailFile::open(&self.path(), &ChainKey::none(), Duration::ZERO).unwrap_err()
    }

    /// Appends a record and gives its line.
    fn append(&mut self, file: &mut TrailFile) -> String {
        let (line, link) = ChainKey::none().compose(&self.link, MEMBERS, file.damage().as_ref());
        file.append(line.as_bytes()).unwrap();
        self.link = link;
        line
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn verify(&self, files: &[PathBuf]) -> Report {
        let expectations = Expectations { key: ChainKey::none(), after: None, contains: vec![], last: Some(self.link.hash) };
        verify(Lines::of(files.to_vec()), &expectations).unwrap()
    }

    fn is_intact(&self) -> bool {
        self.verify(&[self.path()]).finding.is_none()
    }
}

#[test]
fn a_new_file_is_for_its_owner_only_and_begins_a_chain() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    assert_eq!(bench.link, Link::NONE);
    assert_eq!(fs::metadata(bench.path()).unwrap().mode() & 0o777, 0o600);
    bench.append(&mut file);
    bench.append(&mut file);
    assert!(bench.is_intact());
    assert_eq!(bench.text().lines().count(), 2);
}

#[test]
fn a_chain_goes_on_where_it_ended() {
    let mut bench = Bench::new();
    for records in 1..=4 {
        let mut file = bench.open();
        assert_eq!(bench.link.seq, records - 1);
        bench.append(&mut file);
    }
    assert!(bench.is_intact());
}

#[test]
fn half_a_line_is_kept_and_the_next_record_knows_of_it() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    bench.append(&mut file);
    let line = bench.append(&mut file);
    drop(file);
    for (cut, noted) in [(1, 0), (2, 1), (60, 1), (line.len() - 1, 1), (line.len(), 0)] {
        let whole = bench.text();
        // What a crash leaves behind: the last line without its last bytes.
        fs::write(bench.path(), &whole[..whole.len() - cut]).unwrap();
        let mut file = bench.open();
        bench.append(&mut file);
        drop(file);
        let report = bench.verify(&[bench.path()]);
        assert_eq!((report.finding, report.notes.len()), (None, noted), "{cut} bytes cut");
        assert!(bench.text().starts_with(&whole[..whole.len() - cut]), "nothing is cut away");
        fs::write(bench.path(), whole).unwrap();
    }
}

#[test]
fn a_write_that_was_cut_short_is_damage_that_the_next_record_knows_of() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    bench.append(&mut file);
    let torn = |file: &mut TrailFile, bytes: &[u8]| {
        // As if the disk had taken so much of a line and no more.
        file.file.write_all(bytes).unwrap();
        file.length += bytes.len() as u64;
        file.damage.push(bytes);
        file.ends_open = !bytes.ends_with(b"\n");
    };
    torn(&mut file, b"{\"seq\":2,");
    torn(&mut file, b"\n");
    torn(&mut file, b"{\"seq\":2,\"time");
    bench.append(&mut file);
    bench.append(&mut file);
    let report = bench.verify(&[bench.path()]);
    assert_eq!((report.finding, report.notes.len()), (None, 1));
    assert_eq!(file.damage(), None);
}

#[test]
fn what_is_no_trail_is_left_alone() {
    let bench = Bench::new();
    for text in ["something else\n", "{}\n", "\n"] {
        fs::write(bench.path(), text).unwrap();
        assert!(matches!(bench.error(), FileError::NotATrail), "{text}");
        assert_eq!(bench.text(), text);
    }
    let (keyed, _) = ChainKey::new(&[7; 32]).unwrap().compose(&Link::NONE, MEMBERS, None);
    fs::write(bench.path(), keyed).unwrap();
    assert!(matches!(bench.error(), FileError::OtherKey { is_secret: true }));
}

#[test]
fn garbage_behind_the_last_record_does_not_hide_it() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    let line = bench.append(&mut file);
    drop(file);
    for garbage in [100, 100_000, 3_000_000] {
        fs::write(bench.path(), format!("{line}{}", "x".repeat(garbage))).unwrap();
        let mut file = bench.open();
        assert_eq!(bench.link.seq, 1);
        bench.append(&mut file);
        let report = bench.verify(&[bench.path()]);
        assert_eq!((report.finding, report.notes.len()), (None, 1), "{garbage}");
    }
}

#[test]
fn only_one_process_writes_to_a_file() {
    let mut bench = Bench::new();
    let file = bench.open();
    assert!(matches!(bench.error(), FileError::Locked));
    drop(file);
    bench.open();
}

#[test]
fn what_cannot_be_a_trail_is_named() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    assert!(matches!(bench.error(), FileError::NotRegular));
    let nowhere = bench.folder.path().join("missing/audit.jsonl");
    let error = TrailFile::open(&nowhere, &ChainKey::none(), Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("its folder does not exist"), "{error}");
    assert!(matches!(TrailFile::open(Path::new("/dev/full"), &ChainKey::none(), Duration::ZERO).unwrap_err(), FileError::NotRegular));
}

#[test]
fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    bench.append(&mut file);
    assert_eq!(file.follow(&bench.link).unwrap(), Change::None);
    let old = bench.folder.path().join("audit.jsonl.1");
    fs::rename(bench.path(), &old).unwrap();
    assert_eq!(file.follow(&bench.link).unwrap(), Change::New);
    bench.append(&mut file);
    assert_eq!(bench.verify(&[old.clone(), bench.path()]).finding, None);

    // Moved back: there is something in it that is not the end of the chain.
    fs::rename(&old, bench.path()).unwrap();
    assert!(matches!(file.follow(&bench.link), Err(FileError::Replaced)));
    fs::remove_file(bench.path()).unwrap();
    assert_eq!(file.follow(&bench.link).unwrap(), Change::New);
    // A folder in its place, and then nothing.
    fs::remove_file(bench.path()).unwrap();
    fs::create_dir(bench.path()).unwrap();
    assert!(matches!(file.follow(&bench.link), Err(FileError::NotRegular)));
    fs::remove_dir(bench.path()).unwrap();
    assert_eq!(file.follow(&bench.link).unwrap(), Change::New);
}

#[test]
fn damage_at_the_end_of_a_file_is_known_to_the_next_one() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    let line = bench.append(&mut file);
    drop(file);
    fs::write(bench.path(), format!("{line}half a rec")).unwrap();
    let mut file = bench.open();
    let old = bench.folder.path().join("audit.jsonl.1");
    fs::rename(bench.path(), &old).unwrap();
    assert_eq!(file.follow(&bench.link).unwrap(), Change::New);
    bench.append(&mut file);
    let report = bench.verify(&[old, bench.path()]);
    assert_eq!((report.finding, report.notes.len()), (None, 1));
}

#[test]
fn a_file_that_somebody_else_made_longer_or_shorter_is_noticed() {
    let mut bench = Bench::new();
    let mut file = bench.open();
    bench.append(&mut file);
    bench.append(&mut file);
    let whole = bench.text();

    // Longer: what was added is known to the next record.
    OpenOptions::new().append(true).open(bench.path()).unwrap().write_all(b"{\"seq\":3,\"who\":\"me\"}\n").unwrap();
    let found = whole.len() as u64 + 21;
    assert_eq!(file.follow(&bench.link).unwrap(), Change::Altered { expected: whole.len() as u64, found });
    assert_eq!(file.damage().unwrap().bytes, 20);
    bench.append(&mut file);
    assert!(!bench.is_intact());

    // Shorter: the chain goes on from what was written.
    let len = bench.text().len() as u64;
    OpenOptions::new().write(true).open(bench.path()).unwrap().set_len(whole.len() as u64 / 2).unwrap();
    assert_eq!(file.follow(&bench.link).unwrap(), Change::Altered { expected: len, found: whole.len() as u64 / 2 });
    bench.append(&mut file);
    assert!(!bench.is_intact());

    // Without anything, nothing stands before the next record.
    OpenOptions::new().write(true).open(bench.path()).unwrap().set_len(0).unwrap();
    assert!(matches!(file.follow(&bench.link).unwrap(), Change::Altered { found: 0, .. }));
    let before = bench.link;
    bench.append(&mut file);
    let expectations = Expectations { key: ChainKey::none(), after: Some(before.hash), contains: vec![], last: None };
    assert_eq!(verify(Lines::of([bench.path()]), &expectations).unwrap().finding, None);
    assert_ne!(before.hash, ChainHash::NONE);
}
