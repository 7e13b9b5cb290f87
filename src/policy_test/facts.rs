//! What is known of the issuers in a case, as the PDP takes it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::case::{Keys, RevocationEntry, RevocationState, State};
use super::{at, keys};
use crate::config::{Configuration, SourceFeed};
use crate::pdp::revocation::{Revocation, RevocationKind, RevocationList};
use crate::pdp::token::key::KeySet;
use crate::pdp::token::profile::SourceId;
use crate::pdp::{Facts, Revocations};

/// Facts in memory.
pub(super) struct MemoryFacts {
    keys: HashMap<SourceId, Arc<KeySet>>,
    revocations: HashMap<SourceId, Revocations>,
}

impl Facts for MemoryFacts {
    fn keys(&self, source: SourceId) -> Option<Arc<KeySet>> {
        self.keys.get(&source).map(Arc::clone)
    }

    fn revocations(&self, source: SourceId) -> Revocations {
        self.revocations.get(&source).cloned().unwrap_or(Revocations::Missing)
    }
}

impl MemoryFacts {
    /// What the states say, later ones over earlier ones.
    pub(super) fn new(configuration: &Configuration, states: &[&State]) -> Result<Self, String> {
        let mut facts = Self { keys: HashMap::new(), revocations: HashMap::new() };
        for name in states.iter().flat_map(|state| state.keys.keys().chain(state.revocations.keys())) {
            if !configuration.sources.iter().any(|source| *source.issuer == **name) {
                return Err(format!("the state speaks of the issuer '{name}', which the configuration does not have"));
            }
        }
        for source in &configuration.sources {
            match &source.feed {
                SourceFeed::Keys(jwks) => {
                    let usual = Keys::Published(vec![("rsa-a".into(), Map::new())]);
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
                    facts.revocations.insert(source.id, revocations(state)?);
                }
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

fn revocations(state: &RevocationState) -> Result<Revocations, String> {
    let list = |entries: &[RevocationEntry]| {
        let mut list = RevocationList::default();
        for RevocationEntry { kind, id, before } in entries {
            let kind = RevocationKind::parse(kind).ok_or_else(|| format!("'{kind}' is no type of revocation"))?;
            list.insert(Revocation { kind, id: id.as_str().into(), before: before.map(at), expires: None });
        }
        Ok::<_, String>(Arc::new(list))
    };
    Ok(match state {
        RevocationState::Missing => Revocations::Missing,
        RevocationState::Stale(entries) => Revocations::Stale(list(entries)?),
        RevocationState::Fresh(entries) => Revocations::Fresh(list(entries)?),
    })
}
