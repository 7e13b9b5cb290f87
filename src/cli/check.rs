//! `portcullis check`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::json;

use crate::config::{Configuration, JwksLocation, Problem, Problems, RevocationOrigin, Source, SourceFeed};
use crate::pip::{self, config_file, jwks};
use crate::server::{policy_tests, source_files};

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis check portcullis.yaml          all that is wrong, with file, line and column
  portcullis check /etc/portcullis          a folder: all its *.yaml files count as one
  portcullis check portcullis.yaml --json   for programs: 'valid', 'problems', 'notices', 'policy_tests'

Where the configuration names policy tests ('configuration.tests'), they have to pass, as they have to at start and with every
change. Nobody is asked over the network. A line that begins with 'note:' is no problem, but worth a look: a requirement that
was overridden, permissions that no role has, or a file with a token, a password, revocations or certificates that cannot be used
here, and has to be where the sidecar runs.

Exit status: 0 it is good, 1 it is not, 2 the command line is not.";

pub(super) fn check(path: &Path, as_json: bool) -> ExitCode {
    let result = load(path);
    if as_json {
        let report = match &result {
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
        };
        println!("{report:#}");
    }
    match result {
        Ok((configuration, cases)) => {
            if !as_json {
                for notice in &configuration.notices {
                    println!("note: {notice}");
                }
                let (issuers, routes) = (configuration.snapshot.issuers.iter().count(), configuration.snapshot.route_names.len());
                let tests = if cases == 0 { String::new() } else { format!(", {} passed", counted(cases as u64, "policy test")) };
                println!(
                    "{} is good: {}, {}, revision {}{tests}",
                    path.display(),
                    counted(issuers as u64, "issuer"),
                    counted(routes as u64, "route"),
                    configuration.snapshot.revision
                );
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            if !as_json {
                eprintln!("{problems}");
                eprintln!("{} has {}", path.display(), counted(problems.len() as u64, "problem"));
            }
            ExitCode::FAILURE
        }
    }
}

pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
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
