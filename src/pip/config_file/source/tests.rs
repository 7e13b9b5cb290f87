use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("written");
    }
    directory
}

fn hash(files: &[(&str, &str)]) -> ContentHash {
    read(directory(files).path()).expect("readable").hash
}

/// The names of the files that are read, or the error.
fn names(path: &Path) -> Result<Vec<String>, ReadError> {
    let name = |file: &ConfigFile| {
        let name = file.path.file_name().expect("a name");
        name.to_string_lossy().into_owned()
    };
    Ok(read(path)?.files.iter().map(name).collect())
}

#[test]
fn a_file_has_the_hash_that_sha256sum_prints() {
    let directory = directory(&[("any.name", "abc")]);
    let path = directory.path().join("any.name");
    let source = read(&path).expect("readable");
    // FIPS 180-4, the example of one block.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(source.hash.to_string(), expected);
    let text = "abc".to_owned();
    assert_eq!(source.files, [ConfigFile { path, text }]);
}

#[test]
fn a_directory_yields_its_yaml_files_in_the_order_of_their_names() {
    let directory =
        directory(&[("b.yaml", ""), ("a.yml", ""), ("10.yaml", ""), (".hidden.yaml", ""), ("b.yaml~", ""), ("c.json", ""), ("yaml", "")]);
    fs::create_dir(directory.path().join("nested")).expect("created");
    fs::write(directory.path().join("nested/d.yaml"), "").expect("written");
    let expected = ["10.yaml", "a.yml", "b.yaml"].map(str::to_owned);
    assert_eq!(names(directory.path()), Ok(expected.to_vec()));
}

#[test]
fn the_hash_of_a_directory_covers_names_and_boundaries() {
    let base = hash(&[("a.yaml", "x"), ("b.yaml", "y")]);
    assert_eq!(base, hash(&[("b.yaml", "y"), ("a.yaml", "x")]));
    assert_eq!(base, hash(&[("a.yaml", "x"), ("b.yaml", "y"), ("c.txt", "z")]));
    for other in [
        &[("a.yaml", "y"), ("b.yaml", "x")][..],
        &[("a.yaml", "xy"), ("b.yaml", "")],
        &[("a.yaml", ""), ("b.yaml", "xy")],
        &[("a.yaml", "x"), ("c.yaml", "y")],
        &[("a.yaml", "x"), ("b.yaml", "y"), ("c.yaml", "")],
        &[("a.yaml", "x")],
    ] {
        assert_ne!(base, hash(other), "{other:?}");
    }
}

#[test]
fn a_configuration_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    let directory = directory(&[("a.yaml", "12345"), ("b.yaml", "67890")]);
    let file = directory.path().join("b.yaml");
    assert!(read_within(&file, 5).is_ok());
    assert!(read_within(directory.path(), 10).is_ok());
    let too_large = Err(ReadError::TooLarge { path: file.clone() });
    assert_eq!(read_within(&file, 4), too_large);
    assert_eq!(read_within(directory.path(), 9), too_large);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let directory = directory(&[]);
    let path = directory.path().join("a.yaml");
    fs::write(&path, b"one\ntwo\nthr\xffe\n").expect("written");
    let error = read(directory.path()).expect_err("an error");
    assert_eq!(error, ReadError::NotUtf8 { path: path.clone(), line: 3 });
    assert_eq!(error.to_string(), format!("{}:3: is not valid utf-8", path.display()));
}

#[test]
fn nothing_to_read_is_an_error() {
    let directory = directory(&[("readme.txt", "")]);
    let path = directory.path().to_owned();
    let empty = ReadError::EmptyDirectory { path: path.clone() };
    assert_eq!(read(&path), Err(empty));

    let missing = path.join("missing.yaml");
    let below_a_file = path.join("readme.txt/config.yaml");
    for path in [missing, below_a_file] {
        assert_eq!(read(&path), Err(ReadError::NotFound { path }));
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting_for_it() {
    let directory = directory(&[]);
    let socket = directory.path().join("a.yaml");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    for path in [socket, PathBuf::from("/dev/zero")] {
        assert_eq!(read(&path), Err(ReadError::NotAFile { path }));
    }
}

#[test]
fn a_listed_file_that_cannot_be_read_is_never_left_out() {
    let below = |make: &dyn Fn(&Path)| {
        let directory = directory(&[("a.yaml", "")]);
        make(&directory.path().join("b.yaml"));
        names(directory.path())
    };
    assert!(matches!(below(&|path| fs::create_dir(path).expect("created")), Err(ReadError::NotAFile { .. })));
    assert!(matches!(below(&|path| symlink("nowhere", path).expect("linked")), Err(ReadError::NotFound { .. })));
    assert!(matches!(below(&|path| symlink("b.yaml", path).expect("linked")), Err(ReadError::Unreadable { .. })));
    assert!(below(&|path| symlink("a.yaml", path).expect("linked")).is_ok());
}

#[test]
fn a_directory_of_too_many_files_is_refused() {
    let directory = directory(&[]);
    for n in 0..MAX_FILES {
        fs::write(directory.path().join(format!("{n}.yaml")), "").expect("written");
    }
    assert!(read(directory.path()).is_ok());
    fs::write(directory.path().join("more.yaml"), "").expect("written");
    let path = directory.path().to_owned();
    assert_eq!(read(&path), Err(ReadError::TooManyFiles { path }));
}

#[test]
fn the_content_stays_out_of_debug_output() {
    let directory = directory(&[("a.yaml", "password: secret")]);
    let source = read(directory.path()).expect("readable");
    assert!(!format!("{source:?}").contains("secret"));
}
