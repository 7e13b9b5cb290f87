//! Prometheus metrics. Names are in base units; labels come from the configuration and from closed lists, never from a request.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::pdp::decision::{Decision, Effect, Reason, TokenLookup};

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_BUCKETS: [f64; 17] =
    [5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 5e-1, 1.0];

/// Upper bounds of the buckets for how long a revocation takes to arrive, in seconds.
const PROPAGATION_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// One value per effect.
#[derive(Debug, Clone)]
struct PerEffect<T> {
    permit: T,
    deny: T,
    indeterminate: T,
}

impl<T> PerEffect<T> {
    fn new(make: impl Fn(Effect) -> T) -> Self {
        Self { permit: make(Effect::Permit), deny: make(Effect::Deny), indeterminate: make(Effect::Indeterminate) }
    }

    fn get(&self, effect: Effect) -> &T {
        match effect {
            Effect::Permit => &self.permit,
            Effect::Deny => &self.deny,
            Effect::Indeterminate => &self.indeterminate,
        }
    }
}

/// The counters of a policy version's routes, resolved when it comes into force so that a check does not look them up by label.
#[derive(Debug, Default)]
pub struct RouteCounters(HashMap<Arc<str>, PerEffect<IntCounter>, RandomState>);

/// All metrics of the sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    latency: PerEffect<Histogram>,
    decisions: HashMap<Reason, IntCounter, RandomState>,
    route_decisions: IntCounterVec,
    token_hits: IntCounter,
    token_misses: IntCounter,
    odd_permissions: IntCounter,
    unknown_roles: IntCounter,
    tenant_crossings: IntCounter,
    revocation_propagation: HistogramVec,
    stale_revocation_decisions: IntCounter,
    refreshes: IntCounterVec,
    skipped_keys: IntGaugeVec,
    reloads: IntCounterVec,
    warm_start_loads: IntCounterVec,
    warm_start_writes: IntCounterVec,
    /// Seconds since the key set was confirmed.
    pub keys_age: GaugeVec,
    /// Usable keys.
    pub keys: IntGaugeVec,
    /// Seconds since the revocation list was confirmed.
    pub revocations_age: GaugeVec,
    /// Entries of the revocation list.
    pub revocation_entries: IntGaugeVec,
    /// Seconds since the roles of tenants were confirmed.
    pub tenant_roles_age: GaugeVec,
    /// Answers of directories that are remembered.
    pub remembered_targets: IntGauge,
    /// Seconds since the policy in force came into force.
    pub configuration_age: Gauge,
    /// Counts policies that have been in force.
    pub configuration_generation: IntGauge,
    /// 1 for the revision in force.
    pub configuration_info: IntGaugeVec,
    /// Whether the last attempt to load the configuration succeeded.
    pub configuration_last_load_successful: IntGauge,
    /// Seconds since loading the configuration has been failing.
    pub configuration_failing: Gauge,
    /// Seconds by which the wall clock is behind the time that is told.
    pub clock_behind: Gauge,
    /// Whether the sidecar is ready.
    pub ready: IntGauge,
    /// Checks that were begun and are not answered yet.
    pub checks_in_flight: IntGauge,
    /// Calls whose message is about to come.
    pub checks_arriving: IntGauge,
    /// Of the checks in flight, the ones that wait: long for the rest of their message, for a directory or for their record.
    pub checks_waiting: IntGauge,
    /// Open connections, by listener (`grpc`, `admin`).
    pub connections: IntGaugeVec,
    /// Connections that were closed at once, by listener: there were as many as there may be.
    pub connections_refused: IntCounterVec,
    dropped_log_lines: IntCounter,
    audit_records: IntCounter,
    audit_dropped: IntCounter,
    audit_write_errors: IntCounter,
    audit_queue: IntGauge,
    /// Tokens in the cache.
    pub cached_tokens: IntGauge,
    /// Bytes that they take, about.
    pub cached_token_bytes: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Never with the names below: a test creates them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| registered(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help));
        let gauges = |name: &str, help: &str, labels: &[&str]| registered(&registry, GaugeVec::new(Opts::new(name, help), labels));
        let int_gauges = |name: &str, help: &str, labels: &[&str]| registered(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let int_gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));

        let latency = registered(
            &registry,
            HistogramVec::new(
                HistogramOpts::new("portcullis_check_duration_seconds", "Time from a check's last byte to its answer, by decision.")
                    .buckets(LATENCY_BUCKETS.to_vec()),
                &["decision"],
            ),
        )?;
        let decisions = counters("portcullis_decisions_total", "Checks decided, by decision and reason.", &["decision", "reason"])?;
        let lookups = counters("portcullis_token_cache_lookups_total", "Look-ups of verified tokens, by result.", &["result"])?;
        let build = int_gauges("portcullis_build_info", "Always 1; the labels tell the build.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            latency: PerEffect::new(|effect| latency.with_label_values(&[effect.as_str()])),
            decisions: Reason::ALL
                .iter()
                .map(|reason| (*reason, decisions.with_label_values(&[reason.effect().as_str(), reason.code()])))
                .collect(),
            route_decisions: counters(
                "portcullis_route_decisions_total",
                "Checks decided, by route and decision.",
                &["route", "decision"],
            )?,
            token_hits: lookups.with_label_values(&["hit"]),
            token_misses: lookups.with_label_values(&["miss"]),
            odd_permissions: counter(
                "portcullis_odd_permissions_total",
                "Permissions in newly verified tokens that do not fit the syntax.",
            )?,
            unknown_roles: counter("portcullis_unknown_roles_total", "Roles in tokens, per check, that the configuration does not know.")?,
            tenant_crossings: counter("portcullis_tenant_crossings_total", "Allowed checks in which a role crossed into another tenant.")?,
            revocation_propagation: registered(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "portcullis_revocation_propagation_seconds",
                        "Time from a revocation's being published to its being in force here, by the clocks of both.",
                    )
                    .buckets(PROPAGATION_BUCKETS.to_vec()),
                    &["issuer"],
                ),
            )?,
            stale_revocation_decisions: counter(
                "portcullis_stale_revocation_decisions_total",
                "Checks decided with a revocation list past its bound, as the configuration allows.",
            )?,
            refreshes: counters(
                "portcullis_refreshes_total",
                "Refreshes of keys and revocations, by issuer, feed and result.",
                &["issuer", "feed", "result"],
            )?,
            skipped_keys: int_gauges(
                "portcullis_skipped_keys",
                "Keys of the last JWK set that cannot be used, by issuer and cause.",
                &["issuer", "cause"],
            )?,
            reloads: counters("portcullis_configuration_loads_total", "Attempts to load the configuration, by result.", &["result"])?,
            warm_start_loads: counters(
                "portcullis_warm_start_loads_total",
                "Attempts to read what was kept on disk, by issuer, feed and result.",
                &["issuer", "feed", "result"],
            )?,
            warm_start_writes: counters(
                "portcullis_warm_start_writes_total",
                "Attempts to keep on disk what was pulled, by result.",
                &["result"],
            )?,
            keys_age: gauges("portcullis_keys_age_seconds", "Time since the issuer's keys were confirmed.", &["issuer"])?,
            keys: int_gauges("portcullis_keys", "Usable keys of the issuer.", &["issuer"])?,
            revocations_age: gauges(
                "portcullis_revocations_age_seconds",
                "Time since a source of the issuer's revocations was confirmed.",
                &["issuer", "source"],
            )?,
            tenant_roles_age: gauges(
                "portcullis_tenant_roles_age_seconds",
                "Time since the identity service last confirmed the roles of tenants.",
                &["issuer"],
            )?,
            remembered_targets: int_gauge("portcullis_targets", "Answers of directories that are remembered.")?,
            revocation_entries: int_gauges(
                "portcullis_revocation_entries",
                "Entries of a source of the issuer's revocations.",
                &["issuer", "source"],
            )?,
            configuration_age: registered(
                &registry,
                Gauge::new("portcullis_configuration_age_seconds", "Time since the policy in force came into force."),
            )?,
            configuration_generation: int_gauge(
                "portcullis_configuration_generation",
                "How many policies have been in force since the start.",
            )?,
            configuration_info: int_gauges("portcullis_configuration_info", "1 for the revision in force.", &["revision"])?,
            configuration_last_load_successful: int_gauge(
                "portcullis_configuration_last_load_successful",
                "1 if the last attempt to load the configuration succeeded, 0 if the policy in force is an older one.",
            )?,
            configuration_failing: registered(
                &registry,
                Gauge::new(
                    "portcullis_configuration_failing_seconds",
                    "Time since loading the configuration has been failing; 0 while what is on the disk is in force.",
                ),
            )?,
            clock_behind: registered(
                &registry,
                Gauge::new(
                    "portcullis_clock_behind_seconds",
                    "How far the wall clock, which jumped back, is behind the time that is told; 0 while it is followed.",
                ),
            )?,
            ready: int_gauge("portcullis_ready", "1 if everything that is needed to decide is there and within its bounds.")?,
            checks_in_flight: int_gauge("portcullis_checks_in_flight", "Checks that were begun and are not answered yet.")?,
            checks_arriving: int_gauge("portcullis_checks_arriving", "Calls whose message is about to come.")?,
            checks_waiting: int_gauge(
                "portcullis_checks_waiting",
                "Checks that wait for the rest of their message, for a directory or for their record.",
            )?,
            connections: int_gauges("portcullis_connections", "Open connections, by listener.", &["listener"])?,
            connections_refused: counters(
                "portcullis_connections_refused_total",
                "Connections that were closed at once, as there were as many as there may be, by listener.",
                &["listener"],
            )?,
            dropped_log_lines: counter("portcullis_dropped_log_lines_total", "Log lines dropped because nobody read them in time.")?,
            audit_records: counter("portcullis_audit_records_total", "Checks of audited routes that were recorded.")?,
            audit_dropped: counter(
                "portcullis_audit_dropped_total",
                "Checks of audited routes that could not be recorded: refused, or let through if the configuration says so.",
            )?,
            audit_write_errors: counter("portcullis_audit_write_errors_total", "Failed attempts to write to the audit trail.")?,
            audit_queue: int_gauge("portcullis_audit_queue", "Checks of audited routes that wait to be recorded.")?,
            cached_tokens: int_gauge("portcullis_token_cache_entries", "Verified tokens that are remembered.")?,
            cached_token_bytes: int_gauge("portcullis_token_cache_bytes", "Memory that they take, about.")?,
            registry,
        })
    }

    /// Resolves the counters of these routes.
    #[must_use]
    pub fn route_counters(&self, routes: &[Arc<str>]) -> RouteCounters {
        let resolve = |route: &Arc<str>| PerEffect::new(|effect| self.route_decisions.with_label_values(&[route, effect.as_str()]));
        RouteCounters(routes.iter().map(|route| (Arc::clone(route), resolve(route))).collect())
    }

    /// Counts a decision.
    pub fn decided(&self, decision: &Decision, routes: &RouteCounters, took: Duration) {
        let effect = decision.effect();
        self.latency.get(effect).observe(took.as_secs_f64());
        if let Some(counter) = self.decisions.get(&decision.reason) {
            counter.inc();
        }
        if let Some(counters) = decision.route.as_ref().and_then(|route| routes.0.get(route)) {
            counters.get(effect).inc();
        }
        match decision.token_lookup {
            Some(TokenLookup::Hit) => self.token_hits.inc(),
            Some(TokenLookup::Miss) => {
                self.token_misses.inc();
                let odd = decision.principal.as_ref().map_or(0, |principal| principal.token().claims().odd_permissions);
                self.odd_permissions.inc_by(odd as u64);
            }
            None => {}
        }
        if decision.unknown_roles > 0 {
            self.unknown_roles.inc_by(decision.unknown_roles as u64);
        }
        if decision.crossed_tenants && effect == Effect::Permit {
            self.tenant_crossings.inc();
        }
        if decision.used_stale_revocations {
            self.stale_revocation_decisions.inc();
        }
    }

    /// Counts a refresh; `result` is `ok`, `unchanged` or the label of an error.
    pub fn refreshed(&self, issuer: &str, feed: &str, result: &str) {
        self.refreshes.with_label_values(&[issuer, feed, result]).inc();
    }

    /// Counts how long a revocation took from its publication to its being in force here.
    pub fn revocation_arrived(&self, issuer: &str, after: Duration) {
        self.revocation_propagation.with_label_values(&[issuer]).observe(after.as_secs_f64());
    }

    /// Says which keys of an issuer's set cannot be used.
    pub fn keys_skipped<'c>(&self, issuer: &str, causes: impl IntoIterator<Item = &'c str>) {
        for cause in
            ["unknown_type", "malformed", "not_for_signatures", "weak_or_odd", "algorithm_not_allowed", "duplicate_kid", "too_many"]
        {
            self.skipped_keys.with_label_values(&[issuer, cause]).set(0);
        }
        for cause in causes {
            self.skipped_keys.with_label_values(&[issuer, cause]).inc();
        }
    }

    /// Counts an attempt to load the configuration.
    pub fn configuration_loaded(&self, successful: bool) {
        self.reloads.with_label_values(&[if successful { "ok" } else { "refused" }]).inc();
        self.configuration_last_load_successful.set(i64::from(successful));
    }

    /// Counts an attempt to read what was kept on disk; `result` is `ok`, `none` or why it is not used.
    pub fn warm_start_loaded(&self, issuer: &str, feed: &str, result: &str) {
        self.warm_start_loads.with_label_values(&[issuer, feed, result]).inc();
    }

    /// Counts an attempt to keep something on disk; `result` is `ok`, `failed` or `locked` (another process keeps its own there).
    pub fn warm_start_wrote(&self, result: &str) {
        self.warm_start_writes.with_label_values(&[result]).inc();
    }

    /// Brings the count of dropped log lines, which is kept elsewhere, up to this total.
    pub fn log_lines_dropped(&self, total: u64) {
        self.dropped_log_lines.inc_by(total.saturating_sub(self.dropped_log_lines.get()));
    }

    /// Brings what the audit trail counts up to date.
    pub fn audit(&self, queued: usize, written: u64, dropped: u64, errors: u64) {
        self.audit_queue.set(i64::try_from(queued).unwrap_or(i64::MAX));
        for (counter, total) in [(&self.audit_records, written), (&self.audit_dropped, dropped), (&self.audit_write_errors, errors)] {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// The text that Prometheus scrapes.
    ///
    /// # Errors
    /// When a metric is inconsistent, which none here is.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = made?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_register_and_encode() {
        let metrics = Metrics::new().unwrap();
        let routes = metrics.route_counters(&["/a".into()]);
        let mut decision = Decision::bare(Reason::PermissionMissing);
        decision.route = Some("/a".into());
        metrics.decided(&decision, &routes, Duration::from_micros(12));
        metrics.refreshed("manager", "keys", "ok");
        metrics.keys_skipped("manager", ["malformed"]);
        metrics.configuration_loaded(true);
        let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
        assert!(text.contains(r#"portcullis_decisions_total{decision="deny",reason="permission_missing"} 1"#), "{text}");
        assert!(text.contains(r#"portcullis_route_decisions_total{decision="deny",route="/a"} 1"#), "{text}");
        assert!(text.contains(r#"portcullis_check_duration_seconds_bucket{decision="deny",le="0.000025"} 1"#), "{text}");
    }
}
