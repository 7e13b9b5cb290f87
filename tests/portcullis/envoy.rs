//! Through the real Envoy: what a client gets, and what reaches the service behind.

mod answers;
mod bodies;
mod conditions;
mod headers;
mod hot_swap;
pub mod mesh_identity;
mod outages;
mod revocation;
mod rotation;
mod shipped;

/// A path that viewers may read and editors may write.
const POST: &str = "/blog/tenants/acme/posts/1";
