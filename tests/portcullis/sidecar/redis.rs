//! Revocations in a real Redis.

mod failures;
mod kinds;
mod replica;
mod tls;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::redis::Redis;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

/// So seldom asked that only Redis itself can have said what changed within the patience of a test.
const SELDOM: &str = "refresh: 90s, max_staleness: 1h";
/// Asked often, and soon too old.
const OFTEN: &str = "refresh: 200ms, max_staleness: 3s";

/// A sidecar and the Redis that it reads revocations from.
struct Pair {
    lab: Lab,
    redis: Redis,
    _folder: TempDir,
}

impl Pair {
    /// Both, the sidecar ready.
    async fn ready(source: &str) -> Self {
        let folder = mesh::folder();
        let redis = Redis::start(folder.path()).await;
        let pair = Self::of(redis, folder, source).await;
        pair.lab.sidecar.ready().await;
        pair
    }

    /// With a Redis that is there already. The sidecar listens and need not be ready.
    async fn of(redis: Redis, folder: TempDir, source: &str) -> Self {
        let lab = Lab::unready(|text| with_source(&text, &redis, source)).await;
        Self { lab, redis, _folder: folder }
    }

    /// Why a token with these claims is let through or refused.
    async fn reason(&self, bearer: &str) -> String {
        self.lab.sidecar.ask(&Ask::get(POST).header("authorization", bearer)).await.reason
    }

    /// Waits until that is the reason.
    async fn becomes(&self, bearer: &str, reason: &str) {
        wait::until_true(reason, PATIENCE, async || self.reason(bearer).await == reason).await;
    }

    /// How many refreshes came to this.
    async fn counted(&self, result: &str) -> f64 {
        let series = format!("portcullis_refreshes_total{{feed=\"revocations\",issuer=\"main\",result=\"{result}\"}}");
        self.lab.sidecar.metrics().await.find(&series).unwrap_or(0.0)
    }

    /// Waits until one more came to this.
    async fn counts(&self, result: &str) {
        let before = self.counted(result).await;
        wait::until_true(&format!("a refresh that is '{result}'"), PATIENCE, async || self.counted(result).await > before).await;
    }

    /// Waits until the sidecar holds so many entries.
    async fn holds(&self, entries: f64) {
        let series = "portcullis_revocation_entries{issuer=\"main\",source=\"redis\"}";
        let held = async || self.lab.sidecar.metrics().await.find(series).is_some_and(|held| (held - entries).abs() < 0.5);
        wait::until_true(&format!("{entries} entries"), PATIENCE, held).await;
    }
}

/// The usual policy with a Redis for the feed.
fn with_source(policy: &str, redis: &Redis, source: &str) -> String {
    let start = policy.find("revocations: { url:").expect("a feed");
    let feed = policy[start..].lines().next().unwrap();
    edit(policy, feed, &format!(r#"revocations: {{ redis: "{}", {source} }}"#, redis.url()))
}

/// A token with these claims, as a header.
fn bearer(claims: Value) -> String {
    format!("Bearer {}", token::mint(claims))
}

/// A token of this session.
fn of_session(session: &str) -> String {
    bearer(json!({ "sid": session }))
}

const PASSES: &str = "allowed";
const REVOKED: &str = "token_revoked";
const STALE: &str = "revocations_stale";
