//! Every kind of finding is found where it should be, and only there.

mod files;
mod mutated;
mod pair;
mod rules;

use super::*;

/// A shipped configuration.
fn shipped(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sidecar's configuration without its comments, so that a text stands in it where it counts.
fn sidecar() -> String {
    let text = shipped("envoy/sidecar.yaml");
    text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

fn checked(text: &str) -> Report {
    check_with(text.as_bytes(), None)
}

fn check_with(content: &[u8], needs: Option<&Needs>) -> Report {
    check(&[EnvoyFile { name: "envoy.yaml".into(), content: Ok(content.to_vec()) }], needs)
}

/// The codes that were found, with how bad they are.
fn codes(report: &Report) -> Vec<(Severity, &'static str)> {
    let mut codes: Vec<_> = report.findings.iter().map(|finding| (finding.severity, finding.kind.code)).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Replaces a text that is there once.
fn edit(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} has to be there once in:\n{text}");
    text.replace(from, to)
}

#[test]
fn what_is_shipped_is_clean() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy");
    let mut names = vec!["examples/envoy.yaml".to_string()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names.extend(name.ends_with(".yaml").then(|| format!("envoy/{name}")));
    }
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let mut report = checked(&shipped(&name));
        // One of them shows how a route is left out on purpose.
        let meant = if name == "envoy/off-switch.yaml" { vec![Accepted::parse("check-disabled=/public").unwrap()] } else { Vec::new() };
        assert_eq!(report.accept(&meant), Vec::<&Accepted>::new(), "{name}");
        assert!(report.passes(true), "{name}:\n{}", report.text(Style::default()));
        assert!(report.counts.filters > 0, "{name}");
    }
    let report = checked(&sidecar());
    assert_eq!((report.findings, report.counts.routes), (vec![], 4));
}

#[test]
fn codes_are_unique_and_every_kind_says_why_and_what_instead() {
    let mut told = HashSet::new();
    for kind in all_kinds() {
        assert!(told.insert(kind.code), "{} is there twice", kind.code);
        assert!(kind.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{}", kind.code);
        for text in [kind.why, kind.instead] {
            assert!(text.len() > 5 && !text.ends_with('.') && !text.contains("  "), "{}: {text}", kind.code);
        }
    }
    assert!(told.len() > 60, "{}", told.len());
}

#[test]
fn a_finding_that_is_meant_to_be_so_counts_as_a_note() {
    let text = edit(&sidecar(), "failure_mode_allow: false", "failure_mode_allow: true");
    let mut report = checked(&text);
    assert!(!report.passes(false));
    let parsed = |text: &str| vec![Accepted::parse(text).unwrap()];
    let other = parsed("failure-mode-allow=another");
    assert_eq!(report.accept(&other).len(), 1);
    assert!(!report.passes(false));
    assert_eq!(report.accept(&parsed("failure-mode-allow=envoy.filters.http.ext_authz")).len(), 0);
    assert!(report.passes(true));
    assert_eq!((report.number(Severity::Error), report.number(Severity::Note)), (0, 1));
    assert!(report.text(Style::default()).contains("(accepted)"));
    assert_eq!(report.accept(&parsed("failure-mode-allow")).len(), 0);
    assert!(report.passes(true));
    assert!(Accepted::parse("failure-mode-alow").unwrap_err().contains("there is no finding 'failure-mode-alow'"));
    assert!(Accepted::parse("unreadable").unwrap_err().contains("cannot be accepted"));
}
