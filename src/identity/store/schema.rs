//! The tables, in numbered versions (`PRAGMA user_version`).

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::id::random_id;
use super::{Result, StoreError, query_optional};

/// One entry per version: what turns the version before into it. Entries are never changed, only added.
const MIGRATIONS: [&str; 2] = [VERSION_1, VERSION_2];

// Times are unix seconds. Lists and maps are JSON. A membership or session without a tenant is a platform user's
// (realm `system`), so the realm is not stored a second time. `acted_until` is when the last token expires that acts for
// another in the session.
const VERSION_1: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    services   TEXT NOT NULL,
    roles      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id             TEXT PRIMARY KEY,
    email          TEXT NOT NULL UNIQUE,
    password_hash  TEXT NOT NULL,
    totp_secret    BLOB,
    totp_step      INTEGER NOT NULL DEFAULT 0,
    totp_failures  INTEGER NOT NULL DEFAULT 0,
    totp_failed_at INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant_id   TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    roles       TEXT NOT NULL,
    permissions TEXT NOT NULL,
    attributes  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX memberships_in_tenants ON memberships (user_id, tenant_id) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX memberships_of_platform ON memberships (user_id) WHERE tenant_id IS NULL;

CREATE TABLE clients (
    id          TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL,
    tenant_id   TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    roles       TEXT NOT NULL,
    permissions TEXT NOT NULL,
    attributes  TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant_id   TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    device      TEXT,
    ip          TEXT NOT NULL,
    user_agent  TEXT,
    amr         TEXT NOT NULL,
    access_ttl  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    last_active INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    acted_until INTEGER,
    revoked_at  INTEGER
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_tenant ON sessions (tenant_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    digest     BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE signing_keys (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    kid        TEXT NOT NULL UNIQUE,
    pkcs8      BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    signing    INTEGER NOT NULL CHECK (signing IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX one_key_signs ON signing_keys (signing) WHERE signing = 1;

CREATE TABLE revocations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    type     TEXT NOT NULL CHECK (type IN ('jti', 'sid', 'sub', 'tenant', 'client', 'kid')),
    id       TEXT NOT NULL,
    before   INTEGER,
    expires  INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_id ON revocations (type, id);
CREATE INDEX revocations_by_expiry ON revocations (expires);
";

// When an entry was published, with its fraction: for measuring how long it takes to be in force elsewhere.
const VERSION_2: &str = "ALTER TABLE revocations ADD COLUMN at REAL;";

/// Brings the schema up to date, in one transaction.
pub fn migrate(connection: &mut Connection) -> Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if !(0..=newest).contains(&found) {
        return Err(StoreError::Unusable(format!(
            "it has schema version {found}, and this program knows 0 to {newest}; use the program that wrote it, or another file"
        )));
    }
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found == 0 && tables > 0 {
        return Err(StoreError::Unusable("it belongs to another program; name another file".to_owned()));
    }
    let done = usize::try_from(found).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "user_version", newest)?;
    tx.commit()?;
    Ok(())
}

/// The identity of this database: random, made once.
pub fn database_id(tx: &Transaction<'_>) -> Result<String> {
    if let Some(id) = meta(tx, "database_id")? {
        return Ok(id);
    }
    let id = random_id().map_err(|error| StoreError::Unusable(error.to_string()))?;
    set_meta(tx, "database_id", &id)?;
    Ok(id)
}

/// Records `access_ttl` (seconds) if it is the longest so far, and returns the longest.
pub fn raise_longest_access_ttl(tx: &Transaction<'_>, access_ttl: i64) -> Result<i64> {
    let known = meta(tx, "longest_access_ttl")?
        .map(|text| text.parse::<i64>().map_err(|_| StoreError::Corrupt("meta".to_owned())))
        .transpose()?
        .unwrap_or(0);
    let longest = access_ttl.max(known);
    set_meta(tx, "longest_access_ttl", &longest.to_string())?;
    Ok(longest)
}

/// The value of a name, if it was set.
pub fn meta(tx: &Transaction<'_>, name: &str) -> Result<Option<String>> {
    query_optional(tx, "SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

/// Sets the value of a name.
pub fn set_meta(tx: &Transaction<'_>, name: &str, value: &str) -> Result<()> {
    tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", [name, value])?;
    Ok(())
}
