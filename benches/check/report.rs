//! The table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::load::Run;

/// One run in numbers.
#[derive(Debug, Clone, Copy)]
struct Row {
    checks_per_second: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

/// All runs: per concurrency, for each of the two servers, one per round.
pub struct Report {
    names: [&'static str; 2],
    rows: BTreeMap<usize, [Vec<Row>; 2]>,
}

impl Report {
    /// An empty one. The first server is the reference.
    pub fn new(names: [&'static str; 2]) -> Self {
        Self { names, rows: BTreeMap::new() }
    }

    /// Adds the next round's run of a server.
    pub fn add(&mut self, server: usize, concurrency: usize, mut run: Run, cpu: Duration) {
        run.latencies.sort_unstable();
        let count = run.latencies.len();
        assert!(count > 0, "the time was too short for a single check");
        let quantile = |q: f64| micros(run.latencies[((count - 1) as f64 * q) as usize]);
        let row = Row {
            checks_per_second: count as f64 / run.took.as_secs_f64(),
            p50: quantile(0.50),
            p99: quantile(0.99),
            cpu: micros(cpu) / count as f64,
        };
        self.rows.entry(concurrency).or_default()[server].push(row);
    }
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "median of the rounds; CPU: user and system time of the server process, µs per check")?;
        writeln!(
            f,
            "{:<12} {:>11} {:>10} {:>9} {:>9} {:>9} {:>9}",
            "server", "concurrency", "checks/s", "p50 µs", "p99 µs", "CPU µs", "least CPU"
        )?;
        for (concurrency, servers) in &self.rows {
            for (name, rows) in self.names.iter().zip(servers) {
                let middle = |part: fn(&Row) -> f64| median(rows.iter().map(part));
                let least = sorted(rows.iter().map(|row| row.cpu))[0];
                writeln!(
                    f,
                    "{name:<12} {concurrency:>11} {:>10.0} {:>9.1} {:>9.1} {:>9.1} {least:>9.1}",
                    middle(|row| row.checks_per_second),
                    middle(|row| row.p50),
                    middle(|row| row.p99),
                    middle(|row| row.cpu),
                )?;
            }
        }
        writeln!(f)?;
        for (concurrency, [reference, other]) in &self.rows {
            let ratios = sorted(reference.iter().zip(other).map(|(reference, other)| other.cpu / reference.cpu));
            writeln!(
                f,
                "{} / {}, CPU per check, concurrency {concurrency}: {:.2} (rounds {:.2} to {:.2})",
                self.names[1],
                self.names[0],
                median(ratios.iter().copied()),
                ratios[0],
                ratios[ratios.len() - 1],
            )?;
        }
        Ok(())
    }
}
