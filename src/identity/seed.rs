//! The seed file: tenants, users and memberships to begin with.
//!
//! It adds what is missing and changes nothing that exists, so a service with a kept database can be started with it again
//! and again. All of it is added, or none.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::Identity;
use super::error::StartError;
use super::id::{Email, GrantName, Identifier};
use super::password::Password;
use super::store::{Entitlements, NewMembership, NewTenant, NewUser};
use super::token::Realm;

/// The largest seed file, in bytes.
const MAX_SEED: u64 = 16 * 1024 * 1024;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    #[serde(default)]
    tenants: Vec<SeedTenant>,
    #[serde(default)]
    users: Vec<SeedUser>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedTenant {
    id: Identifier,
    name: String,
    #[serde(default)]
    services: Entitlements,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedUser {
    id: Identifier,
    email: Email,
    password: Password,
    #[serde(default)]
    memberships: Vec<SeedMembership>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedMembership {
    tenant: Option<Identifier>,
    /// What `tenant` implies; if written, it must agree.
    realm: Option<Realm>,
    #[serde(default)]
    roles: Vec<GrantName>,
    #[serde(default)]
    permissions: Vec<GrantName>,
}

/// Adds what the seed file names and the database lacks.
///
/// # Errors
/// When the file cannot be read, is not a seed, contradicts itself, or contradicts the database.
pub async fn apply(identity: &Identity, path: &Path) -> Result<(), StartError> {
    let wrong = |why: &dyn std::fmt::Display| StartError::new(format!("seed file {:?}: {why}", path.display()));
    let text = read(path).map_err(|error| wrong(&error))?;
    let seed = parse(&text).map_err(|error| wrong(&error))?;

    let Seed { tenants, users } = seed;
    let tenants = tenants.into_iter().map(|SeedTenant { id, name, services }| NewTenant { id, name, services }).collect();
    let mut new_users = Vec::new();
    let mut memberships = Vec::new();
    for SeedUser { id, email, password, memberships: of_user } in users {
        for SeedMembership { tenant, realm: _, roles, permissions } in of_user {
            memberships.push(NewMembership { user: id.clone(), tenant, roles, permissions });
        }
        // Hashing is slow on purpose, and an existing user keeps the password anyway.
        if !identity.store.user_exists(id.clone()).await? {
            let password_hash = identity.passwords.hash(password).await?;
            new_users.push(NewUser { id, email, password_hash });
        }
    }
    let (count_users, count_memberships) = (new_users.len(), memberships.len());
    let orphan = identity.store.add_missing(tenants, new_users, memberships, identity.clock.now()).await.map_err(|error| wrong(&error))?;
    if let Some(NewMembership { user, tenant: Some(tenant), .. }) = orphan {
        return Err(wrong(&format!(
            "user {:?} is a member of tenant {:?}, which does not exist; add it to 'tenants'",
            user.as_str(),
            tenant.as_str()
        )));
    }
    tracing::info!(new_users = count_users, memberships = count_memberships, "seed applied");
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read: {error}"))?;
    let mut text = String::new();
    let read = file.take(MAX_SEED + 1).read_to_string(&mut text).map_err(|error| format!("cannot read: {error}"))?;
    if u64::try_from(read).is_ok_and(|read| read <= MAX_SEED) { Ok(text) } else { Err(format!("is larger than {MAX_SEED} bytes")) }
}

fn parse(text: &str) -> Result<Seed, String> {
    let seed: Seed = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut tenants = HashSet::new();
    for tenant in &seed.tenants {
        if !tenants.insert(tenant.id.as_str()) {
            return Err(format!("tenant {:?} is there twice", tenant.id.as_str()));
        }
    }
    let mut users = HashSet::new();
    let mut emails = HashMap::new();
    for user in &seed.users {
        let id = user.id.as_str();
        if !users.insert(id) {
            return Err(format!("user {id:?} is there twice"));
        }
        if let Some(other) = emails.insert(user.email.as_str(), id) {
            return Err(format!("users {other:?} and {id:?} have the same e-mail address"));
        }
        if user.password.is_empty() || user.password.is_too_long() {
            return Err(format!("the password of user {id:?} is empty or too long"));
        }
        let mut places = HashSet::new();
        for membership in &user.memberships {
            let tenant = membership.tenant.as_ref().map(Identifier::as_str);
            let place = tenant.unwrap_or("(platform)");
            if !places.insert(tenant) {
                return Err(format!("user {id:?} has two memberships in {place:?}; merge them"));
            }
            if membership.realm.is_some_and(|realm| realm != Realm::of(tenant)) {
                return Err(format!(
                    "user {id:?}, membership in {place:?}: a membership with a tenant has the realm 'tenant', one without has 'system'"
                ));
            }
        }
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seed_is_read() {
        let seed = parse(
            r#"{"tenants":[{"id":"acme","name":"Acme","services":{"blog":{"enabled":true}}}],
                "users":[{"id":"root","email":"root@x","password":"p","memberships":[
                    {"tenant":null,"realm":"system","roles":["admin"],"permissions":[]},
                    {"tenant":"acme","realm":"tenant","roles":[],"permissions":["blog:posts.read"]}]}]}"#,
        )
        .unwrap();
        assert_eq!((seed.tenants.len(), seed.users.len()), (1, 1));
    }

    #[test]
    fn contradictions_are_named() {
        let user = |id: &str, email: &str, memberships: &str| {
            format!(r#"{{"id":"{id}","email":"{email}","password":"p","memberships":[{memberships}]}}"#)
        };
        let tenant = r#"{"id":"acme","name":"Acme"}"#;
        let cases = [
            ("{".to_owned(), "line 1"),
            (r#"{"tenant":[]}"#.to_owned(), "unknown field `tenant`"),
            (format!(r#"{{"tenants":[{tenant},{tenant}]}}"#), "tenant \"acme\" is there twice"),
            (format!(r#"{{"users":[{},{}]}}"#, user("a", "a@x", ""), user("a", "b@x", "")), "user \"a\" is there twice"),
            (format!(r#"{{"users":[{},{}]}}"#, user("a", "a@x", ""), user("b", "A@x", "")), "same e-mail"),
            (format!(r#"{{"users":[{}]}}"#, user("a", "a@x", r#"{"tenant":null,"realm":"tenant"}"#)), "realm"),
            (format!(r#"{{"users":[{}]}}"#, user("a", "a@x", r#"{"tenant":"t"},{"tenant":"t"}"#)), "two memberships"),
            (format!(r#"{{"users":[{}]}}"#, user("a/b", "a@x", "")), "identifier \"a/b\""),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
