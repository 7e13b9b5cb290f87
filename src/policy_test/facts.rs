//! What is known of the issuers in a case, as the PDP takes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::case::{Keys, Person, RevocationEntry, RevocationState, State, TenantRole};
use super::{keys, object};
use crate::config::{Configuration, SourceFeed};
use crate::pdp::permission::{PermissionSet, PermissionSyntax};
use crate::pdp::revocation::{Batch, Revocation, RevocationList};
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
                    let usual = RevocationState::Fresh(Vec::new());
                    let state = states.iter().rev().find_map(|state| state.revocations.get(&*source.issuer)).unwrap_or(&usual);
                    facts.revocations.insert(source.id, revocations(state, at));
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

fn revocations(state: &RevocationState, at: i64) -> Revocations {
    let list = |entries: &[RevocationEntry]| {
        let entries = entries.iter().map(|RevocationEntry { kind, id, before }| {
            let before = before.map(|millis| UnixTime::from_millis(at.saturating_add(millis)));
            Revocation { kind: *kind, id, before, expires: None }
        });
        let batch: Batch = entries.collect();
        Arc::new(RevocationList::full(batch, UnixTime::from_millis(at)).into())
    };
    match state {
        RevocationState::Missing => Revocations::Missing,
        RevocationState::Stale(entries) => Revocations::Stale(list(entries)),
        RevocationState::Fresh(entries) => Revocations::Fresh(list(entries)),
    }
}
