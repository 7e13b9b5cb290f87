//! What several tests need: keys, tokens of any shape, and a time that stands still.

pub mod keys;
pub mod template;
pub mod token;

use portcullis::pdp::time::UnixTime;

/// The time at which tests take place unless they say otherwise, in seconds since the epoch: 2027-01-15T08:00:00Z.
pub const NOW_SECONDS: i64 = 1_800_000_000;

/// The same as the PDP takes it.
pub const NOW: UnixTime = UnixTime::from_seconds(NOW_SECONDS);
