//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// How long anything may take that has no bound of its own: long, because the machine may be busy, and over at once when the
/// condition holds.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Asks until there is an answer, and gives it. Fails the test when there is none in time.
pub async fn until<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain for {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Asks until it is so.
pub async fn until_true(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> bool) {
    until(what, within, async || probe().await.then_some(())).await;
}
