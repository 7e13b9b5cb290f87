//! Commands that go on until they are told to end.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use crate::telemetry::log::Logging;

/// What still runs on a thread of its own has so long at the end: a look-up that hangs in the system's resolver, or a disk that hangs,
/// must not keep the process.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs a service to its end, on so many threads; `None`: as many as there are processors. Its last lines are still logged.
pub(super) fn run<E: Display>(threads: Option<usize>, logging: Logging, service: impl Future<Output = Result<(), E>>) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portcullis: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(service);
    runtime.shutdown_timeout(FAREWELL);
    drop(logging);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {error}");
            ExitCode::FAILURE
        }
    }
}
