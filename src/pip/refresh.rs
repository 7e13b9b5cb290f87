//! One background task per source: started, replaced and stopped as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::disk::{self, Disk};
use super::http_client::{Environment, FetchError, HttpClient};
use super::warm_start::WarmStart;
use super::{directory, jwks, revocation, tenant_roles, transport};
use crate::config::{JwksLocation, RevocationOrigin, RevocationSource, Source, SourceFeed, Transport};
use crate::pdp::token::profile::SourceId;
use crate::state::Live;
use crate::telemetry::metrics::{Metrics, RouteCounters};

/// How long a start waits for sources and for what was kept of them: longer than what was kept waits for its source.
const WARM_UP: Duration = Duration::from_millis(500);
/// How often it is looked whether they are there.
const WARM_UP_INTERVAL: Duration = Duration::from_millis(2);

/// How soon work that broke down begins again.
const AFTER_BREAKDOWN: Duration = Duration::from_secs(1);

/// Why a refresh brought nothing: a label for metrics, a text for people, and what the server asked for.
pub(super) struct Failure {
    pub label: &'static str,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self { label: error.label(), message: error.to_string(), retry_after: error.retry_after() }
    }
}

/// What every refresher works with.
#[derive(Clone)]
pub struct Context {
    /// Where results go.
    pub live: Arc<Live<RouteCounters>>,
    /// How things are fetched: for a refresher, the way that its source says.
    pub client: HttpClient,
    /// Where results are counted.
    pub metrics: Arc<Metrics>,
    /// Where results are kept for the next start.
    pub warm_start: WarmStart,
    /// How files are read: for a refresher, those of its source.
    pub disk: Disk,
}

struct Running {
    source: Arc<Source>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// The refreshers that are running.
pub struct Refreshers {
    context: Context,
    running: HashMap<SourceId, Running, RandomState>,
    /// Clients by how they reach servers; what is pulled for one issuer shares connections.
    clients: HashMap<Transport, HttpClient, RandomState>,
    /// What read files of sources that no refresher was started for yet, and may still be reading.
    disks: HashMap<SourceId, Disk, RandomState>,
    environment: Arc<Environment>,
}

impl Refreshers {
    /// None yet. What the environment says of proxies is read now.
    #[must_use]
    pub fn new(context: Context) -> Self {
        let environment = Arc::new(transport::environment());
        Self { context, running: HashMap::default(), clients: HashMap::default(), disks: HashMap::default(), environment }
    }

    /// Reads what is in files, once: what needs nobody else is there before the first check. A disk that hangs is left to refreshers.
    pub async fn read_files(&mut self, sources: &[Arc<Source>]) {
        let read_all = async {
            for source in sources {
                let context = Context { disk: self.disks.entry(source.id).or_default().clone(), ..self.context.clone() };
                match &source.feed {
                    SourceFeed::Keys(feed) => jwks::read_file(&context, source, feed).await,
                    SourceFeed::Revocations(RevocationSource { origin: RevocationOrigin::File(path), max_staleness, .. }) => {
                        revocation::file::read(&context, source, path, *max_staleness).await;
                    }
                    _ => {}
                }
            }
        };
        // Together they get no longer than one of them, or a start would take as many times that as there are files.
        let _ = timeout(disk::DEADLINE, read_all).await;
    }

    /// Starts refreshers for sources that have none, and restarts those whose settings changed. What they pulled stays.
    pub fn start(&mut self, sources: &[Arc<Source>]) {
        for source in sources {
            if self.running.get(&source.id).is_some_and(|running| running.source == *source) {
                continue;
            }
            let replaced = self.running.remove(&source.id).map(|replaced| {
                replaced.cancel.cancel();
                replaced.task
            });
            let client = match self.client(&source.transport) {
                Ok(client) => client,
                Err(error) => {
                    tracing::error!(issuer = %source.issuer, %error, "there is no way to fetch what this issuer needs");
                    continue;
                }
            };
            let cancel = CancellationToken::new();
            let work = {
                // Other settings may name other files, which are not to wait for those that hang.
                let disk = self.disks.remove(&source.id).unwrap_or_default();
                let (context, source, cancel) = (Context { client, disk, ..self.context.clone() }, Arc::clone(source), cancel.clone());
                move |replaces| run(context.clone(), Arc::clone(&source), cancel.clone(), replaces)
            };
            let task = tokio::spawn(async move {
                let replaces = replaced.is_some();
                // Two refreshers of one source would be two fetches at once.
                if let Some(replaced) = replaced {
                    let _ = replaced.await;
                }
                keep_up(work, replaces).await;
            });
            self.running.insert(source.id, Running { source: Arc::clone(source), cancel, task });
        }
    }

    fn client(&mut self, way: &Transport) -> Result<HttpClient, String> {
        if let Some(client) = self.clients.get(way) {
            return Ok(client.clone());
        }
        let client = transport::client(&self.context.client, way, &self.environment)?;
        self.clients.insert(way.clone(), client.clone());
        Ok(client)
    }

    /// Waits until all sources have answered or been stood in for by what was kept, or for as long as that can be expected to take.
    /// Without a warm start there is nothing to wait for.
    pub async fn warmed_up(&self) {
        if !self.context.warm_start.is_open() {
            return;
        }
        let is_cold =
            || self.running.values().any(|running| running.source.feed.is_pulled() && !self.context.live.has_fresh(running.source.id));
        let until = tokio::time::Instant::now() + WARM_UP;
        while is_cold() && tokio::time::Instant::now() < until {
            tokio::time::sleep(WARM_UP_INTERVAL).await;
        }
    }

    /// Stops the refreshers of all other sources and forgets what they pulled.
    pub fn keep_only(&mut self, sources: &[Arc<Source>]) {
        let Context { live, warm_start, .. } = &self.context;
        self.running.retain(|id, running| {
            let keep = sources.iter().any(|source| source.id == *id);
            if !keep {
                running.cancel.cancel();
                live.refetch().unsubscribe(*id);
                live.forget(*id);
                warm_start.forget(*id);
            }
            keep
        });
        self.clients.retain(|way, _| sources.iter().any(|source| source.transport == *way));
    }
}

/// Does work until it ends, and once more whenever it breaks down: a source that nobody asks any more would be out of date for ever.
/// The work is told whether it takes up what was begun before.
async fn keep_up<F>(work: impl Fn(bool) -> F, mut replaces: bool)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(work(replaces)).await {
        if !error.is_panic() {
            return;
        }
        tracing::error!(%error, "what keeps a source fresh broke down, and begins again");
        replaces = true;
        tokio::time::sleep(AFTER_BREAKDOWN).await;
    }
}

async fn run(context: Context, source: Arc<Source>, cancel: CancellationToken, replaces: bool) {
    log_proxy(&context.client, &source);
    let work = async {
        match &source.feed {
            SourceFeed::Keys(feed) => jwks::refresh(&context, &source, feed, replaces).await,
            SourceFeed::Revocations(revocations) => match &revocations.origin {
                RevocationOrigin::Feed(feed) => revocation::feed::refresh(&context, &source, feed, revocations.max_staleness).await,
                RevocationOrigin::File(path) => revocation::file::refresh(&context, &source, path, revocations.max_staleness).await,
                RevocationOrigin::Redis(redis) => revocation::redis::refresh(&context, &source, redis, revocations.max_staleness).await,
            },
            SourceFeed::StatusList(feed) => revocation::status_list::refresh(&context, &source, feed).await,
            SourceFeed::TenantRoles(feed) => tenant_roles::refresh(&context, &source, feed).await,
            SourceFeed::Directory(directory) => directory::serve(&context, &source, directory).await,
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        never = work => match never {},
    }
}

/// Tells how a source is reached, unless that is straight.
fn log_proxy(client: &HttpClient, source: &Source) {
    let (what, url) = match &source.feed {
        SourceFeed::Keys(feed) => match &feed.location {
            JwksLocation::Url(url) => ("keys", url),
            JwksLocation::Discovery(discovery) => ("metadata", &discovery.metadata),
            JwksLocation::File(_) => return,
        },
        SourceFeed::Revocations(revocations) => match &revocations.origin {
            RevocationOrigin::Feed(feed) => ("revocations", &feed.url),
            // Neither is fetched over HTTP.
            RevocationOrigin::File(_) | RevocationOrigin::Redis(_) => return,
        },
        SourceFeed::StatusList(feed) => ("status_list", &feed.source.url),
        SourceFeed::TenantRoles(feed) => ("tenant_roles", &feed.source.url),
        SourceFeed::Directory(directory) => ("directory", &directory.url),
    };
    transport::log_proxy(client, &source.issuer, what, url);
}

/// How long to wait after failures in a row: doubling from `first` up to `most`, or longer if the server asked for it (as far as that
/// is [`heeded`]), and never less than it asked for.
#[must_use]
pub fn backoff(failures: u32, first: Duration, most: Duration, asked: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    let asked = asked.unwrap_or_default().mul_f64(1.0 + 0.2 * fastrand::f64());
    jitter(doubled.min(most)).max(asked)
}

/// What of a server's wish to be left alone is heeded: no more than a quarter of how old its data may get, so that it cannot talk the
/// sidecar into letting the data grow too old. (What the client takes for a wish is no longer than 5 minutes anyway.)
pub(super) fn heeded(asked: Option<Duration>, bound: Duration) -> Option<Duration> {
    asked.map(|asked| asked.min(bound / 4))
}

/// The span, give or take a tenth, so that a fleet does not ask in step.
#[must_use]
pub fn jitter(span: Duration) -> Duration {
    span.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// The span less up to a fifth: like [`jitter`], where later would be too late.
#[must_use]
pub fn early(span: Duration) -> Duration {
    span.mul_f64(0.8 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound_and_heeds_the_server() {
        let wait = |failures, asked| backoff(failures, Duration::from_secs(1), Duration::from_secs(30), asked).as_secs_f64();
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0), (6, 30.0), (1000, 30.0)] {
            let waited = wait(failures, None);
            assert!((0.89 * seconds..=1.11 * seconds).contains(&waited), "{failures}: {waited}");
        }
        for _ in 0..100 {
            assert!((120.0..=144.0).contains(&wait(1, Some(Duration::from_secs(120)))));
            assert!(wait(6, Some(Duration::from_secs(1))) >= 27.0);
        }
    }

    #[tokio::test]
    async fn work_that_breaks_down_begins_again_until_it_ends() {
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let work = |replaces| {
            let told = Arc::clone(&told);
            async move {
                let times = {
                    let mut told = told.lock().unwrap();
                    told.push(replaces);
                    told.len()
                };
                assert!(times > 1, "a breakdown that is meant to be");
            }
        };
        keep_up(work, false).await;
        assert_eq!(*told.lock().unwrap(), [false, true]);
    }

    #[test]
    fn no_server_can_have_itself_left_alone_for_more_than_a_quarter_of_the_bound() {
        let (seconds, asked) = (Duration::from_secs, |asked, bound| heeded(Some(Duration::from_secs(asked)), Duration::from_secs(bound)));
        assert_eq!(heeded(None, seconds(60)), None);
        assert_eq!(asked(5, 60), Some(seconds(5)));
        assert_eq!(asked(300, 60), Some(seconds(15)));
        assert_eq!(asked(300, 86_400), Some(seconds(300)));
        assert_eq!(asked(0, 60), Some(Duration::ZERO));
        // Even with what is added so that a fleet does not come in step, there are three attempts more within the bound.
        for _ in 0..100 {
            let waited = backoff(1000, seconds(1), seconds(4), asked(300, 60));
            assert!((seconds(15)..=seconds(18)).contains(&waited), "{waited:?}");
        }
    }
}
