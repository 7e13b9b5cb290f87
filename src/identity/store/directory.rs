//! Who there is: tenants, users, and who may do what where.

use rusqlite::{Transaction, params};
use serde_json::{Map, Value};

use super::super::clock::UnixTime;
use super::super::id::{Email, GrantName, Identifier};
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
}

/// A membership to be created.
#[derive(Clone, Debug)]
pub struct NewMembership {
    /// Whose.
    pub user: Identifier,
    /// Where; `None` for the platform itself.
    pub tenant: Option<Identifier>,
    /// Role names.
    pub roles: Vec<GrantName>,
    /// Permission names.
    pub permissions: Vec<GrantName>,
}

/// A membership as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// Role names.
    pub roles: Vec<String>,
    /// Permission names.
    pub permissions: Vec<String>,
    /// What the tenant has paid for; nothing for the platform.
    pub services: Entitlements,
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
    /// another user's.
    OwnerConflict,
}

/// What became of a membership that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddMembership {
    /// It exists now, or existed before and was left as it is.
    Present,
    /// There is no such tenant.
    TenantUnknown,
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

    /// Whether there is a user with this identifier or this e-mail address.
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

    /// Adds tenants, users and memberships, all or none. What exists is left as it is.
    ///
    /// Returns the first membership whose tenant does not exist; nothing was added then.
    ///
    /// # Errors
    /// When SQLite refuses, also when an e-mail address is another user's.
    pub async fn add_missing(
        &self,
        tenants: Vec<NewTenant>,
        users: Vec<NewUser>,
        memberships: Vec<NewMembership>,
        now: UnixTime,
    ) -> Result<Option<NewMembership>> {
        self.write(move |tx, _| {
            tx.execute_batch("SAVEPOINT seed")?;
            for tenant in &tenants {
                insert_tenant(tx, tenant, now)?;
            }
            for user in &users {
                insert_user(tx, user, now)?;
            }
            for membership in memberships {
                if insert_membership(tx, &membership)? == AddMembership::TenantUnknown {
                    tx.execute_batch("ROLLBACK TO seed; RELEASE seed")?;
                    return Ok(Some(membership));
                }
            }
            tx.execute_batch("RELEASE seed")?;
            Ok(None)
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
            if taken.is_some() {
                return Ok(TenantCreation::OwnerConflict);
            }
            insert_user(tx, user, now)?;
        }
    }
    insert_membership(tx, owner)?;
    Ok(TenantCreation::Created)
}

/// The membership with what its tenant has paid for.
pub fn membership(tx: &Transaction<'_>, user: &str, tenant: Option<&str>) -> Result<Option<Membership>> {
    let found = query_optional(
        tx,
        "SELECT m.roles, m.permissions, coalesce(t.services, '{}')
         FROM memberships m LEFT JOIN tenants t ON t.id = m.tenant_id
         WHERE m.user_id = ?1 AND m.tenant_id IS ?2",
        params![user, tenant],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)),
    )?;
    let Some((roles, permissions, services)) = found else {
        return Ok(None);
    };
    Ok(Some(Membership {
        roles: serde_json::from_str(&roles)?,
        permissions: serde_json::from_str(&permissions)?,
        services: serde_json::from_str(&services)?,
    }))
}

fn email_of(tx: &Transaction<'_>, user: &Identifier) -> Result<Option<String>> {
    query_optional(tx, "SELECT email FROM users WHERE id = ?1", [user.as_str()], |row| row.get(0))
}

/// Whether the tenant is new.
fn insert_tenant(tx: &Transaction<'_>, tenant: &NewTenant, now: UnixTime) -> Result<bool> {
    let services = serde_json::to_string(&tenant.services)?;
    let inserted = tx.execute(
        "INSERT INTO tenants (id, name, services, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING",
        params![tenant.id.as_str(), tenant.name, services, now],
    )?;
    Ok(inserted == 1)
}

fn insert_user(tx: &Transaction<'_>, user: &NewUser, now: UnixTime) -> Result<()> {
    tx.execute(
        "INSERT INTO users (id, email, password_hash, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING",
        params![user.id.as_str(), user.email.as_str(), user.password_hash, now],
    )?;
    Ok(())
}

fn insert_membership(tx: &Transaction<'_>, membership: &NewMembership) -> Result<AddMembership> {
    let tenant = membership.tenant.as_ref().map(Identifier::as_str);
    if let Some(tenant) = tenant {
        let found = query_optional(tx, "SELECT 1 FROM tenants WHERE id = ?1", [tenant], |_| Ok(()))?;
        if found.is_none() {
            return Ok(AddMembership::TenantUnknown);
        }
    }
    tx.execute(
        "INSERT INTO memberships (user_id, tenant_id, roles, permissions) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        params![membership.user.as_str(), tenant, names_json(&membership.roles)?, names_json(&membership.permissions)?,],
    )?;
    Ok(AddMembership::Present)
}

fn names_json(names: &[GrantName]) -> Result<String> {
    let names: Vec<&str> = names.iter().map(GrantName::as_str).collect();
    Ok(serde_json::to_string(&names)?)
}
