//! The only reading of the wall clock in this service, so that tests can set the time.

use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Seconds since 1970-01-01T00:00:00Z, the unit of every time in tokens, answers and the database
/// (`NumericDate`, RFC 7519 section 2, without fractions).
pub type UnixTime = i64;

/// Where the present time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's wall clock.
    System,
    /// A time that a test sets.
    #[cfg(test)]
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The present time. A system clock before 1970 reads as 0.
    #[expect(clippy::disallowed_methods, reason = "this is where this service reads the clock")]
    pub fn now(&self) -> UnixTime {
        match self {
            Self::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| UnixTime::try_from(since.as_secs()).ok()).unwrap_or(0)
            }
            #[cfg(test)]
            Self::Manual(now) => now.load(Ordering::SeqCst),
        }
    }
}
