//! `directory` and an issuer's `tenant_roles`: what else is pulled from the identity service.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};

use super::issuer::{duration_or, file, optional, url};
use super::transport::{self, Transport};
use super::{DAY, SECOND};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Where it can be asked who somebody is whom a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySource {
    /// Users are below it.
    pub url: http::Uri,
    /// A file with the bearer token that it asks for.
    pub token_file: Option<PathBuf>,
    /// For how long an answer is good.
    pub ttl: Duration,
    /// For how long it is remembered that there is nobody of an id.
    pub negative_ttl: Duration,
    /// The longest time that a request waits for an answer.
    pub deadline: Duration,
}

/// Where the roles are that tenants defined for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRoleSource {
    /// The document.
    pub url: http::Uri,
    /// A file with the bearer token that it asks for.
    pub token_file: Option<PathBuf>,
    /// How often it is fetched.
    pub refresh: Duration,
    /// For how long it is good after it was fetched.
    pub max_stale: Duration,
}

pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<Located<(DirectorySource, Transport)>> {
    let mut map = node.map(problems)?;
    let url =
        map.require(problems, "url", "where it is, such as 'https://id.example.com/v1/directory'").and_then(|node| url(&node, problems));
    let token_file = map.take("token_file").map(|node| file(&node, problems));
    let ttl = duration_or(map.take("ttl"), problems, 30 * SECOND, 100 * MILLISECOND..=DAY);
    let negative_ttl = duration_or(map.take("negative_ttl"), problems, 5 * SECOND, 100 * MILLISECOND..=DAY);
    let deadline = duration_or(map.take("deadline"), problems, 20 * MILLISECOND, MILLISECOND..=10 * SECOND);
    let transport = transport::take(&mut map, problems);
    map.finish(problems);
    let source =
        DirectorySource { url: url?, token_file: optional(token_file)?, ttl: ttl?, negative_ttl: negative_ttl?, deadline: deadline? };
    if source.url.query().is_some() {
        node.problem(problems, "the directory's 'url' cannot have a query: the user and the tenant are added to it");
        return None;
    }
    Some(node.locate((source, transport?)))
}

/// An issuer's `tenant_roles`: the source, if there is one, and what the roles may grant at most.
#[derive(Debug)]
pub(crate) struct TenantRolesSchema {
    pub source: Option<TenantRoleSource>,
    pub within: Option<Vec<Located<String>>>,
}

pub(super) fn tenant_roles(node: &Node<'_>, problems: &mut Problems) -> Option<TenantRolesSchema> {
    let mut map = node.map(problems)?;
    let url = map.take("url").map(|node| url(&node, problems));
    let token_file = map.take("token_file").map(|node| file(&node, problems));
    let refresh = duration_or(map.take("refresh"), problems, 30 * SECOND, SECOND..=DAY);
    let max_stale = duration_or(map.take("max_stale"), problems, 600 * SECOND, SECOND..=30 * DAY);
    let within = map.take("within").and_then(|node| node.strings(problems));
    map.finish(problems);
    let (token_file, refresh, max_stale) = (optional(token_file)?, refresh?, max_stale?);
    if max_stale < refresh {
        node.problem(problems, "'max_stale' is less than 'refresh', so the roles would be out of date most of the time");
        return None;
    }
    let source = match url {
        None => None,
        Some(url) => Some(TenantRoleSource { url: url?, token_file, refresh, max_stale }),
    };
    if source.is_none() && within.is_none() {
        node.problem(problems, "say where the roles are pulled from ('url'), or what they may grant at most ('within')");
        return None;
    }
    Some(TenantRolesSchema { source, within })
}
