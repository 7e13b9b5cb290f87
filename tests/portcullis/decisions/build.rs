//! From a case to what the PDP takes: configurations, keys, revocations, header fields.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portcullis::config::{Configuration, SourceFeed, SourceFile};
use portcullis::pdp::revocation::{Revocation, RevocationKind, RevocationList};
use portcullis::pdp::time::UnixTime;
use portcullis::pdp::token::key::KeySet;
use portcullis::pdp::token::profile::SourceId;
use portcullis::pdp::{Facts, Revocations};
use serde_json::{Value, json};

use super::case::{Case, CaseFile, CaseToken, Keys, RevocationEntry, RevocationState, State};
use crate::support::template::{fill, fill_text};
use crate::support::{NOW_SECONDS, keys};

/// The configuration of a file and its variants, compiled.
pub struct Configurations {
    base: Configuration,
    variants: BTreeMap<String, Configuration>,
}

impl Configurations {
    pub fn compile(file: &CaseFile) -> Result<Self, String> {
        let compile = |name: &str, text: &str| {
            let source = SourceFile { name: name.to_string(), text: text.to_string() };
            Configuration::compile(&[source]).map_err(|problems| format!("{}: the configuration has problems:\n{problems}", file.name))
        };
        let variants = file.variants.iter().map(|(name, text)| Ok((name.clone(), compile(name, text)?))).collect::<Result<_, String>>()?;
        Ok(Self { base: compile("configuration", &file.configuration)?, variants })
    }

    pub fn get(&self, variant: Option<&str>) -> Result<&Configuration, String> {
        match variant {
            None => Ok(&self.base),
            Some(name) => self.variants.get(name).ok_or_else(|| format!("there is no variant '{name}' of the configuration")),
        }
    }
}

/// Facts in memory.
pub struct MemoryFacts {
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
    pub fn new(configuration: &Configuration, states: &[&State]) -> Result<Self, String> {
        let mut facts = Self { keys: HashMap::new(), revocations: HashMap::new() };
        for name in states.iter().flat_map(|state| state.keys.keys().chain(state.revocations.keys())) {
            if !configuration.sources.iter().any(|source| *source.issuer == **name) {
                return Err(format!("the state speaks of the issuer '{name}', which the configuration does not have"));
            }
        }
        for source in &configuration.sources {
            match &source.feed {
                SourceFeed::Keys(jwks) => {
                    let usual = Keys::Published(vec![("rsa-a".into(), serde_json::Map::new())]);
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

fn key_document(published: &[(String, serde_json::Map<String, Value>)]) -> Result<Value, String> {
    let jwks = published.iter().map(|(name, members)| {
        let mut jwk = keys::named(name)?.jwk();
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

/// So many milliseconds after the usual time.
pub fn at(millis: i64) -> UnixTime {
    UnixTime::from_millis(NOW_SECONDS * 1000 + millis)
}

/// Makes the token, with the `iss` and `aud` of its issuer unless it says otherwise.
fn mint(token: &CaseToken, configuration: &Configuration) -> Result<Vec<u8>, String> {
    let mut issuers = configuration.snapshot.issuers.iter();
    let policy = match &token.issuer {
        Some(name) => issuers.find(|policy| *policy.name == **name).ok_or_else(|| format!("there is no issuer '{name}'"))?,
        None => match issuers.next() {
            Some(policy) => policy,
            None => return Ok(Vec::new()),
        },
    };
    let mut spec = token.spec.clone();
    spec.claims.entry("iss").or_insert_with(|| json!(policy.issuer));
    spec.claims.entry("aud").or_insert_with(|| json!(policy.audiences));
    spec.mint()
}

/// A request whose parts own their text.
#[derive(Clone)]
pub struct BuiltRequest {
    pub method: String,
    pub target: String,
    pub host: String,
    pub peer: String,
    pub fields: Vec<(String, Vec<u8>)>,
}

impl BuiltRequest {
    pub fn new(case: &Case, configuration: &Configuration) -> Result<Self, String> {
        let token = case.token.as_ref().map_or(Ok(Vec::new()), |token| mint(token, configuration))?;
        let variables: [(&str, &[u8]); 1] = [("token", &token)];
        let mut fields = Vec::new();
        for (name, values) in &case.request.headers {
            for value in values {
                fields.push((name.clone(), fill(value, &variables)?));
            }
        }
        let written = case.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !token.is_empty() && !written {
            fields.push(("authorization".to_string(), [b"Bearer ", token.as_slice()].concat()));
        }
        Ok(Self {
            method: case.request.method.clone(),
            target: fill_text(&case.request.target, &variables)?,
            host: fill_text(&case.request.host, &variables)?,
            peer: case.request.peer.clone(),
            fields,
        })
    }

    /// The same request as a PEP describes it that joins repeated headers; `None` if there are none.
    pub fn joined(&self) -> Option<Self> {
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in &self.fields {
            match fields.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                Some((_, joined)) => {
                    joined.push(b',');
                    joined.extend_from_slice(value);
                }
                None => fields.push((name.clone(), value.clone())),
            }
        }
        (fields.len() < self.fields.len()).then(|| Self { fields, ..self.clone() })
    }
}
