//! The only place that reads the wall clock.
//!
//! Time never goes back by more than a second within a process, whatever the wall clock does: a token that has expired stays
//! expired, and a revocation that was forgotten because no token could carry it any more is not missed. When the wall clock jumps
//! back, time goes on from the latest moment that was seen, by the monotonic clock, until the wall clock has caught up. A jump
//! forward is believed: tokens expire early, which refuses and never admits.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::pdp::time::UnixTime;

#[cfg(test)]
mod tests;

/// How far time may go back, in milliseconds: small corrections of the wall clock are nothing to speak of.
const TOLERATED_MILLIS: i64 = 1000;

static CLOCK: Clock = Clock::new();

/// The time now. A clock before 1970 reads as 1970, where every token is not yet valid.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::from_millis(look().millis)
}

/// How far the wall clock is behind the time that is told; zero while it is followed.
#[must_use]
pub fn behind() -> Duration {
    look().behind
}

fn look() -> Reading {
    let reading = CLOCK.read(wall_millis, Instant::now);
    let seconds = reading.behind.as_secs_f64();
    match reading.news {
        None => {}
        Some(News::FellBehind) => tracing::error!(
            seconds,
            "the wall clock jumped back; time goes on from where it was, so that no token is valid again. If the wall clock is right \
             now, restart the sidecar"
        ),
        Some(News::CaughtUp) => tracing::error!("the wall clock has caught up and is followed again"),
    }
    reading
}

#[expect(clippy::disallowed_methods, reason = "this is the place")]
fn wall_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// A wall clock that does not go back.
struct Clock {
    /// The latest time that was told, in milliseconds since the epoch.
    mark: AtomicI64,
    /// Whether the wall clock is behind. It only says whether there is an anchor to look after.
    is_behind: AtomicBool,
    /// While the wall clock is behind: a time that was told, and when that was.
    anchor: Mutex<Option<(i64, Instant)>>,
}

/// What a look at the clock gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    millis: i64,
    behind: Duration,
    /// What this look was the first to see.
    news: Option<News>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    FellBehind,
    CaughtUp,
}

impl Clock {
    const fn new() -> Self {
        Self { mark: AtomicI64::new(0), is_behind: AtomicBool::new(false), anchor: Mutex::new(None) }
    }

    fn read(&self, wall: impl Fn() -> i64, monotonic: impl Fn() -> Instant) -> Reading {
        // The mark comes first: a thread that is held up between these two lines must not take the others' progress for a jump.
        let mark = self.mark.load(Ordering::Relaxed);
        let millis = wall();
        if millis >= mark.saturating_sub(TOLERATED_MILLIS) && !self.is_behind.load(Ordering::Relaxed) {
            if millis > mark {
                self.mark.fetch_max(millis, Ordering::Relaxed);
            }
            return Reading { millis, behind: Duration::ZERO, news: None };
        }
        self.read_anchored(wall, monotonic)
    }

    /// The slow way, one thread at a time.
    fn read_anchored(&self, wall: impl Fn() -> i64, monotonic: impl Fn() -> Instant) -> Reading {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = self.mark.load(Ordering::Relaxed);
        let goes_on = anchor.map_or(mark, |(told, when)| {
            let elapsed = i64::try_from(monotonic().saturating_duration_since(when).as_millis()).unwrap_or(i64::MAX);
            told.saturating_add(elapsed).max(mark)
        });
        let wall = wall();
        if wall >= goes_on.saturating_sub(TOLERATED_MILLIS) {
            self.mark.fetch_max(wall, Ordering::Relaxed);
            let news = anchor.take().map(|_| News::CaughtUp);
            self.is_behind.store(false, Ordering::Relaxed);
            return Reading { millis: wall, behind: Duration::ZERO, news };
        }
        let news = anchor.is_none().then_some(News::FellBehind);
        if anchor.is_none() {
            *anchor = Some((goes_on, monotonic()));
            self.is_behind.store(true, Ordering::Relaxed);
        }
        self.mark.fetch_max(goes_on, Ordering::Relaxed);
        let behind = Duration::from_millis(u64::try_from(goes_on.saturating_sub(wall)).unwrap_or(0));
        Reading { millis: goes_on, behind, news }
    }
}
