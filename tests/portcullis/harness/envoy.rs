//! The real Envoy with the configuration that we ship.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::http::{Answer, Connection, Request};
use super::process::Process;
use super::wait::{self, PATIENCE};

const SHIPPED: &str = "envoy/sidecar.yaml";

/// A running Envoy.
pub struct Envoy {
    pub process: Process,
    pub address: SocketAddr,
}

/// What stands behind and beside it.
pub struct Neighbours<'a> {
    pub authz: &'a Path,
    pub upstream: SocketAddr,
    pub identity: SocketAddr,
}

impl Envoy {
    /// Starts it and waits until it listens. `variant` may change the configuration.
    pub async fn start(folder: &Path, neighbours: &Neighbours<'_>, variant: impl FnOnce(String) -> String) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shipped = fs::read_to_string(root.join(SHIPPED)).expect(SHIPPED);
        let admin = folder.join("envoy-admin.sock");
        let upstream = format!("port_value: {}", neighbours.upstream.port());
        let replaced = [
            ("port_value: 10000", "port_value: 0".to_string()),
            ("port_value: 9501", upstream.clone()),
            ("port_value: 9502", upstream),
            ("port_value: 9400", format!("port_value: {}", neighbours.identity.port())),
            ("/run/portcullis/authz.sock", neighbours.authz.display().to_string()),
            ("/run/portcullis/envoy-admin.sock", admin.display().to_string()),
            // These judge how busy the machine of the tests is, which is not what is tested.
            ("timeout: 0.1s\n", "timeout: 10s\n".to_string()),
            ("timeout: 0.5s", "timeout: 5s".to_string()),
        ];
        let text = replaced.iter().fold(without_comments(&shipped), |text, (from, to)| {
            assert!(text.contains(from), "{SHIPPED} no longer holds {from:?}, which the tests replace");
            text.replace(from, to)
        });
        let config = folder.join("envoy.yaml");
        fs::write(&config, variant(text)).expect("Envoy's configuration");
        let config = config.display().to_string();
        // Hot restart would tie Envoys of one machine to each other.
        let arguments =
            ["--config-path", &config, "--disable-hot-restart", "--concurrency", "2", "--file-flush-interval-msec", "20", "-l", "warn"];
        let mut process = Process::start("envoy", &find_envoy(root), arguments, folder);
        let address = wait::until("Envoy to listen", PATIENCE, async || {
            assert!(process.is_running(), "Envoy ended");
            listener(&admin).await
        })
        .await;
        Self { process, address }
    }

    /// The line of the access log about the request that got this answer.
    pub async fn log_entry(&self, answer: &Answer) -> Value {
        let id = answer.header("x-request-id").expect("a request id").to_string();
        wait::until("a line in Envoy's access log", PATIENCE, async || {
            let log = self.process.log();
            // Reading all lines of a long log as JSON would take longer than the request.
            log.lines().rev().find(|line| line.contains(&id)).and_then(|line| serde_json::from_str(line).ok())
        })
        .await
    }

    /// The access log so far, by request id.
    pub fn access_log(&self) -> HashMap<String, Value> {
        let log = self.process.log();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter_map(|entry| Some((entry.get("request_id")?.as_str()?.to_string(), entry))).collect()
    }
}

/// The comments name the same addresses as the configuration does.
fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// Where Envoy's one listener listens, once it does.
async fn listener(admin: &Path) -> Option<SocketAddr> {
    let ask = async |path| {
        let answer = Connection::open_unix(admin).await.ok()?.send(&Request::get(path)).await.ok()?;
        (answer.status == 200).then_some(answer)
    };
    ask("/ready").await?;
    let listeners = ask("/listeners?format=json").await?.json();
    let socket = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    let port = u16::try_from(socket["port_value"].as_u64()?).ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port))
}

/// By the environment, in the repository, or on the path: never skipped.
pub fn find_envoy(root: &Path) -> PathBuf {
    if let Some(named) = env::var_os("ENVOY_BIN") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "no Envoy: ENVOY_BIN says {}, where there is none", named.display());
        return named;
    }
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&on_path).map(|folder| folder.join("envoy"));
    std::iter::once(root.join(".tools/envoy"))
        .chain(on_path)
        .find(|candidate| candidate.is_file())
        .expect("no Envoy: run `make envoy` (or set ENVOY_BIN)")
}
