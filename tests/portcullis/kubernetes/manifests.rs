//! The kustomizations of `deploy/kubernetes`: rendered by the real kubectl, held against the schemas of the oldest and the newest
//! Kubernetes, and against each other.

use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::kustomize;

mod break_glass;
mod certificates;
mod example;
mod injected;
mod page;
mod pods;
mod references;
mod schemas;
mod walk;
mod webhook;

/// All that can be applied, but `self-signed`, which needs certificates first.
const KUSTOMIZATIONS: [&str; 8] =
    ["base", "namespace", "cert-manager", "monitoring", "network-policy", "break-glass", "example", "central"];

/// `self-signed`, for certificates that were made for it in a folder of its own.
fn self_signed() -> Arc<Vec<Value>> {
    static RENDERED: std::sync::OnceLock<Arc<Vec<Value>>> = std::sync::OnceLock::new();
    Arc::clone(RENDERED.get_or_init(|| {
        let folder = TempDir::new().expect("a folder");
        let copy = kustomize::copy(folder.path());
        certificates::make(&copy.join("self-signed"), &[]).success();
        Arc::new(kustomize::render(&copy.join("self-signed")))
    }))
}

/// All kustomizations, by name.
fn all() -> Vec<(&'static str, Arc<Vec<Value>>)> {
    let mut all: Vec<_> = KUSTOMIZATIONS.iter().map(|name| (*name, kustomize::shipped(name))).collect();
    all.push(("self-signed", self_signed()));
    all
}

#[test]
fn every_folder_is_a_kustomization_that_is_tested() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(kustomize::FOLDER);
    let entries = std::fs::read_dir(folder).expect("the manifests").map(|entry| entry.expect("an entry"));
    let mut found: Vec<String> = entries
        .filter(|entry| entry.path().join("kustomization.yaml").is_file())
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    found.sort();
    let mut tested: Vec<&str> = all().iter().map(|(name, _)| *name).collect();
    tested.sort_unstable();
    assert_eq!(found, tested);
}

#[test]
fn without_certificates_kubectl_says_what_is_missing() {
    let folder = TempDir::new().expect("a folder");
    let copy = kustomize::copy(folder.path());
    let message = kustomize::try_render(&copy.join("self-signed")).expect_err("there are no certificates");
    assert!(message.contains("generated/"), "{message}");
}
