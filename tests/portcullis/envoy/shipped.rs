//! The configurations of `envoy/`, each started as it is shipped and walked through with the real sidecar.

mod edge;
mod mtls;
mod sidecar;
mod walk;
