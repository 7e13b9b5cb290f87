//! Everything together: client, Envoy, sidecar, identity service, and a service behind.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::door::Door;
use super::envoy::{self, Envoy, Neighbours};
use super::http::{Answer, Request};
use super::identity::Identity;
use super::sidecar::{self, Sidecar};
use super::upstream::Upstream;
use super::wait::{self, PATIENCE};

/// A running mesh. Its processes end when it is dropped; the folder goes last.
pub struct Mesh {
    pub envoy: Envoy,
    pub sidecar: Sidecar,
    pub identity: Identity,
    pub upstream: Upstream,
    /// How its clients come in.
    pub door: Door,
    pub folder: TempDir,
}

type Edit = Box<dyn FnOnce(String) -> String>;

/// What is to be different from the usual.
#[must_use]
pub struct Builder {
    policy: Edit,
    envoy: Edit,
    file: &'static str,
    door: Door,
    opening: Request,
    behind: Option<SocketAddr>,
    folder: Option<TempDir>,
    identity_runs: bool,
}

impl Mesh {
    pub fn builder() -> Builder {
        Builder {
            policy: Box::new(|text| text),
            envoy: Box::new(|text| text),
            file: envoy::SIDECAR,
            door: Door::default(),
            opening: Request::get("/blog/health"),
            behind: None,
            folder: None,
            identity_runs: true,
        }
    }

    /// The usual one.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// One request through Envoy.
    pub async fn send(&self, request: &Request) -> Answer {
        self.send_by(&self.door, request).await
    }

    /// The same by another way in.
    pub async fn send_by(&self, door: &Door, request: &Request) -> Answer {
        door.try_send(self.envoy.address, request).await.unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// The same, and the reason in Envoy's access log (`-` when the sidecar was not asked or did not answer).
    pub async fn send_for_reason(&self, request: &Request) -> (Answer, String) {
        self.send_by_for_reason(&self.door, request).await
    }

    /// The same by another way in.
    pub async fn send_by_for_reason(&self, door: &Door, request: &Request) -> (Answer, String) {
        let answer = self.send_by(door, request).await;
        let entry = self.envoy.log_entry(&answer).await;
        let reason = entry["reason"].as_str().unwrap_or("-").to_string();
        (answer, reason)
    }

    /// The usual policy, as it would be written for this mesh.
    pub fn policy(&self) -> String {
        sidecar::policy(self.folder.path(), &self.identity.url())
    }

    /// Waits until a request through Envoy has this status.
    pub async fn answers(&self, request: &Request, status: u16) {
        let what = format!("status {status} through Envoy");
        wait::until_true(&what, PATIENCE, async || self.send(request).await.status == status).await;
    }
}

impl Builder {
    /// Changes the policy. It sees the usual one.
    pub fn policy(mut self, edit: impl FnOnce(String) -> String + 'static) -> Self {
        self.policy = Box::new(edit);
        self
    }

    /// Changes Envoy's configuration.
    pub fn envoy(mut self, edit: impl FnOnce(String) -> String + 'static) -> Self {
        self.envoy = Box::new(edit);
        self
    }

    /// Starts Envoy with another file than the usual one; clients come in like this.
    pub fn file(mut self, file: &'static str, door: Door) -> Self {
        self.file = file;
        self.door = door;
        self
    }

    /// Waits for another request than the usual one to pass.
    pub fn opened_by(mut self, request: Request) -> Self {
        self.opening = request;
        self
    }

    /// Another service stands behind Envoy, which the test started.
    pub fn behind(mut self, service: SocketAddr) -> Self {
        self.behind = Some(service);
        self
    }

    /// Everything lies in this folder. In `tls` in it are the certificates, where the file names some.
    pub fn folder(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Leaves the identity service for the test to start, and does not wait for anybody's being ready.
    pub fn without_identity(mut self) -> Self {
        self.identity_runs = false;
        self
    }

    pub async fn start(self) -> Mesh {
        let folder = self.folder.unwrap_or_else(folder);
        let upstream = Upstream::start().await;
        let mut identity = Identity::prepare(folder.path());
        if self.identity_runs {
            identity.start().await;
        }
        let policy = (self.policy)(sidecar::policy(folder.path(), &identity.url()));
        let sidecar = Sidecar::start(folder.path(), &policy).await;
        if self.identity_runs {
            sidecar.ready().await;
        }
        let behind = self.behind.unwrap_or(upstream.address);
        let neighbours = Neighbours { authz: &sidecar.socket, upstream: behind, identity: identity.address };
        let besides = [
            ("port_value: 9191", format!("port_value: {}", sidecar.grpc.port())),
            ("/etc/envoy/tls/", format!("{}/tls/", folder.path().display())),
        ];
        let envoy = Envoy::start_file(self.file, folder.path(), &neighbours, &besides, self.envoy).await;
        let mesh = Mesh { envoy, sidecar, identity, upstream, door: self.door, folder };
        if self.identity_runs {
            // Envoy lets nothing pass before its first health check of the sidecar.
            mesh.answers(&self.opening, 200).await;
        }
        mesh
    }
}

/// A folder for one test. Its path is short: that of a socket in it must fit into 107 bytes.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("portcullis-").tempdir().expect("a folder")
}
