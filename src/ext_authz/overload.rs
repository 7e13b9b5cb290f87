//! Refusals of what is too much. They must cost next to nothing, so the answer lies ready and the log says how many there were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::{AuthorizationServer, check_response, message};
use crate::pdp::decision::{Decision, Reason};

/// What was refused or given up without a line of its own in the log.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The answer to what is too much.
    answer: ArcSwapOption<Ready>,
    refused: AtomicU64,
    abandoned: AtomicU64,
}

/// An encoded answer. All who get it share its id, under which the log says how many they were.
#[derive(Debug)]
struct Ready {
    id: String,
    revision: Arc<str>,
    frame: Bytes,
}

impl AuthorizationServer {
    /// Refuses a check that there is no time or place for. Gives the answer in its frame.
    pub(super) fn shed(&self) -> Bytes {
        let inner = &*self.inner;
        inner.tally.refused.fetch_add(1, Ordering::Relaxed);
        let version = inner.live.version();
        let decision = Decision::bare(Reason::Overloaded);
        inner.metrics.decided(&decision, &version.extra, Duration::ZERO);
        if let Some(ready) = &*inner.tally.answer.load()
            && Arc::ptr_eq(&ready.revision, &version.snapshot.revision)
        {
            return ready.frame.clone();
        }
        let id = inner.ids.next();
        let frame = message::framed(&check_response::encode(&id, &decision, None, &version, None));
        let revision = Arc::clone(&version.snapshot.revision);
        inner.tally.answer.store(Some(Arc::new(Ready { id, revision, frame: frame.clone() })));
        frame
    }

    /// Counts a call whose client went away before its message was there. Nothing of it is known.
    pub(super) fn abandoned(&self) {
        self.inner.tally.abandoned.fetch_add(1, Ordering::Relaxed);
        let version = self.inner.live.version();
        self.inner.metrics.decided(&Decision::bare(Reason::Cancelled), &version.extra, Duration::ZERO);
    }

    /// The same for a call that broke off, whose answer nobody waits for. Gives one in its frame.
    pub(super) fn broken(&self) -> Bytes {
        self.abandoned();
        let version = self.inner.live.version();
        let decision = Decision::bare(Reason::Cancelled);
        message::framed(&check_response::encode(&self.inner.ids.next(), &decision, None, &version, None))
    }

    /// Logs how many calls were refused for want of time or place, and how many were given up, since it was last asked to.
    pub fn report(&self) {
        let tally = &self.inner.tally;
        let refused = tally.refused.swap(0, Ordering::Relaxed);
        if refused > 0 {
            let ready = tally.answer.swap(None);
            let id = ready.as_ref().map_or("-", |ready| &*ready.id);
            let reason = Reason::Overloaded.code();
            tracing::warn!(refused, id, reason, limit = self.inner.bounds.checks, "more checks than there is time or place for");
        }
        let abandoned = tally.abandoned.swap(0, Ordering::Relaxed);
        if abandoned > 0 {
            tracing::info!(abandoned, reason = Reason::Cancelled.code(), "calls were given up before their message was there");
        }
    }
}
