//! The real `portcullis webhook`, with its certificate in a folder as the kubelet mounts a Secret; and API servers' way to it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Identity};
use super::http::{self, Answer};
use super::metrics::Metrics;
use super::ports;
use super::process::{Process, programs};

/// The name by which API servers know it.
pub const NAME: &str = "portcullis-webhook.portcullis-system.svc";
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The folder that a Secret is mounted as: the files are links into `..data`, which is swapped.
pub struct SecretVolume {
    folder: PathBuf,
    versions: AtomicU64,
}

impl SecretVolume {
    /// One that holds this certificate and its key.
    pub fn new(folder: &Path, identity: &Identity) -> Self {
        let volume = Self { folder: folder.join("tls"), versions: AtomicU64::new(0) };
        fs::create_dir(&volume.folder).expect("a folder");
        volume.swap(|folder| identity.write(&folder.join("tls.crt"), &folder.join("tls.key")));
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), volume.folder.join(name)).expect("a link");
        }
        volume
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.join("tls.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.join("tls.key")
    }

    /// Swaps what it holds for what is written into a new folder, in one step.
    pub fn swap(&self, write: impl FnOnce(&Path)) {
        let version = format!("..{}", self.versions.fetch_add(1, Ordering::Relaxed));
        let new = self.folder.join(&version);
        fs::create_dir(&new).expect("a folder");
        write(&new);
        let link = self.folder.join("..data_tmp");
        symlink(&version, &link).expect("a link");
        fs::rename(&link, self.folder.join("..data")).expect("swapped");
    }

    /// The same for a certificate with its key.
    pub fn renew(&self, identity: &Identity) {
        self.swap(|folder| identity.write(&folder.join("tls.crt"), &folder.join("tls.key")));
    }
}

/// A running webhook.
pub struct Webhook {
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub authority: Authority,
    pub secret: SecretVolume,
    folder: PathBuf,
}

impl Webhook {
    /// Starts one in this folder, with further options.
    pub async fn start(folder: &Path, options: &[&str]) -> Self {
        let authority = Authority::new();
        let secret = SecretVolume::new(folder, &authority.for_host(NAME));
        let address = SocketAddr::from(([127, 0, 0, 1], ports::pick()));
        let (process, admin) = launch(folder, &secret, address, options).await;
        Self { process, address, admin, authority, secret, folder: folder.into() }
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        self.process.kill();
        (self.process, self.admin) = launch(&self.folder, &self.secret, self.address, &[]).await;
    }

    /// What the admin listener answers.
    pub async fn get(&self, path: &str) -> Answer {
        http::send(self.admin, &http::Request::get(path)).await
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").await.text())
    }

    /// How many reviews came to this.
    pub async fn reviews(&self, outcome: &str) -> f64 {
        self.metrics().await.get(&format!("portcullis_webhook_reviews_total{{outcome=\"{outcome}\"}}"))
    }

    /// A connection as an API server makes it: the authority is trusted, the name is checked.
    pub async fn connect(&self, protocol: &str) -> Https {
        Https::open(self.address, &self.authority.certificate, NAME, &[protocol]).await.expect("a connection to the webhook")
    }
}

async fn launch(folder: &Path, secret: &SecretVolume, address: SocketAddr, options: &[&str]) -> (Process, SocketAddr) {
    let [certificate, key] = [secret.certificate(), secret.key()].map(|path| path.display().to_string());
    let listen = address.to_string();
    let mut arguments = vec!["webhook", "--certificate", &certificate, "--key", &key, "--listen", &listen, "--admin", "127.0.0.1:0"];
    arguments.extend(options);
    let mut process = Process::start("webhook", programs::portcullis(), arguments, folder);
    let line = process.log_line("the admin listener is up").await;
    process.log_line("reviewing pods").await;
    let admin = line.rsplit("address=").next().and_then(|rest| rest.trim().parse().ok()).unwrap_or_else(|| panic!("no address in: {line}"));
    (process, admin)
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection over TLS.
pub struct Https {
    sender: Sender,
    host: String,
    /// The certificate that the server showed.
    pub shown: CertificateDer<'static>,
}

impl Https {
    /// TLS to a server of this name, whose certificate has to be of this authority, with one of these protocols (`h2`, `http/1.1`).
    pub async fn open(address: SocketAddr, root: &CertificateDer<'static>, name: &str, protocols: &[&str]) -> Result<Self, String> {
        let stream = tls(address, root, name, protocols).await?;
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().and_then(<[_]>::first).expect("a certificate").clone().into_owned();
        let words = |error: hyper::Error| error.to_string();
        let sender = if connection.alpn_protocol() == Some(b"h2") {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(words)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Self { sender, host: name.into(), shown })
    }

    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends JSON, as an API server does.
    pub async fn post(&mut self, target: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        self.send("POST", target, &[("content-type", "application/json"), ("accept", "application/json, */*")], body).await
    }

    /// Sends any request and reads the whole answer.
    pub async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Answer, String> {
        let target = if self.is_http2() { format!("https://{}{target}", self.host) } else { target.to_string() };
        let mut request = ::http::Request::builder().method(method).uri(target);
        if !self.is_http2() {
            request = request.header("host", &self.host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (head, body) = answer.into_parts();
            let body = body.collect().await?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| format!("no answer within {TIMEOUT:?}"))?;
        answer.map_err(|error: hyper::Error| format!("{error:?}"))
    }
}

/// A bare stream over TLS.
pub async fn tls(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    name: &str,
    protocols: &[&str],
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: connect: {error}"))?;
    let name = name.to_string().try_into().expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| format!("tls: {error}"))
}
