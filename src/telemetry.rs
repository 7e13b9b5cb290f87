//! What the sidecar tells about itself: metrics and logs.

pub mod log;
pub mod metrics;
