//! What a seed file adds, in one transaction.

use rusqlite::Transaction;

use super::super::clock::UnixTime;
use super::super::id::Identifier;
use super::super::rules::Rules;
use super::clients::{NewClient, insert_client};
use super::directory::{
    NewMembership, NewTenant, NewUser, client_exists, email_of, insert_membership, insert_tenant, insert_user, json, tenant_exists,
};
use super::schema::{meta, set_meta};
use super::{Result, Store};

/// The name under which the rules are kept.
const RULES: &str = "rules";

/// What is to be there afterwards.
#[derive(Debug, Default)]
pub struct Additions {
    /// Tenants.
    pub tenants: Vec<NewTenant>,
    /// Users.
    pub users: Vec<NewUser>,
    /// Memberships of these users or of others.
    pub memberships: Vec<NewMembership>,
    /// Clients.
    pub clients: Vec<NewClient>,
    /// The rules, which replace those that were.
    pub rules: Rules,
}

/// Why nothing was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedConflict {
    /// The user is to be a member of a tenant that does not exist.
    MembershipWithoutTenant(Identifier, Identifier),
    /// The client is to be one of a tenant that does not exist.
    ClientWithoutTenant(Identifier, Identifier),
    /// One identifier is to be a user's and a client's. Tokens name both in `sub`.
    UserAndClient(Identifier),
}

impl Store {
    /// Adds what is missing and replaces the rules, all of it or nothing. What exists is left as it is.
    ///
    /// Returns the first conflict; nothing was done then.
    ///
    /// # Errors
    /// When SQLite refuses, also when an e-mail address is another user's.
    pub async fn add_missing(&self, additions: Additions, now: UnixTime) -> Result<Option<SeedConflict>> {
        self.write(move |tx, _| {
            tx.execute_batch("SAVEPOINT seed")?;
            let conflict = add_missing(tx, additions, now)?;
            if conflict.is_some() {
                tx.execute_batch("ROLLBACK TO seed")?;
            }
            tx.execute_batch("RELEASE seed")?;
            Ok(conflict)
        })
        .await
    }

    /// The rules of the last seed; the default ones before the first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn rules(&self) -> Result<Rules> {
        self.read(|tx, _| meta(tx, RULES)?.map_or_else(|| Ok(Rules::default()), |text| Ok(serde_json::from_str(&text)?))).await
    }
}

fn add_missing(tx: &Transaction<'_>, additions: Additions, now: UnixTime) -> Result<Option<SeedConflict>> {
    let Additions { tenants, users, memberships, clients, rules } = additions;
    for tenant in &tenants {
        insert_tenant(tx, tenant, now)?;
    }
    for user in users {
        if client_exists(tx, user.id.as_str())? {
            return Ok(Some(SeedConflict::UserAndClient(user.id)));
        }
        insert_user(tx, &user, now)?;
    }
    for membership in memberships {
        if !tenant_exists(tx, membership.tenant.as_ref())? {
            return Ok(membership.tenant.map(|tenant| SeedConflict::MembershipWithoutTenant(membership.user, tenant)));
        }
        insert_membership(tx, &membership)?;
    }
    for client in clients {
        if !tenant_exists(tx, client.tenant.as_ref())? {
            return Ok(client.tenant.map(|tenant| SeedConflict::ClientWithoutTenant(client.id, tenant)));
        }
        if email_of(tx, &client.id)?.is_some() {
            return Ok(Some(SeedConflict::UserAndClient(client.id)));
        }
        insert_client(tx, &client, now)?;
    }
    set_meta(tx, RULES, &json(&rules)?)?;
    Ok(None)
}
