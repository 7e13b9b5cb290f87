//! Who there is: tenants, users, and who may do what where.

use std::collections::BTreeMap;

use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::clock::UnixTime;
use super::super::id::{Email, GrantName, Identifier};
use super::super::role::{Attributes, Role};
use super::super::rules::RolePermissions;
use super::super::totp::TotpSecret;
use super::{Result, Store, query_optional};

/// What a tenant has paid for: `{"blog": {"enabled": true}}`.
pub type Entitlements = Map<String, Value>;

/// A tenant to be created.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// Its identifier.
    pub id: Identifier,
    /// Its display name.
    pub name: String,
    /// What it has paid for.
    pub services: Entitlements,
    /// The roles that it has defined for itself.
    pub roles: RolePermissions,
}

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The `sub` of the user's tokens.
    pub id: Identifier,
    /// The name to log in with.
    pub email: Email,
    /// A PHC string.
    pub password_hash: String,
    /// What the user's one-time passwords are made from, for those who use them.
    pub totp: Option<TotpSecret>,
}

/// A membership to be created.
#[derive(Clone, Debug)]
pub struct NewMembership {
    /// Whose.
    pub user: Identifier,
    /// Where; `None` for the platform itself.
    pub tenant: Option<Identifier>,
    /// Roles, each everywhere or within a boundary.
    pub roles: Vec<Role>,
    /// Permission names.
    pub permissions: Vec<GrantName>,
    /// What describes the member.
    pub attributes: Attributes,
}

/// A membership as it is, together with what its tenant is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    /// Roles, each everywhere or within a boundary.
    pub roles: Vec<Role>,
    /// Permission names.
    pub permissions: Vec<GrantName>,
    /// What describes the member.
    pub attributes: Attributes,
    /// What the tenant has paid for; nothing for the platform.
    pub services: Entitlements,
    /// The roles that the tenant has defined for itself; none for the platform.
    pub tenant_roles: RolePermissions,
}

/// What a login needs to know of a user.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's identifier.
    pub user: String,
    /// A PHC string.
    pub password_hash: String,
}

/// What became of a tenant that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantCreation {
    /// Tenant and first membership exist.
    Created,
    /// There is such a tenant already.
    TenantExists,
    /// There is no such user, and no e-mail address and password to make one.
    OwnerUnknown,
    /// The user exists under another e-mail address, or a password came along for a user that exists, or the address is
    /// another user's, or the identifier is a client's.
    OwnerConflict,
}

impl Store {
    /// The account of an e-mail address in its lookup spelling.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn account(&self, email: String) -> Result<Option<Account>> {
        self.read(move |tx, _| {
            query_optional(tx, "SELECT id, password_hash FROM users WHERE email = ?1", [email], |row| {
                Ok(Account { user: row.get(0)?, password_hash: row.get(1)? })
            })
        })
        .await
    }

    /// What `user` may do in `tenant` (`None`: the platform).
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn membership(&self, user: String, tenant: Option<String>) -> Result<Option<Membership>> {
        self.read(move |tx, _| membership(tx, &user, tenant.as_deref())).await
    }

    /// The roles that tenants have defined for themselves, by tenant; tenants without any are left out.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn tenant_roles(&self) -> Result<BTreeMap<String, RolePermissions>> {
        self.read(|tx, _| {
            let mut select = tx.prepare_cached("SELECT id, roles FROM tenants WHERE roles <> '{}'")?;
            let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.map(|row| {
                let (tenant, roles) = row?;
                Ok((tenant, serde_json::from_str(&roles)?))
            })
            .collect()
        })
        .await
    }

    /// Whether there is a user with this identifier.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn user_exists(&self, id: Identifier) -> Result<bool> {
        self.read(move |tx, _| Ok(email_of(tx, &id)?.is_some())).await
    }

    /// Creates a tenant together with its first membership, or nothing at all. `user` is created along with it when
    /// given; otherwise the membership's user must exist (under `email`, if that is given).
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn create_tenant(
        &self,
        tenant: NewTenant,
        user: Option<NewUser>,
        email: Option<Email>,
        owner: NewMembership,
        now: UnixTime,
    ) -> Result<TenantCreation> {
        self.write(move |tx, _| {
            // A savepoint, so that every early return below leaves nothing behind.
            tx.execute_batch("SAVEPOINT tenant")?;
            let outcome = create_tenant(tx, &tenant, user.as_ref(), email.as_ref(), &owner, now)?;
            if outcome != TenantCreation::Created {
                tx.execute_batch("ROLLBACK TO tenant")?;
            }
            tx.execute_batch("RELEASE tenant")?;
            Ok(outcome)
        })
        .await
    }
}

fn create_tenant(
    tx: &Transaction<'_>,
    tenant: &NewTenant,
    user: Option<&NewUser>,
    email: Option<&Email>,
    owner: &NewMembership,
    now: UnixTime,
) -> Result<TenantCreation> {
    if !insert_tenant(tx, tenant, now)? {
        return Ok(TenantCreation::TenantExists);
    }
    match (email_of(tx, &owner.user)?, user) {
        (None, None) => return Ok(TenantCreation::OwnerUnknown),
        (Some(_), Some(_)) => return Ok(TenantCreation::OwnerConflict),
        (Some(known), None) if email.is_some_and(|email| email.as_str() != known) => {
            return Ok(TenantCreation::OwnerConflict);
        }
        (Some(_), None) => {}
        (None, Some(user)) => {
            let taken = query_optional(tx, "SELECT 1 FROM users WHERE email = ?1", [user.email.as_str()], |_| Ok(()))?;
            if taken.is_some() || client_exists(tx, user.id.as_str())? {
                return Ok(TenantCreation::OwnerConflict);
            }
            insert_user(tx, user, now)?;
        }
    }
    insert_membership(tx, owner)?;
    Ok(TenantCreation::Created)
}

/// The columns that [`read_membership`] reads, of `m` (a membership or client) and its tenant `t`.
pub const MEMBERSHIP_COLUMNS: &str = "m.roles, m.permissions, m.attributes, coalesce(t.services, '{}'), coalesce(t.roles, '{}')";

/// A membership as its columns spell it.
pub type MembershipRow = [String; 5];

/// Reads [`MEMBERSHIP_COLUMNS`], the first columns of a row.
pub fn membership_row(row: &Row<'_>) -> rusqlite::Result<MembershipRow> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
}

/// The membership that columns spell.
pub fn read_membership(row: MembershipRow) -> Result<Membership> {
    let [roles, permissions, attributes, services, tenant_roles] = row;
    Ok(Membership {
        roles: serde_json::from_str(&roles)?,
        permissions: serde_json::from_str(&permissions)?,
        attributes: serde_json::from_str(&attributes)?,
        services: serde_json::from_str(&services)?,
        tenant_roles: serde_json::from_str(&tenant_roles)?,
    })
}

/// The membership with what its tenant is.
pub fn membership(tx: &Transaction<'_>, user: &str, tenant: Option<&str>) -> Result<Option<Membership>> {
    let sql = format!(
        "SELECT {MEMBERSHIP_COLUMNS} FROM memberships m LEFT JOIN tenants t ON t.id = m.tenant_id
         WHERE m.user_id = ?1 AND m.tenant_id IS ?2"
    );
    query_optional(tx, &sql, params![user, tenant], membership_row)?.map(read_membership).transpose()
}

/// Whether there is a client with this identifier.
pub fn client_exists(tx: &Transaction<'_>, id: &str) -> Result<bool> {
    Ok(query_optional(tx, "SELECT 1 FROM clients WHERE id = ?1", [id], |_| Ok(()))?.is_some())
}

/// Whether there is a tenant with this identifier; the platform is always there.
pub fn tenant_exists(tx: &Transaction<'_>, tenant: Option<&Identifier>) -> Result<bool> {
    match tenant {
        None => Ok(true),
        Some(id) => Ok(query_optional(tx, "SELECT 1 FROM tenants WHERE id = ?1", [id.as_str()], |_| Ok(()))?.is_some()),
    }
}

/// The e-mail address of a user, if there is such a user.
pub fn email_of(tx: &Transaction<'_>, user: &Identifier) -> Result<Option<String>> {
    query_optional(tx, "SELECT email FROM users WHERE id = ?1", [user.as_str()], |row| row.get(0))
}

/// Adds a tenant unless it exists, and says whether it is new.
pub fn insert_tenant(tx: &Transaction<'_>, tenant: &NewTenant, now: UnixTime) -> Result<bool> {
    let inserted = tx.execute(
        "INSERT INTO tenants (id, name, services, roles, created_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING",
        params![tenant.id.as_str(), tenant.name, json(&tenant.services)?, json(&tenant.roles)?, now],
    )?;
    Ok(inserted == 1)
}

/// Adds a user unless it exists.
pub fn insert_user(tx: &Transaction<'_>, user: &NewUser, now: UnixTime) -> Result<()> {
    tx.execute(
        "INSERT INTO users (id, email, password_hash, totp_secret, created_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING",
        params![user.id.as_str(), user.email.as_str(), user.password_hash, user.totp.as_ref().map(TotpSecret::as_bytes), now],
    )?;
    Ok(())
}

/// Adds a membership unless it exists. User and tenant must exist.
pub fn insert_membership(tx: &Transaction<'_>, membership: &NewMembership) -> Result<()> {
    let NewMembership { user, tenant, roles, permissions, attributes } = membership;
    tx.execute(
        "INSERT INTO memberships (user_id, tenant_id, roles, permissions, attributes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![user.as_str(), tenant.as_ref().map(Identifier::as_str), json(roles)?, json(permissions)?, json(attributes)?],
    )?;
    Ok(())
}

/// A value as it is stored in a column.
pub fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value)?)
}
