//! The connection to a Redis, with a deadline on everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, cmd};
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::link::{Budget, Link};
use super::{failure, replication};
use crate::config::{RedisAddress, RedisData, RedisSource, TlsFiles};
use crate::pip::MAX_SECRET;
use crate::pip::disk::Disk;
use crate::pip::http_client;
use crate::pip::refresh::Failure;

/// How long a connection may take to be there, signing in included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// What Redis said without being asked.
#[derive(Debug, Default)]
struct Pushed {
    changed: AtomicBool,
    wake: Notify,
}

/// A connection on which one question is asked at a time.
pub(super) struct Connection {
    inner: MultiplexedConnection,
    budget: Budget,
    /// What moves the bytes.
    _driver: AbortOnDropHandle<()>,
    pushed: Arc<Pushed>,
    /// Redis says when a key changes that was read.
    tracks: bool,
}

impl Connection {
    /// Connects and signs in.
    pub(super) async fn open(settings: &RedisSource, tls: &TlsFiles, disk: &Disk) -> Result<Self, Failure> {
        // A disk that is slow takes nothing from the time that Redis has.
        let who = identity(settings, disk).await?;
        let tls = match settings.address {
            RedisAddress::Tcp { tls: true, .. } => Some(configuration(tls, disk).await?),
            RedisAddress::Tcp { tls: false, .. } | RedisAddress::Unix(_) => None,
        };
        let opened = timeout(CONNECT, Self::sign_in(settings, &who, tls)).await;
        let mut connection = opened.map_err(|_| failure("timeout", "the connection took too long".into()))??;
        match connection.ask::<()>(cmd("CLIENT").arg("TRACKING").arg("ON")).await {
            Ok(()) => connection.tracks = true,
            // The connection itself is fine: whoever may not be told of changes looks for them.
            Err(failure) if matches!(failure.label, "denied" | "server") => {
                tracing::info!(redis = %settings.address, why = %failure.message, "this Redis does not tell of changes, so it is asked every 'refresh'");
            }
            Err(failure) => return Err(failure),
        }
        Ok(connection)
    }

    async fn sign_in(settings: &RedisSource, who: &RedisConnectionInfo, tls: Option<ClientConfig>) -> Result<Self, Failure> {
        let link = Link::open(&settings.address, tls).await?;
        let budget = link.budget();
        let pushed = Arc::new(Pushed::default());
        let heard = Arc::clone(&pushed);
        // Whatever it is (a key that changed, all of them, the end of the connection): look at everything again.
        let on_push = move |_: PushInfo| {
            heard.changed.store(true, Ordering::Release);
            heard.wake.notify_one();
            Ok::<(), Infallible>(())
        };
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER)).set_push_sender(on_push);
        let opened = MultiplexedConnection::new_with_config(who, link, config).await;
        let (inner, driver) = opened.map_err(|error| described(&error))?;
        Ok(Self { inner, budget, _driver: AbortOnDropHandle::new(tokio::spawn(driver)), pushed, tracks: false })
    }

    /// Asks for something.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        self.budget.renew();
        let answer = command.query_async(&mut self.inner.clone()).await;
        answer.map_err(|error| if self.budget.is_exceeded() { failure("too_large", error.to_string()) } else { described(&error) })
    }

    /// By how much what Redis holds may be behind.
    pub(super) async fn lag(&self) -> Result<Duration, Failure> {
        let info: String = self.ask(cmd("INFO").arg("replication")).await?;
        replication::lag(&info).map_err(|message| failure("replica", message))
    }

    /// Whether a key changed since this was last asked. For sets, it may have if Redis does not tell of changes; a stream says by
    /// itself whether it changed.
    pub(super) fn take_changed_or_unknown(&self, data: &RedisData) -> bool {
        let changed = self.pushed.changed.swap(false, Ordering::AcqRel);
        match data {
            RedisData::Sets { .. } => changed || !self.tracks,
            RedisData::Stream(_) => false,
        }
    }

    /// Waits until Redis says that something changed, at most this long.
    pub(super) async fn changed_within(&self, most: Duration) {
        if !self.pushed.changed.load(Ordering::Acquire) {
            // Either way, Redis is asked next.
            let _ = timeout(most, self.pushed.wake.notified()).await;
        }
    }
}

/// As whom to sign in, and where.
async fn identity(settings: &RedisSource, disk: &Disk) -> Result<RedisConnectionInfo, Failure> {
    let mut who = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(i64::from(settings.database))
        .set_lib_name("portcullis", env!("CARGO_PKG_VERSION"));
    let Some(file) = &settings.password_file else { return Ok(who) };
    let text = disk.read(file, MAX_SECRET).await.map_err(|message| failure("password_file", message))?;
    let text = str::from_utf8(&text).map_err(|_| failure("password_file", format!("{}: it is no text", file.display())))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(failure("password_file", format!("{}: there is no password in it", file.display())));
    }
    who = who.set_password(password);
    Ok(match &settings.username {
        Some(username) => who.set_username(username),
        None => who,
    })
}

/// Whom to trust and who we are, as the files say at this moment.
async fn configuration(tls: &TlsFiles, disk: &Disk) -> Result<ClientConfig, Failure> {
    let files = http_client::TlsFiles { ca: tls.ca.clone(), client: tls.client.clone() };
    let loaded = disk.wait(move || files.load()).await;
    loaded.flatten().map_err(|message| failure("tls_files", message))
}

/// An error in our words.
fn described(error: &RedisError) -> Failure {
    let (label, message) = match (error.code(), error.kind()) {
        (Some("NOAUTH" | "WRONGPASS"), _) | (_, ErrorKind::AuthenticationFailed) => {
            ("auth", "Redis asks for another user or password than 'username' and 'password_file' give".to_string())
        }
        (Some("NOPERM"), _) => ("denied", format!("Redis does not let this user ask that: {error}")),
        (Some("WRONGTYPE"), _) => ("wrong_type", format!("a key is of another type than it was: {error}")),
        (Some("LOADING"), _) => ("loading", "Redis is still loading its data".to_string()),
        (Some("MASTERDOWN"), _) => ("replica", "this Redis is a replica that is cut off from its master".to_string()),
        (Some("MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT"), _) => {
            ("cluster", format!("the key lies on another node of a cluster, which is not looked for: {error}"))
        }
        (_, ErrorKind::RESP3NotSupported) => ("server", "this Redis is older than version 6, which is needed".to_string()),
        (_, ErrorKind::Parse | ErrorKind::UnexpectedReturnType) => ("invalid", format!("Redis gave an answer of another shape: {error}")),
        _ if error.is_timeout() => ("timeout", "Redis did not answer in time".to_string()),
        _ if error.is_io_error() || error.is_connection_dropped() => ("connect", error.to_string()),
        _ => ("server", error.to_string()),
    };
    failure(label, message)
}
