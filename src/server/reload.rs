//! Hot swap of the policy. A configuration that is not good never replaces one that is, and never ends the process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Trail;
use crate::config::{AuditSettings, Configuration, Listen, Problem, Source, SourceFeed, SourceFile};
use crate::pip::config_file::{ConfigEvent, ConfigSource, ConfigWatcher};
use crate::pip::refresh::Refreshers;
use crate::state::Live;
use crate::telemetry::metrics::{Metrics, RouteCounters};

/// How long a new policy waits for the first answer of sources that it brings along, so that tokens of a new issuer are not
/// refused for want of keys the moment it is in force.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// What a running sidecar cannot change.
pub(super) struct Fixed {
    pub listen: Listen,
    pub audit: Option<AuditSettings>,
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

/// Follows the configuration until the watch breaks down.
pub(super) async fn follow(
    mut watcher: ConfigWatcher,
    live: Arc<Live<RouteCounters>>,
    metrics: Arc<Metrics>,
    mut refreshers: Refreshers,
    fixed: Fixed,
) {
    while let Some(event) = watcher.changed().await {
        match event {
            ConfigEvent::Changed(source) => {
                let loaded = apply(&source, &live, &metrics, &mut refreshers, &fixed).await;
                metrics.configuration_loaded(loaded);
            }
            ConfigEvent::Failed(error) => {
                metrics.configuration_loaded(false);
                tracing::error!(%error, "the configuration cannot be read; the last good policy stays in force");
            }
        }
    }
}

async fn apply(source: &ConfigSource, live: &Live<RouteCounters>, metrics: &Metrics, refreshers: &mut Refreshers, fixed: &Fixed) -> bool {
    let files = source_files(source);
    // A big configuration takes a moment to compile, which is nothing for a thread that answers checks.
    let compiled = tokio::task::spawn_blocking(move || Configuration::compile(&files)).await;
    let configuration = match compiled {
        Ok(Ok(configuration)) => configuration,
        Ok(Err(problems)) => {
            for problem in problems.iter() {
                tracing::error!("{problem}");
            }
            tracing::error!(problems = problems.len(), "the configuration was refused; the last good policy stays in force");
            return false;
        }
        Err(error) => {
            tracing::error!(%error, "the configuration could not be compiled; the last good policy stays in force");
            return false;
        }
    };
    if configuration.snapshot.revision == live.version().snapshot.revision {
        tracing::info!(revision = %configuration.snapshot.revision, "the configuration is the one in force");
        return true;
    }
    if configuration.listen != fixed.listen {
        tracing::warn!("'listen' changed and is only read at start: restart the sidecar for it");
    }
    match (&configuration.audit, &fixed.audit) {
        (new, old) if new == old => {}
        // There is nowhere to record what its routes ask to be recorded.
        (Some(_), None) => {
            tracing::error!("'audit' is new and is only read at start: restart the sidecar for it; the last good policy stays in force");
            return false;
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
        trail.configuration_changed(&revision);
    }
    refreshers.keep_only(&configuration.sources);
    tracing::info!(%revision, generation, "a new policy is in force");
    true
}

async fn wait_for_first_answers(sources: &[Arc<Source>], live: &Live<RouteCounters>) {
    let deadline = Instant::now() + FIRST_ANSWER;
    let missing =
        || sources.iter().filter(|source| !matches!(source.feed, SourceFeed::Directory(_))).find(|source| !live.has_fresh(source.id));
    while let Some(source) = missing() {
        if Instant::now() >= deadline {
            tracing::warn!(issuer = %source.issuer, "the new policy comes into force although not all of its sources have answered");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
