//! Which files are test files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Problem, Problems};
use crate::pip::config_file;
use crate::policy_test::case::CaseFile;

/// A test file, or what should be one.
pub(super) struct TestFile {
    pub(super) path: PathBuf,
    /// Its text, or why there is none.
    pub(super) text: Result<String, Problems>,
}

impl TestFile {
    fn read(path: PathBuf) -> Self {
        let text = config_file::read(&path).map(|source| source.files.into_iter().map(|file| file.text).collect());
        Self { text: text.map_err(|error| problem(error.to_string())), path }
    }

    /// What there is in a folder, unless it is the text of something else.
    fn in_folder(path: PathBuf) -> Option<Self> {
        let mut file = Self::read(path);
        match file.text.as_ref().map(|text| CaseFile::is_one(&file.path.display().to_string(), text)) {
            Ok(Ok(false)) => return None,
            Ok(Ok(true)) | Err(_) => {}
            // Nobody can tell, and a test file that was broken must not go unnoticed.
            Ok(Err(problems)) => file.text = Err(problems),
        }
        Some(file)
    }
}

/// The test files at these paths; those of the current folder if there are none.
pub(super) fn test_files(paths: &[PathBuf]) -> Vec<TestFile> {
    let current = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &current } else { paths };
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(of_folder(path).unwrap_or_else(|message| vec![TestFile { path: path.clone(), text: Err(problem(message)) }]));
        } else {
            files.push(TestFile::read(path.clone()));
        }
    }
    files
}

/// The test files of a folder, in the order of their names.
fn of_folder(folder: &Path) -> Result<Vec<TestFile>, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && path.is_file() {
            paths.push(path.strip_prefix(".").unwrap_or(&path).to_path_buf());
        }
    }
    paths.sort();
    let files: Vec<TestFile> = paths.into_iter().filter_map(TestFile::in_folder).collect();
    if files.is_empty() {
        Err(format!("{}: there is no test file in this folder, a *.yaml with the key 'cases'", folder.display()))
    } else {
        Ok(files)
    }
}

/// One problem with no place in a file.
pub(super) fn problem(message: String) -> Problems {
    let mut problems = Problems::default();
    problems.push(Problem { location: None, key: String::new(), message });
    problems
}
