//! What came of test files, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::coverage::{Coverage, Method, by_route};
use super::run::{CaseReport, Cause, Failure, When};
use crate::config::{Location, Problem, Problems};

/// What came of a run.
#[derive(Default)]
pub struct Report {
    /// The files, in the order in which they were run.
    pub files: Vec<FileReport>,
    /// What was seen of each configuration, by its name; nothing where only some cases were run.
    pub coverage: Vec<(String, Coverage)>,
    /// Whether gaps count as failures.
    pub strict: bool,
}

/// What came of a file.
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// Its cases, or why they could not be run.
    pub outcome: Result<Vec<CaseReport>, Problems>,
    /// Refusals that prove little.
    pub lonely: Vec<Problem>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether it has colours.
    pub colour: bool,
}

const BOLD_RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

impl FileReport {
    /// Its cases; none if they could not be run.
    pub fn cases(&self) -> &[CaseReport] {
        self.outcome.as_deref().unwrap_or_default()
    }

    fn failed(&self) -> usize {
        self.cases().iter().filter(|case| !case.failures.is_empty()).count()
    }

    /// Whether all its cases were run and passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome.is_ok() && self.failed() == 0
    }

    /// A line about the file.
    #[must_use]
    pub fn line(&self, style: Style) -> String {
        let millis = self.elapsed.as_millis();
        let total = counted(self.cases().len(), "case");
        match (&self.outcome, self.failed()) {
            (Err(problems), _) => {
                format!("{}: {} ({})\n", self.name, style.paint(BOLD_RED, "could not be run"), counted(problems.len(), "problem"))
            }
            (Ok(_), 0) => format!("{}: {total} {} ({millis} ms)\n", self.name, style.paint(GREEN, "passed")),
            (Ok(_), failed) => format!("{}: {failed} of {total} {} ({millis} ms)\n", self.name, style.paint(BOLD_RED, "failed")),
        }
    }

    /// Every failure with its place, name and what was expected.
    #[must_use]
    pub fn failures(&self, style: Style) -> String {
        let mut text = String::new();
        for case in self.cases() {
            for failure in &case.failures {
                failure_text(&mut text, case, failure, style);
            }
        }
        text
    }
}

fn failure_text(text: &mut String, case: &CaseReport, failure: &Failure, style: Style) {
    let when = if failure.when == When::First { String::new() } else { format!(", {}", failure.when) };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {}{when}", failure.location, style.paint(BOLD_RED, &case.name));
    let _ = writeln!(text, "    {}", case.request);
    match &failure.cause {
        Cause::Error(error) => {
            let _ = writeln!(text, "    it could not be run: {error}");
        }
        Cause::Differences(differences) => {
            for difference in differences {
                let _ = writeln!(text, "    {difference}");
            }
        }
    }
}

impl Report {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn passed(&self) -> bool {
        // A run in which nothing was tested has not shown anything.
        self.cases() > 0 && self.files.iter().all(FileReport::passed) && (!self.strict || self.gaps() == 0)
    }

    fn cases(&self) -> usize {
        self.files.iter().map(|file| file.cases().len()).sum()
    }

    fn lonely(&self) -> impl Iterator<Item = &Problem> {
        self.files.iter().flat_map(|file| &file.lonely)
    }

    /// How much is not tested: methods that nothing was seen of, and refusals without a neighbour.
    fn gaps(&self) -> usize {
        let methods = |(_, coverage): &(String, Coverage)| coverage.never_let_through().len() + coverage.never_refused().len();
        self.lonely().count() + self.coverage.iter().map(methods).sum::<usize>()
    }

    /// What is not tested: notes, or errors where that counts.
    #[must_use]
    pub fn notes(&self, style: Style) -> String {
        let label = if self.strict { style.paint(BOLD_RED, "error") } else { style.paint(YELLOW, "note") };
        let mut text = String::new();
        for problem in self.lonely() {
            let _ = writeln!(text, "{label}: {problem}");
        }
        for (name, coverage) in &self.coverage {
            for (what, methods) in
                [("no case is let through", coverage.never_let_through()), ("no case is refused", coverage.never_refused())]
            {
                if !methods.is_empty() {
                    let (count, total) = (methods.len(), coverage.total());
                    let _ = writeln!(text, "{label}: {name}: {what} on {count} of {total} methods of routes: {}", by_route(&methods));
                }
            }
        }
        text
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self, style: Style) -> String {
        let failed: usize = self.files.iter().map(FileReport::failed).sum();
        let unrun = self.files.iter().filter(|file| file.outcome.is_err()).count();
        let mut parts = Vec::new();
        let of = format!("{} in {}", counted(self.cases(), "case"), counted(self.files.len() - unrun, "file"));
        match (self.cases(), failed) {
            (0, _) if unrun > 0 => {}
            (0, _) => parts.push("no case was run".to_string()),
            (_, 0) => parts.push(format!("{of} passed")),
            _ => parts.push(format!("{failed} of {of} failed")),
        }
        if unrun > 0 {
            parts.push(format!("{} could not be run", counted(unrun, "file")));
        }
        if self.strict && self.gaps() > 0 {
            parts.push(format!("{} in what is tested", counted(self.gaps(), "gap")));
        }
        style.paint(if self.passed() { GREEN } else { BOLD_RED }, &parts.join(", ")) + "\n"
    }

    /// All of it as one document.
    #[must_use]
    pub fn json(&self) -> Value {
        let cases = || self.files.iter().flat_map(|file| file.cases().iter().map(move |case| (file, case)));
        let failures = cases().flat_map(|(file, case)| case.failures.iter().map(|failure| failure_json(file, case, failure)));
        let problems = self.files.iter().filter_map(|file| file.outcome.as_ref().err()).flat_map(Problems::iter);
        json!({
            "passed": self.passed(),
            "files": self.files.iter().map(file_json).collect::<Vec<_>>(),
            "cases": cases().map(|(file, case)| case_json(file, case)).collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
            "strict": self.strict,
            "refusals_without_twin": self.lonely().collect::<Vec<_>>(),
            "coverage": self.coverage.iter().map(coverage_json).collect::<Vec<_>>(),
        })
    }
}

fn file_json(file: &FileReport) -> Value {
    json!({
        "file": file.name,
        "passed": file.passed(),
        "cases": file.cases().len(),
        "failed": file.failed(),
        "milliseconds": u64::try_from(file.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

fn case_json(file: &FileReport, case: &CaseReport) -> Value {
    let first = case.decided.first();
    json!({
        "file": file.name,
        "line": case.location.line,
        "name": case.name,
        "request": case.request,
        "passed": case.failures.is_empty(),
        "decision": first.map(|decided| decided.reason.effect().as_str()),
        "reason": first.map(|decided| decided.reason.code()),
        "route": first.map(|decided| decided.route.as_deref()),
    })
}

fn failure_json(file: &FileReport, case: &CaseReport, failure: &Failure) -> Value {
    let Location { line, column, .. } = failure.location;
    let (error, differences) = match &failure.cause {
        Cause::Error(error) => (Some(error), &[][..]),
        Cause::Differences(differences) => (None, differences.as_slice()),
    };
    let differences = differences.iter().map(
        |difference| json!({ "what": difference.what, "expected": difference.expected, "got": difference.got, "hint": difference.hint }),
    );
    json!({
        "file": file.name,
        "line": line,
        "column": column,
        "name": case.name,
        "request": case.request,
        "when": failure.when.to_string(),
        "error": error,
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn coverage_json((name, coverage): &(String, Coverage)) -> Value {
    let list = |methods: Vec<&Method>| -> Vec<Value> {
        methods.iter().map(|method| json!({ "route": &*method.route, "method": &*method.method })).collect()
    };
    json!({
        "configuration": name,
        "methods": coverage.total(),
        "never_let_through": list(coverage.never_let_through()),
        "never_refused": list(coverage.never_refused()),
    })
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
