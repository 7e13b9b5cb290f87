//! `revocations: { redis: … }`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::schema::SECOND;
use crate::config::schema::issuer::{duration_or, file, optional};
use crate::config::yaml::{Located, Map, Node};
use crate::pdp::revocation::RevocationKind;

/// The port where a URL names none.
const PORT: u16 = 6379;
/// The most keys of one source.
const MAX_KEYS: usize = 16;

/// Revocations in a Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSource {
    /// Where it is.
    pub address: RedisAddress,
    /// The number of the database.
    pub database: u32,
    /// As whom to sign in; `None`: as Redis's default user.
    pub username: Option<Box<str>>,
    /// A file with the password; `None`: none is asked for.
    pub password_file: Option<PathBuf>,
    /// What is read.
    pub data: RedisData,
    /// A key that is not there is a failure; otherwise it is an empty list.
    pub must_exist: bool,
    /// How often is asked whether there is something new, when Redis does not say so itself.
    pub refresh: Duration,
}

/// Where a Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisAddress {
    /// A host, an IPv6 address without brackets among others.
    Tcp {
        /// Its name or address.
        host: Box<str>,
        /// Its port.
        port: u16,
        /// Whether it speaks TLS.
        tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "rediss" } else { "redis" };
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{scheme}://{open}{host}{close}:{port}")
            }
            Self::Unix(path) => write!(f, "redis+unix://{}", path.display()),
        }
    }
}

/// What of a Redis is a list of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisData {
    /// Sets and sorted sets, all of which count.
    Sets {
        /// Their keys.
        keys: Vec<Box<str>>,
        /// What their members are.
        ids: RevokedIds,
        /// What the scores of sorted sets are; `None`: there are none.
        scores: Option<RedisScores>,
    },
    /// A stream, whose entries are those of the feed.
    Stream(Box<str>),
}

/// What the members of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedIds {
    /// A kind and an id: `jti:…`.
    Named,
    /// Ids, all of this kind.
    Of(RevocationKind),
}

/// What the scores of a sorted set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisScores {
    /// Seconds since the epoch, from when on no token carries the id any more.
    Expires,
    /// Seconds since the epoch: only tokens issued earlier are revoked.
    Before,
    /// They mean nothing.
    Ignored,
}

impl RedisSource {
    /// What tells it from others: where and what it is, without how often it is asked.
    pub(in crate::config) fn identity(&self) -> String {
        format!("{} {} {:?}", self.address, self.database, self.data)
    }
}

pub(super) fn read(map: &mut Map<'_>, max_staleness: Option<Duration>, problems: &mut Problems) -> Option<RedisSource> {
    let place = map.take("redis").and_then(|node| node.string(problems)).and_then(|text| text.convert(problems, |text| address(&text)));
    let username = map.take("username").map(|node| node.string(problems).map(|name| name.value.into()));
    let password_file = map.take("password_file").map(|node| file(&node, problems));
    let has_password = password_file.is_some();
    if username.is_some() && !has_password {
        map.node.problem(problems, "'username' needs a 'password_file'");
    }
    let kind = map.take("kind").map(|node| ids(&node, problems));
    let scores = map.take("scores").map(|node| {
        node.choice(problems, &[("expires", RedisScores::Expires), ("before", RedisScores::Before), ("ignored", RedisScores::Ignored)])
    });
    let must_exist = map.take("must_exist").map_or(Some(false), |node| node.bool(problems));
    let set = map.take("set").map(|node| keys(&node, problems));
    let stream = map.take("stream").map(|node| node.string(problems).map(|key| key.value.into()));
    let (only_for_sets, data) = match (set, stream) {
        (Some(keys), None) => {
            let ids = optional(kind).map(|kind| kind.unwrap_or(RevokedIds::Named));
            (None, keys.and_then(|keys| Some(RedisData::Sets { keys, ids: ids?, scores: optional(scores)? })))
        }
        (None, Some(key)) => {
            let odd = [kind.map(|_| "kind"), scores.map(|_| "scores")].into_iter().flatten().next();
            (odd, key.map(RedisData::Stream))
        }
        (None, None) => {
            map.node.problem(problems, "say what to read of Redis: 'set', the key of a set or sorted set (or a list of keys), or 'stream'");
            (None, None)
        }
        (Some(_), Some(_)) => {
            map.node.problem(problems, "there can be 'set' or 'stream', not both; write a list of two sources");
            (None, None)
        }
    };
    if let Some(name) = only_for_sets {
        map.node.problem(problems, format!("'{name}' is for sets; the entries of a stream have fields: type, id, before, expires"));
        return None;
    }
    let refresh = duration_or(map.take("refresh"), problems, SECOND, Duration::from_millis(100)..=3600 * SECOND);
    if refresh.zip(max_staleness).is_some_and(|(refresh, max_staleness)| refresh >= max_staleness) {
        map.node.problem(problems, "'refresh' must be less than 'max_staleness', or the list would be out of date most of the time");
        return None;
    }
    let (address, database) = place?.value;
    Some(RedisSource {
        address,
        database,
        username: optional(username)?,
        password_file: optional(password_file)?,
        data: data?,
        must_exist: must_exist?,
        refresh: refresh?,
    })
}

/// The kinds by the names that entries have.
fn ids(node: &Node<'_>, problems: &mut Problems) -> Option<RevokedIds> {
    let choices = RevocationKind::ALL.map(|kind| (kind.name(), RevokedIds::Of(kind)));
    node.choice(problems, &choices)
}

fn keys(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let mut keys: Vec<Box<str>> = Vec::new();
    for Located { value, location, key } in node.strings(problems)? {
        if keys.iter().any(|known| **known == *value) {
            Located { value: (), location, key }.problem(problems, format!("the key '{value}' is there twice"));
        } else {
            keys.push(value.into());
        }
    }
    if keys.is_empty() || keys.len() > MAX_KEYS {
        node.problem(problems, format!("there must be from 1 to {MAX_KEYS} keys"));
        return None;
    }
    Some(keys)
}

/// Where a Redis is, and the number of the database.
fn address(text: &str) -> Result<(RedisAddress, u32), String> {
    const FORMS: &str = "such as 'redis://127.0.0.1:6379/0', 'rediss://redis.example.com' or 'redis+unix:///run/redis.sock?db=0'";
    let wrong = |why: &str| format!("this is no address of a Redis ({why}); write one {FORMS}");
    if let Some(rest) = text.strip_prefix("redis+unix://") {
        let (path, query) = rest.split_once('?').unwrap_or((rest, "db=0"));
        if !path.starts_with('/') {
            return Err(wrong("the socket's path must be absolute"));
        }
        let database =
            query.strip_prefix("db=").and_then(|number| number.parse().ok()).ok_or_else(|| wrong("after '?' there can be 'db=1'"))?;
        return Ok((RedisAddress::Unix(path.into()), database));
    }
    // Looked for before anything else, so that no password is ever repeated in a message.
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    if authority.contains('@') {
        return Err("an address here cannot hold a user or a password: write 'username', and a file as 'password_file'".into());
    }
    if text.contains(['?', '#']) {
        return Err(wrong("it has options"));
    }
    let uri: http::Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
    let tls = match uri.scheme_str() {
        Some("redis") => false,
        Some("rediss") => true,
        _ => return Err(wrong("it begins with none of redis://, rediss://, redis+unix://")),
    };
    let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']')).filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| wrong("it has no host"))?;
    let port = uri.authority().map_or("", |authority| authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, port)| port));
    let port = match port.rsplit_once(':') {
        None => PORT,
        Some((_, digits)) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("its port is none"))?,
    };
    let database = match uri.path() {
        "" | "/" => 0,
        path => {
            path.strip_prefix('/').and_then(|number| number.parse().ok()).ok_or_else(|| wrong("its path is no number of a database"))?
        }
    };
    Ok((RedisAddress::Tcp { host: host.into(), port, tls }, database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_redis_writes_them() {
        let shown = |text: &str| address(text).map(|(address, database)| format!("{address} {database}"));
        for (text, wanted) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379 0"),
            ("redis://redis.example.com:6380/", "redis://redis.example.com:6380 0"),
            ("rediss://redis.example.com/15", "rediss://redis.example.com:6379 15"),
            ("redis://[::1]:1234/2", "redis://[::1]:1234 2"),
            ("redis://[::1]", "redis://[::1]:6379 0"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock 0"),
            ("redis+unix:///run/redis.sock?db=3", "redis+unix:///run/redis.sock 3"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(wanted), "{text}");
        }
        for text in [
            "127.0.0.1:6379",
            "http://127.0.0.1",
            "redis://",
            "redis:///0",
            "redis://a:0",
            "redis://a:x",
            "redis://a/b",
            "redis://a/-1",
            "redis://a/0/1",
            "redis://a?db=1",
            "rediss://a/#insecure",
            "redis+unix://run/redis.sock",
            "redis+unix:///run/redis.sock?db=x",
            "redis+unix:///run/redis.sock?pass=x",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        for text in ["redis://:hunter2@a", "redis://u:hunter2@a/0", "redis://u:hunt er2@a", "rediss://u:hunter2#@a"] {
            let error = address(text).unwrap_err();
            assert!(error.contains("password_file") && !error.contains("hunt"), "{error}");
        }
    }
}
