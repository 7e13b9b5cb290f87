//! Sessions and their refresh tokens.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Row, Transaction, params};
use serde::Serialize;

use super::super::clock::UnixTime;
use super::directory::{Membership, client_exists, json, membership};
use super::revocations::{Holder, Revocation, RevocationType, TokenIds, covers, covers_new_tokens, publish};
use super::{Result, Store, query_optional};

/// How many sessions one list shows; the newest come first.
const MAX_LISTED: i64 = 1000;

/// The SHA-256 of a refresh token: what is stored in its place, so that nobody who reads the database can use it.
pub type RefreshTokenDigest = [u8; 32];

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its identifier, the `sid` of its tokens.
    pub id: String,
    /// Who logged in.
    pub user: String,
    /// To which tenant; `None` for the platform.
    pub tenant: Option<String>,
    /// What the user calls the device.
    pub device: Option<String>,
    /// The address that the login came from.
    pub ip: String,
    /// The client's `user-agent`.
    pub user_agent: Option<String>,
    /// How the user logged in, as the claim `amr` says it.
    pub amr: Vec<String>,
    /// The lifetime of its access tokens, in seconds.
    pub access_ttl: i64,
    /// When it ends unless it is refreshed.
    pub expires_at: UnixTime,
}

/// What became of a session that was to be opened.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// It is open.
    Open {
        /// What the user may do there.
        membership: Membership,
        /// The sessions that were ended to make room for it.
        ended: Vec<String>,
    },
    /// The user has no membership there.
    NoMembership,
    /// A live revocation covers every token that could be issued now.
    Revoked,
}

/// A session as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its identifier, the `sid` of its tokens.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// In which tenant; `None` for the platform.
    pub tenant: Option<String>,
    /// What the user calls the device.
    pub device: Option<String>,
    /// The address that the login came from.
    pub ip: String,
    /// The client's `user-agent` at login.
    pub user_agent: Option<String>,
    /// When the user logged in.
    pub created_at: UnixTime,
    /// When an access token was last issued.
    pub last_active: UnixTime,
    /// Whether it has been ended.
    pub revoked: bool,
    /// How the user logged in, as the claim `amr` says it.
    #[serde(skip)]
    pub amr: Vec<String>,
    /// The lifetime of its access tokens, in seconds.
    #[serde(skip)]
    pub access_ttl: i64,
}

/// What became of a refresh token that was presented.
#[derive(Clone, Debug, PartialEq)]
pub enum Refreshed {
    /// It is used up, and the next one is stored.
    Rotated(Box<Session>, Membership),
    /// It was used before: somebody has a copy, so the session has been ended (RFC 9700 section 4.14).
    Reused(String),
    /// The user has lost the membership, or everything is revoked: the session has been ended.
    Ended(String),
    /// It is unknown, expired, or its session has ended.
    Invalid,
}

const COLUMNS: &str = "id, user_id, tenant_id, device, ip, user_agent, created_at, last_active, revoked_at IS NOT NULL, amr, access_ttl";

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        user: row.get(1)?,
        tenant: row.get(2)?,
        device: row.get(3)?,
        ip: row.get(4)?,
        user_agent: row.get(5)?,
        created_at: row.get(6)?,
        last_active: row.get(7)?,
        revoked: row.get(8)?,
        amr: row.get::<_, Amr>(9)?.0,
        access_ttl: row.get(10)?,
    })
}

/// The column `amr`.
struct Amr(Vec<String>);

impl FromSql for Amr {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

impl Store {
    /// Opens a session with its first refresh token, if the user may log in there. With more than `max` then open, the
    /// user's oldest ones there are ended.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn open_session(
        &self,
        new: NewSession,
        refresh_token: RefreshTokenDigest,
        max: Option<u32>,
        now: UnixTime,
    ) -> Result<Opened> {
        self.write(move |tx, store| {
            let Some(membership) = membership(tx, &new.user, new.tenant.as_deref())? else {
                return Ok(Opened::NoMembership);
            };
            if covers_new_tokens(tx, &Holder { sub: &new.user, client: None, tenant: new.tenant.as_deref() }, now)? {
                return Ok(Opened::Revoked);
            }
            tx.execute(
                "INSERT INTO sessions
                     (id, user_id, tenant_id, device, ip, user_agent, amr, access_ttl, created_at, last_active, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)",
                params![
                    new.id,
                    new.user,
                    new.tenant,
                    new.device,
                    new.ip,
                    new.user_agent,
                    json(&new.amr)?,
                    new.access_ttl,
                    now,
                    new.expires_at
                ],
            )?;
            insert_refresh_token(tx, &refresh_token, &new.id, new.expires_at)?;
            let ended = match max {
                Some(max) => end_oldest(tx, &new, max, now, store.forget_after(now))?,
                None => Vec::new(),
            };
            Ok(Opened::Open { membership, ended })
        })
        .await
    }

    /// Uses up the refresh token `old` and stores `next` in its place, good until `expires_at`.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn rotate_refresh_token(
        &self,
        old: RefreshTokenDigest,
        next: RefreshTokenDigest,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<Refreshed> {
        self.write(move |tx, store| {
            let found = query_optional(
                tx,
                "SELECT session_id, used_at IS NOT NULL, expires_at <= ?2 FROM refresh_tokens WHERE digest = ?1",
                params![old, now],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?)),
            )?;
            let Some((id, used, expired)) = found else { return Ok(Refreshed::Invalid) };
            let Some(session) = find(tx, &id)?.filter(|session| !session.revoked) else {
                return Ok(Refreshed::Invalid);
            };
            if used {
                end(tx, &id, now, store.forget_after(now))?;
                return Ok(Refreshed::Reused(id));
            }
            if expired {
                return Ok(Refreshed::Invalid);
            }
            let membership = membership(tx, &session.user, session.tenant.as_deref())?;
            let covered = covers_new_tokens(tx, &holder(&session), now)?;
            let Some(membership) = membership.filter(|_| !covered) else {
                end(tx, &id, now, store.forget_after(now))?;
                return Ok(Refreshed::Ended(id));
            };
            tx.execute("UPDATE refresh_tokens SET used_at = ?2 WHERE digest = ?1", params![old, now])?;
            insert_refresh_token(tx, &next, &id, expires_at)?;
            tx.execute("UPDATE sessions SET last_active = ?2, expires_at = ?3 WHERE id = ?1", params![id, now, expires_at])?;
            Ok(Refreshed::Rotated(Box::new(session), membership))
        })
        .await
    }

    /// Whether the token counts: its session is open, or its client exists, and no live revocation covers it.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn is_active(&self, token: TokenIds, now: UnixTime) -> Result<bool> {
        self.read(move |tx, _| {
            let alive = match (&token.sid, &token.client) {
                (Some(session), _) => find(tx, session)?.is_some_and(|session| !session.revoked),
                (None, Some(client)) => client_exists(tx, client)?,
                (None, None) => false,
            };
            Ok(alive && !covers(tx, &token, now)?)
        })
        .await
    }

    /// The sessions of `user` in `tenant` (`None`: the platform), newest first, ended ones included until they would have
    /// expired.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn sessions(&self, user: String, tenant: Option<String>, now: UnixTime) -> Result<Vec<Session>> {
        self.read(move |tx, _| {
            let mut select = tx.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM sessions WHERE user_id = ?1 AND tenant_id IS ?2 AND expires_at > ?3
                 ORDER BY created_at DESC, rowid DESC LIMIT ?4"
            ))?;
            let sessions = select.query_map(params![user, tenant, now, MAX_LISTED], session)?.collect::<rusqlite::Result<_>>()?;
            Ok(sessions)
        })
        .await
    }

    /// Ends the session `id` in `tenant` (`None`: the platform) if it is one of `owner`'s; with `owner` left out, whosever
    /// it is. Says whether there is such a session. Ending it again changes nothing.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn end_session(&self, id: String, owner: Option<String>, tenant: Option<String>, now: UnixTime) -> Result<bool> {
        self.write(move |tx, store| {
            let session = find(tx, &id)?
                .filter(|session| session.tenant == tenant)
                .filter(|session| owner.as_ref().is_none_or(|owner| session.user == *owner));
            let Some(session) = session else {
                return Ok(false);
            };
            if !session.revoked {
                end(tx, &id, now, store.forget_after(now))?;
            }
            Ok(true)
        })
        .await
    }
}

/// The session of this identifier.
pub fn find(tx: &Transaction<'_>, id: &str) -> Result<Option<Session>> {
    query_optional(tx, &format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"), [id], session)
}

/// Whose tokens a session's are, as far as they do not act for another.
pub fn holder(session: &Session) -> Holder<'_> {
    Holder { sub: &session.user, client: None, tenant: session.tenant.as_deref() }
}

/// Ends the oldest open sessions of the new one's user in its tenant, until `max` are left, and says which. The new one is
/// the newest, however the clock was set in between.
fn end_oldest(tx: &Transaction<'_>, new: &NewSession, max: u32, now: UnixTime, expires: UnixTime) -> Result<Vec<String>> {
    let mut select = tx.prepare_cached(
        "SELECT id FROM sessions WHERE user_id = ?1 AND tenant_id IS ?2 AND revoked_at IS NULL AND expires_at > ?3
         ORDER BY rowid DESC LIMIT -1 OFFSET ?4",
    )?;
    let oldest: Vec<String> =
        select.query_map(params![new.user, new.tenant, now, max], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for id in &oldest {
        end(tx, id, now, expires)?;
    }
    Ok(oldest)
}

/// Ends a session and publishes it: the two never go apart.
fn end(tx: &Transaction<'_>, id: &str, now: UnixTime, expires: UnixTime) -> Result<()> {
    tx.execute("UPDATE sessions SET revoked_at = ?2 WHERE id = ?1", params![id, now])?;
    let kind = RevocationType::Sid;
    publish(tx, &Revocation { kind, id: id.to_owned(), before: None, expires })
}

fn insert_refresh_token(tx: &Transaction<'_>, digest: &RefreshTokenDigest, session: &str, expires_at: UnixTime) -> Result<()> {
    tx.execute("INSERT INTO refresh_tokens (digest, session_id, expires_at) VALUES (?1, ?2, ?3)", params![digest, session, expires_at])?;
    Ok(())
}
