//! An issuer's `revocations`: one source or several.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{Map, Node, list};
use crate::pdp::token::profile::WhenStale;

use super::issuer::{choice_or, duration_or, file, optional, url};
use super::{DAY, SECOND};

mod redis;

pub use redis::{RedisAddress, RedisData, RedisScores, RedisSource, RevokedIds};

/// A source of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationSource {
    /// Where it is, and how it is read.
    pub origin: RevocationOrigin,
    /// For how long what it said is good after it last confirmed it.
    pub max_staleness: Duration,
    /// What happens then.
    pub when_stale: WhenStale,
}

/// Where revocations come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOrigin {
    /// The feed of an identity service.
    Feed(RevocationFeed),
    /// A file, which is looked at every second.
    File(PathBuf),
    /// A Redis.
    Redis(RedisSource),
}

impl RevocationOrigin {
    /// What it is called in metrics, logs and dumps.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Feed(_) => "feed",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
        }
    }

    /// What tells it from others: where it is, without how often it is asked.
    pub(in crate::config) fn identity(&self) -> String {
        match self {
            Self::Feed(feed) => format!("{:?}", feed.url),
            Self::File(path) => format!("{path:?}"),
            Self::Redis(redis) => redis.identity(),
        }
    }
}

/// The feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationFeed {
    /// Where it is.
    pub url: http::Uri,
    /// A file with the bearer token that it asks for.
    pub token_file: Option<PathBuf>,
    /// For how long the server may hold a request until there is something new.
    pub wait: Duration,
}

/// What stands under `revocations`.
#[derive(Debug)]
pub(crate) enum RevocationSchema {
    Source(RevocationSource),
    StatusList(StatusListSource),
}

/// A Token Status List (draft-ietf-oauth-status-list-20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusListSource {
    /// Its URL as it is written, which is what tokens have to say too.
    pub uri: Box<str>,
    /// The same, to fetch it from.
    pub url: http::Uri,
    /// How often it is fetched, unless it asks for more.
    pub refresh: Duration,
    /// For how long it is good after it was last confirmed, unless it expires before.
    pub max_staleness: Duration,
    /// What happens then.
    pub when_stale: WhenStale,
}

/// The keys that say what kind of source it is.
const KINDS: [&str; 4] = ["url", "file", "redis", "status_list"];

pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Vec<Option<RevocationSchema>> {
    if !node.is_list() {
        return vec![entry(node, problems)];
    }
    let nodes = node.items(problems).unwrap_or_default();
    if nodes.is_empty() {
        node.problem(problems, "there must be at least one source; leave the key out if nothing is revoked before it expires");
    }
    nodes.iter().map(|node| entry(node, problems)).collect()
}

/// A status list differs from the others in what it is for: the tokens that refer to it, and no others.
fn entry(node: &Node<'_>, problems: &mut Problems) -> Option<RevocationSchema> {
    let map = node.map(problems)?;
    if KINDS.into_iter().filter(|kind| map.has(kind)).eq(["status_list"]) {
        return status_list(map, node, problems).map(RevocationSchema::StatusList);
    }
    source(node, problems).map(RevocationSchema::Source)
}

fn status_list(mut map: Map<'_>, node: &Node<'_>, problems: &mut Problems) -> Option<StatusListSource> {
    let location = map.take("status_list").and_then(|node| Some((node.string(problems)?.value, url(&node, problems)?)));
    let refresh = duration_or(map.take("refresh"), problems, 60 * SECOND, SECOND..=DAY);
    let max_staleness = duration_or(map.take("max_staleness"), problems, 300 * SECOND, SECOND..=30 * DAY);
    let when_stale =
        choice_or(map.take("when_stale"), problems, WhenStale::Deny, &[("deny", WhenStale::Deny), ("fail_open", WhenStale::FailOpen)]);
    map.finish(problems);
    let ((uri, url), refresh, max_staleness) = (location?, refresh?, max_staleness?);
    if refresh >= max_staleness {
        node.problem(problems, "'refresh' must be less than 'max_staleness', or the list would be too old each time before it is fetched");
        return None;
    }
    Some(StatusListSource { uri: uri.into(), url, refresh, max_staleness, when_stale: when_stale? })
}

fn source(node: &Node<'_>, problems: &mut Problems) -> Option<RevocationSource> {
    let mut map = node.map(problems)?;
    let max_staleness = duration_or(map.take("max_staleness"), problems, 60 * SECOND, SECOND..=30 * DAY);
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| map.has(kind)).collect();
    let origin = match kinds.as_slice() {
        ["file"] => map.take("file").and_then(|node| file(&node, problems)).map(RevocationOrigin::File),
        ["redis"] => redis::read(&mut map, max_staleness, problems).map(RevocationOrigin::Redis),
        ["url"] | [] => feed(&mut map, node, max_staleness, problems),
        several => {
            node.problem(problems, format!("{} are sources of their own; write a list of them", list(several)));
            return None;
        }
    };
    let when_stale =
        choice_or(map.take("when_stale"), problems, WhenStale::Deny, &[("deny", WhenStale::Deny), ("fail_open", WhenStale::FailOpen)]);
    map.finish(problems);
    Some(RevocationSource { origin: origin?, max_staleness: max_staleness?, when_stale: when_stale? })
}

fn feed(map: &mut Map<'_>, node: &Node<'_>, max_staleness: Option<Duration>, problems: &mut Problems) -> Option<RevocationOrigin> {
    let url = map
        .require(problems, "url", "where the feed is, such as 'https://id.example.com/v1/revocations'")
        .and_then(|node| url(&node, problems));
    let wait = duration_or(map.take("wait"), problems, 30 * SECOND, Duration::ZERO..=60 * SECOND);
    let token_file = map.take("token_file").map(|node| file(&node, problems));
    if wait.zip(max_staleness).is_some_and(|(wait, max_staleness)| wait >= max_staleness) {
        node.problem(problems, "'wait' must be less than 'max_staleness': while the server holds a request, the list gets no younger");
        return None;
    }
    Some(RevocationOrigin::Feed(RevocationFeed { url: url?, token_file: optional(token_file)?, wait: wait? }))
}
