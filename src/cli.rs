//! The command line of the sidecar.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::server::{Arrival, SocketMode};
use crate::telemetry::log::LogFormat;

mod audit;
mod check;
mod healthcheck;
#[cfg(feature = "kubernetes")]
mod inject;
mod output;
mod run;
mod service;
mod test;
#[cfg(feature = "kubernetes")]
mod webhook;

const EXAMPLES: &str = "\
Examples:
  portcullis check portcullis.yaml               is this configuration good? all problems at once
  portcullis check --envoy envoy.yaml            does this Envoy let anything past the check?
  portcullis check portcullis.yaml --envoy FILE  both, and do they fit together?
  portcullis test tests.yaml                     does it decide as these cases say?
  portcullis run --config portcullis.yaml        answer checks until SIGTERM
  portcullis run --takeover --config FILE        the same, in the place of the one that runs
  portcullis run --config /etc/portcullis        a folder: all its *.yaml files count as one
  portcullis healthcheck                         is the sidecar ready? for probes, without a shell
  portcullis audit verify audit.jsonl            was anything in this audit trail changed?
  portcullis inject -f app.yaml                  put the sidecar into the pods of a manifest
  portcullis inject -f app.yaml --uninject       take it out again
  portcullis webhook --certificate C --key K     put it into pods as Kubernetes creates them
  portcullis completions bash                    a completion script for a shell
  kill -HUP $(pidof portcullis)                  look at the configuration now, not soon

Exit status: 0 fine, 1 the configuration, a case, a manifest, the environment, a sidecar or an audit trail is not, 2 the command line is not.";

/// A sidecar authorization proxy: beside Envoy (or nginx, Caddy, Traefik), it decides which requests may pass.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the checks of Envoy, or of another proxy, until SIGTERM or Ctrl-C.
    #[command(after_help = run::EXAMPLES)]
    Run {
        /// The configuration: a YAML file, or a folder of them.
        #[arg(short, long, value_name = "PATH", env = "PORTCULLIS_CONFIG")]
        config: PathBuf,
        /// Take the place of the sidecar that runs already, once this one is ready: no check fails. Then end the old one.
        #[arg(long)]
        takeover: bool,
        /// Permissions of the Unix sockets that it makes: who may connect to them.
        #[arg(long, value_enum, value_name = "MODE", default_value = "660", env = "PORTCULLIS_SOCKET_MODE")]
        socket_mode: SocketMode,
        /// How log lines are written (on standard error).
        #[arg(long, value_enum, default_value = "text", env = "PORTCULLIS_LOG_FORMAT")]
        log_format: LogFormat,
        /// What is logged, such as 'warn' or 'info,portcullis::decision=debug' (which adds the requests that pass).
        #[arg(long, value_name = "FILTER", default_value = "info", env = "PORTCULLIS_LOG")]
        log: String,
    },
    /// Say whether a configuration is good, and all that is wrong with it; also of the Envoy in front.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Options),
    /// Decide the cases of test files and say which of them do not come out as they should.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Options),
    /// Say whether the sidecar that runs here is ready, or alive: a probe for images without a shell.
    #[command(after_help = healthcheck::EXAMPLES)]
    Healthcheck(healthcheck::Options),
    /// Put the sidecar into the pods of a Kubernetes manifest, or take it out again.
    #[cfg(feature = "kubernetes")]
    #[command(after_help = inject::EXAMPLES)]
    Inject(inject::Options),
    /// Put the sidecar into pods as Kubernetes creates them, until SIGTERM or Ctrl-C.
    #[cfg(feature = "kubernetes")]
    #[command(after_help = webhook::EXAMPLES)]
    Webhook(webhook::Options),
    /// Look at audit trails.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Print a completion script for a shell, such as: portcullis completions bash > /etc/bash_completion.d/portcullis
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Say whether records were changed, removed, inserted or reordered since they were written, and where first.
    #[command(after_help = audit::EXIT_STATUS)]
    Verify(audit::Verify),
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config, takeover, socket_mode, log_format, log } => {
            run::run(config, if takeover { Arrival::TakeOver } else { Arrival::Alone }, socket_mode, log_format, &log)
        }
        Command::Check(options) => check::check(&options),
        Command::Test(options) => test::test(&options),
        Command::Healthcheck(options) => healthcheck::healthcheck(options),
        #[cfg(feature = "kubernetes")]
        Command::Inject(options) => inject::inject(&options),
        #[cfg(feature = "kubernetes")]
        Command::Webhook(options) => webhook::run(options),
        Command::Audit { command: AuditCommand::Verify(verify) } => audit::verify(verify),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            match output::write(&script) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("portcullis: the script could not be written: {error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}
