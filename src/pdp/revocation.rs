//! What was revoked before it expired.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::time::UnixTime;
use super::token::verify::VerifiedToken;

/// What a revocation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationKind {
    /// One token, by `jti`.
    Token,
    /// One session.
    Session,
    /// One subject.
    Subject,
    /// One tenant.
    Tenant,
    /// One client, by `client_id`.
    Client,
    /// One signing key, by `kid`.
    Key,
}

impl RevocationKind {
    /// Reads the feed's `type`, exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "jti" => Self::Token,
            "sid" => Self::Session,
            "sub" => Self::Subject,
            "tenant" => Self::Tenant,
            "client" => Self::Client,
            "kid" => Self::Key,
            _ => return None,
        })
    }
}

/// One entry of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What it is about.
    pub kind: RevocationKind,
    /// Whose.
    pub id: Box<str>,
    /// Only tokens issued before this moment (`iat`) are revoked; `None`: all. A token without `iat` counts as older.
    pub before: Option<UnixTime>,
    /// From when on no token can carry the id any more, so that the entry can be forgotten. `None`: never.
    pub expires: Option<UnixTime>,
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    before: Option<UnixTime>,
    expires: Option<UnixTime>,
}

type Ids = HashMap<Box<str>, Extent, RandomState>;

/// All revocations of one issuer, as of one answer of its feed.
#[derive(Debug, Clone, Default)]
pub struct RevocationList {
    tokens: Ids,
    sessions: Ids,
    subjects: Ids,
    tenants: Ids,
    clients: Ids,
    keys: Ids,
}

impl RevocationList {
    fn ids_mut(&mut self, kind: RevocationKind) -> &mut Ids {
        match kind {
            RevocationKind::Token => &mut self.tokens,
            RevocationKind::Session => &mut self.sessions,
            RevocationKind::Subject => &mut self.subjects,
            RevocationKind::Tenant => &mut self.tenants,
            RevocationKind::Client => &mut self.clients,
            RevocationKind::Key => &mut self.keys,
        }
    }

    /// Adds an entry. Two entries for one id add up: the wider one of each bound stays.
    pub fn insert(&mut self, revocation: Revocation) {
        let Revocation { kind, id, before, expires } = revocation;
        self.ids_mut(kind)
            .entry(id)
            .and_modify(|extent| {
                // `None` is the wider one of both: "all tokens", "never forgotten".
                extent.before = extent.before.zip(before).map(|(a, b)| a.max(b));
                extent.expires = extent.expires.zip(expires).map(|(a, b)| a.max(b));
            })
            .or_insert(Extent { before, expires });
    }

    /// Forgets entries that no token can carry any more.
    pub fn forget_expired(&mut self, now: UnixTime) {
        for ids in [&mut self.tokens, &mut self.sessions, &mut self.subjects, &mut self.tenants, &mut self.clients, &mut self.keys] {
            ids.retain(|_, extent| extent.expires.is_none_or(|expires| expires > now));
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        [&self.tokens, &self.sessions, &self.subjects, &self.tenants, &self.clients, &self.keys].iter().map(|ids| ids.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any entry is about this token.
    #[must_use]
    pub fn revokes(&self, token: &VerifiedToken) -> bool {
        let claims = token.claims();
        let hit = |ids: &Ids, id: Option<&str>| {
            // Most lists have no entries of most kinds, and then the id need not be hashed.
            let Some(id) = id.filter(|_| !ids.is_empty()) else { return false };
            ids.get(id).is_some_and(|extent| match (extent.before, claims.issued_at) {
                (None, _) | (Some(_), None) => true,
                (Some(before), Some(issued_at)) => issued_at < before,
            })
        };
        hit(&self.tokens, claims.token_id.as_deref())
            || hit(&self.sessions, claims.session.as_deref())
            || hit(&self.subjects, Some(&claims.subject))
            || hit(&self.subjects, claims.actor.as_ref().map(|actor| &*actor.subject))
            || hit(&self.tenants, claims.tenant.as_ref().map(|tenant| tenant.as_str()))
            || hit(&self.clients, claims.client_id.as_deref())
            || hit(&self.keys, token.key_id())
    }
}
