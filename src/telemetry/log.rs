//! Logs, on standard error.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// How many lines may wait for whoever reads standard error. More are dropped and counted: a reader that hangs must not hold
/// up a check.
const WAITING_LINES: usize = 8192;

/// Logging, for as long as this lives; what was logged is written before it ends.
pub struct Logging {
    _worker: WorkerGuard,
    dropped: ErrorCounter,
}

/// Counts the lines that were dropped.
#[derive(Clone)]
pub struct DroppedLines(ErrorCounter);

impl DroppedLines {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.dropped_lines()
    }
}

impl Logging {
    /// The counter of dropped lines.
    #[must_use]
    pub fn dropped_lines(&self) -> DroppedLines {
        DroppedLines(self.dropped.clone())
    }
}

/// Sets up logging for the process. `filter` is in the syntax of `RUST_LOG`, such as `info` or `warn,portcullis::decision=debug`.
///
/// # Errors
/// When the filter cannot be read, or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<Logging, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("'{filter}' is no log filter: {error}"))?;
    let (writer, worker) = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(true).finish(std::io::stderr());
    let dropped = writer.error_counter();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(lines.with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|error| error.to_string())?;
    Ok(Logging { _worker: worker, dropped })
}
