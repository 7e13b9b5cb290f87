//! The only place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::pdp::time::UnixTime;

/// The time now. A clock before 1970 reads as 1970, where every token is not yet valid.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
