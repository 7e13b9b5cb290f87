//! Decisions as data: `tests/decisions/*.yaml` holds configurations, requests, and what must come of them, run as
//! `portcullis test` runs those of anybody.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use portcullis::config::SourceFile;
use portcullis::pdp::decision::Reason;
use portcullis::policy_test::case::{CaseFile, ExpectedRoute};
use portcullis::policy_test::configuration::Configurations;
use portcullis::policy_test::report::{FileReport, Style};
use portcullis::policy_test::run::run;

/// What the front doors say themselves: there is no request to decide on, no record of it, nobody to pass an answer on, no time for it, or a defect.
const SAID_BY_FRONT_DOORS: [Reason; 7] = [
    Reason::RequestMalformed,
    Reason::AuditUnavailable,
    Reason::AnswerImpossible,
    Reason::Overloaded,
    Reason::DeadlineExceeded,
    Reason::Cancelled,
    Reason::InternalError,
];

/// What is said before a route is looked for, or because there is none.
const SAID_OF_NO_ROUTE: [Reason; 3] = [Reason::PathNotCanonical, Reason::HostInvalid, Reason::RouteNotFound];

/// All case files, in the order of their names.
fn case_files() -> Vec<CaseFile> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions");
    let mut paths: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(!paths.is_empty(), "there are no case files in {}", directory.display());
    let read = |path: &std::path::PathBuf| {
        let name = format!("tests/decisions/{}", path.file_name().unwrap().to_string_lossy());
        CaseFile::read(&name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|problems| panic!("{problems}"))
    };
    paths.iter().map(read).collect()
}

/// What came of a file that has its configuration in itself, as `portcullis test` prints it.
fn failures(file: &CaseFile) -> String {
    let outcome = Configurations::compile(file, |path| Err(format!("{path} is another file"))).map(|all| run(file, &all, ""));
    let report = FileReport { name: file.name.clone(), outcome, lonely: Vec::new(), elapsed: Duration::ZERO };
    let problems = report.outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
    problems + &report.failures(Style { colour: false })
}

#[test]
fn every_case_is_decided_as_it_says() {
    let files = case_files();
    let failures: String = files.iter().map(failures).collect();
    assert!(failures.is_empty(), "\n{failures}");
    let cases: usize = files.iter().map(|file| file.cases.len()).sum();
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
    let problem = |file: &CaseFile, case| file.check_twin(case).err().map(|error| format!("{}: {}: {error}", case.location, case.name));
    let problems: Vec<String> = files.iter().flat_map(|file| file.cases.iter().filter_map(|case| problem(file, case))).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_case_says_which_route_decides() {
    for file in case_files() {
        for case in &file.cases {
            let silent =
                case.expectations().any(|expected| expected.route == ExpectedRoute::Any && !SAID_OF_NO_ROUTE.contains(&expected.reason));
            assert!(!silent, "{}: {}", case.location, case.name);
        }
    }
}

#[test]
fn a_failure_says_which_case_and_what_was_expected() {
    let text = r#"
configuration: |
  headers: { keep: [] }
  routes: [{ path: /a, name: some, methods: { GET: { access: public } } }]
variants:
  moved: [{ replace: "path: /a", with: "path: /z" }]
defaults: { route: some }
cases:
  first: { request: GET /a, deny: credential_missing }
  second: { request: GET /b, allow: public }
  third: { request: GET /a, allow: public, sets: { X-User-Id: alice }, removes: [x-user-roles, accept], keeps: [x-tenant-id, accept] }
  fourth: { request: GET /a, allow: public, route: sume }
  fifth:
    request: GET /a
    allow: public
    then:
      - { configuration: moved, deny: route_not_found, route: none }
      - { allow: public }
  sixth: { request: "GET /${}", allow: public }
  seventh: { request: GET /a, allow: public, state: { keys: { nobody: [] } } }
"#;
    let file = CaseFile::read("x.yaml", text).unwrap();
    let expected = r#"
x.yaml:9:3: first
    GET /a
    decision: expected deny credential_missing, got allow public
x.yaml:10:3: second
    GET /b
    decision: expected allow public, got deny route_not_found
    route: expected "some", got nothing
x.yaml:11:3: third
    GET /a
    header x-user-id: expected "alice", got nothing
    header accept: expected "removed", got "kept"
    header x-tenant-id: expected "kept", got "removed"
x.yaml:12:3: fourth
    GET /a
    route: expected "sume", got "some" (the configuration has no route 'sume'; did you mean 'some'?)
x.yaml:18:9: fifth, then
    GET /a
    decision: expected allow public, got deny route_not_found
    route: expected "some", got nothing
x.yaml:19:3: sixth
    GET /${}
    it could not be run: there is nothing to put into the hole '${}'
x.yaml:20:3: seventh
    GET /a
    it could not be run: the state speaks of the issuer 'nobody', which the configuration does not have
"#;
    assert_eq!(failures(&file), expected.trim_start());
}

#[test]
fn problems_of_a_configuration_are_named_where_they_stand_in_the_case_file() {
    let text = "cases: { a: { request: GET /, allow: public } }\n# A comment.\nconfiguration: |\n\n    routes:\n    - path: /a\n      \
                methods: { GET: { access: pubic } }\n";
    let file = CaseFile::read("x.yaml", text).unwrap();
    assert!(failures(&file).starts_with("x.yaml:7:33: routes[0].methods.GET.access: "), "{}", failures(&file));
    // One that is folded does not stand there line by line.
    let folded = text.replace("configuration: |", "configuration: >");
    let file = CaseFile::read("x.yaml", &folded).unwrap();
    assert!(failures(&file).contains("x.yaml:"), "{}", failures(&file));
    // A variant is another text.
    let varied = text.replace("pubic", "public") + "variants: { v: [{ replace: public, with: pubic }] }\n";
    let file = CaseFile::read("x.yaml", &varied).unwrap();
    assert!(failures(&file).starts_with("x.yaml (variant 'v'):7:33: routes[0].methods.GET.access: "), "{}", failures(&file));
}

#[test]
fn what_a_variant_replaces_is_there_once_in_all_files_of_the_configuration() {
    let configuration =
        [("a.yaml", "routes:\n- { path: /a, methods: { GET: { access: public } } }\n"), ("b.yaml", "challenge_realm: shop\n")]
            .map(|(name, text)| SourceFile { name: name.into(), text: text.into() });
    let compile = |edit: &str| {
        let text =
            format!("configuration: {{ file: . }}\nvariants: {{ v: [{edit}] }}\ncases: {{ a: {{ request: GET /, allow: public }} }}");
        let file = CaseFile::read("x.yaml", &text).unwrap();
        Configurations::compile(&file, |path| if path == "." { Ok(configuration.to_vec()) } else { Err("no".into()) })
    };
    assert!(compile("{ replace: shop, with: store }").is_ok());
    for (edit, message) in [
        ("{ replace: shops, with: store }", "x.yaml:2:28: the configuration does not have the text 'shops'"),
        ("{ replace: e, with: store }", "x.yaml:2:28: the configuration has the text 'e' 6 times"),
    ] {
        let problems = compile(edit).err().unwrap().to_string();
        assert!(problems.starts_with(message), "{edit}: {problems}");
    }
}

#[test]
fn unknown_and_repeated_keys_of_a_case_file_are_errors() {
    for (text, error) in [
        (
            "configuration: ''\ncases: {}\nother: 1",
            "x.yaml:3:1: there is no key 'other' here; the keys are 'about', 'configuration', 'variants', 'tokens', 'defaults'",
        ),
        (
            "configuration: ''\ncases:\n  a: { requets: GET /, allow: public, sets: {} }",
            "x.yaml:3:8: there is no key 'requets' here (did you mean 'request'?); the keys are 'about', 'request', 'host'",
        ),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, token: { claim: {} }, allow: public }",
            "x.yaml:3:33: there is no key 'claim' here",
        ),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: public }\n  a: { request: GET /, allow: public }",
            "x.yaml:4:3: this key is there twice",
        ),
        ("configuration: ''\ncases:\n  a: { request: GET / }", "x.yaml:3:6: there must be exactly one of 'allow', 'deny', 'indeterminate'"),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: a, deny: b }", "x.yaml:3:6: there must be exactly one of"),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: route_not_found }",
            "x.yaml:3:31: 'route_not_found' is the reason of a decision 'deny' and not 'allow'",
        ),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: alowed }",
            "x.yaml:3:31: there is no reason 'alowed' (did you mean 'allowed'?); with allow go 'allowed', 'public', 'anonymous'",
        ),
        ("configuration: ''\ncases:\n  a: { request: /, allow: allowed }", "x.yaml:3:17: a request is a method, a space and a path"),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: allowed, now: 5 }",
            "x.yaml:3:45: this must be a string, and it is a number",
        ),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: allowed, now: 5m }", "x.yaml:3:45: a time is written as 'now', '+5m'"),
        ("configuration: ''\ncases:\n  a: { request: GET /, allow: allowed, at: monday }", "x.yaml:3:44: a date and time is written as"),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: allowed, configuration: b }",
            "x.yaml:3:55: there is no variant 'b' of the configuration; describe it under 'variants'",
        ),
        (
            "configuration: ''\ntokens: { bob: {} }\ncases:\n  a: { request: GET /, allow: allowed, token: bib }",
            "x.yaml:4:47: there is no token 'bib'; the tokens are 'bob', 'none'",
        ),
        ("configuration: ''\ntokens: { none: {} }\ncases:\n  a: { request: GET /, allow: allowed }", "x.yaml:2:11: 'none' is the word"),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: allowed, token: { key: rsa-z } }",
            "x.yaml:3:54: there is no signing key 'rsa-z'; the keys are rsa-a",
        ),
        (
            "configuration: ''\ncases:\n  a: { request: GET /, allow: allowed, state: { revocations: { i: [{ type: session, id: 1 }] } } }",
            "x.yaml:3:76: this is none of 'jti', 'sid'",
        ),
        ("configuration: ''\ncases: {}", "x.yaml:1:1: there are no cases"),
        ("configuration: ''", "x.yaml:1:1: 'cases' is missing"),
        ("configuration: [a]\ncases:\n  a: { request: GET /, allow: allowed }", "x.yaml:1:16: a configuration is its text, or"),
        ("a: 1\n---\nb: 2", "x.yaml:1:1: there must be one document, and there are 2"),
        ("a: [", "x.yaml:"),
        ("", "x.yaml:1:1: there must be one document, and there are 0"),
    ] {
        let got = CaseFile::read("x.yaml", text).err().unwrap().to_string();
        assert!(got.starts_with(error), "{text}\n{got}");
    }
}

#[test]
fn a_problem_of_one_case_does_not_hide_that_of_the_next() {
    let text = "configuration: ''\ncases:\n  a: { request: GET / }\n  b: { request: GET /, allow: public }\n  c: { allow: public }\n";
    let problems = CaseFile::read("x.yaml", text).err().unwrap();
    let lines: Vec<usize> = problems.iter().map(|problem| problem.location.as_ref().unwrap().line).collect();
    assert_eq!(lines, [3, 5]);
}
