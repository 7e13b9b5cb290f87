//! Signing keys at rest.

use rusqlite::{Transaction, params};

use super::super::clock::UnixTime;
use super::{Result, Store, query_optional};

/// A signing key as it is stored.
pub struct StoredKey {
    /// Its name in tokens and in the JWK Set.
    pub kid: String,
    /// The private key (PKCS#8, RFC 5958, DER).
    pub pkcs8: Vec<u8>,
    /// When it was made.
    pub created_at: UnixTime,
    /// Whether new tokens are signed with it; exactly one key's is true.
    pub signing: bool,
}

/// What became of a request to remove a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRemoval {
    /// It is gone.
    Removed,
    /// It signs new tokens, so it stays.
    Signing,
    /// There is no such key.
    Unknown,
}

impl Store {
    /// All keys, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn signing_keys(&self) -> Result<Vec<StoredKey>> {
        self.read(|tx, _| all(tx)).await
    }

    /// Adds a key that signs from now on; the others stay published. Returns all keys, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn add_signing_key(&self, kid: String, pkcs8: Vec<u8>, now: UnixTime) -> Result<Vec<StoredKey>> {
        self.write(move |tx, _| {
            tx.execute("UPDATE signing_keys SET signing = 0 WHERE signing = 1", [])?;
            tx.execute("INSERT INTO signing_keys (kid, pkcs8, created_at, signing) VALUES (?1, ?2, ?3, 1)", params![kid, pkcs8, now])?;
            all(tx)
        })
        .await
    }

    /// Removes a key that does not sign. Returns what became of it and the keys that are left, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn remove_signing_key(&self, kid: String) -> Result<(KeyRemoval, Vec<StoredKey>)> {
        self.write(move |tx, _| {
            let signing = query_optional(tx, "SELECT signing FROM signing_keys WHERE kid = ?1", [&kid], |row| row.get::<_, bool>(0))?;
            let removal = match signing {
                None => KeyRemoval::Unknown,
                Some(true) => KeyRemoval::Signing,
                Some(false) => {
                    tx.execute("DELETE FROM signing_keys WHERE kid = ?1", [&kid])?;
                    KeyRemoval::Removed
                }
            };
            Ok((removal, all(tx)?))
        })
        .await
    }
}

fn all(tx: &Transaction<'_>) -> Result<Vec<StoredKey>> {
    let mut select = tx.prepare_cached("SELECT kid, pkcs8, created_at, signing FROM signing_keys ORDER BY sequence DESC")?;
    let keys = select
        .query_map([], |row| Ok(StoredKey { kid: row.get(0)?, pkcs8: row.get(1)?, created_at: row.get(2)?, signing: row.get(3)? }))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(keys)
}
