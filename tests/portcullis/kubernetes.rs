//! At home in Kubernetes: what is injected, who injects it, and whether the manifests are what a cluster takes.

mod inject;
mod manifests;
mod mesh;
mod webhook;
