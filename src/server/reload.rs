//! Hot swap of the policy. A configuration that is not good never replaces one that is, and never ends the process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Trail;
use crate::clock;
use crate::config::{
    AuditSettings, Configuration, LimitSettings, Listen, Problem, Problems, ShutdownSettings, Source, SourceFile, WarmStartSettings,
};
use crate::pip::config_file::{ConfigEvent, ConfigSource, ConfigWatcher};
use crate::pip::refresh::Refreshers;
use crate::state::Live;
use crate::telemetry::metrics::{Metrics, RouteCounters};

use super::policy_tests;

/// How long a new policy waits for the first answer of sources that it brings along, so that tokens of a new issuer are not
/// refused for want of keys the moment it is in force.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// What a running sidecar cannot change.
pub(super) struct Fixed {
    pub listen: Listen,
    pub audit: Option<AuditSettings>,
    pub limits: LimitSettings,
    pub shutdown: ShutdownSettings,
    pub warm_start: Option<WarmStartSettings>,
    /// The trail of these settings.
    pub trail: Option<Trail>,
}

/// The files in the form in which they are compiled.
pub(crate) fn source_files(source: &ConfigSource) -> Vec<SourceFile> {
    source.files.iter().map(|file| SourceFile { name: file.path.display().to_string(), text: file.text.clone() }).collect()
}

/// Logs what is allowed and worth knowing of a configuration that comes into force.
pub(super) fn log_notices(notices: &[Problem]) {
    for notice in notices {
        tracing::warn!("{notice}");
    }
}

/// Compiles a configuration and runs the tests that it names, away from the threads that answer checks: both take a moment.
///
/// # Errors
/// All that is wrong with it.
pub(super) async fn compile(source: &Arc<ConfigSource>) -> Result<Configuration, Problems> {
    let source = Arc::clone(source);
    let compiled = tokio::task::spawn_blocking(move || {
        let files = source_files(&source);
        let configuration = Configuration::compile(&files)?;
        let cases = policy_tests::run(&configuration, &source, &files, policy_tests::BUDGET)?;
        if !source.tests.is_empty() {
            tracing::info!(cases, files = source.tests.len(), "the configuration passed its policy tests");
        }
        Ok(configuration)
    });
    compiled.await.unwrap_or_else(|error| Err(one("", format!("it could not be compiled: {error}"))))
}

fn one(key: &str, message: String) -> Problems {
    let mut problems = Problems::default();
    problems.push(Problem { location: None, key: key.into(), message });
    problems
}

/// Follows the configuration until the watch breaks down.
pub(super) async fn follow(
    mut watcher: ConfigWatcher,
    live: Arc<Live<RouteCounters>>,
    metrics: Arc<Metrics>,
    mut refreshers: Refreshers,
    fixed: Fixed,
) {
    while let Some(event) = watcher.changed().await {
        let loaded = match event {
            ConfigEvent::Changed(source) => apply(&source, &live, &metrics, &mut refreshers, &fixed).await,
            ConfigEvent::Failed(error) => {
                tracing::error!(%error, "the configuration cannot be read; the last good policy stays in force");
                Err(one("", error.to_string()))
            }
        };
        let successful = loaded.is_ok();
        match loaded {
            Ok(max_stale) => live.loads().succeeded(clock::now(), max_stale),
            Err(problems) => live.loads().failed(clock::now(), problems.iter().map(ToString::to_string)),
        }
        watcher.refused(!successful);
        metrics.configuration_loaded(successful);
    }
}

/// Puts a configuration into force; gives for how long it stays without harm if later ones cannot be.
async fn apply(
    source: &Arc<ConfigSource>,
    live: &Live<RouteCounters>,
    metrics: &Metrics,
    refreshers: &mut Refreshers,
    fixed: &Fixed,
) -> Result<Option<Duration>, Problems> {
    let configuration = compile(source).await.inspect_err(|problems| {
        for problem in problems.iter() {
            tracing::error!("{problem}");
        }
        tracing::error!(problems = problems.len(), "the configuration was refused; the last good policy stays in force");
    })?;
    let max_stale = configuration.loading.max_stale;
    if configuration.snapshot.revision == live.version().snapshot.revision {
        tracing::info!(revision = %configuration.snapshot.revision, "the configuration is the one in force");
        return Ok(max_stale);
    }
    for (key, is_other) in [
        ("listen", configuration.listen != fixed.listen),
        ("warm_start", configuration.warm_start != fixed.warm_start),
        ("limits", configuration.limits != fixed.limits),
        ("shutdown", configuration.shutdown != fixed.shutdown),
    ] {
        if is_other {
            tracing::warn!("'{key}' changed and is only read at start: restart the sidecar for it");
        }
    }
    match (&configuration.audit, &fixed.audit) {
        (new, old) if new == old => {}
        // There is nowhere to record what its routes ask to be recorded.
        (Some(_), None) => {
            tracing::error!("'audit' is new and is only read at start: restart the sidecar for it; the last good policy stays in force");
            return Err(one("audit", "this is new and is only read at start: restart the sidecar for it".into()));
        }
        _ => tracing::warn!("'audit' changed and is only read at start: restart the sidecar for it"),
    }
    log_notices(&configuration.notices);
    refreshers.start(&configuration.sources);
    wait_for_first_answers(&configuration.sources, live).await;
    let counters = metrics.route_counters(&configuration.snapshot.route_names);
    let revision = Arc::clone(&configuration.snapshot.revision);
    let generation = live.replace(configuration.snapshot, counters);
    if let Some(trail) = &fixed.trail {
        trail.configuration_changed(&revision, generation);
    }
    refreshers.keep_only(&configuration.sources);
    tracing::info!(%revision, generation, "a new policy is in force");
    Ok(max_stale)
}

async fn wait_for_first_answers(sources: &[Arc<Source>], live: &Live<RouteCounters>) {
    let deadline = Instant::now() + FIRST_ANSWER;
    let missing = || sources.iter().filter(|source| source.feed.is_pulled()).find(|source| !live.has_fresh(source.id));
    while let Some(source) = missing() {
        if Instant::now() >= deadline {
            tracing::warn!(issuer = %source.issuer, "the new policy comes into force although not all of its sources have answered");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
