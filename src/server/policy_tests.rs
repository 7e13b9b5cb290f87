//! The policy tests that a configuration names, run before it comes into force: with the runner of `portcullis test --config`.

use std::time::{Duration, Instant};

use crate::config::{Configuration, Problem, Problems, SourceFile, named_tests};
use crate::pip::config_file::{ConfigFile, ConfigSource};
use crate::policy_test::case::CaseFile;
use crate::policy_test::configuration::Configurations;
use crate::policy_test::run::run_case;

/// How long all tests of a configuration may take together.
pub(crate) const BUDGET: Duration = Duration::from_secs(30);
/// How often it is said that they are still being run.
const PROGRESS: Duration = Duration::from_secs(2);
/// How many failures are told one by one.
const MAX_FAILURES: usize = 10;

/// The tests that the files of a configuration name.
pub(crate) fn named(files: &[ConfigFile]) -> Vec<String> {
    files.iter().flat_map(|file| named_tests(&file.text)).collect()
}

/// Runs all tests of a configuration, which was read as `source` and compiled from `files`; gives the number of cases, all of which
/// passed. Blocks.
///
/// # Errors
/// Tests that cannot be read, do not pass, or take longer than `budget`.
pub(crate) fn run(configuration: &Configuration, source: &ConfigSource, files: &[SourceFile], budget: Duration) -> Result<usize, Problems> {
    let started = Instant::now();
    let mut session = Session { started, told: started, budget, cases: 0, failed: 0, problems: Problems::default() };
    for test in &source.tests {
        session.run(test, configuration, files)?;
    }
    if session.failed > 0 {
        let more = session.failed.saturating_sub(MAX_FAILURES);
        let more = if more > 0 { format!("; {more} more are not shown") } else { String::new() };
        session.problem(format!("{} of {} policy tests failed{more}", session.failed, session.cases));
    } else if session.cases == 0 && !source.tests.is_empty() && session.problems.is_empty() {
        session.problem("the files have no cases, so nothing is tested".into());
    }
    if session.problems.is_empty() { Ok(session.cases) } else { Err(session.problems) }
}

struct Session {
    started: Instant,
    /// When progress was last told.
    told: Instant,
    budget: Duration,
    cases: usize,
    failed: usize,
    problems: Problems,
}

impl Session {
    /// Runs a file's cases and notes what fails. An error ends the whole run.
    fn run(&mut self, test: &ConfigFile, configuration: &Configuration, files: &[SourceFile]) -> Result<(), Problems> {
        let read = CaseFile::read(&test.path.display().to_string(), &test.text)
            .and_then(|file| Configurations::over(configuration, files, &file).map(|configurations| (file, configurations)));
        let (file, configurations) = match read {
            Ok(read) => read,
            Err(problems) => {
                self.problems.extend(problems.iter().cloned());
                return Ok(());
            }
        };
        for case in &file.cases {
            self.look_at_the_time()?;
            let report = run_case(&file, case, &configurations);
            self.cases += 1;
            let Some(failure) = report.failures.first() else { continue };
            self.failed += 1;
            if self.failed <= MAX_FAILURES {
                let (location, key) = (Some(failure.location.clone()), report.name.clone());
                self.problems.push(Problem { location, key, message: failure.to_string() });
            }
        }
        Ok(())
    }

    fn look_at_the_time(&mut self) -> Result<(), Problems> {
        if self.started.elapsed() >= self.budget {
            self.problem(format!(
                "the policy tests take longer than {} seconds; {} were run, and {} of them failed",
                self.budget.as_secs(),
                self.cases,
                self.failed
            ));
            return Err(std::mem::take(&mut self.problems));
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            tracing::info!(cases = self.cases, failed = self.failed, "testing the configuration");
        }
        Ok(())
    }

    fn problem(&mut self, message: String) {
        self.problems.push(Problem { location: None, key: "configuration.tests".into(), message });
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::server::source_files;

    const CONFIGURATION: &str = "\
issuers: { main: { issuer: https://id.example.com, audiences: [shop], jwks: { url: https://id.example.com/jwks } } }
routes: [{ path: /a, name: a, methods: { GET: { access: authenticated } } }]
";

    fn tested(tests: &[&str], budget: Duration) -> Result<usize, String> {
        let file = |name: String, text: &str| ConfigFile { path: PathBuf::from(name), text: text.into() };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.yaml");
        std::fs::write(&path, CONFIGURATION).unwrap();
        let mut source = crate::pip::config_file::read(&path).unwrap();
        source.tests = tests.iter().enumerate().map(|(index, text)| file(format!("t{index}.yaml"), text)).collect();
        let files = source_files(&source);
        run(&Configuration::compile(&files).unwrap(), &source, &files, budget).map_err(|problems| problems.to_string())
    }

    const GOOD: &str =
        "cases:\n  known: { request: GET /a, allow: allowed }\n  nobody: { request: GET /a, token: none, deny: credential_missing }\n";

    #[test]
    fn cases_that_all_pass_are_counted() {
        assert_eq!(tested(&[], BUDGET), Ok(0));
        assert_eq!(tested(&[GOOD, GOOD], BUDGET), Ok(4));
    }

    #[test]
    fn failing_cases_are_named_with_their_places_and_counted() {
        let bad = GOOD.replace("credential_missing", "permission_missing");
        let said = tested(&[GOOD, &bad], BUDGET).unwrap_err();
        let [first, last] = said.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(
            first.starts_with("t1.yaml:3:3: nobody: decision: expected deny permission_missing, got deny credential_missing"),
            "{said}"
        );
        assert_eq!(last, "configuration.tests: 1 of 4 policy tests failed");

        let many: String = (0..50).map(|n| format!("  c{n}: {{ request: GET /a, deny: permission_missing }}\n")).collect();
        let said = tested(&[&format!("cases:\n{many}")], BUDGET).unwrap_err();
        assert_eq!(said.lines().count(), MAX_FAILURES + 1);
        assert!(said.ends_with("50 of 50 policy tests failed; 40 more are not shown"), "{said}");
    }

    #[test]
    fn what_is_no_test_or_tests_nothing_is_a_problem() {
        for (text, said) in [
            ("cases: [", "t0.yaml:2:1: "),
            ("routes: []", "t0.yaml:1:1: "),
            ("cases: {}", "t0.yaml"),
            ("", "t0.yaml"),
            (&format!("variants: {{ v: [{{ replace: nowhere, with: x }}] }}\n{GOOD}"), "does not have the text 'nowhere'"),
        ] {
            let problems = tested(&[text], BUDGET).unwrap_err();
            assert!(problems.contains(said), "{text:?}: {problems}");
        }
    }

    #[test]
    fn tests_end_when_their_time_is_up() {
        let said = tested(&[GOOD], Duration::ZERO).unwrap_err();
        assert_eq!(said, "configuration.tests: the policy tests take longer than 0 seconds; 0 were run, and 0 of them failed");
    }
}
