//! Real proxies with the configurations that we ship.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::harness::envoy::find_envoy;
use crate::harness::http::{self, Request};
use crate::harness::ports;
use crate::harness::process::Process;
use crate::harness::wait::{self, PATIENCE};

/// A running proxy.
pub struct Proxy {
    pub name: &'static str,
    pub address: SocketAddr,
    pub process: Process,
}

/// What stands behind a proxy, and what it asks.
pub struct Neighbours<'a> {
    pub folder: &'a Path,
    pub upstream: SocketAddr,
    /// The listener of its dialect: a TCP address, or the path of a socket (Envoy).
    pub door: &'a str,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A configuration that we ship, with other addresses in it. Each stands in it once, outside of comments.
fn fitted(path: &Path, replacements: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text: String = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    replacements.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{} no longer holds {from:?}, which the tests replace", path.display());
        text.replace(from, to)
    })
}

/// A program on the path: never skipped.
fn installed(name: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian has it, which is not on everybody's path.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| panic!("no {name}: apt-get install {package}"))
}

impl Proxy {
    /// nginx with `deploy/nginx`.
    pub async fn nginx(at: &Neighbours<'_>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::pick()));
        let (shipped, folder) = (root().join("deploy/nginx"), at.folder.join("nginx"));
        fs::create_dir_all(&folder).expect("a folder");
        let (own, upstream) = (address.to_string(), at.upstream.to_string());
        let replacements = [("127.0.0.1:10000", &*own), ("127.0.0.1:9501", &upstream), ("127.0.0.1:9192", at.door)];
        fs::write(folder.join("nginx.conf"), fitted(&shipped.join("nginx.conf"), &replacements)).expect("nginx.conf");
        for name in ["portcullis.conf", "portcullis-headers.conf"] {
            fs::copy(shipped.join(name), folder.join(name)).expect(name);
        }
        let folder = folder.display().to_string();
        // One process, as us: workers would be somebody else, who does not find our sockets, and outlive a master that is killed.
        let arguments = ["-p", &folder, "-e", "stderr", "-c", "nginx.conf", "-g", "daemon off; master_process off;"];
        Self::listening("nginx", address, Process::start("nginx", &installed("nginx", "nginx-light"), arguments, at.folder)).await
    }

    /// Caddy with `deploy/caddy`.
    pub async fn caddy(at: &Neighbours<'_>) -> Self {
        let port = ports::pick();
        let (own, upstream) = (format!(":{port}"), at.upstream.to_string());
        let replacements = [(":10000", &*own), ("127.0.0.1:9501", &upstream), ("127.0.0.1:9192", at.door)];
        let config = at.folder.join("Caddyfile");
        fs::write(&config, fitted(&root().join("deploy/caddy/Caddyfile"), &replacements)).expect("Caddyfile");
        let home = at.folder.display().to_string();
        let environment = [("HOME", &*home), ("XDG_DATA_HOME", &home), ("XDG_CONFIG_HOME", &home)];
        let arguments = ["run", "--adapter", "caddyfile", "--config", &config.display().to_string()];
        let process = Process::start_with("caddy", &installed("caddy", "caddy"), arguments, &environment, at.folder);
        Self::listening("caddy", SocketAddr::from(([127, 0, 0, 1], port)), process).await
    }

    /// Traefik with `deploy/traefik`.
    pub async fn traefik(at: &Neighbours<'_>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::pick()));
        let shipped = root().join("deploy/traefik");
        let dynamic = at.folder.join("dynamic.yaml").display().to_string();
        let (own, upstream) = (address.to_string(), at.upstream.to_string());
        let static_part = fitted(&shipped.join("traefik.yaml"), &[("127.0.0.1:10000", &own), ("dynamic.yaml", &dynamic)]);
        let dynamic_part = fitted(&shipped.join("dynamic.yaml"), &[("127.0.0.1:9501", &upstream), ("127.0.0.1:9192", at.door)]);
        let config = at.folder.join("traefik.yaml");
        fs::write(&config, static_part).expect("traefik.yaml");
        fs::write(dynamic, dynamic_part).expect("dynamic.yaml");
        let arguments = ["--configfile".to_string(), config.display().to_string()];
        Self::listening("traefik", address, Process::start("traefik", &find_traefik(), arguments, at.folder)).await
    }

    /// Envoy with `envoy/http.yaml`.
    pub async fn envoy_over_http(at: &Neighbours<'_>) -> Self {
        let port = ports::pick();
        let admin = at.folder.join("envoy-http-admin.sock").display().to_string();
        let (own, upstream) = (format!("port_value: {port}"), format!("port_value: {}", at.upstream.port()));
        let replacements = [
            ("port_value: 10000", &*own),
            ("port_value: 9501", &upstream),
            ("port_value: 9502", &upstream),
            ("port_value: 9400", &upstream),
            ("/run/portcullis/http.sock", at.door),
            ("/run/portcullis/envoy-admin.sock", &admin),
            // This judges how busy the machine of the tests is, which is not what is tested.
            ("timeout: 0.1s\n", "timeout: 10s\n"),
        ];
        let config = at.folder.join("envoy-http.yaml");
        fs::write(&config, fitted(&root().join("envoy/http.yaml"), &replacements)).expect("Envoy's configuration");
        let config = config.display().to_string();
        let arguments = ["--config-path", &config, "--disable-hot-restart", "--concurrency", "1", "-l", "warn"];
        let process = Process::start("envoy-http", &find_envoy(root()), arguments, at.folder);
        Self::listening("envoy-http", SocketAddr::from(([127, 0, 0, 1], port)), process).await
    }

    /// Waits until a public route is open through it.
    async fn listening(name: &'static str, address: SocketAddr, process: Process) -> Self {
        let mut proxy = Self { name, address, process };
        wait::until_true(&format!("{name} to let something pass"), PATIENCE, async || {
            assert!(proxy.process.is_running(), "{name} ended");
            http::try_send(address, &Request::get("/blog/health").header("host", "localhost"))
                .await
                .is_ok_and(|answer| answer.status == 200)
        })
        .await;
        proxy
    }
}

/// By the environment, or in the repository.
fn find_traefik() -> PathBuf {
    let named = env::var_os("TRAEFIK_BIN").map(PathBuf::from);
    let found = named.unwrap_or_else(|| root().join(".tools/traefik"));
    assert!(found.is_file(), "no Traefik: run `make traefik` (or set TRAEFIK_BIN)");
    found
}
