//! Real processes for tests: the sidecar, the identity service and Envoy, on ports of their own and in a folder of their own.
//!
//! Everything waits for conditions with a deadline, and every process ends with its test, failed or not. When a test fails,
//! the ends of the logs of its processes are printed.

pub mod api_server;
pub mod authority;
pub mod check;
pub mod client_hello;
pub mod door;
pub mod envoy;
pub mod frames;
pub mod grpc;
pub mod grpc_service;
pub mod hostile;
pub mod http;
pub mod identity;
pub mod kubectl;
pub mod kustomize;
pub mod lab;
pub mod mesh;
pub mod metrics;
pub mod oracle;
pub mod pod_security;
pub mod ports;
pub mod process;
pub mod redis;
pub mod schemas;
pub mod sidecar;
pub mod slow_disk;
pub mod status_list;
pub mod stub;
pub mod tinyproxy;
pub mod tls_front;
pub mod token;
pub mod turn;
pub mod upstream;
pub mod wait;
pub mod webhook;
