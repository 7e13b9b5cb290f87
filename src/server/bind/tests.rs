use super::*;

/// Sockets that others listen on, and ours beside them.
async fn scene(folder: &Path) -> (Vec<UnixListener>, Vec<PathBuf>, Vec<(Bound, ())>) {
    let paths: Vec<PathBuf> = ["a", "b", "c"].map(|name| folder.join(name)).into();
    let others = paths.iter().map(|path| UnixListener::bind(path).unwrap()).collect();
    let addresses: Vec<GrpcAddress> = paths.iter().cloned().map(GrpcAddress::Unix).collect();
    let bound = all(&addresses, Arrival::TakeOver, SocketMode::default()).await.unwrap();
    (others, paths, bound.into_iter().map(|bound| (bound, ())).collect())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn all_sockets_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_others, paths, bound) = scene(folder.path()).await;
    let before: Vec<_> = paths.iter().map(|path| inode(path)).collect();
    let listeners = open(bound).unwrap();
    assert_eq!(names(folder.path()), ["a", "b", "c"]);
    assert!(paths.iter().zip(&before).all(|(path, before)| inode(path) != *before));
    drop(listeners);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn where_one_socket_cannot_be_taken_over_none_is() {
    let folder = tempfile::tempdir().unwrap();
    let (_others, paths, bound) = scene(folder.path()).await;
    std::fs::remove_file(&paths[2]).unwrap();
    std::fs::create_dir(&paths[2]).unwrap();
    let before: Vec<_> = paths.iter().map(|path| inode(path)).collect();
    let error = open(bound).err().unwrap();
    assert!(error.contains("cannot take over unix:") && error.contains("/c"), "{error}");
    assert_eq!(names(folder.path()), ["a", "b", "c"]);
    assert_eq!(paths.iter().map(|path| inode(path)).collect::<Vec<_>>(), before);
    for path in &paths[..2] {
        assert!(UnixStream::connect(path).await.is_ok(), "the other one is found");
    }
}

#[tokio::test]
async fn nobody_else_can_connect_from_the_first_moment_on() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("a", SocketMode::Owner), ("b", SocketMode::Group), ("c", SocketMode::Everyone)] {
        let path = folder.path().join(name);
        let _listener = bind_unix(&path, mode).unwrap();
        let given = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(given & !mode.bits(), 0, "{given:o} for {mode:?}");
        assert!(UnixStream::connect(&path).await.is_ok());
    }
}
