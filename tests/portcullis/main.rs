//! What Portcullis promises, tested from outside. One crate: the dependencies are large, and linking them takes longer than
//! most of the tests do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "whatever goes wrong here should fail the test, loudly"
)]

mod architecture;
mod cli;
mod decisions;
mod demo;
mod documents;
mod envoy;
mod examples;
mod faults;
mod harness;
mod kubernetes;
mod proxies;
mod sidecar;
mod support;
mod tokens;
