//! `portcullis test`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::output::{self, say};
use crate::config::{Problem, Problems, SourceFile};
use crate::pip::config_file;
use crate::policy_test::case::{Case, CaseFile};
use crate::policy_test::configuration::{Configurations, Stated};
use crate::policy_test::coverage::Coverage;
use crate::policy_test::report::{FileReport, Report, Style};
use crate::policy_test::run::{CaseReport, run};
use crate::server::source_files;

mod files;

use files::{TestFile, problem};

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis test                                the test files of the current folder
  portcullis test tests.yaml                     one file
  portcullis test policies/ more/tests.yaml      the test files of a folder, and one more
  portcullis test tests.yaml --config new.yaml   would this configuration pass as well?
  portcullis test tests.yaml --filter viewer     only the cases whose names contain 'viewer'
  portcullis test --strict                       also fail where a method or a refusal is not really tested

A test file says 'configuration: { file: portcullis.yaml }' and has cases such as:

  cases:
    a viewer reads: { request: GET /posts/1, token: { claims: { roles: [viewer] } }, allow: allowed }
    a viewer does not write: { request: PUT /posts/1, token: { claims: { roles: [viewer] } }, deny: permission_missing }

The whole format: docs/policy-tests.md.

Exit status: 0 all cases passed, 1 some did not or could not be run, 2 the command line makes no sense.";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Test files, or folders: all *.yaml and *.yml in them that have the key 'cases'. Without any: the current folder.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The configuration to test, a file or a folder, instead of the one that a test file names or contains.
    #[arg(short, long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Run only the cases whose names contain this text.
    #[arg(short, long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print the result as JSON.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print failures only.
    #[arg(short, long)]
    quiet: bool,
    /// Fail if there is a method of a route on which no case is let through or none is refused, or a refusal without a 'twin', a
    /// case nearby that is let through.
    #[arg(long, conflicts_with = "filter")]
    strict: bool,
}

pub(super) fn test(options: &Options) -> ExitCode {
    let style = Style { colour: output::has_colour() };
    let mut session = Session { options, tested: Vec::new() };
    let mut report = Report { strict: options.strict, ..Report::default() };
    for file in files::test_files(&options.paths) {
        let file = session.run(file);
        // A filter passes most files by.
        if options.filter.is_some() && file.outcome.is_ok() && file.cases().is_empty() {
            continue;
        }
        if !options.json {
            print(&file, options.quiet, style);
        }
        report.files.push(file);
    }
    report.coverage = session.tested.into_iter().map(|tested| (tested.name, tested.coverage)).collect();
    if options.json {
        output::line(format_args!("{:#}", report.json()));
    } else if !(options.quiet && report.passed()) {
        // Gaps are what fails where they count.
        let notes = if options.quiet && !options.strict { String::new() } else { report.notes(style) };
        say(format_args!("{notes}{}", report.summary(style)));
    }
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(file: &FileReport, quiet: bool, style: Style) {
    if let Err(problems) = &file.outcome {
        let _ = writeln!(io::stderr(), "{problems}");
    }
    if !(quiet && file.passed()) {
        say(format_args!("{}{}", file.line(style), file.failures(style)));
    }
}

/// A run of test files.
struct Session<'o> {
    options: &'o Options,
    tested: Vec<Tested>,
}

/// A configuration of which the coverage is counted. Several files may test it.
struct Tested {
    real_path: PathBuf,
    name: String,
    coverage: Coverage,
}

impl Session<'_> {
    fn run(&mut self, TestFile { path, text }: TestFile) -> FileReport {
        let name = path.display().to_string();
        let start = Instant::now();
        let mut lonely = Vec::new();
        let outcome = text.and_then(|text| CaseFile::read(&name, &text)).and_then(|file| {
            let configurations = self.configurations(&path, &file)?;
            let cases = run(&file, &configurations, self.options.filter.as_deref().unwrap_or_default());
            if self.options.strict {
                lonely.extend(file.cases.iter().filter_map(|case| twin_problem(&file, case)));
            }
            if self.options.filter.is_none() {
                self.count(self.place(&path, &file), &configurations, &cases);
            }
            Ok(cases)
        });
        FileReport { name, outcome, lonely, elapsed: start.elapsed() }
    }

    fn configurations(&self, path: &Path, file: &CaseFile) -> Result<Configurations<'static>, Problems> {
        match &self.options.config {
            Some(config) => Configurations::compile_files(file, &read(config).map_err(problem)?),
            None => Configurations::compile(file, |relative| read(&beside(path, relative))),
        }
    }

    /// Where the configuration that a file tests is.
    fn place(&self, path: &Path, file: &CaseFile) -> PathBuf {
        match (&self.options.config, &file.configuration) {
            (Some(config), _) => config.clone(),
            (None, Stated::At { path: relative, .. }) => beside(path, relative),
            (None, Stated::Here(_) | Stated::Nowhere(_)) => path.to_path_buf(),
        }
    }

    fn count(&mut self, place: PathBuf, configurations: &Configurations<'_>, cases: &[CaseReport]) {
        let real_path = fs::canonicalize(&place).unwrap_or_else(|_| place.clone());
        if let Some(tested) = self.tested.iter_mut().find(|tested| tested.real_path == real_path) {
            tested.coverage.record(cases);
            return;
        }
        let mut coverage = Coverage::new(&configurations.base().snapshot);
        coverage.record(cases);
        self.tested.push(Tested { real_path, name: place.display().to_string(), coverage });
    }
}

fn twin_problem(file: &CaseFile, case: &Case) -> Option<Problem> {
    let message = file.check_twin(case).err()?;
    Some(Problem { location: Some(case.location.clone()), key: case.name.clone(), message })
}

/// A path that is written in a test file.
fn beside(file: &Path, relative: &str) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(relative)
}

fn read(path: &Path) -> Result<Vec<SourceFile>, String> {
    config_file::read(path).map(|source| source_files(&source)).map_err(|error| error.to_string())
}
