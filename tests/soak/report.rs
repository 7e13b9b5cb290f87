//! What came of it, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::harness::oracle;
use crate::memory::Memory;

/// How long all but one revocation in a hundred may take.
const PROPAGATION_BOUND: Duration = Duration::from_secs(1);

/// Everything that is told at the end.
pub struct Report {
    pub lasted: Duration,
    pub checks: oracle::Report,
    /// What happened how often.
    pub counts: BTreeMap<String, u64>,
    /// Refreshes by their labels.
    pub fetches: BTreeMap<String, u64>,
    /// From the acknowledgement of a revocation to the first refusal, in microseconds.
    pub propagation: Histogram<u64>,
    /// The same from the end of a fault to the first refusal of what was revoked meanwhile.
    pub after_faults: Histogram<u64>,
    pub memory: Memory,
}

impl Report {
    /// Whether everything was right: every answer, the memory, and the time that revocations take.
    pub fn is_good(&self) -> bool {
        self.problems().is_empty()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.checks.wrong > 0 {
            problems.push(format!("{} wrong answers", self.checks.wrong));
        }
        if !self.memory.flat {
            problems.push("the memory grows".to_string());
        }
        // Of fewer than a hundred, that would be the slowest one.
        if self.propagation.len() >= 100 && at(&self.propagation, 99.0) > PROPAGATION_BOUND {
            problems.push("revocations take too long".to_string());
        }
        problems
    }

    /// Answers of all probes by their reason.
    fn by_reason(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (reason, count) in self.checks.answers.values().flatten() {
            *sums.entry(&**reason).or_default() += count;
        }
        sums
    }

    /// The report for programs. Times are in seconds, memory is in bytes.
    pub fn json(&self) -> Value {
        let seconds = |span: Duration| span.as_secs_f64();
        let wrong: Vec<Value> = self
            .checks
            .described
            .iter()
            .map(|wrong| json!({ "at": seconds(wrong.at), "probe": wrong.probe, "expected": wrong.expected, "got": wrong.got }))
            .collect();
        let spans = |at: &dyn Fn(f64) -> Duration| json!({ "p50": seconds(at(50.0)), "p99": seconds(at(99.0)), "max": seconds(at(100.0)) });
        json!({
            "good": self.is_good(),
            "problems": self.problems(),
            "seconds": seconds(self.lasted),
            "checks": {
                "total": self.checks.checks, "wrong": self.checks.wrong, "lost": self.checks.lost, "asked_twice": self.checks.retried,
                "by_reason": self.by_reason(), "latency": spans(&|percent| self.checks.percentile(percent)), "first_wrong": wrong,
            },
            "events": self.counts,
            "refreshes": self.fetches,
            "revocations_in_force_after": spans(&|percent| at(&self.propagation, percent)),
            "revocations_in_force_after_faults": spans(&|percent| at(&self.after_faults, percent)),
            "memory": {
                "start": self.memory.start, "most": self.memory.most, "end": self.memory.end,
                "growth_per_minute": self.memory.trend, "flat": self.memory.flat,
            },
        })
    }
}

fn at(took: &Histogram<u64>, percent: f64) -> Duration {
    Duration::from_micros(took.value_at_percentile(percent))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: f64| bytes / f64::from(1 << 20);
        writeln!(f, "soak: {:.0} s", self.lasted.as_secs_f64())?;
        writeln!(f, "  {}", self.checks)?;
        writeln!(f, "answers")?;
        for (reason, count) in self.by_reason() {
            writeln!(f, "  {count:>10}  {reason}")?;
        }
        writeln!(f, "what happened")?;
        for (what, count) in &self.counts {
            writeln!(f, "  {count:>10}  {what}")?;
        }
        writeln!(f, "refreshes")?;
        for (labels, count) in &self.fetches {
            writeln!(f, "  {count:>10}  {labels}")?;
        }
        for (what, took) in [("revocations", &self.propagation), ("revocations during faults, from their end,", &self.after_faults)] {
            let [p50, p99, max] = [50.0, 99.0, 100.0].map(|percent| at(took, percent));
            writeln!(f, "{what} in force after p50 {p50:?}, p99 {p99:?}, max {max:?}")?;
        }
        let Memory { start, most, end, trend, .. } = self.memory;
        let [start, most, end] = [start, most, end].map(|bytes| megabytes(bytes as f64));
        write!(f, "memory {start:.1} MB at the start, {most:.1} MB at most, {end:.1} MB at the end; ")?;
        match trend {
            Some(trend) => writeln!(f, "over the second half {:+.2} MB a minute", megabytes(trend))?,
            None => writeln!(f, "too short for a trend")?,
        }
        match &*self.problems() {
            [] => writeln!(f, "good: nothing was wrong"),
            problems => writeln!(f, "BAD: {}", problems.join(", ")),
        }
    }
}
