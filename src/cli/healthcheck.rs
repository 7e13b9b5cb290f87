//! `portcullis healthcheck`: a probe for images that have no shell.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::output;
use crate::config::{MAX_SOCKET_PATH, parse_duration};

mod grpc;
mod http;

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis healthcheck                                       can it decide? asks 127.0.0.1:9193 for /readyz
  portcullis healthcheck --live                                does it answer at all? asks for /livez
  portcullis healthcheck --address '[::1]:9193' --timeout 3s   another admin listener, and more time
  portcullis healthcheck --socket /run/portcullis/authz.sock   asks with gRPC, where Envoy asks

For a probe: 'exec: { command: [portcullis, healthcheck] }' in Kubernetes, 'test: [CMD, portcullis, healthcheck]' in a compose file.
Give the probe more time than '--timeout', or its message is lost. No configuration is read. All of it: docs/operations.md.

Exit status: 0 it is ready (with --live: alive), 1 it is not or does not answer in time, 2 the command line is not good.";

/// Where the admin listener is unless the configuration says otherwise.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9193);
/// The variable that says where else it is.
const ADMIN_VARIABLE: &str = "PORTCULLIS_ADMIN";
/// The longest time that can be given: whoever probes does not wait any longer.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Ask whether the process answers, and not whether it can decide: for startup and liveness probes.
    #[arg(long)]
    live: bool,
    /// Where the admin listener is ('listen.admin') [env: PORTCULLIS_ADMIN] [default: 127.0.0.1:9193].
    // The variable is read by hand: it is no contradiction to --socket, as the option is.
    #[arg(long, value_name = "ADDRESS", value_parser = admin_address, conflicts_with = "socket")]
    address: Option<SocketAddr>,
    /// Ask over the Unix socket on which checks are answered ('listen.grpc') instead of the admin listener.
    #[arg(long, value_name = "PATH", value_parser = socket_path)]
    socket: Option<PathBuf>,
    /// How long all of it may take, at most 60s.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = deadline)]
    timeout: Duration,
}

/// Whom to ask.
enum Peer {
    Admin(SocketAddr),
    Socket(PathBuf),
}

/// What is to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Can it decide?
    Ready,
    /// Does it answer?
    Live,
}

impl Question {
    /// What it is if the answer is yes.
    fn yes(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Live => "alive",
        }
    }
}

pub(super) fn healthcheck(options: Options) -> ExitCode {
    let peer = match peer(options.socket, options.address) {
        Ok(peer) => peer,
        Err(message) => {
            eprintln!("portcullis: {message}");
            return ExitCode::from(2);
        }
    };
    let question = if options.live { Question::Live } else { Question::Ready };
    // Whoever probes may have gone, and that is no reason to fail.
    match ask(&peer, question, options.timeout) {
        Ok(()) => {
            output::line(question.yes());
            ExitCode::SUCCESS
        }
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn peer(socket: Option<PathBuf>, address: Option<SocketAddr>) -> Result<Peer, String> {
    if let Some(path) = socket {
        return Ok(Peer::Socket(path));
    }
    if let Some(address) = address {
        return Ok(Peer::Admin(address));
    }
    let Some(text) = std::env::var_os(ADMIN_VARIABLE) else { return Ok(Peer::Admin(ADMIN)) };
    admin_address(&text.to_string_lossy()).map(Peer::Admin).map_err(|error| format!("{ADMIN_VARIABLE}: {error}"))
}

/// Asks, within this time.
fn ask(peer: &Peer, question: Question, within: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot ask: {error}"))?;
    runtime.block_on(async {
        let (answer, place) = match peer {
            Peer::Admin(address) => (tokio::time::timeout(within, http::ask(*address, question)).await, address.to_string()),
            Peer::Socket(path) => (tokio::time::timeout(within, grpc::ask(path, question)).await, path.display().to_string()),
        };
        answer.unwrap_or_else(|_| Err(format!("no answer from {place} within {within:?}")))
    })
}

/// What somebody else said, fit for a line of our own.
fn shown(text: &str) -> String {
    const MOST: usize = 300;
    let mut shown: String = text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

fn admin_address(text: &str) -> Result<SocketAddr, String> {
    let address: Option<SocketAddr> = text.parse().ok();
    let address = address.ok_or_else(|| format!("'{text}' is no IP address with a port, such as 127.0.0.1:9193 or [::1]:9193"))?;
    if address.port() == 0 { Err("nothing listens at port 0; the log of 'run' says which port it got".into()) } else { Ok(address) }
}

fn socket_path(text: &str) -> Result<PathBuf, String> {
    // As it is written in the configuration.
    let path = text.strip_prefix("unix:").map_or(text, |path| path.strip_prefix("//").unwrap_or(path));
    match path.len() {
        0 => Err("there is no path".into()),
        length if length > MAX_SOCKET_PATH => Err(format!("the path has {length} bytes, and the system allows {MAX_SOCKET_PATH}")),
        _ => Ok(path.into()),
    }
}

fn deadline(text: &str) -> Result<Duration, String> {
    let within = parse_duration(text).filter(|within| !within.is_zero() && *within <= LONGEST);
    within.ok_or_else(|| "write a whole number and a unit, from 1ms to 60s, such as 500ms or 3s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_paths_and_times_that_make_no_sense_are_refused() {
        for text in ["127.0.0.1:9193", "[::1]:1", "0.0.0.0:9193"] {
            assert_eq!(admin_address(text).unwrap().to_string(), text);
        }
        for text in
            ["", "9193", ":9193", "localhost:9193", "127.0.0.1", "::1:9193", "127.0.0.1:0", "http://127.0.0.1:9193", "1.2.3.4:99999"]
        {
            assert!(admin_address(text).is_err(), "{text}");
        }
        for text in ["/run/a.sock", "unix:/run/a.sock", "unix:///run/a.sock"] {
            assert_eq!(socket_path(text), Ok("/run/a.sock".into()));
        }
        assert!(socket_path("").is_err() && socket_path("unix:").is_err() && socket_path(&"x".repeat(108)).is_err());
        assert_eq!(deadline("60s"), Ok(LONGEST));
        for text in ["", "1", "0s", "61s", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(deadline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_others_say_stays_on_one_line_of_a_bearable_length() {
        assert_eq!(shown("a\nb\u{1b}[31m'ü'"), "a\u{fffd}b\u{fffd}[31m'ü'");
        assert_eq!(shown(&"ü".repeat(300)), "ü".repeat(300));
        assert_eq!(shown(&"ü".repeat(301)), format!("{}...", "ü".repeat(300)));
    }
}
