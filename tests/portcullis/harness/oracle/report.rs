//! What the load came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::probe::Probe;
use crate::harness::check::Verdict;

/// How many of the wrong answers are described.
const DESCRIBED: usize = 8;

/// An answer that was wrong, or none.
#[derive(Debug, Clone)]
pub struct Wrong {
    pub probe: String,
    pub expected: String,
    pub got: String,
    /// When it was asked, from the begin of the load.
    pub at: Duration,
}

/// Counts, the first wrong answers, and how long answers took.
#[derive(Debug, Clone)]
pub struct Report {
    /// Checks, whatever came of them.
    pub checks: u64,
    /// Wrong answers, and checks without one.
    pub wrong: u64,
    /// Checks without an answer, which are wrong ones.
    pub lost: u64,
    /// Checks without an answer while the test expected that.
    pub expected_losses: u64,
    /// Checks that were asked twice because the other side refused to begin them.
    pub retried: u64,
    /// The first wrong ones.
    pub described: Vec<Wrong>,
    /// How often each probe was answered how: by its name, and then `allowed` or another reason.
    pub answers: BTreeMap<String, BTreeMap<String, u64>>,
    /// From question to answer, in microseconds.
    pub latency: Histogram<u64>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            checks: 0,
            wrong: 0,
            lost: 0,
            expected_losses: 0,
            retried: 0,
            described: Vec::new(),
            answers: BTreeMap::new(),
            latency: Histogram::new_with_max(60_000_000, 3).expect("a histogram"),
        }
    }

    pub(super) fn answered(&mut self, probe: &Probe, verdict: &Verdict, took: Duration, retried: bool) {
        self.checks += 1;
        self.retried += u64::from(retried);
        self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if !self.answers.contains_key(probe.name()) {
            self.answers.insert(probe.name().into(), BTreeMap::new());
        }
        let reasons = self.answers.get_mut(probe.name()).expect("just inserted");
        match reasons.get_mut(&verdict.reason) {
            Some(count) => *count += 1,
            None => drop(reasons.insert(verdict.reason.clone(), 1)),
        }
    }

    pub(super) fn wrong(&mut self, wrong: Wrong) {
        self.wrong += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(wrong);
        }
    }

    pub(super) fn lost(&mut self) {
        self.checks += 1;
        self.lost += 1;
    }

    pub(super) fn expected_loss(&mut self, _error: &str) {
        self.checks += 1;
        self.expected_losses += 1;
    }

    /// How often a probe was answered for this reason.
    pub fn count(&self, probe: &str, reason: &str) -> u64 {
        self.answers.get(probe).and_then(|reasons| reasons.get(reason)).copied().unwrap_or_default()
    }

    /// How long answers took, at most, so many percent of the time.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_percentile(percent))
    }

    /// Fails the test if anything was answered wrongly or not at all, or nothing was asked.
    pub fn assert_none_wrong(&self) {
        assert!(self.wrong == 0, "{self}");
        assert!(self.checks > 0, "there was no load");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [50.0, 99.0, 100.0].map(|percent| self.percentile(percent));
        write!(f, "{} checks, {} wrong, {} of them without an answer; ", self.checks, self.wrong, self.lost)?;
        write!(f, "{} lost as expected, {} asked twice; p50 {p50:?}, p99 {p99:?}, max {max:?}", self.expected_losses, self.retried)?;
        for wrong in &self.described {
            write!(f, "\n  {:?} {}: expected {}, got {}", wrong.at, wrong.probe, wrong.expected, wrong.got)?;
        }
        Ok(())
    }
}
