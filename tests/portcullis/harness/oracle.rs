//! A steady load of checks from somebody who knows the right answers.
//!
//! Tests of faults run beside it: whatever is broken meanwhile, every check has to be answered, and rightly. When an answer is
//! going to change, the test announces it ([`Oracle::change`]); until then only the old one is right, within the bound
//! either, and from the first new answer on, or after the bound, only the new one.

mod probe;
mod report;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use self::probe::{Probe, Says};
pub use self::report::{Report, Wrong};
use super::check::Verdict;
use super::grpc::{CHECK, Client, RawAnswer};
use super::wait::{self, PATIENCE};

/// No answer after this is none. Envoy has given up long before.
const NO_ANSWER: Duration = Duration::from_secs(10);
/// After a connection that was refused.
const PAUSE: Duration = Duration::from_millis(5);

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    /// How many checks one connection has open at once.
    pub streams: usize,
    /// Checks per second, over all connections; none: each is followed by the next.
    pub rate: Option<u32>,
}

impl Default for Load {
    /// Enough to notice anything, and little enough for other tests to go on beside it.
    fn default() -> Self {
        Self { connections: 2, streams: 2, rate: Some(400) }
    }
}

/// The running load.
pub struct Oracle {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    socket: PathBuf,
    probes: Mutex<Arc<Vec<Arc<Probe>>>>,
    next: AtomicUsize,
    stop: AtomicBool,
    /// Checks that are not answered at all are expected now.
    outage: AtomicBool,
    began: Instant,
    report: Mutex<Report>,
    answered: AtomicU64,
}

/// One connection, and another one in its place when it is gone.
struct Line {
    shared: Arc<Shared>,
    client: AsyncMutex<(u64, Option<Client>)>,
}

impl Oracle {
    /// Begins the usual load on a socket, and waits for an answer to each of the probes.
    pub async fn start(socket: &Path, probes: impl IntoIterator<Item = Probe>) -> Self {
        Self::with(Load::default(), socket, probes).await
    }

    /// The same with another load.
    pub async fn with(load: Load, socket: &Path, probes: impl IntoIterator<Item = Probe>) -> Self {
        let shared = Arc::new(Shared {
            socket: socket.into(),
            probes: Mutex::new(Arc::new(probes.into_iter().map(Arc::new).collect())),
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            outage: AtomicBool::new(false),
            began: Instant::now(),
            report: Mutex::new(Report::new()),
            answered: AtomicU64::new(0),
        });
        let workers = u32::try_from(load.connections * load.streams).expect("a small number");
        let interval = load.rate.map(|rate| Duration::from_secs(1) * workers / rate);
        let mut tasks = Vec::new();
        for _ in 0..load.connections {
            let line = Arc::new(Line { shared: Arc::clone(&shared), client: AsyncMutex::new((0, None)) });
            for _ in 0..load.streams {
                tasks.push(tokio::spawn(ask_on(Arc::clone(&line), interval)));
            }
        }
        let oracle = Self { shared, tasks };
        oracle.rounds(1).await;
        oracle
    }

    /// Asks this as well from now on.
    pub fn add(&self, probe: Probe) {
        let mut probes = self.shared.probes.lock().unwrap();
        assert!(probes.iter().all(|other| other.name() != probe.name()), "there is a probe {} already", probe.name());
        *probes = Arc::new(probes.iter().cloned().chain([Arc::new(probe)]).collect());
    }

    /// Does not ask this any more.
    pub fn retire(&self, name: &str) {
        let gone = self.probe(name);
        let mut probes = self.shared.probes.lock().unwrap();
        *probes = Arc::new(probes.iter().filter(|probe| !Arc::ptr_eq(probe, &gone)).cloned().collect());
    }

    /// The answer to a probe is going to change, within the bound. Call this before what changes it.
    pub fn change(&self, name: &str, to: Says, within: Duration) {
        self.probe(name).change(to, within);
    }

    /// The same for several ones.
    pub fn change_all(&self, names: &[&str], to: &Says, within: Duration) {
        for name in names {
            self.change(name, to.clone(), within);
        }
    }

    /// Waits for the first answer of the new kind; gives the time that it took from its announcement.
    pub async fn changed(&self, name: &str) -> Duration {
        let probe = self.probe(name);
        wait::until(&format!("the new answer to {name}"), PATIENCE, async || probe.changed_after()).await
    }

    /// How long an announced change took; nothing if it has not been seen yet.
    pub fn has_changed(&self, name: &str) -> Option<Duration> {
        self.probe(name).changed_after()
    }

    /// From now on each of these answers is right, whatever came before.
    pub fn any_of(&self, name: &str, right: impl IntoIterator<Item = Says>) {
        self.probe(name).any_of(right.into_iter().collect());
    }

    /// Whether checks that get no answer are counted among the wrong ones. They are, unless a test kills what answers.
    pub fn outage(&self, expected: bool) {
        self.shared.outage.store(expected, Ordering::SeqCst);
    }

    /// Waits until every probe was begun and answered so many times more.
    pub async fn rounds(&self, rounds: u64) {
        let probes = Arc::clone(&self.shared.probes.lock().unwrap());
        // One check of each worker may have begun before now.
        let wanted: Vec<(Arc<Probe>, u64)> = probes.iter().map(|probe| (Arc::clone(probe), probe.begun() + rounds)).collect();
        wait::until_true("answers", PATIENCE, async || wanted.iter().all(|(probe, wanted)| probe.answered() >= *wanted)).await;
    }

    /// How many checks were answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// How things stand.
    pub fn report(&self) -> Report {
        self.shared.report.lock().unwrap().clone()
    }

    /// Ends the load. Checks on their way are waited for.
    pub async fn stop(mut self) -> Report {
        self.shared.stop.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            task.await.expect("a part of the load");
        }
        self.report()
    }

    fn probe(&self, name: &str) -> Arc<Probe> {
        let probes = self.shared.probes.lock().unwrap();
        probes.iter().find(|probe| probe.name() == name).unwrap_or_else(|| panic!("there is no probe {name}")).clone()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn next_probe(&self) -> Option<Arc<Probe>> {
        let probes = Arc::clone(&self.probes.lock().unwrap());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        probes.get(number.checked_rem(probes.len())?).cloned()
    }
}

/// One check after the other, at its pace.
async fn ask_on(line: Arc<Line>, interval: Option<Duration>) {
    let shared = Arc::clone(&line.shared);
    // Workers are out of step from the start.
    let mut due = Instant::now() + interval.unwrap_or_default().mul_f64(fastrand::f64());
    let mut free = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        if interval.is_some() {
            sleep(due.saturating_duration_since(Instant::now())).await;
        }
        let Some(probe) = shared.next_probe() else { continue };
        let begun = Instant::now();
        // A check that had to wait for the one before is as late as its client would have found it.
        let asked = if interval.is_some() && free > due { due } else { begun };
        probe.begin();
        let heard = line.ask(&probe).await;
        free = Instant::now();
        shared.note(&probe, begun, free, free - asked, heard);
        due = interval.map_or(free, |interval| (due + interval).max(free.checked_sub(interval * 10).unwrap_or(free)));
    }
}

impl Shared {
    fn note(&self, probe: &Probe, begun: Instant, ended: Instant, took: Duration, heard: Result<(Verdict, bool), String>) {
        let at = begun - self.began;
        let mut report = self.report.lock().unwrap();
        match heard {
            Ok((verdict, retried)) => {
                let wrong = probe.judge(&verdict, begun, ended).err();
                report.answered(probe, &verdict, took, retried);
                if let Some(expected) = wrong {
                    report.wrong(Wrong { probe: probe.name().into(), expected, got: told(&verdict), at });
                }
            }
            Err(error) if self.outage.load(Ordering::SeqCst) => report.expected_loss(&error),
            Err(error) => {
                report.lost();
                report.wrong(Wrong { probe: probe.name().into(), expected: "an answer".into(), got: error, at });
            }
        }
        drop(report);
        probe.end();
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

fn told(verdict: &Verdict) -> String {
    let Verdict { passes, status, reason, revision, headers, .. } = verdict;
    match status {
        Some(status) if !passes => format!("{status} {reason} (revision {revision})"),
        _ => format!("a pass, {reason} (revision {revision}), with {headers:?}"),
    }
}

impl Line {
    /// Asks, and once more if the check was certainly not begun: that is what Envoy does.
    async fn ask(&self, probe: &Probe) -> Result<(Verdict, bool), String> {
        let (number, client) = self.client().await?;
        match client.try_post(CHECK, probe.body(), NO_ANSWER).await {
            Ok(answer) => return Ok((read(&answer)?, false)),
            Err(error) => {
                self.gone(number).await;
                if !not_begun(&*error) {
                    return Err(format!("{error:?}"));
                }
            }
        }
        let (number, client) = self.client().await?;
        match client.try_post(CHECK, probe.body(), NO_ANSWER).await {
            Ok(answer) => Ok((read(&answer)?, true)),
            Err(error) => {
                self.gone(number).await;
                Err(format!("also at the second attempt: {error:?}"))
            }
        }
    }

    /// The connection, and its number; a new one if there is none.
    async fn client(&self) -> Result<(u64, Client), String> {
        let mut slot = self.client.lock().await;
        if let Some(client) = slot.1.as_ref().filter(|client| !client.is_closed()) {
            return Ok((slot.0, client.clone()));
        }
        match Client::unix(&self.shared.socket).await {
            Ok(client) => {
                *slot = (slot.0 + 1, Some(client.clone()));
                Ok((slot.0, client))
            }
            Err(error) => {
                sleep(PAUSE).await;
                Err(format!("no connection: {error}"))
            }
        }
    }

    /// Not that one again.
    async fn gone(&self, number: u64) {
        let mut slot = self.client.lock().await;
        if slot.0 == number {
            slot.1 = None;
        }
    }
}

/// Reads an answer; what Envoy would not take for one is none.
fn read(answer: &RawAnswer) -> Result<Verdict, String> {
    if (answer.status, answer.grpc_status.as_deref()) != (StatusCode::OK.as_u16(), Some("0")) {
        return Err(format!("status {}, grpc-status {:?}", answer.status, answer.grpc_status));
    }
    Verdict::read(&answer.check_response())
}

/// Whether the other side has said that it did not look at the call (`GOAWAY` with a lower stream, `REFUSED_STREAM`), or the
/// call never left.
fn not_begun(error: &(dyn Error + 'static)) -> bool {
    let unsent = error.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_canceled() || error.is_closed());
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            let going_away = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
            return refused || going_away;
        }
        cause = error.source();
    }
    unsent
}
