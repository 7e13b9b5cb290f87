//! How long a session may last: `session: { max_age, warn_before }`.

use std::time::Duration;

use crate::pdp::time::UnixTime;

/// The longest session, counted from `auth_time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRule {
    /// How long it lasts.
    pub max_age: Duration,
    /// How long before its end each answer says so; zero: never.
    pub warn_before: Duration,
}

/// A session that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ongoing {
    /// What is left of it, if it is time to say so.
    pub ends_in: Option<Duration>,
}

impl SessionRule {
    /// Looks at the age of a session that began when its subject authenticated; `None` if it is over, or if it is not known when
    /// that was.
    #[must_use]
    pub fn check(&self, began: Option<UnixTime>, now: UnixTime) -> Option<Ongoing> {
        let left = self.max_age.checked_sub(now.since(began?)).filter(|left| !left.is_zero())?;
        Some(Ongoing { ends_in: (left <= self.warn_before).then_some(left) })
    }
}
