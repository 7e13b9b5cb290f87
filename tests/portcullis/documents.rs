//! The documentation says what the program does.

use std::collections::BTreeSet;
use std::path::Path;

use portcullis::config::{Configuration, SourceFile};
use portcullis::envoy_check::all_kinds;
use portcullis::pdp::decision::{AnswerKind, Effect, Reason};
use portcullis::pdp::obligation::{IdentityField, OVERRIDE_HEADERS};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The row of a reason in the table of `docs/decisions.md`, cut into cells.
fn row_of(document: &str, reason: Reason) -> Vec<String> {
    let code = format!("| `{}` |", reason.code());
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with(&code)).collect();
    let [row] = rows[..] else { panic!("docs/decisions.md has {} rows for {}", rows.len(), reason.code()) };
    row.split('|').map(|cell| cell.trim().to_string()).collect()
}

#[test]
fn every_reason_has_a_row_with_its_decision_and_answer() {
    let document = read("docs/decisions.md");
    for reason in Reason::ALL {
        let row = row_of(&document, *reason);
        let decision = match reason.effect() {
            Effect::Permit => "allow",
            Effect::Deny => "deny",
            Effect::Indeterminate => "indeterminate",
        };
        let answer = match reason.answer() {
            AnswerKind::Pass => "passes",
            AnswerKind::Answer => "200",
            AnswerKind::BadRequest => "400",
            AnswerKind::BadCredential => "401 `invalid_request`",
            AnswerKind::Unauthenticated => "401",
            AnswerKind::InvalidToken => "401 `invalid_token`",
            AnswerKind::StepUp => "401 step-up",
            AnswerKind::Forbidden => "403",
            AnswerKind::Unavailable => "503",
        };
        assert_eq!((row[2].as_str(), row[3].as_str()), (decision, answer), "{}", reason.code());
    }
    let reasons = document.split("## Reasons").nth(1).and_then(|rest| rest.split("## ").next()).expect("a section of reasons");
    let rows = reasons.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Reason::ALL.len(), "a row for a reason that there is not");
}

#[test]
fn every_header_that_is_set_or_removed_is_named() {
    let document = read("docs/decisions.md");
    let names = OVERRIDE_HEADERS.iter().copied().chain(IdentityField::ALL.map(|(_, _, header)| header));
    for name in names {
        assert!(document.contains(&format!("`{name}`")), "docs/decisions.md does not name {name}");
    }
}

/// All words of a text that begin so.
fn words<'t>(text: &'t str, beginning: &str) -> impl Iterator<Item = &'t str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(move |c: char| !is_part(c)).filter(move |word| word.starts_with(beginning))
}

#[test]
fn every_metric_is_named_and_no_other() {
    // The webhook is a program of its own.
    let sources = ["src/telemetry/metrics.rs", "src/webhook/metrics.rs"].map(read);
    let sources = sources.iter().map(|source| source.split("#[cfg(test)]").next().unwrap_or_default());
    let metrics: BTreeSet<&str> = sources.flat_map(|source| words(source, "portcullis_")).collect();
    assert!(metrics.len() >= 30, "{metrics:?}");
    let pages = ["README.md", "CONTRIBUTING.md", "docs/audit.md", "docs/configuration.md", "docs/decisions.md", "docs/operations.md"];
    let pages = pages.into_iter().chain(["docs/reliability.md", "docs/revocations.md", "docs/kubernetes.md"]).map(read).collect::<String>();
    let named: BTreeSet<&str> = words(&pages, "portcullis_").collect();
    let missing: Vec<&&str> = metrics.difference(&named).collect();
    let unknown: Vec<&&str> = named.difference(&metrics).filter(|name| !metrics.iter().any(|metric| name.starts_with(metric))).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not in the documentation: {missing:?}; not in the code: {unknown:?}");
}

#[test]
fn every_finding_about_envoy_has_a_row_with_its_severity() {
    let document = read("docs/envoy-check.md");
    let codes = document.split("## Codes").nth(1).expect("a section of codes");
    let rows: BTreeSet<(&str, &str)> = codes
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            Some((cells.get(1)?.trim_matches('`'), *cells.get(2)?))
        })
        .collect();
    let kinds: BTreeSet<(&str, &str)> = all_kinds().map(|kind| (kind.code, kind.severity.as_str())).collect();
    let missing: Vec<_> = kinds.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&kinds).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not in docs/envoy-check.md: {missing:?}; not in the code: {unknown:?}");
}

#[test]
fn the_configuration_in_the_readme_is_good() {
    let readme = read("README.md");
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example in YAML");
    let file = SourceFile { name: "README.md".into(), text: example.into() };
    let configuration = Configuration::compile(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(configuration.snapshot.route_names.len(), 2);
}

/// The text of the file that holds this module's tests: of the integration tests, or else of the library.
/// The pages, as paths from the root of the repository.
fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).expect("a folder");
    let names = entries.map(|entry| format!("docs/{}", entry.expect("an entry").file_name().display()));
    names.chain(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(String::from)).filter(|name| name.ends_with(".md")).collect()
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    read(page).split("\n```").step_by(2).collect()
}

/// What a heading is called in a link, as GitHub makes it. The second one of a name gets `-1`, and so on.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in prose(page).lines().filter(|line| line.starts_with('#')) {
        let name = heading.trim_start_matches('#').trim().to_lowercase();
        let name: String =
            name.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(again).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for page in pages() {
        let folder = root.join(&page).parent().expect("a folder").to_path_buf();
        for link in prose(&page).split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_string()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { root.join(&page) } else { folder.join(file) };
            let path = path.canonicalize().unwrap_or_else(|error| panic!("{page} links to {link}: {error}"));
            if let Some(anchor) = anchor {
                let name = path.strip_prefix(root.canonicalize().expect("a folder")).expect("within the repository");
                assert!(anchors(name.to_str().expect("UTF-8")).contains(anchor), "{page} links to {link}, and there is no such heading");
            }
            links += 1;
        }
    }
    assert!(links > 100, "{links} links");
}

fn source_of(module: &str) -> String {
    let file = format!("{}.rs", module.replace("::", "/"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = ["tests/portcullis", "src"].map(|root| folder.join(root).join(&file));
    let found = paths.iter().find_map(|path| std::fs::read_to_string(path).ok());
    found.unwrap_or_else(|| panic!("docs/reliability.md names tests of '{module}', and there is no {file}"))
}

/// Whether a test of this name is there: a function right behind an attribute that makes it one.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let starts = [format!("fn {name}("), format!("async fn {name}(")];
    lines
        .windows(2)
        .any(|pair| pair[0].starts_with("#[t") && pair[0].contains("test") && starts.iter().any(|start| pair[1].starts_with(start)))
}

#[test]
fn every_fault_has_tests_and_they_exist() {
    let document = read("docs/reliability.md");
    let (_, table) = document.split_once("| --- |").expect("a table");
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        let tests: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect();
        assert!(!tests.is_empty(), "no test shows this: {row}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").expect("a module and a name");
            assert!(has_test(&source_of(module), name), "docs/reliability.md names {test}, and there is no such test");
        }
    }
}
