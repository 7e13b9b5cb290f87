//! Clients: services that get tokens for themselves.

use rusqlite::{Transaction, params};

use super::super::clock::UnixTime;
use super::super::id::{GrantName, Identifier};
use super::super::role::Role;
use super::directory::{MEMBERSHIP_COLUMNS, Membership, json, membership_row, read_membership};
use super::revocations::{Holder, covers_new_tokens};
use super::{Result, Store, query_optional};

/// A client to be created.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Its identifier, the `sub` and `client_id` of its tokens.
    pub id: Identifier,
    /// A PHC string.
    pub secret_hash: String,
    /// Whose it is; `None` for the platform's.
    pub tenant: Option<Identifier>,
    /// Roles, each everywhere or within a boundary.
    pub roles: Vec<Role>,
    /// Permission names.
    pub permissions: Vec<GrantName>,
}

/// A client as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its identifier.
    pub id: String,
    /// Whose it is; `None` for the platform's.
    pub tenant: Option<String>,
    /// What it may do there.
    pub membership: Membership,
}

impl Store {
    /// The hash of a client's secret, as a PHC string.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn client_secret_hash(&self, id: String) -> Result<Option<String>> {
        self.read(move |tx, _| query_optional(tx, "SELECT secret_hash FROM clients WHERE id = ?1", [id], |row| row.get(0))).await
    }

    /// The client, unless a live revocation covers every token that could be issued to it now.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn client(&self, id: String, now: UnixTime) -> Result<Option<Client>> {
        self.read(move |tx, _| {
            let sql = format!(
                "SELECT {MEMBERSHIP_COLUMNS}, m.tenant_id FROM clients m LEFT JOIN tenants t ON t.id = m.tenant_id WHERE m.id = ?1"
            );
            let found = query_optional(tx, &sql, [&id], |row| Ok((membership_row(row)?, row.get::<_, Option<String>>(5)?)))?;
            let Some((row, tenant)) = found else { return Ok(None) };
            if covers_new_tokens(tx, &Holder { sub: &id, client: Some(&id), tenant: tenant.as_deref() }, now)? {
                return Ok(None);
            }
            Ok(Some(Client { id, tenant, membership: read_membership(row)? }))
        })
        .await
    }

    /// Whether there is a client with this identifier.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn client_exists(&self, id: Identifier) -> Result<bool> {
        self.read(move |tx, _| super::directory::client_exists(tx, id.as_str())).await
    }
}

/// Adds a client unless it exists. Its tenant must exist.
pub fn insert_client(tx: &Transaction<'_>, client: &NewClient, now: UnixTime) -> Result<()> {
    let NewClient { id, secret_hash, tenant, roles, permissions } = client;
    tx.execute(
        "INSERT INTO clients (id, secret_hash, tenant_id, roles, permissions, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO NOTHING",
        params![id.as_str(), secret_hash, tenant.as_ref().map(Identifier::as_str), json(roles)?, json(permissions)?, now],
    )?;
    Ok(())
}
