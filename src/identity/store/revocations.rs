//! Revocations: what is published, in the order in which it happened.

#[cfg(test)]
mod tests;

use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, ToSql, Transaction, params};
use serde::{Deserialize, Serialize, Serializer};

use super::super::clock::UnixTime;
use super::{Result, Store, query_optional};

/// Which claim of a token an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevocationType {
    /// One token (`jti`).
    Jti,
    /// One session (`sid`).
    Sid,
    /// One user (`sub`).
    Sub,
    /// One tenant (`tenant_id`).
    Tenant,
    /// One client (`client_id`).
    Client,
    /// One signing key (`kid` of the header).
    Kid,
}

impl RevocationType {
    const ALL: [Self; 6] = [Self::Jti, Self::Sid, Self::Sub, Self::Tenant, Self::Client, Self::Kid];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jti => "jti",
            Self::Sid => "sid",
            Self::Sub => "sub",
            Self::Tenant => "tenant",
            Self::Client => "client",
            Self::Kid => "kid",
        }
    }

    /// Whether tokens of such a thing can be told apart by when they were issued, so that `before` makes sense.
    pub fn outlives_its_tokens(self) -> bool {
        matches!(self, Self::Sub | Self::Tenant | Self::Client)
    }
}

impl ToSql for RevocationType {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for RevocationType {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(FromSqlError::InvalidType)
    }
}

/// One entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// The claim that it is about.
    #[serde(rename = "type")]
    pub kind: RevocationType,
    /// The claim's value.
    pub id: String,
    /// Only tokens issued (`iat`) before this time are revoked; without it, all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<UnixTime>,
    /// When the entry can be forgotten, because no token that it concerns is alive any more.
    pub expires: UnixTime,
}

/// An entry as the feed tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The entry.
    #[serde(flatten)]
    pub revocation: Revocation,
    /// When it was published, in seconds with a fraction, so that it can be measured how long it takes to be in force elsewhere.
    /// `None`: by an earlier version of this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
}

/// A position in the feed of one database: `<database id>-<sequence>`. A cursor of another database names no position
/// of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    database_id: String,
    sequence: i64,
}

impl Cursor {
    /// Reads a cursor; anything that is not one in our exact spelling is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (database_id, sequence) = text.split_once('-')?;
        let cursor = Self { database_id: database_id.to_owned(), sequence: sequence.parse().ok().filter(|sequence| *sequence >= 0)? };
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.database_id, self.sequence)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the feed answers to one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedPage {
    /// The position after the newest entry: ask for what comes after it.
    pub cursor: Cursor,
    /// Whether these are all live entries, replacing what the client knew, or only those after its cursor.
    pub full: bool,
    /// The entries, oldest first.
    pub entries: Vec<Published>,
}

/// What identifies a token in revocations.
#[derive(Clone, Debug)]
pub struct TokenIds {
    /// The key that signed it.
    pub kid: String,
    /// The token itself.
    pub jti: String,
    /// Its session; a client's has none.
    pub sid: Option<String>,
    /// Its user or client.
    pub sub: String,
    /// Its client; a user's has none.
    pub client: Option<String>,
    /// Its tenant; `None` for the platform's.
    pub tenant: Option<String>,
    /// When it was issued.
    pub iat: UnixTime,
}

/// Whose tokens are in question.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The user or client.
    pub sub: &'a str,
    /// The client, if it is one.
    pub client: Option<&'a str>,
    /// The tenant; `None` for the platform.
    pub tenant: Option<&'a str>,
}

impl Store {
    /// The feed after `since`: everything alive at `now` when `since` is no position of this database.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn feed(&self, since: Option<Cursor>, now: UnixTime) -> Result<FeedPage> {
        self.read(move |tx, store| {
            let head = head(tx)?;
            let known = since
                .filter(|cursor| cursor.database_id == store.inner.database_id)
                .map(|cursor| cursor.sequence)
                .filter(|sequence| *sequence <= head);
            let mut select = tx.prepare_cached(
                "SELECT type, id, before, expires, at FROM revocations WHERE sequence > ?1 AND expires > ?2 ORDER BY sequence",
            )?;
            let entries = select
                .query_map([known.unwrap_or(0), now], |row| {
                    let revocation = Revocation { kind: row.get(0)?, id: row.get(1)?, before: row.get(2)?, expires: row.get(3)? };
                    Ok(Published { revocation, at: row.get(4)? })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(FeedPage { cursor: store.cursor(head), full: known.is_none(), entries })
        })
        .await
    }

    /// Publishes a revocation and ends the sessions that it covers, so that no refresh token brings them back.
    ///
    /// Returns the feed's new position.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn revoke(&self, kind: RevocationType, id: String, before: Option<UnixTime>, now: UnixTime) -> Result<Cursor> {
        self.write(move |tx, store| {
            // A bound in the future covers tokens that are issued until then.
            let expires = store.forget_after(before.map_or(now, |before| before.max(now)));
            publish(tx, &Revocation { kind, id: id.clone(), before, expires })?;
            let column = match kind {
                RevocationType::Sid => "id",
                RevocationType::Sub => "user_id",
                RevocationType::Tenant => "tenant_id",
                RevocationType::Jti | RevocationType::Client | RevocationType::Kid => {
                    return Ok(store.cursor(head(tx)?));
                }
            };
            let bound = before.unwrap_or(i64::MAX);
            let covered = format!("{column} = ?1 AND created_at < ?2 AND revoked_at IS NULL");
            // The entry above covers neither tokens issued at or after the bound in a session from before it, nor those that
            // act for another in such a session: they name the other.
            tx.prepare_cached(&format!(
                "INSERT INTO revocations (type, id, expires, at)
                 SELECT 'sid', id, ?3, unixepoch('subsec') FROM sessions WHERE {covered} AND (last_active >= ?2 OR acted_until > ?4)"
            ))?
            .execute(params![id, bound, expires, now])?;
            tx.prepare_cached(&format!("UPDATE sessions SET revoked_at = ?3 WHERE {covered}"))?.execute(params![id, bound, now])?;
            Ok(store.cursor(head(tx)?))
        })
        .await
    }

    fn cursor(&self, sequence: i64) -> Cursor {
        Cursor { database_id: self.inner.database_id.clone(), sequence }
    }
}

/// The position of the newest revocation that ever was, 0 when there was none. Positions are never used twice, even
/// after the newest entry has been deleted.
pub fn head(tx: &Connection) -> Result<i64> {
    let head = query_optional(tx, "SELECT seq FROM sqlite_sequence WHERE name = 'revocations'", [], |row| row.get(0))?;
    Ok(head.unwrap_or(0))
}

/// Adds an entry to the feed.
pub fn publish(tx: &Transaction<'_>, entry: &Revocation) -> Result<()> {
    tx.prepare_cached("INSERT INTO revocations (type, id, before, expires, at) VALUES (?1, ?2, ?3, ?4, unixepoch('subsec'))")?
        .execute(params![entry.kind, entry.id, entry.before, entry.expires])?;
    Ok(())
}

/// Whether a live entry covers the token.
pub fn covers(tx: &Transaction<'_>, token: &TokenIds, now: UnixTime) -> Result<bool> {
    let found = query_optional(
        tx,
        "SELECT 1 FROM revocations WHERE expires > ?1 AND (before IS NULL OR before > ?2) AND (
             (type = 'kid' AND id = ?3) OR (type = 'jti' AND id = ?4) OR (type = 'sid' AND id = ?5)
             OR (type = 'sub' AND id = ?6) OR (type = 'tenant' AND id = ?7) OR (type = 'client' AND id = ?8)) LIMIT 1",
        params![now, token.iat, token.kid, token.jti, token.sid, token.sub, token.tenant, token.client],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Whether a token for this holder, issued at `now`, would be revoked from the start. Issuing it would be worse than
/// useless: it could outlive the entry.
pub fn covers_new_tokens(tx: &Transaction<'_>, holder: &Holder<'_>, now: UnixTime) -> Result<bool> {
    let found = query_optional(
        tx,
        "SELECT 1 FROM revocations WHERE expires > ?1 AND (before IS NULL OR before > ?1) AND (
             (type = 'sub' AND id = ?2) OR (type = 'client' AND id = ?3) OR (type = 'tenant' AND id = ?4)) LIMIT 1",
        params![now, holder.sub, holder.client, holder.tenant],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
