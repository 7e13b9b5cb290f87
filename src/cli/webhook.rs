//! `portcullis webhook`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::inject::Defaults;
use super::service;
use crate::config::parse_duration;
use crate::telemetry::log::{self, LogFormat};
use crate::webhook;

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis webhook --certificate /tls/tls.crt --key /tls/tls.key
  portcullis webhook --certificate tls.crt --key tls.key --listen 127.0.0.1:8443 --config-map our-policy

API servers POST their AdmissionReviews to /inject over HTTPS; /livez and /readyz are for probes. The admin listener has both as well,
and /metrics. The certificate and its key are followed: a new pair is shown to new connections, a bad one is told of and the last good
one stays. How to install it, and what happens while it is away: docs/kubernetes.md.

Signals:
  SIGTERM   not ready any more; goes on for '--shutdown-delay', and what is in flight has 5 s
  SIGINT    the same without the delay (Ctrl-C); a second signal ends the delay as well

Exit status: 0 it was told to end, 1 the certificate or the environment is not good, 2 the command line is not.";

/// The options of `portcullis webhook`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The certificate that API servers are shown, with its chain, in PEM.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where API servers are answered, over HTTPS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Where health and metrics are shown, over HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9193", env = "PORTCULLIS_ADMIN")]
    admin: SocketAddr,
    /// How long to go on after SIGTERM, at most 10m: API servers learn late that this is the end.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = shutdown_delay)]
    shutdown_delay: Duration,
    /// How log lines of the webhook itself are written (on standard error).
    #[arg(long, value_enum, default_value = "text", env = "PORTCULLIS_LOG_FORMAT")]
    webhook_log_format: LogFormat,
    /// What the webhook itself logs, such as 'warn'.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "PORTCULLIS_LOG")]
    webhook_log: String,
    #[command(flatten)]
    defaults: Defaults,
}

/// The longest that pods' creators are kept with a webhook which is about to end.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

fn shutdown_delay(text: &str) -> Result<Duration, String> {
    let delay = parse_duration(text).filter(|delay| *delay <= LONGEST_DELAY);
    delay.ok_or_else(|| "write a whole number and a unit, from 0s to 10m, such as 500ms or 5s".into())
}

pub(super) fn run(options: Options) -> ExitCode {
    let Options { certificate, key, listen, admin, shutdown_delay, webhook_log_format, webhook_log, defaults } = options;
    let begun = defaults.settings().and_then(|settings| Ok((settings, log::init(webhook_log_format, &webhook_log)?)));
    let (settings, logging) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            eprintln!("portcullis: {error}");
            return ExitCode::from(2);
        }
    };
    service::run(Some(2), logging, webhook::run(webhook::Options { listen, admin, certificate, key, shutdown_delay, settings }))
}
