//! The examples' policy tests pass, and their pages name tests that exist. (What comes of them behind the real Envoy: `demo`.)

use std::path::{Path, PathBuf};

use crate::harness::process::{command, programs};

/// The folders with examples.
fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).expect("examples");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect()
}

fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in the columns for what is allowed and what is refused: names, with `;` between them.
fn named_cases(readme: &str) -> Vec<&str> {
    let table = readme.lines().skip_while(|line| !line.starts_with("| requirement |")).skip(2);
    let cells = table.take_while(|line| line.starts_with('|')).flat_map(|line| line.split('|').skip(3).take(2));
    cells.flat_map(|cell| cell.split(';')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// Whether there is a case of this name, or a row of the walk, which is in italics.
fn exists(name: &str, tests: &str, walk: &str) -> bool {
    match name.strip_prefix('*').and_then(|name| name.strip_suffix('*')) {
        Some(row) => walk.contains(&format!("\"{row}\"")),
        None => tests.lines().any(|line| line.strip_prefix("  ").is_some_and(|line| line.starts_with(&format!("{name}:")))),
    }
}

#[test]
fn the_policy_tests_of_every_example_pass_and_leave_no_method_out() {
    let mut portcullis = command(programs::portcullis());
    let output = portcullis.args(["test", "--strict", "--quiet"]).args(folders()).output().expect("portcullis runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn every_case_that_a_readme_names_exists() {
    let mut missing = Vec::new();
    for folder in folders() {
        let [readme, tests, walk] = ["README.md", "tests.yaml", "walk.py"].map(|name| read(&folder, name));
        let names = named_cases(&readme);
        assert!(names.len() > 20, "{} names {} cases: is there a table?", folder.display(), names.len());
        let lacking = names.into_iter().filter(|name| !exists(name, &tests, &walk));
        missing.extend(lacking.map(|name| format!("{}: {name}", folder.display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
