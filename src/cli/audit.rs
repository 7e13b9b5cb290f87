//! `portcullis audit`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::output::{self, counted};
use crate::audit::verify::{self, Expectations, Finding, Lines, Report, Tampering};
use crate::audit::{ChainHash, ChainKey};

pub(super) const EXIT_STATUS: &str = "Exit status: 0 intact, 1 not intact, 2 this cannot be said (no such file, no key).";

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The trail's files, oldest first; '-' is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The key that the records were made with.
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// The hash of the record before the first one, where older files are not at hand.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    after: Option<ChainHash>,
    /// A hash that a record of the trail had at some time, kept elsewhere; can be given more than once.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    contains: Vec<ChainHash>,
    /// The hash of the last record, kept elsewhere. Without it (or --contains) nobody can tell that the end was cut off.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    expect_last: Option<ChainHash>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn hash(text: &str) -> Result<ChainHash, String> {
    ChainHash::parse(text.as_bytes()).ok_or_else(|| "a hash is 64 digits 0-9 and a-f".into())
}

pub(super) fn verify(Verify { files, key_file, after, contains, expect_last, json }: Verify) -> ExitCode {
    let key = match key_file.as_deref().map_or(Ok(ChainKey::none()), ChainKey::read) {
        Ok(key) => key,
        Err(error) => return cannot_say(&error),
    };
    let has_key = key.is_secret();
    let expectations = Expectations { key, after, contains, last: expect_last };
    let report = match verify::verify(Lines::of(files), &expectations) {
        Ok(report) => report,
        Err(error) => return cannot_say(&error.to_string()),
    };
    if let Some(Finding { kind: Tampering::OtherKey, message, .. }) = &report.finding
        && !has_key
    {
        return cannot_say(message);
    }
    if json {
        output::line(format_args!("{:#}", json!({ "intact": report.finding.is_none(), "report": report })));
    } else {
        print(&report);
    }
    if report.finding.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cannot_say(error: &str) -> ExitCode {
    eprintln!("portcullis: {error}");
    ExitCode::from(2)
}

fn print(report: &Report) {
    for note in &report.notes {
        output::line(format_args!("note: {note}"));
    }
    if report.unrecorded > 0 {
        output::line(format_args!("note: {} could not be recorded, as the trail says itself", counted(report.unrecorded, "check")));
    }
    let records = counted(report.records, "record");
    let span = match (&report.first, &report.last) {
        (Some(first), Some(last)) => format!(" (number {} of {} to number {} of {})", first.seq, first.time, last.seq, last.time),
        _ => String::new(),
    };
    match &report.finding {
        None => {
            output::line(format_args!("intact: {records}{span}"));
            if let Some(last) = &report.last {
                output::line(format_args!("last hash: {}", last.hash));
            }
        }
        Some(Finding { place, kind, message }) => {
            let place = place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            output::line(format_args!("{place}{}: {message}", kind.as_str()));
            output::line(format_args!("not intact; up to there: {records}{span}"));
        }
    }
}
