//! The seed file: tenants, users, memberships and clients to begin with, and the rules.
//!
//! It adds what is missing and changes nothing that exists, so a service with a kept database can be started with it again
//! and again. The rules are not added but replaced: those of the last seed count. All of it is done, or nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use serde::Deserialize;

use super::Identity;
use super::error::StartError;
use super::id::{Email, GrantName, Identifier};
use super::password::Password;
use super::role::{Attributes, Role};
use super::rules::{MaxSessions, RoleLifetimes, RolePermissions, Rules};
use super::store::{Additions, Entitlements, NewClient, NewMembership, NewTenant, NewUser, SeedConflict};
use super::token::Realm;
use super::totp::TotpSecret;

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
    #[serde(default)]
    clients: Vec<SeedClient>,
    #[serde(default)]
    roles: RolePermissions,
    #[serde(default)]
    expand_roles: bool,
    #[serde(default)]
    impersonators: Vec<GrantName>,
    #[serde(default = "Rules::default_admin_roles")]
    admin_roles: Vec<GrantName>,
    #[serde(default)]
    access_ttl: RoleLifetimes,
    max_sessions: Option<MaxSessions>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedTenant {
    id: Identifier,
    name: String,
    #[serde(default)]
    services: Entitlements,
    #[serde(default)]
    roles: RolePermissions,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedUser {
    id: Identifier,
    email: Email,
    password: Password,
    totp: Option<TotpSecret>,
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
    roles: Vec<Role>,
    #[serde(default)]
    permissions: Vec<GrantName>,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedClient {
    id: Identifier,
    secret: Password,
    tenant: Option<Identifier>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    permissions: Vec<GrantName>,
}

/// Adds what the seed file names and the database lacks, and puts its rules in force.
///
/// # Errors
/// When the file cannot be read, is not a seed, contradicts itself, or contradicts the database.
pub async fn apply(identity: &Identity, path: &Path) -> Result<(), StartError> {
    let wrong = |why: &dyn std::fmt::Display| StartError::new(format!("seed file {:?}: {why}", path.display()));
    let text = read(path).map_err(|error| wrong(&error))?;
    let seed = parse(&text).map_err(|error| wrong(&error))?;

    let additions = additions(identity, seed).await?;
    let (users, memberships, clients) = (additions.users.len(), additions.memberships.len(), additions.clients.len());
    let rules = Arc::new(additions.rules.clone());
    let conflict = identity.store.add_missing(additions, identity.clock.now()).await.map_err(|error| wrong(&error))?;
    if let Some(conflict) = conflict {
        return Err(wrong(&conflict));
    }
    *identity.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    tracing::info!(new_users = users, memberships, new_clients = clients, "seed applied");
    Ok(())
}

/// What a seed comes to. Hashing is slow on purpose, and who exists keeps the password anyway: only newcomers are hashed.
async fn additions(identity: &Identity, seed: Seed) -> Result<Additions, StartError> {
    let Seed { tenants, users, clients, roles, expand_roles, impersonators, admin_roles, access_ttl, max_sessions } = seed;
    let rules = Rules { roles, expand_roles, impersonators, admin_roles, access_ttl, max_sessions };
    let mut additions = Additions { rules, ..Additions::default() };
    for SeedTenant { id, name, services, roles } in tenants {
        additions.tenants.push(NewTenant { id, name, services, roles });
    }
    for SeedUser { id, email, password, totp, memberships } in users {
        for SeedMembership { tenant, realm: _, roles, permissions, attributes } in memberships {
            additions.memberships.push(NewMembership { user: id.clone(), tenant, roles, permissions, attributes });
        }
        if !identity.store.user_exists(id.clone()).await? {
            let password_hash = identity.passwords.hash(password).await?;
            additions.users.push(NewUser { id, email, password_hash, totp });
        }
    }
    for SeedClient { id, secret, tenant, roles, permissions } in clients {
        if !identity.store.client_exists(id.clone()).await? {
            let secret_hash = identity.passwords.hash(secret).await?;
            additions.clients.push(NewClient { id, secret_hash, tenant, roles, permissions });
        }
    }
    Ok(additions)
}

impl std::fmt::Display for SeedConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MembershipWithoutTenant(user, tenant) => {
                write!(f, "user {:?} is a member of tenant {:?}, which does not exist; add it to 'tenants'", user.as_str(), tenant.as_str())
            }
            Self::ClientWithoutTenant(client, tenant) => {
                write!(f, "client {:?} is one of tenant {:?}, which does not exist; add it to 'tenants'", client.as_str(), tenant.as_str())
            }
            Self::UserAndClient(id) => {
                write!(f, "{:?} is the identifier of a user and of a client; tokens could not tell them apart, rename one", id.as_str())
            }
        }
    }
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
    check_tenants(&seed)?;
    check_users(&seed)?;
    check_clients(&seed)?;
    Ok(seed)
}

fn check_tenants(seed: &Seed) -> Result<(), String> {
    let mut tenants = HashSet::new();
    for tenant in &seed.tenants {
        let id = tenant.id.as_str();
        if !tenants.insert(id) {
            return Err(format!("tenant {id:?} is there twice"));
        }
        // The role of everybody would win, which whoever wrote the other one did not mean.
        if let Some(role) = tenant.roles.keys().find(|role| seed.roles.contains_key(*role)) {
            return Err(format!("tenant {id:?} defines role {:?}, which 'roles' defines for all tenants; rename one", role.as_str()));
        }
    }
    Ok(())
}

fn check_users(seed: &Seed) -> Result<(), String> {
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
    Ok(())
}

fn check_clients(seed: &Seed) -> Result<(), String> {
    let mut clients = HashSet::new();
    for client in &seed.clients {
        let id = client.id.as_str();
        if !clients.insert(id) {
            return Err(format!("client {id:?} is there twice"));
        }
        if client.secret.is_empty() || client.secret.is_too_long() {
            return Err(format!("the secret of client {id:?} is empty or too long"));
        }
    }
    match seed.users.iter().find(|user| clients.contains(user.id.as_str())) {
        Some(user) => Err(SeedConflict::UserAndClient(user.id.clone()).to_string()),
        None => Ok(()),
    }
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
        assert_eq!(seed.admin_roles, Rules::default().admin_roles);
    }

    #[test]
    fn everything_that_a_seed_can_say_is_read() {
        let seed = parse(
            r#"{"roles":{"editor":["blog:posts.*"]},"expand_roles":true,"impersonators":["SUPER_ADMIN"],"admin_roles":["ADMIN"],
                "access_ttl":{"SUPER_ADMIN":"5m"},"max_sessions":3,
                "clients":[{"id":"reporting","secret":"s","tenant":null,"roles":["r"],"permissions":["p"]},
                           {"id":"billing","secret":"s","tenant":"acme","roles":[{"role":"r","department":"d1"}]}],
                "tenants":[{"id":"acme","name":"Acme","roles":{"lead":["blog:posts.read"]}}],
                "users":[{"id":"bob","email":"bob@x","password":"p","totp":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","memberships":[
                    {"tenant":"acme","roles":["lead",{"role":"sales","department":"d1"}],"attributes":{"department":"d1"}}]}]}"#,
        )
        .unwrap();
        assert_eq!((seed.clients.len(), seed.max_sessions.map(u32::from)), (2, Some(3)));
    }

    #[test]
    fn contradictions_are_named() {
        let user = |id: &str, email: &str, memberships: &str| {
            format!(r#"{{"id":"{id}","email":"{email}","password":"p","memberships":[{memberships}]}}"#)
        };
        let client = |id: &str, secret: &str| format!(r#"{{"id":"{id}","secret":"{secret}"}}"#);
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
            (format!(r#"{{"users":[{}]}}"#, user("a", "a@x", r#"{"attributes":{"x":"1","x":"2"}}"#)), "member \"x\" is there twice"),
            (format!(r#"{{"users":[{}]}}"#, user("a", "a@x", r#"{"attributes":{"x":1}}"#)), "integer `1`"),
            (format!(r#"{{"users":[{}]}}"#, user("a", "a@x", r#"{"roles":[{"department":"d1"}]}"#)), "missing field `role`"),
            (r#"{"users":[{"id":"a","email":"a@x","password":"p","totp":"JBSWY3DPEHPK3PXP"}]}"#.to_owned(), "totp secret has 10 bytes"),
            (
                format!(r#"{{"users":[{}],"clients":[{}]}}"#, user("a", "a@x", ""), client("a", "s")),
                "\"a\" is the identifier of a user and",
            ),
            (format!(r#"{{"clients":[{},{}]}}"#, client("a", "s"), client("a", "t")), "client \"a\" is there twice"),
            (format!(r#"{{"clients":[{}]}}"#, client("a", "")), "secret of client \"a\""),
            (
                r#"{"roles":{"r":[]},"tenants":[{"id":"acme","name":"A","roles":{"r":[]}}]}"#.to_owned(),
                "tenant \"acme\" defines role \"r\"",
            ),
            (r#"{"roles":{"r":["a b"]}}"#.to_owned(), "role or permission \"a b\""),
            (r#"{"roles":{"r":[],"r":[]}}"#.to_owned(), "member \"r\" is there twice"),
            (r#"{"access_ttl":{"r":"25h"}}"#.to_owned(), "lifetime \"25h\" is longer than 24h"),
            (r#"{"access_ttl":{"r":"5"}}"#.to_owned(), "lifetime \"5\""),
            (r#"{"max_sessions":0}"#.to_owned(), "'max_sessions' is 0"),
            (r#"{"impersonators":["a,b"]}"#.to_owned(), "role or permission \"a,b\""),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
