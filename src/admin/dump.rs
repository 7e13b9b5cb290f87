//! The policy in force and what was pulled for it, as JSON and as gauges.

use serde_json::{Value, json};

use super::Admin;
use crate::audit::Status;
use crate::clock;
use crate::state::loads::LastLoad;
use crate::state::{Live, Pulled};
use crate::telemetry::metrics::RouteCounters;

/// Brings the gauges that depend on the moment up to date, just before they are scraped.
pub(super) fn update_gauges(admin: &Admin) {
    let (live, metrics) = (&admin.live, &admin.metrics);
    let version = live.version();
    metrics.ready.set(i64::from(super::reasons(admin).is_empty()));
    metrics.configuration_age.set(version.since.elapsed().as_secs_f64());
    metrics.configuration_generation.set(i64::try_from(version.generation).unwrap_or(i64::MAX));
    metrics.configuration_failing.set(live.loads().failing_for().as_secs_f64());
    metrics.clock_behind.set(clock::behind().as_secs_f64());
    metrics.log_lines_dropped(admin.dropped_lines.count() as u64);
    if let Some(trail) = &admin.trail {
        let Status { queued, written, dropped, errors, .. } = trail.status();
        metrics.audit(queued, written, dropped, errors);
    }
    metrics.configuration_info.reset();
    metrics.configuration_info.with_label_values(&[&*version.snapshot.revision]).set(1);
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    live.tokens().settle();
    metrics.cached_tokens.set(count(live.tokens().len()));
    metrics.cached_token_bytes.set(count(live.tokens().weight()));
    live.targets().settle();
    metrics.remembered_targets.set(count(live.targets().len()));
    for gauge in [&metrics.keys_age, &metrics.revocations_age, &metrics.tenant_roles_age] {
        gauge.reset();
    }
    for gauge in [&metrics.keys, &metrics.revocation_entries] {
        gauge.reset();
    }
    for issuer in version.snapshot.issuers.iter() {
        let name = [&*issuer.name];
        if let Some(pulled) = live.pulled_keys(issuer.keys) {
            metrics.keys_age.with_label_values(&name).set(pulled.confirmed.elapsed().as_secs_f64());
            metrics.keys.with_label_values(&name).set(count(pulled.data.keys().count() as u64));
        }
        for rule in &issuer.revocations {
            if let Some(pulled) = live.pulled_revocations(rule.source) {
                let labels = [&*issuer.name, &*rule.name];
                metrics.revocations_age.with_label_values(&labels).set(pulled.confirmed.elapsed().as_secs_f64());
                metrics.revocation_entries.with_label_values(&labels).set(count(pulled.data.len() as u64));
            }
        }
        if let Some(pulled) = issuer.tenant_roles.source.and_then(|source| live.pulled_tenant_roles(source)) {
            metrics.tenant_roles_age.with_label_values(&name).set(pulled.confirmed.elapsed().as_secs_f64());
        }
    }
}

/// Everything that an operator may want to know of the policy in force. It holds no secret.
pub(super) fn configuration(admin: &Admin) -> Value {
    let version = admin.live.version();
    let snapshot = &version.snapshot;
    let live = &admin.live;
    admin.live.tokens().settle();
    admin.live.targets().settle();
    let issuers: Vec<Value> = snapshot
        .issuers
        .iter()
        .map(|issuer| {
            let keys = of_pulled(live, live.pulled_keys(issuer.keys), |keys| {
                let kids: Vec<_> = keys.keys().map(|key| key.key_id().unwrap_or_default().to_string()).collect();
                let skipped: Vec<_> = keys.skipped().iter().map(|cause| cause.label()).collect();
                vec![("kids", json!(kids)), ("skipped", json!(skipped))]
            });
            let revocations = issuer.revocations.iter().map(|rule| {
                let pulled = live.pulled_revocations(rule.source);
                (rule.name.to_string(), of_pulled(live, pulled, |list| vec![("entries", json!(list.len()))]))
            });
            let revocations: serde_json::Map<_, _> = revocations.collect();
            let tenant_roles = issuer
                .tenant_roles
                .source
                .map(|source| of_pulled(live, live.pulled_tenant_roles(source), |roles| vec![("roles", json!(roles.len()))]));
            json!({
                "name": &*issuer.name,
                "issuer": &*issuer.issuer,
                "audiences": issuer.audiences,
                "algorithms": issuer.algorithms.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>(),
                "keys": keys,
                "revocations": revocations,
                "tenant_roles": tenant_roles,
            })
        })
        .collect();
    json!({
        "revision": &*snapshot.revision,
        "generation": version.generation,
        "age_seconds": version.since.elapsed().as_secs_f64(),
        "last_load": admin.live.loads().last().map(|last| last_load(&last)),
        "failing_seconds": admin.live.loads().failing_for().as_secs_f64(),
        "issuers": issuers,
        "routes": snapshot.route_names.iter().map(|name| &**name).collect::<Vec<_>>(),
        "directory": snapshot.directory.map(|_| json!({ "remembered": admin.live.targets().len() })),
        "audit": audit(admin),
        "token_cache": { "entries": admin.live.tokens().len(), "bytes": admin.live.tokens().weight() },
    })
}

/// What there is to know of something that was pulled: how old it is, and this of what it says. Null as long as it is not there.
fn of_pulled<T>(live: &Live<RouteCounters>, pulled: Option<Pulled<T>>, says: impl FnOnce(&T) -> Vec<(&'static str, Value)>) -> Value {
    let Some(pulled) = pulled else { return Value::Null };
    let mut told = says(&pulled.data);
    told.push(("age_seconds", json!(pulled.confirmed.elapsed().as_secs_f64())));
    told.push(("from_disk", json!(live.is_from_disk(&pulled))));
    told.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// What came of the last attempt to load the configuration.
fn last_load(last: &LastLoad) -> Value {
    let at = jiff::Timestamp::from_millisecond(last.at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    json!({ "ok": last.is_ok(), "at": format!("{at:.3}"), "problems": last.problems, "total_problems": last.total })
}

/// Where the audit trail ends, for whoever keeps that elsewhere; null if there is no trail.
pub(super) fn audit(admin: &Admin) -> Value {
    admin.trail.as_ref().map_or(Value::Null, |trail| json!(trail.status()))
}
