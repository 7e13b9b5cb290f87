//! The page about injection says what the program does.

use portcullis::inject::{Setting, Settings};

#[test]
fn the_table_of_annotations_is_the_one_in_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kubernetes.md");
    let page = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let rows: Vec<Vec<String>> = page
        .lines()
        .filter(|line| line.starts_with("| `portcullis.dev/"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`').to_string()).collect())
        .collect();
    let documented: Vec<(&str, &str)> = rows.iter().map(|row| (row[1].as_str(), row[2].as_str())).collect();
    let settings = Settings::default();
    let known: Vec<(String, String)> = Setting::ALL.iter().map(|setting| (setting.annotation(), settings.get(*setting))).collect();
    assert_eq!(documented, known.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>());
}
