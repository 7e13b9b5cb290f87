//! When something was confirmed, in a form that means something to the next process.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;

/// How far in the future a confirmation may seem to lie: clocks are set by a little all the time.
const SKEW_MILLIS: i64 = 2_000;

/// A moment on the wall clock and, where the system tells it, on the clock that counts from the machine's start. Neither is
/// enough alone: the wall clock can be set back, and the other one starts over with the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moment {
    /// Milliseconds since 1970.
    wall: i64,
    boot: Option<SinceBoot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SinceBoot {
    /// Names one run of the machine.
    id: String,
    /// Milliseconds since its start, time asleep included.
    millis: u64,
}

/// The moment lies in the future, so one of the clocks was set and nobody knows how old anything is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InTheFuture;

/// The run of the machine that this process belongs to. It stays the same as long as the process.
static BOOT_ID: LazyLock<Option<String>> = LazyLock::new(|| {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string()).filter(|id| !id.is_empty() && id.len() <= 64)
});

impl Moment {
    pub(super) fn now() -> Self {
        Self::ago(Duration::ZERO)
    }

    /// What the clocks showed so long ago.
    pub(super) fn ago(span: Duration) -> Self {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let boot = BOOT_ID.clone().zip(uptime_millis()).map(|(id, millis)| SinceBoot { id, millis: millis.saturating_sub(span) });
        Self { wall: clock::now().as_millis().saturating_sub_unsigned(span), boot }
    }

    /// How old it is: the greater of what both clocks say. The second one only has a say within one run of the machine, and only
    /// if it did not go back (there are containers that are shown the time since their own start).
    pub(super) fn age(&self, now: &Self) -> Result<Duration, InTheFuture> {
        let by_wall = now.wall.saturating_sub(self.wall);
        if by_wall < -SKEW_MILLIS {
            return Err(InTheFuture);
        }
        let by_boot = match (&self.boot, &now.boot) {
            (Some(then), Some(now)) if then.id == now.id => now.millis.saturating_sub(then.millis),
            _ => 0,
        };
        Ok(Duration::from_millis(by_boot.max(by_wall.max(0).unsigned_abs())))
    }
}

/// The first number of `/proc/uptime`: seconds with two decimals.
fn uptime_millis() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = text.split_ascii_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = hundredths.parse().ok().filter(|_| hundredths.len() == 2)?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(hundredths * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall_seconds: i64, boot: Option<(&str, u64)>) -> Moment {
        let boot = boot.map(|(id, seconds)| SinceBoot { id: id.into(), millis: seconds * 1000 });
        Moment { wall: wall_seconds * 1000, boot }
    }

    #[test]
    fn the_age_is_the_greater_one_of_what_both_clocks_say() {
        let then = moment(1000, Some(("a", 50)));
        let age = |now: Moment| then.age(&now).map(|age| age.as_secs());
        assert_eq!(age(moment(1060, Some(("a", 110)))), Ok(60));
        // The wall clock was set back by half a minute, and forward by an hour.
        assert_eq!(age(moment(1030, Some(("a", 110)))), Ok(60));
        assert_eq!(age(moment(4660, Some(("a", 110)))), Ok(3660));
        // Another run of the machine, a system that does not tell, and a container that counts from its own start.
        assert_eq!(age(moment(1060, Some(("b", 7)))), Ok(60));
        assert_eq!(age(moment(1060, None)), Ok(60));
        assert_eq!(age(moment(1060, Some(("a", 3)))), Ok(60));
        assert_eq!(age(moment(i64::MAX / 1000, None)).map(|age| age > 0), Ok(true));
    }

    #[test]
    fn what_lies_in_the_future_has_no_age() {
        let then = moment(1000, Some(("a", 50)));
        assert_eq!(then.age(&moment(999, Some(("a", 50)))), Ok(Duration::ZERO));
        assert_eq!(then.age(&moment(990, Some(("a", 110)))), Err(InTheFuture));
        assert_eq!(then.age(&moment(0, None)), Err(InTheFuture));
        assert_eq!(moment(i64::MAX / 1000, None).age(&moment(-1, None)), Err(InTheFuture));
    }

    #[test]
    fn this_machine_tells_both() {
        let (then, now) = (Moment::now(), Moment::now());
        assert!(then.boot.is_some(), "{then:?}");
        assert!(then.age(&now).unwrap() < Duration::from_secs(10));
        assert!(Moment::ago(Duration::from_secs(60)).age(&now).unwrap() >= Duration::from_secs(59));
        assert!(Moment::ago(Duration::MAX).age(&now).unwrap() > Duration::from_secs(1 << 30));
    }
}
