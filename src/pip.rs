//! Policy information points: what the sidecar pulls in the background, so that no request ever waits for it.

pub mod config_file;
pub mod http_client;
