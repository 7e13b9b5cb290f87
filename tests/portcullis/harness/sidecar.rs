//! The real sidecar.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis::policy_test::keys;
use serde_json::Value;

use super::check::{Ask, Verdict};
use super::grpc::Client;
use super::http::{self, Answer, Request};
use super::metrics::Metrics;
use super::process::{Process, programs};
use super::token;
use super::wait::{self, PATIENCE};

/// The policy that tests run with unless they say otherwise.
const POLICY: &str = include_str!("policy.yaml");

/// The usual policy for an identity service. The folder is for the socket, and for the keys of the second issuer, which are
/// written there.
pub fn policy(folder: &Path, identity: &str) -> String {
    let keys = keys::key_set(&[token::SECOND_KEY]).expect("a key");
    fs::write(folder.join("keys.json"), keys.to_string()).expect("the second issuer's keys");
    POLICY.replace("@FOLDER@", &folder.display().to_string()).replace("@IDENTITY@", identity)
}

/// Replaces a text that has to be there.
pub fn edit(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "there is no {from:?} to replace in:\n{text}");
    text.replace(from, to)
}

/// A running sidecar.
pub struct Sidecar {
    pub process: Process,
    /// The configuration file.
    pub config: PathBuf,
    pub admin: SocketAddr,
    pub grpc: SocketAddr,
    pub socket: PathBuf,
    folder: PathBuf,
}

impl Sidecar {
    /// Starts it with this configuration and waits for its listeners, not for its being ready.
    pub async fn start(folder: &Path, configuration: &str) -> Self {
        let config = folder.join("portcullis.yaml");
        fs::write(&config, configuration).expect("the configuration");
        Self::start_at(folder, &config).await
    }

    /// The same, with variables for its environment.
    pub async fn start_with(folder: &Path, configuration: &str, environment: &[(&str, &str)]) -> Self {
        let config = folder.join("portcullis.yaml");
        fs::write(&config, configuration).expect("the configuration");
        let arguments = ["run", "--config", &config.display().to_string()];
        let process = Process::start_with("sidecar", programs::portcullis(), arguments, environment, folder);
        let (process, grpc, admin) = Self::listening(process).await;
        Self { process, config, admin, grpc, socket: folder.join("authz.sock"), folder: folder.into() }
    }

    /// Starts it with what is at this path.
    pub async fn start_at(folder: &Path, config: &Path) -> Self {
        let (process, grpc, admin) = Self::launch(folder, config).await;
        Self { process, config: config.into(), admin, grpc, socket: folder.join("authz.sock"), folder: folder.into() }
    }

    /// Starts it with this configuration on a disk that is soon full: no file that it writes gets longer than so many blocks of 512
    /// bytes (with some shells: 1024).
    pub async fn start_on_full_disk(folder: &Path, configuration: &str, blocks: u32) -> Self {
        // A signal would end it; ignored, it becomes an error of write(2).
        Self::start_limited(folder, configuration, &format!("trap '' XFSZ; ulimit -f {blocks}")).await
    }

    /// Starts it with this configuration where it can have no more than so many files and connections open.
    pub async fn start_with_few_descriptors(folder: &Path, configuration: &str, descriptors: u32) -> Self {
        Self::start_limited(folder, configuration, &format!("ulimit -n {descriptors}")).await
    }

    /// Starts it with this configuration after these commands of a shell.
    async fn start_limited(folder: &Path, configuration: &str, commands: &str) -> Self {
        let config = folder.join("portcullis.yaml");
        fs::write(&config, configuration).expect("the configuration");
        let script = format!("{commands}; exec \"$0\" run --config \"$1\"");
        let arguments = ["-c".into(), script, programs::portcullis().display().to_string(), config.display().to_string()];
        let process = Process::start("sidecar", Path::new("sh"), arguments, folder);
        let (process, grpc, admin) = Self::listening(process).await;
        Self { process, config, admin, grpc, socket: folder.join("authz.sock"), folder: folder.into() }
    }

    async fn launch(folder: &Path, config: &Path) -> (Process, SocketAddr, SocketAddr) {
        let arguments = ["run", "--config", &config.display().to_string()];
        Self::listening(Process::start("sidecar", programs::portcullis(), arguments, folder)).await
    }

    async fn listening(mut process: Process) -> (Process, SocketAddr, SocketAddr) {
        let grpc = address_in(&process.log_line("answering checks address=127.0.0.1:").await);
        let admin = address_in(&process.log_line("the admin listener is up").await);
        (process, grpc, admin)
    }

    /// Starts it again after it ended, with the same configuration and socket.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.start_again().await;
        self.ready().await;
    }

    /// The same after it was ended, as soon as it listens.
    pub async fn start_again(&mut self) {
        (self.process, self.grpc, self.admin) = Self::launch(&self.folder, &self.config).await;
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        wait::until_true("the sidecar to be ready", PATIENCE, async || self.get("/readyz").await.status == 200).await;
    }

    /// What the admin listener answers.
    pub async fn get(&self, path: &str) -> Answer {
        http::send(self.admin, &Request::get(path)).await
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").await.text())
    }

    /// The dump of what is in force.
    pub async fn dump(&self) -> Value {
        self.get("/config").await.json()
    }

    /// How many policies have been in force.
    pub async fn generation(&self) -> u64 {
        self.dump().await["generation"].as_u64().expect("a number")
    }

    /// A connection for checks.
    pub async fn connect(&self) -> Client {
        Client::unix(&self.socket).await.expect("a connection to the socket")
    }

    /// One check over a connection of its own.
    pub async fn ask(&self, ask: &Ask<'_>) -> Verdict {
        Verdict::of(&self.connect().await.check(&ask.raw()).await)
    }

    /// Puts another configuration in the place of the one that is there, in one step.
    pub fn replace_config(&self, text: &str) {
        let new = self.config.with_extension("new");
        fs::write(&new, text).expect("the new configuration");
        fs::rename(&new, &self.config).expect("the configuration replaced");
    }

    /// Waits until that many policies have been in force.
    pub async fn generation_is(&self, generation: u64) {
        wait::until_true(&format!("policy {generation} to be in force"), PATIENCE, async || self.generation().await == generation).await;
    }

    /// Waits for what the last attempt to load the configuration came to.
    pub async fn last_load(&self, successful: bool) {
        let wanted = f64::from(u8::from(successful));
        let series = "portcullis_configuration_last_load_successful";
        wait::until_true(&format!("{series} {wanted}"), PATIENCE, async || self.metrics().await.find(series) == Some(wanted)).await;
    }
}

/// The address that a log line ends with.
fn address_in(line: &str) -> SocketAddr {
    let text = line.rsplit("address=").next().unwrap_or_default().trim();
    text.parse().unwrap_or_else(|_| panic!("no address in: {line}"))
}
