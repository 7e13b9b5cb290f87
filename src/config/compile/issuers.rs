//! Issuers: the policies that their tokens are judged by, and the sources that have to be pulled for them.

use std::collections::HashMap;
use std::sync::Arc;

use super::permissions::Vocabulary;
use super::short_digest;
use crate::config::problem::Problems;
use crate::config::schema::{IssuerSchema, RevocationSchema, Source, SourceFeed, StatusListFeed, TenantRoleFeed};
use crate::config::yaml::Located;
use crate::pdp::revocation::status_list::verify::StatusListRules;
use crate::pdp::token::profile::{IssuerPolicy, PolicyFingerprint, RevocationRule, SourceId, StatusListName, TenantRolePolicy};

/// What status lists are called in metrics, logs and dumps.
const STATUS_LIST: &str = "status_list";

pub(super) fn compile(
    issuers: Vec<IssuerSchema>,
    vocabulary: &Vocabulary,
    problems: &mut Problems,
) -> (Vec<Arc<IssuerPolicy>>, Vec<Arc<Source>>) {
    let mut policies = Vec::new();
    let mut sources = Vec::new();
    let mut names: HashMap<String, Located<String>> = HashMap::new();
    let mut issuer_texts: HashMap<String, Located<String>> = HashMap::new();
    for schema in issuers {
        if let Some(first) = names.insert(schema.name.value.clone(), schema.name.clone()) {
            schema.name.problem(problems, format!("the issuer '{}' is there already, at {}", schema.name.value, first.location));
        }
        if let Some(first) = issuer_texts.insert(schema.issuer.value.clone(), schema.issuer.clone()) {
            schema.issuer.problem(problems, format!("this 'iss' belongs to another issuer already, at {}", first.location));
        }
        let name: Arc<str> = schema.name.value.as_str().into();
        let keys =
            SourceId(short_digest(&format!("keys {:?} {:?} {:?}", schema.issuer.value, schema.jwks.location, schema.jwks.algorithms)));
        let source_of = |id, feed| Arc::new(Source { id, issuer: Arc::clone(&name), transport: schema.transport.clone(), feed });
        sources.push(source_of(keys, SourceFeed::Keys(schema.jwks)));
        let mut revocations: Vec<RevocationRule> = Vec::new();
        let mut status_lists = Vec::new();
        for entry in schema.revocations {
            let (label, identity, when_stale) = match &entry {
                RevocationSchema::Source(source) => (source.origin.label(), source.origin.identity(), source.when_stale),
                // What a list was believed by is what it is good for.
                RevocationSchema::StatusList(list) => {
                    (STATUS_LIST, format!("{:?} {keys:?} {:?} {:?}", list.uri, schema.key_id, schema.audiences), list.when_stale)
                }
            };
            let source = SourceId(short_digest(&format!("revocations {:?} {label} {identity}", schema.issuer.value)));
            if revocations.iter().any(|rule| rule.source == source) {
                schema.name.problem(problems, format!("the issuer '{name}' has the same {label} of revocations twice"));
            }
            let alike = revocations.iter().filter(|rule| rule.name.split('-').next() == Some(label)).count();
            let rule_name: Arc<str> = if alike == 0 { label.into() } else { format!("{label}-{}", alike + 1).into() };
            revocations.push(RevocationRule { name: rule_name, source, when_stale });
            let feed = match entry {
                RevocationSchema::Source(source) => SourceFeed::Revocations(source),
                RevocationSchema::StatusList(list) => {
                    status_lists.push(StatusListName { uri: list.uri.clone(), source });
                    let rules = StatusListRules {
                        uri: list.uri.clone(),
                        issuer: schema.issuer.value.as_str().into(),
                        audiences: schema.audiences.clone(),
                        algorithms: schema.algorithms.clone(),
                        key_id: schema.key_id,
                        leeway: schema.leeway,
                    };
                    SourceFeed::StatusList(StatusListFeed { source: list, rules, keys })
                }
            };
            sources.push(source_of(source, feed));
        }
        let syntax = vocabulary.for_tokens();
        let tenant_roles = schema.tenant_roles.map(|roles| {
            let within = roles.value.within.map(|within| Arc::new(vocabulary.grants(&within, problems)));
            let source = roles.value.source.map(|source| {
                let id = SourceId(short_digest(&format!("roles {:?} {:?} {:?}", schema.issuer.value, source.url, syntax.as_str())));
                let feed = SourceFeed::TenantRoles(TenantRoleFeed { source, syntax: Arc::clone(&syntax) });
                sources.push(source_of(id, feed));
                id
            });
            TenantRolePolicy { source, within }
        });
        let mut policy = IssuerPolicy {
            name,
            issuer: schema.issuer.value.into(),
            audiences: schema.audiences,
            algorithms: schema.algorithms,
            types: schema.types,
            key_id: schema.key_id,
            required: schema.required,
            leeway: schema.leeway,
            max_lifetime: schema.max_lifetime,
            max_token_bytes: schema.max_token_bytes,
            wildcards: schema.wildcards,
            tenants: schema.tenants.map(|tenants| tenants.into_iter().collect()),
            claims: schema.claims,
            syntax,
            keys,
            revocations: revocations.into(),
            status_lists,
            acting: schema.acting,
            fingerprint: PolicyFingerprint(0),
            tenant_roles: TenantRolePolicy::default(),
        };
        // The text that is hashed names every field, so another policy is another fingerprint.
        policy.fingerprint = PolicyFingerprint(short_digest(&format!("{policy:?}")));
        policy.tenant_roles = tenant_roles.unwrap_or_default();
        policies.push(Arc::new(policy));
    }
    (policies, sources)
}
