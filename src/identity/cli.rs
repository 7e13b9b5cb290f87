//! The command line of `portcullis-identity`.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::clock::Clock;
use super::duration::{MAX_ACCESS_TTL, seconds};
use super::error::StartError;
use super::password::Cost;
use super::settings::{ApiSecret, IssuerUrl, ServiceAccess, Settings};
use super::store::Database;
use super::{Identity, seed, serve};

/// How long after the end of serving work on blocking threads may go on.
const BLOCKING_LIMIT: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  # For a look around: everything in memory, users from a file
  portcullis-identity serve --listen 127.0.0.1:9400 --database :memory: \\
      --issuer http://127.0.0.1:9400 --audience demo --seed seed.json

  # With a kept database and the operator API
  PORTCULLIS_IDENTITY_ADMIN_TOKEN=... portcullis-identity serve --listen 0.0.0.0:9400 \\
      --database /var/lib/portcullis/identity.db --issuer https://id.example.com --audience demo

  # Log in
  curl -s http://127.0.0.1:9400/v1/login -H 'content-type: application/json' \\
      -d '{\"email\":\"alice@example.com\",\"password\":\"...\",\"tenant\":\"acme\"}'

Log level: RUST_LOG (info unless set).";

/// The reference identity service of Portcullis: logins, RS256 access tokens, JWK Set, revocation feed.
#[derive(Debug, Parser)]
#[command(name = "portcullis-identity", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or Ctrl-C
    #[command(after_help = EXAMPLES)]
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Address to listen on; with port 0 the system chooses one, and the log line 'listening' names it
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// SQLite file, created if missing, or ':memory:'; one process per file
    #[arg(long, value_name = "PATH")]
    database: String,

    /// URL that the tokens name as their issuer (iss)
    #[arg(long, value_name = "URL")]
    issuer: String,

    /// Audience of the tokens (aud); may be given several times
    #[arg(long, value_name = "NAME", required = true)]
    audience: Vec<String>,

    /// JSON file with tenants and users to add unless they exist
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,

    /// Lifetime of access tokens, such as 90s, 15m or 1h; at most 24h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = seconds)]
    access_ttl: i64,

    /// How long a session lives without a refresh, such as 12h or 30d
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = seconds)]
    refresh_ttl: i64,

    /// Secret of the operator API; without it that API does not exist. Prefer the environment: others can see arguments
    #[arg(long, value_name = "TOKEN", env = "PORTCULLIS_IDENTITY_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,

    /// Secret of the directory and of the tenants' roles; without it only loopback listeners serve them. Prefer the environment
    #[arg(long, value_name = "TOKEN", env = "PORTCULLIS_IDENTITY_SERVICE_TOKEN", hide_env_values = true)]
    service_token: Option<String>,

    /// Format of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs the program with the process's arguments.
///
/// Exit status: 0 after a normal end, 1 when the service cannot start or fails (one line on standard error says why),
/// 2 for arguments that make no sense.
pub fn main() -> ExitCode {
    let Cli { command: Command::Serve(arguments) } = Cli::parse();
    start_log(arguments.log_format);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-identity: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Serve) -> Result<(), StartError> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| StartError::new(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(start(arguments));
    runtime.shutdown_timeout(BLOCKING_LIMIT);
    result
}

async fn start(arguments: Serve) -> Result<(), StartError> {
    let Serve { listen, database, issuer, audience, seed: seed_file, access_ttl, refresh_ttl, admin_token, service_token, log_format: _ } =
        arguments;
    if access_ttl > MAX_ACCESS_TTL {
        return Err(StartError::new("--access-ttl is longer than 24h; choose a shorter one"));
    }
    if refresh_ttl < access_ttl {
        return Err(StartError::new("--refresh-ttl is shorter than --access-ttl; a session must outlive its tokens"));
    }
    if audience.iter().any(String::is_empty) {
        return Err(StartError::new("--audience is empty; name the services the tokens are for"));
    }
    let secret = |name: &str, text: Option<String>| text.map(|text| ApiSecret::new(name, &text)).transpose();
    let (admin_token, service_token) = (secret("admin token", admin_token)?, secret("service token", service_token)?);
    let issuer = IssuerUrl::parse(&issuer)?;
    let signals = [stop_signal(SignalKind::terminate())?, stop_signal(SignalKind::interrupt())?];
    // Before the database and the slow hashing of the seed: a port in use is known at once.
    let listener = TcpListener::bind(listen).await.map_err(|error| StartError::new(format!("cannot listen on {listen}: {error}")))?;
    let address = listener.local_addr().map_err(|error| StartError::new(format!("cannot listen on {listen}: {error}")))?;

    let service_access = ServiceAccess::new(service_token, address.ip());
    if matches!(service_access, ServiceAccess::Refused) {
        tracing::warn!("no service token is set: the directory and the tenants' roles are refused, since others can reach this listener");
    }
    let settings =
        Settings { issuer, audiences: audience, access_ttl, refresh_ttl, admin_token, service_access, password_cost: Cost::OWASP };
    let identity = Identity::open(&Database::from(database.as_str()), settings, Clock::System).await?;
    if let Some(path) = seed_file {
        seed::apply(&identity, &path).await?;
    }
    for signal in signals {
        tokio::spawn(stop_at(signal, Arc::clone(&identity)));
    }
    tracing::info!(%address, "listening");
    serve(listener, identity).await.map_err(|error| StartError::new(format!("cannot go on serving {address}: {error}")))?;
    tracing::info!("stopped");
    Ok(())
}

fn stop_signal(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| StartError::new(format!("cannot handle signals: {error}")))
}

async fn stop_at(mut signal: Signal, identity: Arc<Identity>) {
    if signal.recv().await.is_some() {
        tracing::info!("stopping");
        identity.stopping.cancel();
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Starts with arguments that must not lead to a running service, and returns the line that says why.
    async fn refusal(arguments: &[&str]) -> String {
        let given = ["portcullis-identity", "serve", "--database", ":memory:", "--audience", "demo"];
        let all = given.iter().chain(arguments).copied();
        let Cli { command: Command::Serve(arguments) } = Cli::try_parse_from(all).unwrap();
        let error = start(arguments).await.unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[tokio::test]
    async fn what_keeps_the_service_from_starting_is_said_in_one_line() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let (any, issuer) = ("127.0.0.1:0", "http://127.0.0.1:9400");
        let cases: [(&[&str], &str); 8] = [
            (&["--listen", &taken, "--issuer", issuer], &taken),
            (&["--listen", any, "--issuer", "id.example.com"], "issuer \"id.example.com\""),
            (&["--listen", any, "--issuer", issuer, "--seed", "/missing/seed.json"], "seed.json"),
            (&["--listen", any, "--issuer", issuer, "--admin-token", ""], "admin token is empty"),
            (&["--listen", any, "--issuer", issuer, "--service-token", ""], "service token is empty"),
            (&["--listen", any, "--issuer", issuer, "--access-ttl", "25h"], "--access-ttl"),
            (&["--listen", any, "--issuer", issuer, "--refresh-ttl", "1m"], "--refresh-ttl"),
            (&["--listen", any, "--issuer", issuer, "--audience", ""], "--audience"),
        ];
        for (arguments, expected) in cases {
            let error = refusal(arguments).await;
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn senseless_arguments_are_usage_errors() {
        let good = "portcullis-identity serve --listen 127.0.0.1:0 --database x --issuer http://x --audience a";
        assert!(Cli::try_parse_from(good.split(' ')).is_ok());
        for bad in ["--listen x", "--access-ttl 15", "--log-format xml", "--nonsense", "more"] {
            // An option given twice is an error as well, so the good value is replaced.
            let line = if bad.starts_with("--listen") { good.replace("--listen 127.0.0.1:0", bad) } else { format!("{good} {bad}") };
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }
}
