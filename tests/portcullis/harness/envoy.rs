//! The real Envoy with the configurations that we ship.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::http::{Answer, Connection, Request};
use super::process::Process;
use super::wait::{self, PATIENCE};

/// The one to start from.
pub const SIDECAR: &str = "envoy/sidecar.yaml";

/// A running Envoy.
pub struct Envoy {
    pub process: Process,
    /// Where the listener "ingress" listens.
    pub address: SocketAddr,
    /// All listeners.
    listeners: BTreeMap<String, SocketAddr>,
    admin: PathBuf,
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
        Self::start_file(SIDECAR, folder, neighbours, &[], variant).await
    }

    /// The same with another file that we ship. `besides`: what else is replaced in it.
    pub async fn start_file(
        file: &str,
        folder: &Path,
        neighbours: &Neighbours<'_>,
        besides: &[(&str, String)],
        variant: impl FnOnce(String) -> String,
    ) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shipped = fs::read_to_string(root.join(file)).expect(file);
        let admin = folder.join("envoy-admin.sock");
        let upstream = format!("port_value: {}", neighbours.upstream.port());
        let ours = [
            // Where it listens itself.
            ("port_value: 10000", "port_value: 0".to_string()),
            ("port_value: 8443", "port_value: 0".to_string()),
            ("port_value: 8080", "port_value: 0".to_string()),
            ("address: 0.0.0.0", "address: 127.0.0.1".to_string()),
            ("port_value: 9501", upstream.clone()),
            ("port_value: 9502", upstream.clone()),
            ("port_value: 9503", upstream),
            ("port_value: 9400", format!("port_value: {}", neighbours.identity.port())),
            ("/run/portcullis/authz.sock", neighbours.authz.display().to_string()),
            ("/run/portcullis/envoy-admin.sock", admin.display().to_string()),
            // These judge how busy the machine of the tests is, which is not what is tested.
            ("timeout: 0.1s\n", "timeout: 10s\n".to_string()),
            ("timeout: 0.5s", "timeout: 5s".to_string()),
        ];
        let text = without_comments(&shipped);
        for value in meant_to_be_replaced(&shipped).iter().filter(|value| value.starts_with(['/', 'p'])) {
            assert!(
                ours.iter().chain(besides).any(|(from, _)| from.contains(value) || value.contains(from)),
                "{file} means {value:?} to be replaced, and nothing replaces it"
            );
        }
        let text = ours.iter().chain(besides).fold(text, |text, (from, to)| text.replace(from, to));
        let config = folder.join("envoy.yaml");
        fs::write(&config, variant(text)).expect("Envoy's configuration");
        let config = config.display().to_string();
        // Hot restart would tie Envoys of one machine to each other.
        let arguments =
            ["--config-path", &config, "--disable-hot-restart", "--concurrency", "2", "--file-flush-interval-msec", "20", "-l", "warn"];
        let mut process = Process::start("envoy", &find_envoy(root), arguments, folder);
        let listeners = wait::until("Envoy to listen", PATIENCE, async || {
            assert!(process.is_running(), "Envoy ended");
            listeners(&admin).await
        })
        .await;
        let address = *listeners.get("ingress").expect("a listener called ingress");
        Self { process, address, listeners, admin }
    }

    /// Where the listener of this name listens.
    pub fn listener(&self, name: &str) -> SocketAddr {
        *self.listeners.get(name).unwrap_or_else(|| panic!("there is no listener {name}: {:?}", self.listeners))
    }

    /// What its admin interface answers.
    pub async fn admin(&self, path: &str) -> String {
        let mut admin = Connection::open_unix(&self.admin).await.expect("Envoy's admin interface");
        admin.send(&Request::get(path)).await.expect("an answer").text()
    }

    /// The value of one of its statistics. One that was never used is 0.
    pub async fn stat(&self, name: &str) -> u64 {
        let stats = self.admin("/stats").await;
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map_or(0, |value| value.parse().expect("a number"))
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
pub fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// What a file says is meant to be replaced: the first column of the list at its head. The dots stand for a folder.
pub fn meant_to_be_replaced(shipped: &str) -> Vec<String> {
    let head = shipped.lines().take_while(|line| line.starts_with('#'));
    let list = head.skip_while(|line| !line.starts_with("#   port_value "));
    let rows = list.take_while(|line| *line != "#").filter_map(|line| line.strip_prefix("#   ")?.split_once("  "));
    rows.flat_map(|(values, _)| values.split(", "))
        .map(|value| value.trim_start_matches("...").replacen("port_value ", "port_value: ", 1))
        .collect()
}

/// Where each of Envoy's listeners listens, once all do.
async fn listeners(admin: &Path) -> Option<BTreeMap<String, SocketAddr>> {
    let ask = async |path| {
        let answer = Connection::open_unix(admin).await.ok()?.send(&Request::get(path)).await.ok()?;
        (answer.status == 200).then_some(answer)
    };
    ask("/ready").await?;
    let statuses = ask("/listeners?format=json").await?.json();
    let address = |status: &Value| {
        let socket = &status["local_address"]["socket_address"];
        let port = u16::try_from(socket["port_value"].as_u64()?).ok().filter(|port| *port != 0)?;
        let address = SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port);
        Some((status["name"].as_str()?.to_string(), address))
    };
    let listeners: Option<BTreeMap<_, _>> = statuses["listener_statuses"].as_array()?.iter().map(address).collect();
    listeners.filter(|listeners| !listeners.is_empty())
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
