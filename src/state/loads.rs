//! What came of loading the configuration: whether what decides is also what is on the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pdp::time::UnixTime;

/// How many problems are kept, and how much of each.
const MAX_PROBLEMS: usize = 20;
const MAX_PROBLEM_CHARS: usize = 500;

/// The last attempt to load the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLoad {
    /// When it was made.
    pub at: UnixTime,
    /// What was wrong, the first few problems; nothing if it succeeded.
    pub problems: Vec<String>,
    /// How many problems there were.
    pub total: usize,
}

impl LastLoad {
    /// Whether it succeeded.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.total == 0
    }
}

/// The record of loading.
#[derive(Debug, Default)]
pub struct Loads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: Option<LastLoad>,
    failing_since: Option<Instant>,
    max_stale: Option<Duration>,
}

impl Loads {
    /// What is on the disk is in force. From now on, if it cannot be loaded any more, the sidecar is ready for `max_stale`; `None`: for
    /// ever.
    pub fn succeeded(&self, at: UnixTime, max_stale: Option<Duration>) {
        let last = LastLoad { at, problems: Vec::new(), total: 0 };
        *self.inner() = Inner { last: Some(last), failing_since: None, max_stale };
    }

    /// What is on the disk cannot be loaded, for these reasons.
    pub fn failed(&self, at: UnixTime, problems: impl IntoIterator<Item = String>) {
        let mut kept = Vec::new();
        let mut total = 0;
        for problem in problems {
            total += 1;
            if kept.len() < MAX_PROBLEMS {
                kept.push(problem.chars().take(MAX_PROBLEM_CHARS).collect());
            }
        }
        let mut inner = self.inner();
        // A failure without a reason is one as well.
        inner.last = Some(LastLoad { at, problems: kept, total: total.max(1) });
        inner.failing_since.get_or_insert_with(Instant::now);
    }

    /// The last attempt.
    #[must_use]
    pub fn last(&self) -> Option<LastLoad> {
        self.inner().last.clone()
    }

    /// For how long loading has been failing; zero if it is not.
    #[must_use]
    pub fn failing_for(&self) -> Duration {
        self.inner().failing_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether it has been failing for longer than the configuration in force allows.
    #[must_use]
    pub fn are_too_old(&self) -> bool {
        let inner = self.inner();
        matches!((inner.failing_since, inner.max_stale), (Some(since), Some(max_stale)) if since.elapsed() > max_stale)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    #[test]
    fn failing_counts_from_the_first_failure_until_the_next_success() {
        let loads = Loads::default();
        loads.succeeded(NOW, Some(Duration::ZERO));
        assert!(loads.last().unwrap().is_ok() && !loads.are_too_old() && loads.failing_for().is_zero());
        loads.failed(NOW, ["a".to_string()]);
        std::thread::sleep(Duration::from_millis(2));
        let first = loads.failing_for();
        loads.failed(NOW, ["b".to_string()]);
        assert!(loads.failing_for() >= first && loads.are_too_old());
        assert_eq!(loads.last(), Some(LastLoad { at: NOW, problems: vec!["b".into()], total: 1 }));
        loads.succeeded(NOW, None);
        assert!(loads.failing_for().is_zero());
        loads.failed(NOW, []);
        assert!(!loads.last().unwrap().is_ok() && !loads.are_too_old(), "without a bound it is never too old");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let loads = Loads::default();
        loads.failed(NOW, (0..1000).map(|_| "é".repeat(10_000)));
        let last = loads.last().unwrap();
        assert_eq!((last.total, last.problems.len(), last.problems[0].chars().count()), (1000, MAX_PROBLEMS, MAX_PROBLEM_CHARS));
    }
}
