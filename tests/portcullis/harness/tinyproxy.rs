//! A real HTTP proxy.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::net::TcpStream;

use super::ports;
use super::process::Process;
use super::wait::{self, PATIENCE};

/// A running tinyproxy.
pub struct Tinyproxy {
    pub process: Process,
    pub address: SocketAddr,
}

impl Tinyproxy {
    /// Starts it and waits until it listens. `login` is a user and a password without which it serves nobody.
    pub async fn start(folder: &Path, login: Option<(&str, &str)>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::pick()));
        let login = login.map(|(user, password)| format!("BasicAuth {user} {password}\n")).unwrap_or_default();
        let text = format!("Port {}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nLogLevel Connect\n{login}", address.port());
        let config = folder.join("tinyproxy.conf");
        fs::write(&config, text).expect("its configuration");
        let mut process = Process::start("tinyproxy", &program(), ["-d", "-c", &config.display().to_string()], folder);
        wait::until_true("tinyproxy to listen", PATIENCE, async || {
            assert!(process.is_running(), "tinyproxy ended");
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { process, address }
    }

    /// Waits until it was asked for something, by the begin of the request.
    pub async fn asked(&mut self, request: &str) {
        self.process.log_line(&format!("): {request}")).await;
    }

    /// Whether it was asked for anything at all. Connections without a request, such as ours at its start, do not count.
    pub fn was_asked(&self) -> bool {
        self.process.log().contains("Request (file descriptor")
    }
}

fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("tinyproxy")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("there is no tinyproxy; install it with: apt-get install --no-install-recommends tinyproxy-bin"))
}
