//! The reference identity service: `portcullis-identity`.
//!
//! It makes the demo, the tests and local development real: it knows users and their memberships, logs them in to one
//! tenant at a time, issues RS256 access tokens with rotating refresh tokens, publishes its keys as a JWK Set, and tells
//! the sidecars within milliseconds which tokens no longer count. Its state is one SQLite database.
//!
//! It is a stand-in for the identity service that a user already has. So nothing of the sidecar may depend on it, and it
//! depends on nothing of the sidecar: the two meet only on the wire.
//!
//! ```text
//! cli ── seed ──────────────┐
//!  │                        ▼
//!  └─► serve ─► api ─► session, client, exchange ─► store (SQLite: every query and transaction)
//!               │         ├────► password (Argon2id)
//!               │         ├────► grant ─► rules (what roles stand for)
//!               │         │         └───► token ─► keys (RS256, JWK Set, rotation)
//!               └─────────┴────► revocation (feed, long poll)
//! ```
//!
//! One process owns one database: keys, rules and the newest feed position are also held in memory.

mod api;
mod bounded;
pub mod cli;
mod client;
mod clock;
mod duration;
mod error;
mod exchange;
mod grant;
mod id;
mod keys;
mod password;
mod revocation;
mod role;
mod rules;
mod seed;
mod session;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod totp;

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
use self::error::StartError;
use self::keys::KeyRing;
use self::password::Passwords;
use self::rules::Rules;
use self::settings::Settings;
use self::store::{Database, Store};

/// How long requests in flight may take to end after the service was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_millis(700);

/// How often rows that nothing can refer to any more are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// The service: what every request handler shares.
struct Identity {
    settings: Settings,
    clock: Clock,
    store: Store,
    passwords: Passwords,
    keys: Arc<KeyRing>,
    rules: RwLock<Arc<Rules>>,
    /// Cancelled when the service begins to stop; held requests answer at once.
    stopping: CancellationToken,
}

impl Identity {
    /// Opens the database (creating what is missing, the first signing key included).
    ///
    /// # Errors
    /// When the database cannot be opened or is not one of ours, or a key cannot be made or read.
    async fn open(database: &Database, settings: Settings, clock: Clock) -> Result<Arc<Self>, StartError> {
        let store = Store::open(database, settings.access_ttl).await?;
        let keys = KeyRing::load(&store, clock.now()).await?;
        let passwords = Passwords::new(settings.password_cost).await?;
        let rules = RwLock::new(Arc::new(store.rules().await?));
        Ok(Arc::new(Self { settings, clock, store, passwords, keys, rules, stopping: CancellationToken::new() }))
    }

    /// The rules of the last seed.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves the API on `listener` until [`Identity::stopping`] is cancelled.
///
/// From then on no connection is accepted, held requests are answered at once, and requests in flight have
/// [`DRAIN_LIMIT`] to end.
///
/// # Errors
/// When the listener fails for good.
async fn serve(listener: TcpListener, identity: Arc<Identity>) -> io::Result<()> {
    let stopping = identity.stopping.clone();
    let housekeeping = tokio::spawn(prune_regularly(Arc::clone(&identity)));

    // A revocation is a small answer that must not wait for more bytes to fill a segment.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let service = api::router(identity).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(stopping.clone().cancelled_owned()).into_future();
    let drained_too_long = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };

    let result = tokio::select! {
        result = server => result,
        () = drained_too_long => {
            tracing::warn!("requests still in flight were cut off");
            Ok(())
        }
    };
    housekeeping.abort();
    result
}

/// Deletes expired rows now and then. Answers never show them, so this is only about space.
async fn prune_regularly(identity: Arc<Identity>) {
    let mut interval = tokio::time::interval(PRUNE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = identity.store.prune(identity.clock.now()).await {
            tracing::warn!(%error, "cannot delete expired rows");
        }
    }
}
