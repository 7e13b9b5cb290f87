//! `portcullis test`, as a person or a script meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{err, out};
use crate::harness::mesh;
use crate::harness::process::{command, programs};

const POLICY: &str = "\
issuers:
  manager: { issuer: https://id.example.com, audiences: [shop], jwks: { file: keys.json }, claims: { roles: roles } }
permissions: { syntax: \"resource:action\" }
roles:
  clerk: { permissions: [\"orders:read\"] }
routes:
  - { path: /orders, name: orders, methods: { GET: { permission: \"orders:read\" }, POST: { permission: \"orders:create\" } } }
  - { path: /health, name: health, methods: { GET: { access: public } } }
";

const CASES: &str = "\
configuration: { file: policy.yaml }
tokens:
  clerk: { claims: { roles: [clerk] } }
cases:
  a clerk reads: { request: GET /orders, token: clerk, allow: allowed, route: orders }
  a stranger does not: { request: GET /orders, deny: permission_missing, twin: a clerk reads }
  health is for everybody: { request: GET /health, token: none, allow: public, route: health }
";

/// What is missing in the cases so that everything is tested.
const THE_REST: &str = "  a clerk orders nothing: { request: POST /orders, token: clerk, deny: permission_missing, twin: another token }
  another token: { request: POST /orders, token: { claims: { roles: [clerk, buyer] } }, allow: allowed }
";

/// A folder with a policy and these files besides.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = mesh::folder();
    for (name, text) in [("policy.yaml", POLICY)].iter().chain(files) {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

fn test(folder: &Path, arguments: &[&str]) -> Output {
    command(programs::portcullis()).arg("test").args(arguments).current_dir(folder).output().expect("portcullis runs")
}

/// Without the times, which nobody knows before.
fn lines(output: &Output) -> Vec<String> {
    let text = out(output);
    let timeless = |line: &str| match line.rsplit_once(" (") {
        Some((before, time)) if time.ends_with(" ms)") => before.to_string(),
        _ => line.to_string(),
    };
    text.lines().map(timeless).collect()
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn passing_cases_are_counted_and_what_they_leave_out_is_noted() {
    let folder = folder(&[("tests.yaml", CASES)]);
    let output = test(folder.path(), &["tests.yaml"]);
    assert_eq!(
        lines(&output),
        [
            "tests.yaml: 3 cases passed",
            "note: policy.yaml: no case is let through on 1 of 3 methods of routes: orders (POST)",
            "note: policy.yaml: no case is refused on 1 of 3 methods of routes: orders (POST)",
            "3 cases in 1 file passed",
        ]
    );
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    let output = test(folder.path(), &["tests.yaml", "--quiet"]);
    assert_eq!((output.status.code(), out(&output), err(&output)), (Some(0), String::new(), String::new()));
}

#[test]
fn a_failing_case_is_shown_with_place_name_and_difference() {
    let text = CASES.replace("deny: permission_missing", "allow: allowed").replace("route: health", "route: helth");
    let folder = folder(&[("tests.yaml", &text)]);
    let failures = [
        "tests.yaml: 2 of 3 cases failed",
        "tests.yaml:6:3: a stranger does not",
        "    GET /orders",
        "    decision: expected allow allowed, got deny permission_missing",
        "tests.yaml:7:3: health is for everybody",
        "    GET /health",
        "    route: expected \"helth\", got \"health\" (the configuration has no route 'helth'; did you mean 'health'?)",
    ];
    let summary = "2 of 3 cases in 1 file failed";
    let output = test(folder.path(), &["tests.yaml"]);
    assert_eq!(lines(&output)[..7], failures);
    assert_eq!(lines(&output).last().map(String::as_str), Some(summary));
    assert_eq!(output.status.code(), Some(1));
    let output = test(folder.path(), &["-q", "tests.yaml"]);
    assert_eq!(lines(&output), failures.into_iter().chain([summary]).collect::<Vec<_>>());
    assert!(!out(&output).contains('\u{1b}'), "colours are for terminals");
}

#[test]
fn all_problems_of_a_malformed_file_are_named_and_the_other_files_run() {
    let malformed = "configuration: { file: policy.yaml }\ncases:\n  a: { requets: GET / }\n  b: { request: GET /, alow: public }\n";
    let folder = folder(&[("bad.yaml", malformed), ("tests.yaml", CASES)]);
    let output = test(folder.path(), &["bad.yaml", "tests.yaml", "missing.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    let said: Vec<&str> = said.lines().collect();
    assert!(
        said[0].starts_with("bad.yaml:3:8: there is no key 'requets' here (did you mean 'request'?); the keys are 'about', "),
        "{said:?}"
    );
    assert!(said[1].starts_with("bad.yaml:4:24: there is no key 'alow' here (did you mean 'allow'?)"), "{said:?}");
    assert!(said[2].starts_with("missing.yaml: ") && said[2].contains("no such file"), "{said:?}");
    let lines = lines(&output);
    assert_eq!(
        lines[..3],
        ["bad.yaml: could not be run (2 problems)", "tests.yaml: 3 cases passed", "missing.yaml: could not be run (1 problem)"]
    );
    assert_eq!(lines.last().map(String::as_str), Some("3 cases in 1 file passed, 2 files could not be run"));
}

#[test]
fn problems_of_the_configuration_are_named_in_the_file_where_they_are() {
    let bad = POLICY.replace("jwks:", "jkws:");
    let indented: String = bad.lines().map(|line| format!("    {line}\n")).collect();
    let inline = format!("cases:\n  a: {{ request: GET /, allow: public }}\nconfiguration: |\n{indented}");
    let folder = folder(&[
        ("bad.yaml", &bad),
        ("one.yaml", &CASES.replace("policy.yaml", "bad.yaml")),
        ("two.yaml", &inline),
        ("three.yaml", &CASES.replace("policy.yaml", "nowhere.yaml")),
        ("four.yaml", &CASES.replace("configuration: { file: policy.yaml }\n", "")),
        ("five.yaml", &CASES.replace("tokens:", "variants: { v: [{ replace: permission, with: y }] }\ntokens:")),
    ]);
    for (file, said) in [
        ("one.yaml", "bad.yaml:2:65: issuers.manager.jkws: there is no key 'jkws' here; did you mean 'jwks'?"),
        ("two.yaml", "two.yaml:5:69: issuers.manager.jkws: there is no key 'jkws' here; did you mean 'jwks'?"),
        ("three.yaml", "three.yaml:1:24: nowhere.yaml: no such file"),
        ("four.yaml", "four.yaml:1:1: 'configuration' is missing"),
        ("five.yaml", "five.yaml:2:28: the configuration has the text 'permission' 4 times and must have it once"),
    ] {
        let output = test(folder.path(), &[file]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(err(&output).lines().any(|line| line.starts_with(said)), "{file}: {said}\n{}", err(&output));
        assert_eq!(lines(&output).last().map(String::as_str), Some("1 file could not be run"));
    }
}

#[test]
fn json_has_files_cases_failures_problems_and_coverage() {
    let text = CASES.replace("deny: permission_missing", "allow: allowed");
    let folder = folder(&[("tests.yaml", &text), ("bad.yaml", "cases:\n  a: 1\n")]);
    let output = test(folder.path(), &["--json", "tests.yaml", "bad.yaml"]);
    assert_eq!((output.status.code(), err(&output)), (Some(1), String::new()));
    let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!((&report["passed"], &report["strict"]), (&json!(false), &json!(false)));
    let files = report["files"].as_array().expect("files");
    let shown: Vec<_> = files.iter().map(|file| (&file["file"], &file["passed"], &file["cases"], &file["failed"])).collect();
    let (yes, no) = (&json!(false), &json!(false));
    assert_eq!(shown, [(&json!("tests.yaml"), yes, &json!(3), &json!(1)), (&json!("bad.yaml"), no, &json!(0), &json!(0))]);
    assert_eq!(
        report["cases"][0],
        json!({
            "file": "tests.yaml", "line": 5, "name": "a clerk reads", "request": "GET /orders", "passed": true,
            "decision": "allow", "reason": "allowed", "route": "orders",
        })
    );
    assert_eq!(
        report["failures"],
        json!([{
            "file": "tests.yaml", "line": 6, "column": 3, "name": "a stranger does not", "request": "GET /orders", "when": "at first",
            "error": null,
            "differences": [{ "what": "decision", "expected": "allow allowed", "got": "deny permission_missing", "hint": null }],
        }])
    );
    assert_eq!((&report["problems"][0]["file"], &report["problems"][0]["line"]), (&json!("bad.yaml"), &json!(2)));
    let methods = json!([{ "route": "orders", "method": "POST" }]);
    assert_eq!(
        report["coverage"],
        json!([{ "configuration": "policy.yaml", "methods": 3, "never_let_through": methods, "never_refused": methods }])
    );
}

#[test]
fn a_filter_chooses_cases_by_name() {
    let folder = folder(&[("tests.yaml", CASES), ("more.yaml", &CASES.replace("clerk", "officer"))]);
    let output = test(folder.path(), &["tests.yaml", "more.yaml", "--filter", "clerk"]);
    assert_eq!(lines(&output), ["tests.yaml: 1 case passed", "1 case in 1 file passed"]);
    assert!(output.status.success());
    let output = test(folder.path(), &["tests.yaml", "--filter", "nobody"]);
    assert_eq!((output.status.code(), out(&output)), (Some(1), "no case was run\n".to_string()));
}

#[test]
fn a_configuration_that_says_how_it_is_loaded_is_not_taken_for_a_test_file() {
    let folder = folder(&[("tests.yaml", CASES)]);
    for (text, is_test) in [
        ("configuration: { tests: [\"*.yaml\"] }\n", false),
        ("configuration: { max_stale: 1h }\nroutes: []\n", false),
        ("configuration: { file: policy.yaml }\n", true),
        ("configuration: { tests: a, file: b }\ncases: {}\n", true),
        ("configuration: nonsense\n", true),
    ] {
        fs::write(folder.path().join("other.yaml"), text).expect("a file");
        assert_eq!(test(folder.path(), &["."]).status.success(), !is_test, "{text}");
    }
}

#[test]
fn another_configuration_can_be_tried() {
    let folder = folder(&[("tests.yaml", CASES), ("bare.yaml", &CASES.replace("configuration: { file: policy.yaml }\n", ""))]);
    fs::write(folder.path().join("new.yaml"), POLICY.replace("orders:read\"] }", "orders:list\"] }")).expect("a policy");
    for (file, config, passes) in
        [("tests.yaml", "new.yaml", false), ("tests.yaml", "policy.yaml", true), ("bare.yaml", "policy.yaml", true)]
    {
        let output = test(folder.path(), &[file, "--config", config]);
        assert_eq!(output.status.success(), passes, "{file} {config}: {}", out(&output));
        assert!(out(&output).contains(&format!("note: {config}: ")), "{}", out(&output));
    }
    // A folder of configuration counts as one.
    let parts = folder.path().join("parts");
    fs::create_dir(&parts).expect("a folder");
    let (first, routes) = POLICY.split_once("routes:\n").expect("routes");
    fs::write(parts.join("a.yaml"), first).expect("a part");
    fs::write(parts.join("b.yaml"), format!("routes:\n{routes}")).expect("a part");
    fs::write(folder.path().join("of-folder.yaml"), CASES.replace("policy.yaml", "parts")).expect("a file");
    for arguments in [&["tests.yaml", "--config", "parts"][..], &["of-folder.yaml"]] {
        let output = test(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    }
    let output = test(folder.path(), &["tests.yaml", "--config", "nowhere"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("nowhere: no such file"), "{}", err(&output));
}

#[test]
fn strictly_every_method_passes_and_is_refused_and_every_refusal_has_a_twin() {
    let complete = CASES.to_string() + THE_REST;
    let policy = POLICY.replace("roles:\n", "roles:\n  buyer: { permissions: [\"orders:create\"] }\n");
    let folder =
        folder(&[("tests.yaml", CASES), ("complete.yaml", &complete), ("lonely.yaml", &complete.replace(", twin: another token", ""))]);
    fs::write(folder.path().join("policy.yaml"), policy).expect("the policy");
    let output = test(folder.path(), &["--strict", "complete.yaml"]);
    assert_eq!(lines(&output), ["complete.yaml: 5 cases passed", "5 cases in 1 file passed"]);
    assert!(output.status.success());

    let output = test(folder.path(), &["--strict", "--quiet", "tests.yaml"]);
    assert_eq!(
        lines(&output),
        [
            "error: policy.yaml: no case is let through on 1 of 3 methods of routes: orders (POST)",
            "error: policy.yaml: no case is refused on 1 of 3 methods of routes: orders (POST)",
            "3 cases in 1 file passed, 2 gaps in what is tested",
        ]
    );
    assert_eq!(output.status.code(), Some(1));
    // What one file leaves out, another one of the same configuration may have.
    let output = test(folder.path(), &["--strict", "tests.yaml", "complete.yaml"]);
    assert!(output.status.success(), "{}", out(&output));

    let output = test(folder.path(), &["--strict", "lonely.yaml"]);
    let said = "error: lonely.yaml:8:3: a clerk orders nothing: it is a refusal and names no 'twin', a case nearby that is let through";
    assert_eq!(lines(&output)[1], said);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn in_a_folder_the_test_files_are_run_and_nothing_else() {
    let folder = folder(&[("b.yml", CASES), ("a.yaml", CASES), ("notes.txt", "cases: ["), ("k8s.yaml", "a: 1\n---\nb: 2\n")]);
    for (at, arguments) in [(folder.path(), &[][..]), (folder.path(), &["."]), (Path::new("/"), &[folder.path().to_str().expect("UTF-8")])]
    {
        let output = test(at, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
        let lines = lines(&output);
        assert!(lines[0].ends_with("a.yaml: 3 cases passed") && lines[1].ends_with("b.yml: 3 cases passed"), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("6 cases in 2 files passed"));
    }
    // One that is broken may have been a test file.
    fs::write(folder.path().join("c.yaml"), "cases: [\n").expect("a file");
    let output = test(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("c.yaml:") && err(&output).contains("not valid YAML"), "{}", err(&output));
    // So may one that has lost its cases.
    fs::write(folder.path().join("c.yaml"), "configuration: { file: policy.yaml }\ncase: {}\n").expect("a file");
    let output = test(folder.path(), &[]);
    assert!(err(&output).starts_with("c.yaml:2:1: there is no key 'case' here (did you mean 'cases'?)"), "{}", err(&output));

    let empty = self::folder(&[]);
    let output = test(empty.path(), &[]);
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(1), ".: there is no test file in this folder, a *.yaml with the key 'cases'\n".into())
    );
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let folder = folder(&[("tests.yaml", CASES)]);
    for arguments in [&["--strict", "--filter", "x"][..], &["--json", "--quiet"], &["--config"], &["--fliter", "x"]] {
        let output = test(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
    }
    let help = test(folder.path(), &["--help"]);
    for word in ["Examples:", "--strict", "docs/policy-tests.md", "Exit status", "current folder"] {
        assert!(out(&help).contains(word), "{word} is missing:\n{}", out(&help));
    }
}

#[test]
fn the_command_in_the_readme_tests_the_policy_of_the_demo() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let line = readme.lines().find(|line| line.contains("portcullis test ")).expect("a command");
    let (_, arguments) = line.split_once("portcullis test ").expect("arguments");
    let output = test(&repository(), &arguments.split(['#', '`']).next().unwrap_or_default().split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{line}\n{}{}", out(&output), err(&output));
    assert!(lines(&output)[0].starts_with("demo/tests.yaml: ") && lines(&output)[0].ends_with(" cases passed"), "{}", out(&output));
}

#[test]
fn the_example_in_the_documentation_passes_strictly() {
    let document = fs::read_to_string(repository().join("docs/policy-tests.md")).expect("the document");
    let block = |number: usize| document.split("```yaml\n").nth(number).and_then(|rest| rest.split("```").next()).expect("an example");
    let folder = mesh::folder();
    fs::write(folder.path().join("portcullis.yaml"), block(1)).expect("the configuration");
    fs::write(folder.path().join("tests.yaml"), block(2)).expect("the cases");
    let output = test(folder.path(), &["--strict"]);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
}
