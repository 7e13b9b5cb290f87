//! Decisions as data: `tests/decisions/*.yaml` holds configurations, requests, and what must come of them, run as
//! `portcullis test` runs those of anybody.

use std::collections::BTreeSet;
use std::path::Path;

use portcullis::pdp::decision::{Effect, Reason};
use portcullis::policy_test::case::{Case, CaseFile};
use portcullis::policy_test::run;

/// What the front doors say themselves: there is no request to decide on, no time for it, or a defect.
const SAID_BY_FRONT_DOORS: [Reason; 3] = [Reason::RequestMalformed, Reason::Overloaded, Reason::InternalError];

/// All case files, in the order of their names.
fn case_files() -> Vec<CaseFile> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions");
    let mut paths: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(!paths.is_empty(), "there are no case files in {}", directory.display());
    let read = |path: &std::path::PathBuf| {
        let name = format!("tests/decisions/{}", path.file_name().unwrap().to_string_lossy());
        CaseFile::read(&name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_case_is_decided_as_it_says() {
    let files = case_files();
    let failures: Vec<String> = files.iter().flat_map(|file| run::run(file).unwrap_or_else(|error| vec![error])).collect();
    let cases: usize = files.iter().map(|file| file.cases.len()).sum();
    assert!(failures.is_empty(), "{} of {cases} cases failed:\n{}", failures.len(), failures.join("\n"));
    println!("{cases} cases in {} files", files.len());
}

#[test]
fn every_reason_has_a_case() {
    let files = case_files();
    let seen: BTreeSet<&str> = files.iter().flat_map(CaseFile::reasons).map(Reason::code).collect();
    for reason in Reason::ALL {
        let expected = !SAID_BY_FRONT_DOORS.contains(reason);
        assert_eq!(seen.contains(reason.code()), expected, "cases with the reason '{reason}'");
    }
}

#[test]
fn every_refusal_has_a_neighbour_that_is_let_through() {
    let files = case_files();
    let failures: Vec<String> = files.iter().flat_map(|file| file.cases.iter().filter_map(|case| lacks_twin(file, case).err())).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A refusal proves little if nothing nearby is ever allowed.
fn lacks_twin(file: &CaseFile, case: &Case) -> Result<(), String> {
    let at = format!("{}:{}: '{}'", file.name, case.line, case.name);
    if case.expected.reason.effect() == Effect::Permit {
        return Ok(());
    }
    let name = case.twin.as_deref().ok_or_else(|| format!("{at} is a refusal and names no 'twin' that is let through"))?;
    let twin = file.cases.iter().find(|other| other.name == name).ok_or_else(|| format!("{at}: there is no twin '{name}'"))?;
    if twin.expected.reason.effect() != Effect::Permit {
        return Err(format!("{at}: its twin '{name}' is refused as well"));
    }
    match (&case.expected.route, &twin.expected.route) {
        (Some(route), Some(other)) if route != other => Err(format!("{at} is about the route '{route}' and its twin about '{other}'")),
        _ => Ok(()),
    }
}

#[test]
fn a_failure_says_which_case_and_what_was_expected() {
    let text = r#"
configuration: |
  routes: [{ path: /a, name: a, methods: { GET: { access: public } } }]
defaults: { host: h, route: a }
cases:
  first: { request: GET /a, deny: credential_missing }
  second: { request: GET /b, allow: public }
"#;
    let file = CaseFile::read("x.yaml", text).unwrap();
    assert_eq!(
        run::run(&file).unwrap(),
        [
            "x.yaml:6: 'first' (never seen): expected deny credential_missing, got allow public",
            "x.yaml:7: 'second' (never seen): expected allow public, got deny route_not_found; expected route Some(\"a\"), got None",
        ]
    );
}

#[test]
fn unknown_and_repeated_keys_of_a_case_file_are_errors() {
    for (text, error) in [
        ("configuration: ''\ncases: {}\nother: 1", "x.yaml:3: there is no key 'other' here; the keys are about, configuration, variants"),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: public, sets: {}, foo: 1 }", "x.yaml:3: there is no key 'foo' here"),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, token: { claim: {} }, allow: public }",
            "x.yaml:3: there is no key 'claim' here",
        ),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: public }\n  a: { request: GET /, allow: public }", "duplicated key"),
        ("configuration: ''\ncases:\n  a: { request: GET / }", "x.yaml:3: there must be exactly one of allow, deny, indeterminate"),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: route_not_found }", "'route_not_found' is deny and not allow"),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: yes_please }", "'yes_please' is no reason"),
        ("configuration: ''", "'cases' is missing"),
    ] {
        let got = CaseFile::read("x.yaml", text).err().unwrap();
        assert!(got.contains(error), "{text}\n{got}");
    }
}
