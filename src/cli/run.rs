//! `portcullis run`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::server::{self, Arrival};
use crate::telemetry::log::{self, LogFormat};

pub(super) fn run(config: PathBuf, arrival: Arrival, format: LogFormat, filter: &str) -> ExitCode {
    let logging = match log::init(format, filter) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("portcullis: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portcullis: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(server::run(config, arrival, logging.dropped_lines()));
    // A look-up that hangs in the system's resolver must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    drop(logging);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {error}");
            ExitCode::FAILURE
        }
    }
}
