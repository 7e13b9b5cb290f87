//! Everything together: client, Envoy, sidecar, identity service, and a service behind.

use tempfile::TempDir;

use super::envoy::{Envoy, Neighbours};
use super::http::{self, Answer, Request};
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
    pub folder: TempDir,
}

type Edit = Box<dyn FnOnce(String) -> String>;

/// What is to be different from the usual.
#[must_use]
pub struct Builder {
    policy: Edit,
    envoy: Edit,
    identity_runs: bool,
}

impl Mesh {
    pub fn builder() -> Builder {
        Builder { policy: Box::new(|text| text), envoy: Box::new(|text| text), identity_runs: true }
    }

    /// The usual one.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// One request through Envoy.
    pub async fn send(&self, request: &Request) -> Answer {
        http::send(self.envoy.address, request).await
    }

    /// The same, and the reason in Envoy's access log (`-` when the sidecar was not asked or did not answer).
    pub async fn send_for_reason(&self, request: &Request) -> (Answer, String) {
        let answer = self.send(request).await;
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

    /// Leaves the identity service for the test to start, and does not wait for anybody's being ready.
    pub fn without_identity(mut self) -> Self {
        self.identity_runs = false;
        self
    }

    pub async fn start(self) -> Mesh {
        let folder = folder();
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
        let neighbours = Neighbours { authz: &sidecar.socket, upstream: upstream.address, identity: identity.address };
        let envoy = Envoy::start(folder.path(), &neighbours, self.envoy).await;
        let mesh = Mesh { envoy, sidecar, identity, upstream, folder };
        if self.identity_runs {
            // Envoy lets nothing pass before its first health check of the sidecar.
            mesh.answers(&Request::get("/blog/health"), 200).await;
        }
        mesh
    }
}

/// A folder for one test. Its path is short: that of a socket in it must fit into 107 bytes.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("portcullis-").tempdir().expect("a folder")
}
