use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::pdp::token::profile::SourceId;
use crate::pip::warm_start::head::Kind;
use crate::pip::warm_start::moment::Moment;

const NAME: Name = Name { kind: Kind::Keys, source: SourceId(7) };
const MAX: u64 = 1024 * 1024;

fn us(folder: &TempDir) -> u32 {
    fs::metadata(folder.path()).unwrap().uid()
}

fn store(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("kept"), us(folder)).unwrap()
}

fn put(store: &Store, name: Name, pieces: &[&[u8]]) -> Head {
    let described: Vec<Piece> = pieces.iter().map(|data| Piece::of(data)).collect();
    for (piece, data) in described.iter().zip(pieces) {
        store.write_piece(name, piece, data).unwrap();
    }
    let head = Head::new(name, described, Moment::now(), Some("cursor".into()), Some("\"etag\"".into()));
    store.write_head(name, &head).unwrap();
    head
}

fn files(store: &Store) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(&store.directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_written_is_read_and_nobody_else_can_read_it() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    assert_eq!(store.read(NAME, MAX), Ok(None));
    let head = put(&store, NAME, &[b"first", b""]);
    assert_eq!(store.read(NAME, MAX), Ok(Some((head, vec![b"first".to_vec(), Vec::new()]))));
    assert_eq!(store.read(Name { kind: Kind::Revocations, ..NAME }, MAX), Ok(None));
    assert_eq!(fs::metadata(&store.directory).unwrap().mode() & 0o7777, 0o700);
    for file in files(&store) {
        assert_eq!(fs::metadata(store.directory.join(&file)).unwrap().mode() & 0o7777, 0o600, "{file}");
    }
    // And again, over what is there.
    let head = put(&store, NAME, &[b"second"]);
    assert_eq!(store.read(NAME, MAX), Ok(Some((head, vec![b"second".to_vec()]))));
}

#[test]
fn no_byte_of_any_file_can_be_changed_lost_or_added() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    put(&store, NAME, &[b"keys", b"more"]);
    for file in files(&store) {
        let path = store.directory.join(&file);
        let good = fs::read(&path).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
        bad.extend((0..good.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))).map(|(index, bit)| {
            let mut changed = good.clone();
            changed[index] ^= 1 << bit;
            changed
        }));
        bad.push([good.as_slice(), b"\n"].concat());
        for bytes in bad {
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(store.read(NAME, MAX), Err(ReadError::Damaged(_))), "{file} with {bytes:?}");
        }
        fs::write(&path, &good).unwrap();
        assert!(store.read(NAME, MAX).unwrap().is_some());
        fs::remove_file(&path).unwrap();
        let absent = store.read(NAME, MAX);
        assert!(matches!(absent, Ok(None) | Err(ReadError::Damaged(_))) && absent.is_ok() == file.ends_with(".head"), "{file}");
        fs::write(&path, &good).unwrap();
        chmod(&path, 0o600);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Files of several writings mixed, some cut or scrambled: what is read is one of the writings, whole, or nothing.
    #[test]
    fn whatever_the_disk_makes_of_the_files_one_writing_is_read_or_none(
        writings in prop::collection::vec((any::<[u8; 3]>(), any::<[u8; 2]>()), 1..4),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..6),
    ) {
        let folder = TempDir::new().unwrap();
        let store = store(&folder);
        for (first, second) in &writings {
            put(&store, NAME, &[first, second]);
        }
        for (file, at, byte, cut) in damages {
            let path = store.directory.join(file.get(&files(&store)));
            let mut bytes = fs::read(&path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            fs::write(&path, bytes).unwrap();
        }
        if let Ok(Some((head, pieces))) = store.read(NAME, MAX) {
            let known = writings.iter().any(|(first, second)| pieces == [first.to_vec(), second.to_vec()]);
            prop_assert!(known && head.cursor.as_deref() == Some("cursor"));
        }
    }
}

#[test]
fn files_that_somebody_else_could_have_written_are_refused() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    put(&store, NAME, &[b"keys"]);
    let refused = |because: &str| match store.read(NAME, MAX) {
        Err(ReadError::NotOurs(message)) => assert!(message.contains(because), "{message}"),
        other => panic!("{because}: {other:?}"),
    };
    for file in files(&store) {
        let path = store.directory.join(&file);
        for mode in [0o620, 0o602, 0o666] {
            chmod(&path, mode);
            refused("others can write to it");
        }
        chmod(&path, 0o640);
        assert!(store.read(NAME, MAX).is_ok(), "to be read does no harm");
        chmod(&path, 0o600);
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        refused("no regular file");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("no regular file");
        fs::remove_dir(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
    let others = Store { directory: store.directory.clone(), owner: us(&folder) + 1 };
    assert!(matches!(others.read(NAME, MAX), Err(ReadError::NotOurs(message)) if message.contains("belongs to user")));
}

#[test]
fn a_directory_that_somebody_else_could_write_to_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let (us, path) = (us(&folder), folder.path().join("kept"));
    let refused = |path: &Path, owner: u32, because: &str| {
        let message = Store::open(path, owner).unwrap_err();
        assert!(message.contains(because), "{message}");
    };
    refused(&path.join("deeper"), us, "create it first");
    Store::open(&path, us).unwrap();
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        chmod(&path, mode);
        refused(&path, us, &format!("chmod 700 {}", path.display()));
    }
    chmod(&path, 0o755);
    Store::open(&path, us).unwrap();
    refused(&path, us + 1, &format!("chown {} {}", us + 1, path.display()));
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    refused(&link, us, "symbolic link");
    fs::write(folder.path().join("file"), "").unwrap();
    refused(&folder.path().join("file"), us, "no directory");
}

#[test]
fn no_more_is_read_than_there_can_be() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    put(&store, NAME, &[&[0; 100], &[1; 100]]);
    assert!(store.read(NAME, 200).unwrap().is_some());
    assert!(matches!(store.read(NAME, 199), Err(ReadError::Damaged(_))));
    put(&store, NAME, &[b"1", b"2", b"3", b"4", b"5"]);
    assert!(matches!(store.read(NAME, MAX), Err(ReadError::Damaged(_))));
    let long = Head::new(NAME, Vec::new(), Moment::now(), Some("c".repeat(MAX_HEAD as usize)), None);
    assert!(matches!(store.write_head(NAME, &long), Err(WriteError::Encoding(_))));
    fs::write(store.directory.join(format!("{NAME}.head")), vec![b' '; MAX_HEAD as usize + 1]).unwrap();
    assert!(matches!(store.read(NAME, MAX), Err(ReadError::Damaged(_))));
}

#[test]
fn one_process_writes_at_a_time() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let lock = store.lock().unwrap();
    assert!(matches!(store.lock(), Err(WriteError::Locked)));
    drop(lock);
    store.lock().unwrap();
}

#[test]
fn what_nobody_needs_is_removed_and_what_is_not_ours_stays() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let (gone, other) = (Name { source: SourceId(8), ..NAME }, Name { kind: Kind::Revocations, ..NAME });
    put(&store, NAME, &[b"old"]);
    let head = put(&store, NAME, &[b"new"]);
    for name in [gone, other] {
        put(&store, name, &[b"x"]);
    }
    let half_written = [format!("{NAME}.head.tmp"), format!("{}.tmp", Piece::of(b"half").file_name(other))];
    let foreign = ["notes.txt", "keys-7.head", "keys-7.data", ".head", &format!("{NAME}.head.tmp.tmp"), &format!("{NAME}.xyz.data")];
    for file in half_written.iter().map(String::as_str).chain(foreign) {
        fs::write(store.directory.join(file), "x").unwrap();
    }
    let lock = store.lock().unwrap();
    assert_eq!(store.clean(|name| name != gone, Some((NAME, &head.pieces))).unwrap(), 5);
    drop(lock);
    let mut left: Vec<String> = foreign.iter().map(|file| (*file).to_string()).collect();
    left.extend([LOCK.into(), format!("{NAME}.head"), head.pieces[0].file_name(NAME)]);
    left.extend([format!("{other}.head"), Piece::of(b"x").file_name(other)]);
    left.sort();
    assert_eq!(files(&store), left);
}

#[test]
fn a_write_that_fails_leaves_what_was_there() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let head = put(&store, NAME, &[b"good"]);
    // A directory in the way of the temporary file: as if the disk did not take it.
    let in_the_way = store.directory.join(format!("{NAME}.head.tmp"));
    fs::create_dir(&in_the_way).unwrap();
    let new = Head::new(NAME, Vec::new(), Moment::now(), None, None);
    assert!(matches!(store.write_head(NAME, &new), Err(WriteError::Io(..))));
    assert_eq!(store.read(NAME, MAX), Ok(Some((head, vec![b"good".to_vec()]))));
    fs::remove_dir(in_the_way).unwrap();
    store.write_head(NAME, &new).unwrap();
}
