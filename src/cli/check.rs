//! `portcullis check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::output::{self, counted};
use crate::config::{Configuration, JwksLocation, Problem, Problems, RevocationOrigin, Source, SourceFeed};
use crate::envoy_check::{Accepted, Needs};
use crate::pip::{self, config_file, jwks};
use crate::server::{policy_tests, source_files};

mod envoy;

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis check portcullis.yaml          all that is wrong, with file, line and column
  portcullis check /etc/portcullis          a folder: all its *.yaml files count as one
  portcullis check portcullis.yaml --json   for programs: 'valid', 'problems', 'notices', 'policy_tests', 'envoy'
  portcullis check --envoy envoy.yaml       what in Envoy's configuration lets requests past the check
  portcullis check portcullis.yaml --envoy envoy.yaml
                                            both, and whether they fit together
  curl -s --unix-socket /run/portcullis/envoy-admin.sock http://envoy/config_dump | portcullis check --envoy -
                                            what Envoy has in force, with all that it got from elsewhere
  portcullis check --envoy envoy.yaml --accept check-disabled=/healthz
                                            that route is meant to be without a check

Where the configuration names policy tests ('configuration.tests'), they have to pass, as they have to at start and with every
change. Nobody is asked over the network. A line that begins with 'note:' is no problem, but worth a look: a requirement that
was overridden, permissions that no role has, or a file with a token, a password, revocations or certificates that cannot be used
here, and has to be where the sidecar runs.

Of Envoy's configuration, every finding has a place, a code (docs/envoy-check.md), why it matters and what to write instead. An
'error': requests get past, or the answer is not to be trusted. A 'warning' is worth a look; a 'note' is worth knowing.

Exit status: 0 it is good, 1 it is not (of Envoy's: there are errors; with --strict, warnings), 2 the command line is not.";

const USAGE: &str = "\
portcullis check [OPTIONS] <PATH>
       portcullis check [OPTIONS] [PATH] --envoy <FILE>";

#[derive(Debug, Args)]
#[command(override_usage = USAGE)]
pub(super) struct Options {
    /// The sidecar's configuration: a YAML file, or a folder of them.
    #[arg(value_name = "PATH", required_unless_present = "envoy")]
    config: Option<PathBuf>,
    /// A configuration of Envoy: a bootstrap (YAML or JSON), an answer of /config_dump, or xDS resources; '-' is standard input. Can
    /// be given more than once: all files count as one.
    #[arg(long, value_name = "FILE")]
    envoy: Vec<PathBuf>,
    /// Of Envoy's configuration: warnings count like errors.
    #[arg(long, requires = "envoy")]
    strict: bool,
    /// A finding that is meant to be so: its code, or 'code=name' for the listener, filter, route or cluster of that name. Can be
    /// given more than once.
    #[arg(long, value_name = "CODE[=NAME]", requires = "envoy", value_parser = Accepted::parse)]
    accept: Vec<Accepted>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(options: &Options) -> ExitCode {
    let result = options.config.as_deref().map(|path| (path, load(path)));
    let mut report = result.as_ref().map_or_else(|| json!({ "valid": true }), |(_, result)| as_json(result));
    let mut is_good = result.as_ref().is_none_or(|(_, result)| result.is_ok());
    if let Some((path, result)) = &result
        && !options.json
    {
        print(path, result);
    }
    if !options.envoy.is_empty() {
        let needs = result.as_ref().and_then(|(_, result)| result.as_ref().ok()).map(|(configuration, _)| Needs::of(configuration));
        if result.is_some() && needs.is_none() {
            eprintln!("note: Envoy's configuration was not compared with this one, which has problems");
        }
        let looked = envoy::look(options, needs.as_ref());
        is_good &= looked.passes;
        if let Value::Object(report) = &mut report {
            report.insert("envoy".into(), looked.json);
            report.insert("valid".into(), is_good.into());
        }
    }
    if options.json {
        output::line(format_args!("{report:#}"));
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_json(result: &Result<(Configuration, usize), Problems>) -> Value {
    match result {
        Ok((configuration, cases)) => json!({
            "valid": true,
            "revision": &*configuration.snapshot.revision,
            "issuers": configuration.snapshot.issuers.iter().count(),
            "routes": configuration.snapshot.route_names.len(),
            "policy_tests": cases,
            "problems": [],
            "notices": configuration.notices,
        }),
        Err(problems) => json!({ "valid": false, "problems": problems.iter().collect::<Vec<_>>() }),
    }
}

fn print(path: &Path, result: &Result<(Configuration, usize), Problems>) {
    match result {
        Ok((configuration, cases)) => {
            for notice in &configuration.notices {
                output::line(format_args!("note: {notice}"));
            }
            let (issuers, routes) = (configuration.snapshot.issuers.iter().count(), configuration.snapshot.route_names.len());
            let tests = if *cases == 0 { String::new() } else { format!(", {} passed", counted(*cases as u64, "policy test")) };
            output::line(format_args!(
                "{} is good: {}, {}, revision {}{tests}",
                path.display(),
                counted(issuers as u64, "issuer"),
                counted(routes as u64, "route"),
                configuration.snapshot.revision
            ));
        }
        Err(problems) => {
            eprintln!("{problems}");
            eprintln!("{} has {}", path.display(), counted(problems.len() as u64, "problem"));
            if problems.iter().any(|problem| problem.key == "static_resources") {
                eprintln!("note: it looks like a configuration of Envoy; for that: portcullis check --envoy {}", path.display());
            }
        }
    }
}

/// The configuration and the number of its policy tests, all of which passed.
fn load(path: &Path) -> Result<(Configuration, usize), Problems> {
    let as_problem = |message: String| {
        let mut problems = Problems::default();
        problems.push(Problem { location: None, key: String::new(), message });
        problems
    };
    let source = config_file::read_with_tests(path, policy_tests::named).map_err(|error| as_problem(error.to_string()))?;
    let files = source_files(&source);
    let mut configuration = Configuration::compile(&files)?;
    let mut problems = Problems::default();
    let cases = policy_tests::run(&configuration, &source, &files, policy_tests::BUDGET).unwrap_or_else(|failures| {
        problems.extend(failures.iter().cloned());
        0
    });
    for source in &configuration.sources {
        problems.extend(key_file_problem(source));
    }
    configuration.notices.extend(configuration.sources.iter().filter_map(|source| file_notice(source)));
    configuration.notices.extend(configuration.sources.iter().filter_map(|source| tls_notice(source)));
    if problems.is_empty() { Ok((configuration, cases)) } else { Err(problems) }
}

/// How long a file may take before it is said that it is still being read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at a file, and says so if that takes long: on a disk that hangs it has no end.
fn patiently<T>(path: &Path, look: impl FnOnce() -> T) -> T {
    let (done, ends) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if ends.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("still reading {}: its disk is slow, or hangs", path.display());
            }
        });
        let found = look();
        drop(done);
        found
    })
}

/// Keys in a file can be looked at right away; those behind a URL are the business of whoever runs.
fn key_file_problem(source: &Source) -> Option<Problem> {
    let SourceFeed::Keys(feed) = &source.feed else { return None };
    let JwksLocation::File(path) = &feed.location else { return None };
    let message = patiently(path, || jwks::check_file(path, feed)).err()?;
    Some(Problem { location: None, key: format!("issuers.{}.jwks.file", source.issuer), message })
}

/// A file with a token, a password or revocations need not be where a configuration is checked; where it is used, it has to be.
fn file_notice(source: &Source) -> Option<Problem> {
    let (path, key, what) = match &source.feed {
        SourceFeed::Directory(directory) => (directory.token_file.as_ref()?, "directory.token_file".to_string(), "token"),
        SourceFeed::TenantRoles(feed) => {
            (feed.source.token_file.as_ref()?, format!("issuers.{}.tenant_roles.token_file", source.issuer), "token")
        }
        SourceFeed::Revocations(revocations) => {
            let key = |name| format!("issuers.{}.revocations.{name}", source.issuer);
            match &revocations.origin {
                RevocationOrigin::Feed(feed) => (feed.token_file.as_ref()?, key("token_file"), "token"),
                RevocationOrigin::Redis(redis) => (redis.password_file.as_ref()?, key("password_file"), "password"),
                RevocationOrigin::File(path) => {
                    let why = patiently(path, || pip::revocation::file::check(path)).err()?;
                    return Some(Problem { location: None, key: key("file"), message: format!("{}: {why}", path.display()) });
                }
            }
        }
        SourceFeed::Keys(_) | SourceFeed::StatusList(_) => return None,
    };
    let message = patiently(path, || pip::check_secret(path, what)).err()?;
    Some(Problem { location: None, key, message })
}

/// The same holds for files with authorities, certificates and keys. All sources of an issuer share them, and keys are always among these.
fn tls_notice(source: &Source) -> Option<Problem> {
    let key = match &source.feed {
        SourceFeed::Keys(_) => format!("issuers.{}.tls", source.issuer),
        SourceFeed::Directory(_) => "directory.tls".to_string(),
        _ => return None,
    };
    let tls = &source.transport.tls;
    let first = tls.ca.as_ref().or(tls.client.as_ref().map(|(certificate, _)| certificate))?;
    let message = patiently(first, || pip::transport::check(tls)).err()?;
    Some(Problem { location: None, key, message })
}
