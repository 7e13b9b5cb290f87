//! What is known of the issuers in a case, as the PDP takes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::case::{Keys, Person, RevocationEntry, RevocationState, Revoked, STATUS_LIST_LENGTH, State, TenantRole};
use super::{keys, object};
use crate::config::{Configuration, Source, SourceFeed, StatusListFeed};
use crate::pdp::permission::{PermissionSet, PermissionSyntax};
use crate::pdp::revocation::status_list::StatusList;
use crate::pdp::revocation::status_list::statuses::{Statuses, Width};
use crate::pdp::revocation::{Batch, Revocation, RevocationData, RevocationList};
use crate::pdp::role::TenantRoles;
use crate::pdp::target::{Target, TargetFact, TargetKey};
use crate::pdp::tenant::TenantId;
use crate::pdp::time::UnixTime;
use crate::pdp::token::key::KeySet;
use crate::pdp::token::profile::SourceId;
use crate::pdp::{Facts, Revocations};

/// Facts in memory.
pub(super) struct MemoryFacts {
    keys: HashMap<SourceId, Arc<KeySet>>,
    revocations: HashMap<SourceId, Revocations>,
    tenant_roles: HashMap<SourceId, Arc<TenantRoles>>,
    directory: BTreeMap<String, Person>,
}

impl Facts for MemoryFacts {
    fn keys(&self, source: SourceId) -> Option<Arc<KeySet>> {
        self.keys.get(&source).map(Arc::clone)
    }

    fn revocations(&self, source: SourceId) -> Revocations {
        self.revocations.get(&source).cloned().unwrap_or(Revocations::Missing)
    }

    fn tenant_roles(&self, source: SourceId) -> Option<Arc<TenantRoles>> {
        self.tenant_roles.get(&source).map(Arc::clone)
    }

    fn target(&self, key: &TargetKey) -> TargetFact {
        match self.directory.get(&*key.user) {
            None | Some(Person::Unknown) => TargetFact::Unknown,
            Some(Person::Failed) => TargetFact::Failed,
            Some(Person::Known { tenant, roles, attributes }) => {
                if tenant.is_some() && tenant.as_deref() != key.tenant.as_ref().map(TenantId::as_str) {
                    return TargetFact::Unknown;
                }
                let mut target = Target { roles: roles.iter().map(|role| role.as_str().into()).collect(), ..Target::default() };
                for (name, value) in attributes {
                    target.attributes.push(name, value);
                }
                TargetFact::Known(Arc::new(target))
            }
        }
    }
}

impl MemoryFacts {
    /// What the states say, later ones over earlier ones; their times are relative to `at`, in milliseconds since the epoch.
    pub(super) fn new(configuration: &Configuration, states: &[&State], at: i64) -> Result<Self, String> {
        let mut facts =
            Self { keys: HashMap::new(), revocations: HashMap::new(), tenant_roles: HashMap::new(), directory: BTreeMap::new() };
        for state in states {
            facts.directory.extend(state.directory.clone());
            for name in state.keys.keys().chain(state.revocations.keys()).chain(state.tenant_roles.keys()) {
                if !configuration.snapshot.issuers.iter().any(|issuer| *issuer.name == **name) {
                    return Err(format!("the state speaks of the issuer '{name}', which the configuration does not have"));
                }
            }
        }
        for source in &configuration.sources {
            match &source.feed {
                SourceFeed::Keys(jwks) => {
                    let (name, algorithm) = keys::usual(&jwks.algorithms);
                    let members = object(json!({ "alg": algorithm }));
                    let usual = Keys::Published(vec![(name.into(), members)]);
                    match states.iter().rev().find_map(|state| state.keys.get(&*source.issuer)).unwrap_or(&usual) {
                        Keys::Missing => {}
                        Keys::Published(published) => {
                            let document = key_document(published)?;
                            let set =
                                KeySet::parse(document.to_string().as_bytes(), &jwks.algorithms).map_err(|error| error.to_string())?;
                            facts.keys.insert(source.id, Arc::new(set));
                        }
                    }
                }
                SourceFeed::Revocations(_) => {
                    facts.publish(source, states, |revoked| Ok(list(&revoked.entries, at).into()))?;
                }
                SourceFeed::StatusList(feed) => {
                    let keys = facts.keys.get(&feed.keys).cloned();
                    facts.publish(source, states, |revoked| Ok(status_list(revoked, feed, keys.as_deref(), at)?.into()))?;
                }
                SourceFeed::TenantRoles(feed) => {
                    let usual = Some(Vec::new());
                    if let Some(roles) = states.iter().rev().find_map(|state| state.tenant_roles.get(&*source.issuer)).unwrap_or(&usual) {
                        facts.tenant_roles.insert(source.id, Arc::new(tenant_roles(roles, &feed.syntax)?));
                    }
                }
                SourceFeed::Directory(_) => {}
            }
        }
        Ok(facts)
    }

    /// What the states say of a source of revocations. Without a word, it has revoked nothing.
    fn publish(
        &mut self,
        source: &Source,
        states: &[&State],
        data: impl Fn(&Revoked) -> Result<RevocationData, String>,
    ) -> Result<(), String> {
        let usual = RevocationState::Fresh(Revoked::default());
        let revocations = match states.iter().rev().find_map(|state| state.revocations.get(&*source.issuer)).unwrap_or(&usual) {
            RevocationState::Missing => Revocations::Missing,
            RevocationState::Stale(revoked) => Revocations::Stale(Arc::new(data(revoked)?)),
            RevocationState::Fresh(revoked) => Revocations::Fresh(Arc::new(data(revoked)?)),
        };
        self.revocations.insert(source.id, revocations);
        Ok(())
    }
}

fn key_document(published: &[(String, Map<String, Value>)]) -> Result<Value, String> {
    let jwks = published.iter().map(|(name, members)| {
        let mut jwk = keys::named(name)?.jwk()?;
        for (member, value) in members {
            // `null` takes a member away.
            if value.is_null() {
                jwk.remove(member);
            } else {
                jwk.insert(member.clone(), value.clone());
            }
        }
        Ok(Value::Object(jwk))
    });
    Ok(json!({ "keys": jwks.collect::<Result<Vec<_>, String>>()? }))
}

fn tenant_roles(roles: &[TenantRole], syntax: &PermissionSyntax) -> Result<TenantRoles, String> {
    let mut all = TenantRoles::default();
    for TenantRole { tenant, role, permissions } in roles {
        let mut set = PermissionSet::default();
        for permission in permissions {
            set.insert(syntax.grant(permission, true).map_err(|error| format!("'{permission}' is no permission: {error}"))?);
        }
        all.insert(TenantId::parse(tenant).ok_or_else(|| format!("'{tenant}' is no tenant id"))?, role, set);
    }
    Ok(all)
}

fn list(entries: &[RevocationEntry], at: i64) -> RevocationList {
    let entries = entries.iter().map(|RevocationEntry { kind, id, before }| {
        let before = before.map(|millis| UnixTime::from_millis(at.saturating_add(millis)));
        Revocation { kind: *kind, id, before, expires: None }
    });
    let batch: Batch = entries.collect();
    RevocationList::full(batch, UnixTime::from_millis(at))
}

/// A list as its issuer would have signed it, with the statuses of the case.
fn status_list(revoked: &Revoked, feed: &StatusListFeed, keys: Option<&KeySet>, at: i64) -> Result<StatusList, String> {
    let named;
    let keys = match &revoked.signed_by {
        None => keys.ok_or("there is no status list without the keys of its issuer")?,
        Some(name) => {
            let document = keys::key_set(&[name])?;
            named = KeySet::parse(document.to_string().as_bytes(), &feed.rules.algorithms).map_err(|error| error.to_string())?;
            &named
        }
    };
    let signer = keys.keys().next().ok_or("a status list needs a key of its issuer's algorithms to be signed by")?.signer();
    let statuses: Vec<u8> = (0..STATUS_LIST_LENGTH).map(|index| revoked.statuses.get(&index).copied().unwrap_or(0)).collect();
    Ok(StatusList {
        statuses: Statuses::new(Width::Eight, statuses.into()),
        signer,
        issued_at: UnixTime::from_millis(at),
        expires: None,
        ttl: None,
    })
}
