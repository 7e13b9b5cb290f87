//! What was kept steps in for a source that does not answer at once.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

/// How long a source gets to say how things are now, before what was kept is used. It bounds how long a start takes that could be
/// warm, and keeps what is older than a restart from being used when there is something newer to be had.
const PATIENCE: Duration = Duration::from_millis(250);

/// Publishes what was kept, once, if the source's first answer fails or takes too long.
#[derive(Default)]
pub struct Standby {
    publish: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Standby {
    pub(super) fn new(publish: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { publish: Some(Box::new(publish)) }
    }

    /// Waits for what a source says. After its first answer there is nothing to step in for any more.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn during<T, E>(&mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if self.publish.is_none() {
            return work.await;
        }
        let mut work = pin!(work);
        let outcome = match timeout(PATIENCE, &mut work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.step_in();
                work.await
            }
        };
        if outcome.is_err() {
            self.step_in();
        }
        self.publish = None;
        outcome
    }

    fn step_in(&mut self) {
        if let Some(publish) = self.publish.take() {
            publish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    fn standby() -> (Standby, Arc<AtomicU32>) {
        let published = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&published);
        let standby = Standby::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (standby, published)
    }

    #[tokio::test]
    async fn a_source_that_answers_at_once_needs_nobody_to_step_in() {
        let (mut standby, published) = standby();
        assert_eq!(standby.during(async { Ok::<_, ()>(1) }).await, Ok(1));
        // Later failures find what it said.
        assert_eq!(standby.during(async { Err::<(), _>(2) }).await, Err(2));
        assert_eq!(published.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_source_that_fails_is_stood_in_for_once() {
        let (mut standby, published) = standby();
        assert_eq!(standby.during(async { Err::<(), _>(1) }).await, Err(1));
        assert_eq!(standby.during(async { Err::<(), _>(2) }).await, Err(2));
        assert_eq!(published.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_source_that_takes_long_is_stood_in_for_and_still_waited_for() {
        let (mut standby, published) = standby();
        let slow = async {
            sleep(PATIENCE * 2).await;
            Ok::<_, ()>(published.load(Ordering::SeqCst))
        };
        assert_eq!(standby.during(slow).await, Ok(1));
        assert_eq!(published.load(Ordering::SeqCst), 1);
    }
}
