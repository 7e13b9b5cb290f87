//! The kustomizations of `deploy/kubernetes`.
