//! Minutes or hours of everything at once, with somebody beside it who knows the right answer to every check.
//!
//! The real sidecar behind its Unix socket and the real identity service, with a line between them that can be broken. Keys are
//! rotated, tokens in use are revoked, the policy is swapped, the identity service is killed, hangs and talks garbage, and one
//! sidecar takes over from another. At the end there is a report; the exit code is 1 if any answer was wrong or missing.
//!
//! ```text
//! make soak                                          five minutes
//! SOAK=1h cargo test --release --test soak -- --json report.json
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "whatever goes wrong here should end the soak, loudly"
)]

mod director;
mod line;
mod memory;
mod report;
mod scene;

/// What the tests of the sidecar work with, of which this needs a part.
#[allow(dead_code, reason = "the other parts are for the other tests")]
#[path = "../portcullis"]
mod shared {
    pub mod harness;
    pub mod support;
}

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use shared::{harness, support};

const USAGE: &str = "usage: soak [--for DURATION] [--rate CHECKS_PER_SECOND] [--json FILE]

  --for    how long, such as 30s, 5m or 2h; default: the variable SOAK, or 5m
  --rate   checks per second; default: 1000 (an unoptimized build: 300)
  --json   also write the report to this file";

/// What was asked for on the command line.
struct Options {
    duration: Duration,
    rate: u32,
    json: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let rate = if cfg!(debug_assertions) { 300 } else { 1000 };
        let text = std::env::var("SOAK").unwrap_or_default();
        let text = if text.is_empty() { "5m" } else { &text };
        let mut options = Self { duration: duration(text)?, rate, json: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match &*argument {
                "--for" => options.duration = duration(&value()?)?,
                "--rate" => {
                    let text = value()?;
                    options.rate = text.parse().ok().filter(|rate| *rate > 0).ok_or(format!("'{text}' is no number of checks"))?;
                }
                "--json" => options.json = Some(value()?.into()),
                other => return Err(format!("unknown argument '{other}'")),
            }
        }
        Ok(options)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text.get(number.len()..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        _ => 0,
    };
    let span = number.parse::<u64>().ok().map(|number| Duration::from_secs(number.saturating_mul(seconds)));
    span.filter(|span| *span >= Duration::from_secs(10))
        .ok_or(format!("'{text}' is no duration such as 30s, 5m or 2h, ten seconds at least"))
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("soak: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(director::run(options.duration, options.rate));
    print!("{report}");
    if let Some(path) = options.json {
        std::fs::write(&path, report.json().to_string() + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    ExitCode::from(u8::from(!report.is_good()))
}
