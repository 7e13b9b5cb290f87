//! Policy information points: what the sidecar pulls in the background, so that no request ever waits for it.

pub mod config_file;
pub mod http_client;
pub mod jwks;
pub mod refresh;
pub mod revocation;
