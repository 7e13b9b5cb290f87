//! A sidecar alone with a stub of an identity service: for what does not need Envoy.

use tempfile::TempDir;

use super::mesh;
use super::sidecar::{self, Sidecar};
use super::stub::Stub;

pub struct Lab {
    pub sidecar: Sidecar,
    pub stub: Stub,
    pub folder: TempDir,
}

impl Lab {
    /// With the usual policy, and ready.
    pub async fn start() -> Self {
        Self::with_policy(|text| text).await
    }

    /// With a changed policy, and ready.
    pub async fn with_policy(edit: impl FnOnce(String) -> String) -> Self {
        let lab = Self::unready(edit).await;
        lab.sidecar.ready().await;
        lab
    }

    /// With a changed policy, as soon as it listens.
    pub async fn unready(edit: impl FnOnce(String) -> String) -> Self {
        let folder = mesh::folder();
        let stub = Stub::start().await;
        let policy = edit(sidecar::policy(folder.path(), &stub.url()));
        let sidecar = Sidecar::start(folder.path(), &policy).await;
        Self { sidecar, stub, folder }
    }

    /// The usual policy, as it would be written for this lab.
    pub fn policy(&self) -> String {
        sidecar::policy(self.folder.path(), &self.stub.url())
    }
}
