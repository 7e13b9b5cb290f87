//! The database: the only module (with its children) that knows SQL.
//!
//! Every method is one transaction on a blocking thread. Whatever adds to the revocation feed announces its new position
//! after the commit, on the same thread: a request that was given up half-way cannot lose the announcement.

mod acting;
mod clients;
mod directory;
mod revocations;
mod schema;
mod seed;
mod sessions;
mod signing_keys;
#[cfg(test)]
mod tests;
mod totp;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use tokio::sync::watch;

use super::clock::UnixTime;

pub use self::acting::{ActingFor, Acts};
pub use self::clients::NewClient;
pub use self::directory::{Entitlements, Membership, NewMembership, NewTenant, NewUser, TenantCreation};
pub use self::revocations::{Cursor, FeedPage, RevocationType, TokenIds};
pub use self::seed::{Additions, SeedConflict};
pub use self::sessions::{NewSession, Opened, Refreshed, Session};
pub use self::signing_keys::{KeyRemoval, StoredKey};

/// How long after the last token of a revoked thing has expired its revocation is still published, in seconds: room for
/// clocks that differ and for leeway.
const REVOCATION_MARGIN: i64 = 5 * 60;

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// Lost when the process ends.
    Memory,
    /// A file, created when it does not exist, readable by its owner alone.
    File(PathBuf),
}

impl From<&str> for Database {
    fn from(text: &str) -> Self {
        match text {
            ":memory:" => Self::Memory,
            path => Self::File(path.into()),
        }
    }
}

/// Why the database could not do its work. Never shown to a client.
#[derive(Debug)]
pub enum StoreError {
    /// The database is not usable by this program.
    Unusable(String),
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// A row holds what this program would not have written.
    Corrupt(String),
    /// The thread that did the work ended.
    Thread(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) | Self::Thread(why) => f.write_str(why),
            Self::Sqlite(error) => write!(f, "{error}"),
            Self::Corrupt(what) => write!(f, "unreadable row: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The open database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    /// Tells a cursor of this database from one of another.
    database_id: String,
    /// The longest lifetime, in seconds, that any access token of this database may have.
    longest_access_ttl: i64,
    /// The position of the newest revocation.
    head: watch::Sender<i64>,
}

impl Store {
    /// Opens or creates the database and brings its schema up to date. `access_ttl` is the longest lifetime of access
    /// tokens from now on, in seconds; longer ones from an earlier run are remembered, since their tokens may live.
    ///
    /// # Errors
    /// When the file cannot be opened, is not ours, or was written by a newer version.
    pub async fn open(database: &Database, access_ttl: i64) -> Result<Self> {
        let database = database.clone();
        on_blocking_thread(move || {
            let mut connection = connect(&database)?;
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let database_id = schema::database_id(&tx)?;
            let longest_access_ttl = schema::raise_longest_access_ttl(&tx, access_ttl)?;
            let head = revocations::head(&tx)?;
            tx.commit()?;
            Ok(Self {
                inner: Arc::new(Inner {
                    connection: Mutex::new(connection),
                    database_id,
                    longest_access_ttl,
                    head: watch::Sender::new(head),
                }),
            })
        })
        .await
    }

    /// Tells when the position of the newest revocation has changed.
    pub fn watch_head(&self) -> watch::Receiver<i64> {
        self.inner.head.subscribe()
    }

    /// Deletes what has expired by `now`: revocations, refresh tokens and sessions.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn prune(&self, now: UnixTime) -> Result<()> {
        self.write(move |tx, _| {
            tx.execute("DELETE FROM revocations WHERE expires <= ?1", [now])?;
            tx.execute("DELETE FROM refresh_tokens WHERE expires_at <= ?1", [now])?;
            tx.execute("DELETE FROM sessions WHERE expires_at <= ?1", [now])?;
            Ok(())
        })
        .await
    }

    /// When a revocation made at `now` can be forgotten: no token that it concerns is alive any more.
    fn forget_after(&self, now: UnixTime) -> UnixTime {
        now.saturating_add(self.inner.longest_access_ttl).saturating_add(REVOCATION_MARGIN)
    }

    /// Runs `work` in one read transaction.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Transaction<'_>, &Self) -> Result<T> + Send + 'static) -> Result<T> {
        self.run(TransactionBehavior::Deferred, work).await
    }

    /// Runs `work` in one write transaction, commits it unless it fails, and announces new revocations.
    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&Transaction<'_>, &Self) -> Result<T> + Send + 'static) -> Result<T> {
        self.run(TransactionBehavior::Immediate, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>, &Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        on_blocking_thread(move || {
            // A panic while the lock was held has rolled its transaction back: the connection is as good as before.
            let mut connection = store.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let tx = connection.transaction_with_behavior(behavior)?;
            let result = work(&tx, &store)?;
            let head = revocations::head(&tx)?;
            tx.commit()?;
            // Still under the lock, so positions are announced in their order.
            store.inner.head.send_if_modified(|known| std::mem::replace(known, head) != head);
            Ok(result)
        })
        .await
    }
}

async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Thread(error.to_string()))?
}

fn connect(database: &Database) -> Result<Connection> {
    let mut connection = match database {
        Database::Memory => Connection::open_in_memory()?,
        Database::File(path) => {
            let unusable = |error: &dyn fmt::Display| StoreError::Unusable(format!("cannot open {:?}: {error}", path.display()));
            create_private(path).map_err(|error| unusable(&error))?;
            let connection = Connection::open(path).map_err(|error| unusable(&error))?;
            // Readers do not wait for writers; each commit is on disk before it is answered (synchronous stays FULL).
            connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| unusable(&error))?;
            connection
        }
    };
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Creates the file, if there is none, for its owner alone: it holds signing keys. SQLite gives its side files the same
/// permissions.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// The single row of `sql`, or nothing.
fn query_optional<T>(
    tx: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    row: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    Ok(tx.prepare_cached(sql)?.query_row(params, row).optional()?)
}

#[cfg(test)]
impl Store {
    /// How many requests wait for news.
    pub fn watchers(&self) -> usize {
        self.inner.head.receiver_count()
    }

    /// Every value of every row, as text.
    pub async fn dump(&self) -> String {
        use rusqlite::types::ValueRef;
        self.read(|tx, _| {
            let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
            let names: Vec<String> = tx.prepare(tables)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let mut text = String::new();
            for name in names {
                let mut select = tx.prepare(&format!("SELECT * FROM {name}"))?;
                let columns = select.column_count();
                let mut rows = select.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        let value: Vec<u8> = match row.get_ref(column)? {
                            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                            other => format!("{other:?}").into_bytes(),
                        };
                        text.push_str(&String::from_utf8_lossy(&value));
                        text.push('|');
                    }
                    text.push('\n');
                }
            }
            Ok(text)
        })
        .await
        .unwrap()
    }
}
