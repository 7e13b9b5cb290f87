//! Opening, keeping and refusing databases.

use super::*;

fn file(directory: &tempfile::TempDir) -> Database {
    Database::File(directory.path().join("identity.db"))
}

#[tokio::test]
async fn file_is_private_and_keeps_its_identity() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let first = Store::open(&file(&directory), 60).await.unwrap();
    let id = first.inner.database_id.clone();
    drop(first);
    let second = Store::open(&file(&directory), 60).await.unwrap();
    assert_eq!(second.inner.database_id, id);
    let metadata = std::fs::metadata(directory.path().join("identity.db")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn remembers_the_longest_access_ttl_of_earlier_runs() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(&file(&directory), 900).await.unwrap());
    let store = Store::open(&file(&directory), 60).await.unwrap();
    assert_eq!(store.forget_after(1000), 1000 + 900 + REVOCATION_MARGIN);
}

#[tokio::test]
async fn database_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&Database::File(path), 60).await.err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[tokio::test]
async fn database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    let error = Store::open(&Database::File(path), 60).await.err().unwrap().to_string();
    assert!(error.contains("another program"), "{error}");
}

#[tokio::test]
async fn unusable_paths_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, "this is no database, however long it may be".repeat(100)).unwrap();
    for path in [garbage, directory.path().join("missing/identity.db")] {
        let name = path.display().to_string();
        let error = Store::open(&Database::File(path), 60).await.err().unwrap().to_string();
        assert!(error.contains(&name), "{error}");
    }
}
