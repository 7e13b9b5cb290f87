//! The sidecar alone, over gRPC and its admin listener, with a stub of an identity service.

mod admin;
mod answers;
mod assertion;
mod audit;
mod directory;
mod drain;
mod forms;
mod garbage;
mod health;
mod keys;
mod listeners;
mod metrics;
mod reload;
mod stale;
mod warm_start;

/// A path that viewers may read and editors may write.
pub const POST: &str = "/blog/tenants/acme/posts/1";
