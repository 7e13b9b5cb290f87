//! The command line, as a person or a script meets it.

mod envoy_check;
mod healthcheck;
mod policy_tests;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::authority::Authority;
use crate::harness::process::{Process, command, programs};
use crate::harness::sidecar::edit;
use crate::harness::slow_disk::SlowDisk;
use crate::harness::wait::PATIENCE;
use crate::harness::{mesh, sidecar};
use crate::sidecar::loading;

fn portcullis<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    command(programs::portcullis()).args(arguments).output().expect("portcullis runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn check(path: &Path) -> Output {
    portcullis([Path::new("check"), path])
}

/// A good configuration in a file of its own.
fn good(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("good.yaml");
    fs::write(&path, sidecar::policy(folder, "http://127.0.0.1:9400")).expect("the configuration");
    path
}

#[test]
fn help_tells_a_newcomer_what_there_is() {
    let help = portcullis(["--help"]);
    assert!(help.status.success());
    for word in ["Examples:", "Exit status", "SIGTERM"] {
        assert!(out(&help).contains(word), "{word} is missing:\n{}", out(&help));
    }
    for subcommand in ["run", "check", "test", "healthcheck", "inject", "webhook", "audit", "completions"] {
        assert!(out(&help).contains(&format!("portcullis {subcommand} ")), "there is no example of {subcommand}:\n{}", out(&help));
        let help = portcullis([subcommand, "--help"]);
        assert!(help.status.success() && out(&help).contains("Usage: portcullis"), "{subcommand}: {}", out(&help));
    }
    let version = portcullis(["--version"]);
    assert_eq!(out(&version), format!("portcullis {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    for arguments in [
        &[][..],
        &["fly"],
        &["run"],
        &["run", "--konfig", "x"],
        &["run", "--config", "x", "--socket-mode", "777"],
        &["run", "--config", "x", "--socket-mode", "rw"],
        &["check"],
        &["check", "a", "b"],
        &["check", "a", "--strict"],
        &["check", "a", "--accept", "no-ext-authz"],
        &["check", "--envoy"],
        &["check", "--envoy", "a", "--accept", "no-such-code"],
        &["check", "--envoy", "a", "--accept", "unreadable"],
        &["completions", "cobol"],
        &["audit"],
        &["audit", "verify"],
        &["audit", "verify", "x", "--after", "ABC"],
    ] {
        let output = portcullis(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains("--help") || err(&output).contains("Usage"), "{arguments:?}: {}", err(&output));
    }
    let output = portcullis(["run", "--config", "x", "--log", "???=???"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
}

#[test]
fn check_says_that_a_good_configuration_is_good() {
    let folder = mesh::folder();
    let path = good(folder.path());
    let output = check(&path);
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).starts_with(&path.display().to_string()) && out(&output).contains("good"), "{}", out(&output));
    assert_eq!((out(&output).lines().count(), err(&output)), (1, String::new()));

    let output = portcullis([Path::new("check"), &path, Path::new("--json")]);
    assert!(output.status.success());
    let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!((&report["valid"], &report["issuers"]), (&true.into(), &2.into()));
    assert_eq!(report["problems"], Value::Array(vec![]));
}

#[test]
fn check_names_file_line_and_column_of_every_problem_at_once() {
    let folder = mesh::folder();
    let text = fs::read_to_string(good(folder.path())).expect("the configuration");
    let text = edit(&text, "    service: blog\n", "    servce: blog\n");
    let text = edit(&text, "    methods: { GET: { access: public } }", "    methods: { GET: { access: pubic } }");
    let text = edit(&text, "    leeway: 1s\n  # A second", "    leeway: soon\n  # A second");
    let path = folder.path().join("bad.yaml");
    fs::write(&path, &text).expect("the configuration");
    let line_of = |words: &str| 1 + text.lines().position(|line| line.contains(words)).expect("the line");
    let places = [("leeway: soon", "soon"), ("servce", "servce"), ("pubic", "pubic")].map(|(words, said)| (line_of(words), said));

    let output = check(&path);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output), "");
    let said = err(&output);
    for (line, word) in places {
        let place = format!("{}:{line}:", path.display());
        assert!(said.lines().any(|text| text.starts_with(&place) && text.contains(word)), "nothing about {word} at {place}\n{said}");
    }

    let output = portcullis([Path::new("check"), Path::new("--json"), &path]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(report["valid"], false);
    let problems = report["problems"].as_array().expect("problems");
    for (line, _) in places {
        let found = problems.iter().find(|problem| problem["line"] == line).expect("a problem of that line");
        assert_eq!(found["file"], path.display().to_string());
        assert!(found["column"].as_u64().is_some() && found["message"].as_str().is_some(), "{found}");
    }
}

#[test]
fn run_refuses_a_bad_configuration_with_all_its_problems() {
    let folder = mesh::folder();
    let text = fs::read_to_string(good(folder.path())).expect("the configuration");
    let text = edit(&text, "    service: blog\n", "    servce: blog\n");
    let text = edit(&text, "audiences: [demo]", "audiences: []");
    let path = folder.path().join("bad.yaml");
    fs::write(&path, text).expect("the configuration");
    let output = portcullis([Path::new("run"), Path::new("--config"), &path]);
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    assert!(said.contains("servce"), "{said}");
    assert_eq!(said.matches("audiences").count(), 2, "both issuers:\n{said}");
    assert!(!folder.path().join("authz.sock").exists(), "nothing was started");
}

#[test]
fn what_is_not_there_or_cannot_be_read_is_named() {
    let folder = mesh::folder();
    let missing = folder.path().join("missing.yaml");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let binary = folder.path().join("binary.yaml");
    fs::write(&binary, b"listen:\n  \xff\xfe\n").expect("a file");
    let cases = [(&missing, "no such file"), (&empty, "no *.yaml"), (&binary, "binary.yaml:2: is not valid utf-8")];
    for (path, said) in cases {
        for output in [check(path), portcullis([Path::new("run"), Path::new("--config"), path])] {
            assert_eq!(output.status.code(), Some(1), "{}", path.display());
            assert!(err(&output).contains(said) && err(&output).contains(&path.display().to_string()), "{}", err(&output));
        }
    }
    // There, and not all of it.
    let whole = fs::read_to_string(good(folder.path())).expect("the configuration");
    let path = folder.path().join("part.yaml");
    for (text, said) in [("", "there are no routes"), ("# soon\n", "there are no routes"), (&whole[..whole.len() - 10], "part.yaml:")] {
        fs::write(&path, text).expect("a part");
        for output in [check(&path), portcullis([Path::new("run"), Path::new("--config"), &path])] {
            assert_eq!(output.status.code(), Some(1), "{text:?}");
            assert!(err(&output).contains(said), "{}", err(&output));
        }
    }
}

#[test]
fn the_files_of_a_folder_count_as_one_and_what_is_there_twice_is_named_with_both_places() {
    let folder = mesh::folder();
    let whole = fs::read_to_string(good(folder.path())).expect("the configuration");
    let (first, routes) = whole.split_once("\nroutes:\n").expect("routes");
    let parts = folder.path().join("parts");
    fs::create_dir(&parts).expect("a folder");
    fs::write(parts.join("10-issuers.yaml"), format!("{first}\n")).expect("a part");
    fs::write(parts.join("20-routes.yaml"), format!("routes:\n{routes}")).expect("a part");
    fs::write(parts.join("notes.txt"), "not: [ours").expect("something else");
    let output = check(&parts);
    assert!(output.status.success(), "{}", err(&output));

    fs::write(
        parts.join("30-more.yaml"),
        "roles:\n  viewer: { permissions: [] }\nroutes:\n  - path: /blog/health\n    methods: { GET: { access: public } }\n",
    )
    .expect("a part");
    let output = check(&parts);
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    for (line, word, other) in [(2, "viewer", "10-issuers.yaml"), (4, "/blog/health", "20-routes.yaml")] {
        let place = format!("30-more.yaml:{line}:");
        assert!(said.lines().any(|text| text.contains(&place) && text.contains(word) && text.contains(other)), "{word}:\n{said}");
    }
}

#[test]
fn a_key_set_that_cannot_be_used_is_found_by_check() {
    let folder = mesh::folder();
    let path = good(folder.path());
    let keys = folder.path().join("keys.json");
    let mut said = Vec::new();
    fs::remove_file(&keys).expect("the keys removed");
    said.push(check(&path));
    for text in ["no JSON", "{}", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"] {
        fs::write(&keys, text).expect("the keys");
        said.push(check(&path));
    }
    for output in said {
        assert_eq!(output.status.code(), Some(1), "{}", out(&output));
        assert!(err(&output).contains("issuers.second.jwks.file") && err(&output).contains("keys.json"), "{}", err(&output));
    }
}

#[test]
fn check_reads_files_as_the_sidecar_does() {
    let folder = mesh::folder();
    let path = good(folder.path());
    let keys = folder.path().join("keys.json");
    fs::remove_file(&keys).expect("the keys removed");
    // Reading a pipe would wait for its writer.
    assert!(Command::new("mkfifo").arg(&keys).status().is_ok_and(|status| status.success()), "no mkfifo: apt-get install coreutils");
    let output = check(&path);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(err(&output).contains("issuers.second.jwks.file: ") && err(&output).contains("it is no regular file"), "{}", err(&output));
    fs::remove_file(&keys).expect("the pipe removed");
    fs::write(&keys, [b' '; (1 << 20) + 1]).expect("a long file");
    assert!(err(&check(&path)).contains("the file has more than 1048576 bytes"), "{}", err(&check(&path)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_the_file_whose_disk_hangs() {
    let folder = mesh::folder();
    let path = good(folder.path());
    let disk = SlowDisk::under(&folder.path().join("keys.json"));
    disk.hang(true);
    let arguments = ["check", "--json", &path.display().to_string()];
    let mut process = Process::start_with("check", programs::portcullis(), arguments, &disk.environment(), folder.path());
    assert!(process.log_line("still reading ").await.contains("keys.json"));
    disk.hang(false);
    assert!(process.ended(PATIENCE).await.success(), "{}", process.log());
}

#[test]
fn there_are_completions_for_the_usual_shells() {
    for (shell, word) in [("bash", "complete"), ("zsh", "#compdef portcullis"), ("fish", "complete -c portcullis")] {
        let output = portcullis(["completions", shell]);
        assert!(output.status.success() && out(&output).contains(word), "{shell}");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command(programs::portcullis()).args(["completions", "bash"]).stdout(writer).output().expect("it runs");
    assert!(output.status.success() && err(&output).is_empty(), "{}", err(&output));
}

#[test]
fn check_knows_a_configuration_of_envoy_when_it_is_given_one_by_mistake() {
    let output = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/sidecar.yaml"));
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("portcullis check --envoy "), "{}", err(&output));
}

#[test]
fn check_notes_a_token_file_that_cannot_be_read_here() {
    let folder = mesh::folder();
    let text = fs::read_to_string(good(folder.path())).expect("the configuration");
    let secret = folder.path().join("directory.token");
    let directory = format!("directory: {{ url: \"http://127.0.0.1:1/people\", token_file: {} }}\nroutes:\n", secret.display());
    let path = folder.path().join("policy.yaml");
    fs::write(&path, edit(&text, "routes:\n", &directory)).expect("the configuration");
    let says = || {
        let output = check(&path);
        assert!(output.status.success(), "{}", err(&output));
        out(&output)
    };
    assert!(says().contains("note: directory.token_file"), "{}", says());
    fs::write(&secret, "\n").expect("the token");
    assert!(says().contains("there is no token in it"), "{}", says());
    fs::write(&secret, "secret\n").expect("the token");
    assert!(!says().contains("note:"), "{}", says());
}

#[test]
fn check_notes_files_for_tls_that_cannot_be_used_here() {
    let folder = mesh::folder();
    let text = fs::read_to_string(good(folder.path())).expect("the configuration");
    let (ca, path) = (folder.path().join("ca.pem"), folder.path().join("policy.yaml"));
    let tls = format!("    typ: [at+jwt]\n    tls: {{ ca: {} }}\n", ca.display());
    fs::write(&path, edit(&text, "    typ: [at+jwt]\n", &tls)).expect("the configuration");
    let says = || {
        let output = check(&path);
        assert!(output.status.success(), "{}", err(&output));
        out(&output)
    };
    assert!(says().contains("note: issuers.main.tls"), "{}", says());
    fs::write(&ca, "-----BEGIN").expect("a file");
    assert!(says().contains("ca.pem: there is no certificate in PEM in it"), "{}", says());
    Authority::new().write(&ca);
    assert!(!says().contains("note:"), "{}", says());
}

#[test]
fn check_notes_revocations_and_passwords_that_cannot_be_read_here() {
    let folder = mesh::folder();
    let text = fs::read_to_string(good(folder.path())).expect("the configuration");
    let (list, password) = (folder.path().join("revoked.json"), folder.path().join("redis.password"));
    let second = format!(
        "issuer: http://second.test\n    revocations: [{{ file: {} }}, {{ redis: \"redis://a\", set: r, password_file: {} }}]\n",
        list.display(),
        password.display()
    );
    let path = folder.path().join("policy.yaml");
    fs::write(&path, edit(&text, "issuer: http://second.test\n", &second)).expect("the configuration");
    let says = || {
        let output = check(&path);
        assert!(output.status.success(), "{}", err(&output));
        out(&output)
    };
    assert!(says().contains("note: issuers.second.revocations.file: "), "{}", says());
    assert!(says().contains("note: issuers.second.revocations.password_file: "), "{}", says());
    fs::write(&list, r#"{"entries":[{"type":"user","id":"a"}]}"#).expect("the list");
    fs::write(&password, "").expect("the password");
    assert!(says().contains("unknown type 'user'") && says().contains("there is no password in it"), "{}", says());
    fs::write(&list, r#"{"entries":[]}"#).expect("the list");
    fs::write(&password, "secret").expect("the password");
    assert!(!says().contains("note:"), "{}", says());
}

#[test]
fn a_configuration_that_fails_its_own_tests_is_neither_good_nor_started() {
    let folder = mesh::folder();
    let text = fs::read_to_string(good(folder.path())).expect("the configuration");
    let path = folder.path().join("tested.yaml");
    fs::write(&path, loading::tested(&text)).expect("the configuration");
    let tests = folder.path().join("tests");
    let run = || portcullis([Path::new("run"), Path::new("--config"), &path]);

    for output in [check(&path), run()] {
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("tests: no such file or directory"), "{}", err(&output));
    }
    fs::create_dir(&tests).expect("a folder");
    for output in [check(&path), run()] {
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("tests/*.yaml: there is no such policy test"), "{}", err(&output));
    }
    fs::write(tests.join("viewers.yaml"), loading::tests(loading::WRITING)).expect("tests");
    for output in [check(&path), run()] {
        assert_eq!(output.status.code(), Some(1));
        let said = err(&output);
        assert!(
            said.contains("viewers.yaml:5:3: a viewer writes: decision: expected allow allowed, got deny permission_missing"),
            "{said}"
        );
        assert!(said.contains("configuration.tests: 1 of 2 policy tests failed"), "{said}");
    }
    assert!(!folder.path().join("authz.sock").exists(), "nothing was started");

    fs::write(tests.join("viewers.yaml"), loading::tests(loading::NOT_WRITING)).expect("tests");
    let output = check(&path);
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("2 policy tests passed"), "{}", out(&output));
    let report: Value = serde_json::from_str(&out(&portcullis([Path::new("check"), &path, Path::new("--json")]))).expect("JSON");
    assert_eq!((&report["valid"], &report["policy_tests"]), (&true.into(), &2.into()));
    // The same by hand.
    assert!(portcullis([Path::new("test"), &tests, Path::new("--config"), &path]).status.success());

    // In a folder of its own the configuration is all that there is, and so the tests are beside it.
    let parts = folder.path().join("parts");
    fs::create_dir(&parts).expect("a folder");
    fs::copy(&path, parts.join("policy.yaml")).expect("copied");
    fs::copy(tests.join("viewers.yaml"), parts.join("viewers.yaml")).expect("copied");
    fs::create_dir(parts.join("tests")).expect("a folder");
    fs::copy(tests.join("viewers.yaml"), parts.join("tests/viewers.yaml")).expect("copied");
    let output = check(&parts);
    assert!(err(&output).contains("viewers.yaml:4:3: cases: this is a policy test"), "{}", err(&output));
    fs::remove_file(parts.join("viewers.yaml")).expect("removed");
    assert!(check(&parts).status.success(), "{}", err(&check(&parts)));
    let text = fs::read_to_string(parts.join("policy.yaml")).expect("the configuration");
    fs::write(parts.join("policy.yaml"), edit(&text, "tests/*.yaml", "policy.yaml")).expect("the configuration");
    assert!(err(&check(&parts)).contains("is part of the configuration and no policy test"), "{}", err(&check(&parts)));
}
