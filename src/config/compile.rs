//! The bridge from the schema to the PDP: everything that depends on two places of the configuration at once.

use std::sync::Arc;

use aws_lc_rs::digest;

use super::problem::{Problem, Problems};
use super::schema::{AssertionSchema, DirectorySource, IssuerSchema, Schema, Source, SourceFeed, Transport};
use super::{Configuration, SourceFile};
use crate::pdp::obligation::AssertionRule;
use crate::pdp::snapshot::{IssuerTable, Snapshot};
use crate::pdp::token::profile::SourceId;

mod audit;
mod headers;
mod issuers;
mod permissions;
mod requirement;
mod roles;
mod routes;

use permissions::Vocabulary;

pub(super) fn compile(schema: Schema, files: &[SourceFile], problems: &mut Problems) -> Option<Configuration> {
    let Schema {
        listen,
        challenge_realm,
        issuers,
        unreadable_issuers,
        permissions,
        permission_sets,
        roles,
        headers,
        assertion,
        directory,
        audit,
        has_audit,
        loading,
        limits,
        shutdown,
        warm_start,
        routes,
    } = schema;
    let vocabulary = Vocabulary::new(permissions, &issuers, problems);
    let (roles, mut notices) = roles::compile(permission_sets, roles, &vocabulary, problems);
    let identity_headers = headers::compile(headers, problems);
    if !unreadable_issuers {
        routes::check_satisfiable(&routes, &issuers, problems);
    }
    let assertion = assertion.map(|assertion| assertion_rule(assertion.value, &issuers, problems));
    notices.extend(routes::notices(&routes));
    if !has_audit {
        audit::check_has_trail(&routes, problems);
    }
    notices.extend(audit.as_ref().and_then(|trail| audit::unused(&routes, trail)));
    let (directory, directory_source) = directory.map(|directory| directory_of(directory.value)).unzip();
    let routes::Compiled { table, names: route_names, permissions } = routes::compile(routes, &vocabulary, directory.is_some(), problems);
    let (issuers, mut sources) = issuers::compile(issuers, &vocabulary, problems);
    sources.extend(directory_source);
    if route_names.is_empty() && problems.is_empty() {
        let message = "there are no routes, so every request would be refused; add at least one under 'routes'".to_string();
        problems.push(Problem { location: None, key: String::new(), message });
    }
    let snapshot = Snapshot {
        revision: revision(files),
        issuers: IssuerTable::new(issuers),
        roles,
        routes: table,
        route_names,
        permissions,
        directory,
        identity_headers,
        assertion,
        challenge_realm: challenge_realm.map_or_else(|| "service".into(), |realm| realm.value.into()),
    };
    let listen = listen.map(|listen| listen.value).unwrap_or_default();
    Some(Configuration {
        snapshot,
        listen,
        audit: audit.map(|audit| audit.value),
        loading: loading.map(|loading| loading.value).unwrap_or_default(),
        limits: limits.map(|limits| limits.value).unwrap_or_default(),
        shutdown: shutdown.map(|shutdown| shutdown.value).unwrap_or_default(),
        warm_start: warm_start.map(|settings| settings.value),
        sources,
        notices,
    })
}

/// Whoever signs assertions must not be taken for an issuer of access tokens.
fn assertion_rule(schema: AssertionSchema, issuers: &[IssuerSchema], problems: &mut Problems) -> AssertionRule {
    if let Some(other) = issuers.iter().find(|issuer| issuer.issuer.value == schema.issuer.value) {
        schema.issuer.problem(problems, format!("this 'iss' belongs to an issuer of tokens already, at {}", other.issuer.location));
    }
    AssertionRule { issuer: schema.issuer.value.into(), audience: schema.audience.value.into(), ttl: schema.ttl }
}

/// A directory is a source like others, and belongs to no issuer.
fn directory_of((source, transport): (DirectorySource, Transport)) -> (SourceId, Arc<Source>) {
    let id = SourceId(short_digest(&format!("directory {source:?}")));
    (id, Arc::new(Source { id, issuer: "directory".into(), transport, feed: SourceFeed::Directory(source) }))
}

fn sha256(parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        // Lengths keep neighbours apart.
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context.finish()
}

/// Names a configuration by its text. Tests that it names are no part of it: they change nothing that is decided.
fn revision(files: &[SourceFile]) -> Arc<str> {
    let parts: Vec<&[u8]> = files.iter().flat_map(|file| [file.name.as_bytes(), file.text.as_bytes()]).collect();
    sha256(&parts).as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn short_digest(text: &str) -> u128 {
    sha256(&[text.as_bytes()]).as_ref().iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}
