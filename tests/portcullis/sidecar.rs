//! The sidecar alone, over gRPC and its admin listener, with a stub of an identity service.

mod admin;
mod answers;
mod assertion;
mod audit;
mod clock;
mod directory;
mod discovery;
mod drain;
mod floods;
mod forms;
mod garbage;
mod health;
mod keys;
mod limits;
mod listeners;
pub mod loading;
mod metrics;
mod proxy;
mod redis;
pub mod reload;
mod revocation_file;
mod stale;
mod status_list;
mod swaps;
mod takeover;
mod tls;
mod warm_start;

/// A path that viewers may read and editors may write.
pub const POST: &str = "/blog/tenants/acme/posts/1";
