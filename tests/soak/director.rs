//! What happens, and when.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::harness::check::Ask;
use crate::harness::identity::{Session, part};
use crate::harness::oracle::{Probe, Says};
use crate::harness::wait::{self, PATIENCE};
use crate::line::State;
use crate::memory::Watch;
use crate::report::Report;
use crate::scene::{self, POST, Scene};

const UNKNOWN: Says = Says::Refuses(401, "key_unknown");
const REVOKED: Says = Says::Refuses(401, "token_revoked");
const STALE: Says = Says::Refuses(503, "revocations_stale");

/// How often the policy is swapped.
const SWAP: Duration = Duration::from_millis(500);
/// One step of what goes on all the time.
const STEP: Duration = Duration::from_millis(100);
/// How long a fault lasts that nobody may notice.
const UNNOTICED: Duration = Duration::from_secs(2);
/// How long a key that is new, removed or unknown may take to be known as that: a refresh each second, and five in which a key
/// that was not there is not looked for again.
const KEYS_BOUND: Duration = Duration::from_secs(9);
/// How long a revocation may take.
const REVOCATION_BOUND: Duration = Duration::from_secs(5);
/// How long the return of the identity service may go unnoticed, and a busy machine.
const RETURN_BOUND: Duration = Duration::from_secs(10);
/// Runs that are shorter than this have no time for an outage that lasts.
const SHORT: Duration = Duration::from_secs(60);

/// Faults that nobody may notice, in their order; then one that lasts until revocations are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Garbled,
    Hung,
    Killed,
    Cut,
    Lasting,
}

const FAULTS: [Fault; 5] = [Fault::Garbled, Fault::Hung, Fault::Killed, Fault::Cut, Fault::Lasting];

/// How often what happens.
struct Pace {
    rotate: Duration,
    revoke: Duration,
    fault: Duration,
    take_over: Duration,
}

impl Pace {
    /// A short run has to see everything as well.
    fn for_a_run_of(duration: Duration) -> Self {
        Self {
            rotate: Duration::from_secs(10).min(duration / 4),
            revoke: Duration::from_secs(1),
            fault: Duration::from_secs(7).min(duration / 5),
            take_over: Duration::from_secs(30).min(duration / 5),
        }
    }
}

/// The soak while it runs.
struct Director {
    scene: Scene,
    watch: Watch,
    counts: BTreeMap<&'static str, u64>,
    propagation: Histogram<u64>,
    /// The same for what was revoked while nobody could hear of it.
    after_faults: Histogram<u64>,
    /// The token that passes now, the number of the next one, and the key that signed it.
    current: Option<(String, String)>,
    sessions: u64,
    swaps: Arc<AtomicU64>,
    fetches: BTreeMap<String, u64>,
    /// Policies that were in force in the sidecars that are no more.
    generations: u64,
    began: Instant,
    told: Instant,
}

/// Runs it for so long, and says what came of it.
pub async fn run(duration: Duration, rate: u32) -> Report {
    let began = Instant::now();
    let scene = Scene::set(rate).await;
    let takes_over = Scene::can_take_over();
    let watch = Watch::start(scene.sidecar.process.id());
    let mut director = Director {
        scene,
        watch,
        counts: BTreeMap::new(),
        propagation: Histogram::new(3).expect("a histogram"),
        after_faults: Histogram::new(3).expect("a histogram"),
        current: None,
        sessions: 0,
        swaps: Arc::default(),
        fetches: BTreeMap::new(),
        generations: 0,
        began,
        told: began,
    };
    director.rotate().await;
    let swapping = director.swap();
    let pace = Pace::for_a_run_of(duration);
    let until = began + duration;
    let (mut rotate, mut revoke, mut fault, mut take_over) = (began + pace.rotate, began, began + pace.fault, began + pace.take_over);
    let mut faults = FAULTS.iter().copied().cycle();
    while Instant::now() < until {
        let now = Instant::now();
        if now >= rotate {
            director.rotate().await;
            rotate = Instant::now() + pace.rotate;
        } else if now >= fault {
            let next = faults.find(|fault| duration >= SHORT || *fault != Fault::Lasting).expect("there is no end of faults");
            director.fail(next).await;
            fault = Instant::now() + pace.fault;
        } else if takes_over && now >= take_over && now < began + duration / 2 {
            // The memory of the second half is that of one process.
            director.take_over().await;
            take_over = Instant::now() + pace.take_over;
        } else if now >= revoke {
            director.revoke_one_in_use().await;
            revoke = Instant::now() + pace.revoke;
        } else {
            director.revoke_another().await;
            sleep(STEP).await;
        }
        director.tell(duration);
    }
    swapping.abort();
    director.finish().await
}

impl Director {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Swaps the policy again and again.
    fn swap(&self) -> AbortHandle {
        let (config, versions, swaps) = (self.scene.sidecar.config.clone(), self.scene.versions.clone(), Arc::clone(&self.swaps));
        let task = tokio::spawn(async move {
            for version in versions.iter().cycle().skip(1) {
                sleep(SWAP).await;
                scene::replace(&config, version);
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        task.abort_handle()
    }

    async fn log_in(&mut self) -> Session {
        self.scene.identity.log_in("bob", Some("acme")).await
    }

    fn probe(name: &str, session: &Session, right: Says) -> Probe {
        let bearer = format!("Bearer {}", session.token);
        Probe::new(name, &Ask::get(POST).header("authorization", &bearer), right)
    }

    /// A new key; tokens of the one before go on passing until that is removed.
    async fn rotate(&mut self) {
        self.scene.identity.rotate_key().await;
        let session = self.log_in().await;
        self.sessions += 1;
        let name = format!("session {}", self.sessions);
        self.scene.oracle.add(Self::probe(&name, &session, UNKNOWN).turning(Says::Passes, KEYS_BOUND));
        self.scene.oracle.changed(&name).await;
        let key = part(&session.token, 0)["kid"].as_str().expect("a kid").to_string();
        if let Some((before, key_before)) = self.current.replace((name, key)) {
            self.scene.oracle.rounds(2).await;
            self.scene.oracle.change(&before, UNKNOWN, KEYS_BOUND);
            self.scene.identity.delete_key(&key_before).await;
            self.scene.oracle.changed(&before).await;
            self.scene.oracle.rounds(1).await;
            self.scene.oracle.retire(&before);
        }
        self.count("key rotations");
    }

    /// A token that is being used is revoked, by itself or with its session.
    async fn revoke_one_in_use(&mut self) {
        let took = self.time_a_revocation(None).await;
        self.propagation.record(took).expect("a histogram that grows");
        self.count("revocations of tokens in use");
    }

    /// Revokes a token, and gives for how long it still passed after the identity service had said yes, in microseconds. If the line
    /// is to be broken meanwhile: after it was whole again.
    async fn time_a_revocation(&mut self, broken: Option<State>) -> u64 {
        let session = self.log_in().await;
        self.sessions += 1;
        let name = format!("session {}", self.sessions);
        self.scene.oracle.add(Self::probe(&name, &session, Says::Passes));
        self.scene.oracle.rounds(1).await;
        let entry = if self.sessions.is_multiple_of(2) {
            json!({ "type": "sid", "id": session.id })
        } else {
            json!({ "type": "jti", "id": part(&session.token, 1)["jti"] })
        };
        let announced = Instant::now();
        self.scene.oracle.change(&name, REVOKED, if broken.is_some() { UNNOTICED + RETURN_BOUND } else { REVOCATION_BOUND });
        self.scene.line.turn(broken.unwrap_or(State::Whole));
        self.scene.identity.revoke(&entry).await;
        if broken.is_some() {
            sleep(UNNOTICED).await;
            self.scene.line.turn(State::Whole);
        }
        let acknowledged = announced.elapsed();
        let refused = self.scene.oracle.changed(&name).await;
        let took = refused.saturating_sub(acknowledged);
        self.scene.oracle.rounds(1).await;
        self.scene.oracle.retire(&name);
        u64::try_from(took.as_micros()).expect("a short time")
    }

    /// Somebody's session of whom nobody heard.
    async fn revoke_another(&mut self) {
        self.scene.identity.revoke(&json!({ "type": "sid", "id": format!("nobody-{:016x}", fastrand::u64(..)) })).await;
        self.count("other revocations");
    }

    async fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Garbled => self.break_line(State::Garbled).await,
            Fault::Hung => self.break_line(State::Hung).await,
            Fault::Cut => self.break_line(State::Cut).await,
            Fault::Killed => {
                self.scene.identity.kill();
                sleep(UNNOTICED).await;
                self.scene.identity.start().await;
                let took = self.time_a_revocation(None).await;
                self.after_faults.record(took).expect("a histogram that grows");
            }
            Fault::Lasting => self.outage().await,
        }
        self.count(match fault {
            Fault::Garbled => "faults: the identity service answered garbage",
            Fault::Hung => "faults: the identity service hung",
            Fault::Killed => "faults: the identity service was killed",
            Fault::Cut => "faults: the identity service refused connections",
            Fault::Lasting => "faults: the identity service was away for too long",
        });
    }

    /// What is revoked meanwhile counts as soon as it is over.
    async fn break_line(&mut self, state: State) {
        let took = self.time_a_revocation(Some(state)).await;
        self.after_faults.record(took).expect("a histogram that grows");
    }

    /// Longer than revocations may be old: closed then, and open as soon as it is over.
    async fn outage(&mut self) {
        let (name, _) = self.current.clone().expect("a token that passes");
        // From when on exactly depends on when the list was last confirmed.
        self.scene.oracle.change(&name, STALE, PATIENCE);
        self.scene.line.turn(State::Cut);
        self.scene.oracle.changed(&name).await;
        self.scene.oracle.rounds(2).await;
        self.scene.oracle.change(&name, Says::Passes, RETURN_BOUND);
        self.scene.line.turn(State::Whole);
        self.scene.oracle.changed(&name).await;
    }

    async fn take_over(&mut self) {
        self.remember_fetches().await;
        self.generations += self.scene.sidecar.generation().await;
        let number = self.counts.get("takeovers").copied().unwrap_or_default() + 1;
        let process = self.scene.take_over(number).await;
        self.watch.follow(process);
        self.count("takeovers");
    }

    /// What this process has fetched; another one counts from zero.
    async fn remember_fetches(&mut self) {
        let metrics = self.scene.sidecar.metrics().await;
        for name in metrics.names() {
            if let Some(labels) = name.strip_prefix("portcullis_refreshes_total{") {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
                let count = metrics.get(name) as u64;
                *self.fetches.entry(labels.trim_end_matches('}').to_string()).or_default() += count;
            }
        }
    }

    /// How it goes, now and then.
    fn tell(&mut self, duration: Duration) {
        let terminal = std::io::stderr().is_terminal();
        if self.told.elapsed() < Duration::from_secs(if terminal { 1 } else { 15 }) {
            return;
        }
        self.told = Instant::now();
        let report = self.scene.oracle.report();
        let (so_far, memory) = (self.began.elapsed().as_secs(), self.watch.now() >> 20);
        let line = format!("{so_far}s of {}s: {} checks, {} wrong, {memory} MB", duration.as_secs(), report.checks, report.wrong);
        let mut output = std::io::stderr().lock();
        let written = if terminal { write!(output, "\r\x1b[K{line}") } else { writeln!(output, "{line}") };
        // A terminal that went away is no reason to stop.
        drop(written.and_then(|()| output.flush()));
    }

    async fn finish(mut self) -> Report {
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
        self.remember_fetches().await;
        // Nothing is to change any more.
        wait::until_true("the sidecar to be ready", PATIENCE, async || self.scene.sidecar.get("/readyz").await.status == 200).await;
        let memory = self.watch.summary();
        self.generations += self.scene.sidecar.generation().await;
        let swaps = self.swaps.load(Ordering::Relaxed);
        let mut counts: BTreeMap<String, u64> = self.counts.iter().map(|(what, count)| ((*what).to_string(), *count)).collect();
        counts.insert("policies written".into(), swaps);
        counts.insert("policies in force".into(), self.generations);
        counts.insert("connections to the identity service".into(), self.scene.line.connections());
        let lasted = self.began.elapsed();
        Report {
            lasted,
            checks: self.scene.oracle.stop().await,
            counts,
            fetches: self.fetches,
            propagation: self.propagation,
            after_faults: self.after_faults,
            memory,
        }
    }
}
