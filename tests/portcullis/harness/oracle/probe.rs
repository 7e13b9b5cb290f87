//! A request and what is right to answer to it, now and before.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::CheckRequest;
use prost::Message;

use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::frame;

/// What was right longer ago than this matters to no check.
const MEMORY: Duration = Duration::from_secs(60);

/// What an answer says.
#[derive(Clone)]
pub enum Says {
    /// The request passes.
    Passes,
    /// It passes, and the service behind is told this in a header of ours.
    PassesWith(&'static str, String),
    /// It is refused with this status for this reason.
    Refuses(i32, &'static str),
    /// Whatever this approves of.
    Judged(&'static str, Arc<dyn Fn(&Verdict) -> bool + Send + Sync>),
}

impl Says {
    /// Whether the verdict says that.
    pub fn is(&self, verdict: &Verdict) -> bool {
        match self {
            Self::Passes => verdict.passes,
            Self::PassesWith(name, value) => verdict.passes && verdict.header(name) == Some(value),
            Self::Refuses(status, reason) => !verdict.passes && verdict.status == Some(*status) && verdict.reason == *reason,
            Self::Judged(_, judge) => judge(verdict),
        }
    }
}

impl fmt::Debug for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => write!(f, "a pass"),
            Self::PassesWith(name, value) => write!(f, "a pass with {name}: {value}"),
            Self::Refuses(status, reason) => write!(f, "{status} {reason}"),
            Self::Judged(name, _) => write!(f, "{name}"),
        }
    }
}

/// What is right from a moment on.
struct Phase {
    since: Instant,
    right: Vec<Says>,
}

/// A change that was announced and not seen yet, or the time until it was.
enum Change {
    None,
    Announced { at: Instant, to: Says },
    Seen(Duration),
}

struct Expected {
    /// In their order; the last ones may lie in the future.
    phases: Vec<Phase>,
    change: Change,
}

/// A request that is sent again and again.
pub struct Probe {
    name: String,
    body: Bytes,
    expected: Mutex<Expected>,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Probe {
    /// A request (in the form with `header_map`) and its answer. The name tells it from the others.
    pub fn new(name: impl Into<String>, ask: &Ask<'_>, right: Says) -> Self {
        Self::raw(name, &ask.raw(), right)
    }

    /// The same with any request.
    pub fn raw(name: impl Into<String>, request: &CheckRequest, right: Says) -> Self {
        let phases = vec![Phase { since: Instant::now(), right: vec![right] }];
        Self {
            name: name.into(),
            body: frame(0, &request.encode_to_vec()),
            expected: Mutex::new(Expected { phases, change: Change::None }),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    /// The same with an answer that is going to change within the bound.
    pub fn turning(self, to: Says, within: Duration) -> Self {
        self.change(to, within);
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }

    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    pub(super) fn answered(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn change(&self, to: Says, within: Duration) {
        let mut expected = self.expected.lock().unwrap();
        let now = Instant::now();
        expected.forget(now);
        let mut either = expected.phases.last().expect("a phase").right.clone();
        either.push(to.clone());
        expected.phases.push(Phase { since: now, right: either });
        expected.phases.push(Phase { since: now + within, right: vec![to.clone()] });
        expected.change = Change::Announced { at: now, to };
    }

    pub(super) fn any_of(&self, right: Vec<Says>) {
        let mut expected = self.expected.lock().unwrap();
        let now = Instant::now();
        expected.forget(now);
        expected.phases.push(Phase { since: now, right });
        expected.change = Change::None;
    }

    pub(super) fn changed_after(&self) -> Option<Duration> {
        match self.expected.lock().unwrap().change {
            Change::Seen(after) => Some(after),
            Change::Announced { .. } | Change::None => None,
        }
    }

    /// Whether an answer was right at any moment while the check was on its way; if not, what would have been.
    pub(super) fn judge(&self, verdict: &Verdict, begun: Instant, ended: Instant) -> Result<(), String> {
        let mut expected = self.expected.lock().unwrap();
        let Expected { phases, change } = &mut *expected;
        if let Change::Announced { at, to } = change
            && to.is(verdict)
            && ended >= *at
        {
            // Once the new answer was given the old one must not come back.
            let only = Phase { since: ended, right: vec![to.clone()] };
            phases.retain(|phase| phase.since < ended);
            phases.push(only);
            *change = Change::Seen(ended - *at);
        }
        let ends = phases.iter().skip(1).map(|phase| Some(phase.since)).chain([None]);
        let current = phases.iter().zip(ends).filter(|(phase, end)| phase.since <= ended && end.is_none_or(|end| end > begun));
        if current.clone().any(|(phase, _)| phase.right.iter().any(|says| says.is(verdict))) {
            return Ok(());
        }
        Err(format!("{:?}", current.last().map(|(phase, _)| &phase.right)))
    }
}

impl Expected {
    /// Nobody is on the way any more who could be judged by phases that ended long ago, and what was going to be right later is
    /// overtaken by what is said now.
    fn forget(&mut self, now: Instant) {
        self.phases.retain(|phase| phase.since <= now);
        while self.phases.get(1).is_some_and(|next| now - next.since > MEMORY) {
            self.phases.remove(0);
        }
    }
}
