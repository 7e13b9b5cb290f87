//! `portcullis run`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::service;
use crate::server::{self, Arrival, SocketMode};
use crate::telemetry::log::{self, LogFormat};

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis run --config portcullis.yaml              answer checks until SIGTERM or Ctrl-C
  portcullis run --config /etc/portcullis              a folder: all its *.yaml files count as one
  portcullis run --takeover --config portcullis.yaml   take the place of the sidecar that runs already
  portcullis run --config portcullis.yaml --socket-mode 666   in a pod: who mounts the socket's volume may connect
  portcullis run -c portcullis.yaml --log-format json --log info,portcullis::decision=debug

Taking over: the new sidecar starts beside the old one, gets ready, and puts its Unix socket in the place of the old one's. Then end
the old one with SIGTERM; whoever is connected to it comes to the new one. If the new one is not ready within 30 seconds, it ends
with status 1 and nothing has changed. Both cannot write to one audit trail. All of it: docs/operations.md.

Signals:
  SIGTERM   not ready any more; ends after 'shutdown.delay' at the latest, and what is in flight has 'shutdown.deadline'
  SIGINT    the same without the delay (Ctrl-C); a second signal ends the delay as well
  SIGHUP    look at the configuration now, and try one that was refused once more

Exit status: 0 it was told to end, 1 the configuration or the environment is not good, 2 the command line is not.";

pub(super) fn run(config: PathBuf, arrival: Arrival, socket_mode: SocketMode, format: LogFormat, filter: &str) -> ExitCode {
    let logging = match log::init(format, filter) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("portcullis: {error}");
            return ExitCode::from(2);
        }
    };
    let dropped_lines = logging.dropped_lines();
    service::run(None, logging, server::run(config, arrival, socket_mode, dropped_lines))
}
