//! The memory of the sidecar over time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// Growth over the second half that is none, in bytes: what an allocator may keep one time and not the other.
const FLAT: f64 = 6.0 * 1024.0 * 1024.0;
/// The same as a part of what there is.
const FLAT_PART: f64 = 0.05;
/// Runs that are shorter than this are still warming up.
const SHORT: Duration = Duration::from_secs(60);

/// Looks at a process that may be replaced by another.
pub struct Watch {
    process: Arc<AtomicU32>,
    samples: Arc<Mutex<Vec<Sample>>>,
    began: Instant,
    task: AbortHandle,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    bytes: u64,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub start: u64,
    pub most: u64,
    pub end: u64,
    /// The line through the second half, in bytes per minute; none for a short run.
    pub trend: Option<f64>,
    /// Whether memory did not grow over the second half.
    pub flat: bool,
}

impl Watch {
    pub fn start(process: u32) -> Self {
        let (process, samples, began) = (Arc::new(AtomicU32::new(process)), Arc::new(Mutex::new(Vec::new())), Instant::now());
        let task = tokio::spawn({
            let (process, samples) = (Arc::clone(&process), Arc::clone(&samples));
            async move {
                loop {
                    if let Some(bytes) = resident(process.load(Ordering::Relaxed)) {
                        samples.lock().unwrap().push(Sample { at: began.elapsed(), bytes });
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        });
        Self { process, samples, began, task: task.abort_handle() }
    }

    /// Another process from now on.
    pub fn follow(&self, process: u32) {
        self.process.store(process, Ordering::Relaxed);
    }

    /// The last sample.
    pub fn now(&self) -> u64 {
        self.samples.lock().unwrap().last().map_or(0, |sample| sample.bytes)
    }

    pub fn summary(&self) -> Memory {
        let samples = self.samples.lock().unwrap();
        let bytes = || samples.iter().map(|sample| sample.bytes);
        let (start, end) = (bytes().next().unwrap_or_default(), bytes().next_back().unwrap_or_default());
        let half = self.began.elapsed() / 2;
        let second: Vec<Sample> = samples.iter().copied().filter(|sample| sample.at >= half).collect();
        let slope = (half * 2 >= SHORT).then(|| slope(&second));
        let growth = slope.unwrap_or_default() * half.as_secs_f64();
        let flat = growth < FLAT.max(FLAT_PART * end as f64);
        Memory { start, most: bytes().max().unwrap_or_default(), end, trend: slope.map(|slope| slope * 60.0), flat }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `VmRSS` of a process, if it is still there.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// Least squares: bytes per second.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len().max(1) as f64;
    let at = |sample: &Sample| sample.at.as_secs_f64();
    let (mean_at, mean) = (samples.iter().map(at).sum::<f64>() / count, samples.iter().map(|s| s.bytes as f64).sum::<f64>() / count);
    let covariance: f64 = samples.iter().map(|sample| (at(sample) - mean_at) * (sample.bytes as f64 - mean)).sum();
    let variance: f64 = samples.iter().map(|sample| (at(sample) - mean_at).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}
