//! Acting for another: whether it may begin, and until when it lasts.

use rusqlite::params;

use super::super::clock::UnixTime;
use super::directory::{Membership, membership};
use super::revocations::{Holder, covers_new_tokens};
use super::sessions::{find, holder};
use super::{Result, Store};

/// A user who wants a token for another.
#[derive(Clone, Debug)]
pub struct ActingFor {
    /// The actor's session.
    pub session: String,
    /// Who is acted for.
    pub subject: String,
    /// In which tenant; `None` for the platform.
    pub tenant: Option<String>,
    /// When that token expires, at the latest.
    pub until: UnixTime,
}

/// Whether a user may act for another.
#[derive(Clone, Debug, PartialEq)]
pub enum Acts {
    /// A token may be issued: what the subject may do there.
    For(Membership),
    /// The subject has no membership there.
    NoMembership,
    /// The actor's session has ended, or a live revocation covers every token of the actor's or the subject's that could be
    /// issued now.
    Revoked,
}

impl Store {
    /// Lets a session's user act for another, and remembers until when.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn act_for(&self, acting: ActingFor, now: UnixTime) -> Result<Acts> {
        self.write(move |tx, _| {
            let ActingFor { session, subject, tenant, until } = acting;
            let Some(session) = find(tx, &session)?.filter(|session| !session.revoked) else {
                return Ok(Acts::Revoked);
            };
            let Some(membership) = membership(tx, &subject, tenant.as_deref())? else {
                return Ok(Acts::NoMembership);
            };
            for holder in [holder(&session), Holder { sub: &subject, client: None, tenant: tenant.as_deref() }] {
                if covers_new_tokens(tx, &holder, now)? {
                    return Ok(Acts::Revoked);
                }
            }
            tx.execute("UPDATE sessions SET acted_until = max(coalesce(acted_until, ?2), ?2) WHERE id = ?1", params![session.id, until])?;
            Ok(Acts::For(membership))
        })
        .await
    }
}
