//! The configurations of `envoy/`, each started as it is shipped and walked through with the real sidecar.

mod bodies;
mod edge;
mod grpc;
mod mtls;
mod off_switch;
mod sidecar;
mod walk;
