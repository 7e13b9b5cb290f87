//! `issuers`: whose tokens are accepted, and where their keys and revocations come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::directory::{self, DirectorySource, TenantRoleSource, TenantRolesSchema};
use super::jwks::{self, JwksSource};
use super::revocations::{self, RevocationSchema, RevocationSource, StatusListSource};
use super::transport::{self, Transport};
use crate::config::problem::Problems;
use crate::config::yaml::{Located, Node};
use crate::pdp::permission::PermissionSyntax;
use crate::pdp::revocation::status_list::verify::StatusListRules;
use crate::pdp::tenant::TenantId;
use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::jws::media_type;
use crate::pdp::token::profile::{AcceptedTypes, ActingPolicy, ClaimNames, ClaimPath, KeyIdPolicy, RequiredClaims, SourceId};
use crate::pdp::token::status::STATUS_LIST_TYPE;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Something that has to be pulled in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Under which it is looked up.
    pub id: SourceId,
    /// The configured name of the issuer, for logs and metrics.
    pub issuer: Arc<str>,
    /// How its server is reached.
    pub transport: Transport,
    /// What it is.
    pub feed: SourceFeed,
}

/// What a source gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFeed {
    /// A JWK set.
    Keys(JwksSource),
    /// Revocations.
    Revocations(RevocationSource),
    /// A status list.
    StatusList(StatusListFeed),
    /// Roles that tenants defined.
    TenantRoles(TenantRoleFeed),
    /// What is known of people; asked when a request needs it.
    Directory(DirectorySource),
}

/// A status list, and what it has to be like to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusListFeed {
    /// Where it comes from.
    pub source: StatusListSource,
    /// What it has to be like.
    pub rules: StatusListRules,
    /// Where the keys come from that may sign it: those of its issuer.
    pub keys: SourceId,
}

impl SourceFeed {
    /// Whether it is pulled in the background, rather than asked when a request needs it.
    #[must_use]
    pub const fn is_pulled(&self) -> bool {
        !matches!(self, Self::Directory(_))
    }
}

/// Roles that tenants defined, and how their permissions are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRoleFeed {
    /// Where they come from.
    pub source: TenantRoleSource,
    /// How permissions are written.
    pub syntax: Arc<PermissionSyntax>,
}

#[derive(Debug)]
pub(crate) struct IssuerSchema {
    pub name: Located<String>,
    pub issuer: Located<String>,
    pub audiences: Vec<Box<str>>,
    pub algorithms: Vec<Algorithm>,
    pub types: AcceptedTypes,
    pub key_id: KeyIdPolicy,
    pub required: RequiredClaims,
    pub leeway: Duration,
    pub max_lifetime: Option<Duration>,
    pub max_token_bytes: usize,
    pub wildcards: bool,
    pub tenants: Option<Vec<TenantId>>,
    pub claims: ClaimNames,
    pub jwks: JwksSource,
    pub transport: Transport,
    pub revocations: Vec<RevocationSchema>,
    pub tenant_roles: Option<Located<TenantRolesSchema>>,
    pub acting: ActingPolicy,
}

pub(super) fn read(name: Located<String>, node: &Node<'_>, problems: &mut Problems) -> Option<IssuerSchema> {
    let mut map = node.map(problems)?;
    let issuer =
        map.require(problems, "issuer", "the 'iss' of its tokens, such as 'https://id.example.com'").and_then(|n| n.string(problems));
    let audiences =
        map.require(problems, "audiences", "a list; one of them must be in a token's 'aud'").and_then(|n| audiences(&n, problems));
    let algorithms = map.take("algorithms").map_or(Some(vec![Algorithm::Rs256]), |n| algorithms(&n, problems));
    let types = map.take("typ").map_or(Some(AcceptedTypes::AccessTokens), |n| types(&n, problems));
    let key_id = choice_or(
        map.take("kid"),
        problems,
        KeyIdPolicy::Required,
        &[("required", KeyIdPolicy::Required), ("optional", KeyIdPolicy::Optional)],
    );
    let required = map.take("require").map_or(Some(RequiredClaims::default()), |n| required_claims(&n, problems));
    let leeway = duration_or(map.take("leeway"), problems, 10 * SECOND, Duration::ZERO..=5 * MINUTE);
    let max_lifetime = map.take("max_lifetime").map(|n| n.duration(problems, SECOND..=3650 * DAY));
    let max_token_bytes = map.take("max_token_bytes").map_or(Some(8192), |n| n.usize(problems, 256..=65_536));
    let wildcards = map.take("wildcards").map_or(Some(false), |n| n.bool(problems));
    let tenants = map.take("tenants").map(|n| tenants(&n, problems));
    let claims = map.take("claims").map_or(Some(default_claims()), |n| claims(&n, problems));
    let jwks = map
        .require(problems, "jwks", "where its keys are, such as '{ url: https://id.example.com/.well-known/jwks.json }'")
        .and_then(|n| jwks::read(&n, issuer.as_ref(), algorithms.as_deref().unwrap_or_default(), problems));
    let transport = transport::take(&mut map, problems);
    let revocations = map.take("revocations").map_or_else(Vec::new, |n| revocations::read(&n, problems));
    let has_status_list = revocations.iter().any(|entry| !matches!(entry, Some(RevocationSchema::Source(_))));
    if required.is_some_and(|required| required.status) && !has_status_list {
        node.problem(problems, "'require' names 'status', and there is no 'status_list' under 'revocations' that could say what it is");
    }
    let tenant_roles = map.take("tenant_roles").map(|n| directory::tenant_roles(&n, problems).map(|roles| n.locate(roles)));
    let acting = choice_or(
        map.take("acting"),
        problems,
        ActingPolicy::Role,
        &[("role", ActingPolicy::Role), ("issuer", ActingPolicy::Issuer), ("refused", ActingPolicy::Refused)],
    );
    map.finish(problems);
    Some(IssuerSchema {
        name,
        issuer: issuer?,
        audiences: audiences?,
        algorithms: algorithms?,
        types: types?,
        key_id: key_id?,
        required: required?,
        leeway: leeway?,
        max_lifetime: optional(max_lifetime)?,
        max_token_bytes: max_token_bytes?,
        wildcards: wildcards?,
        tenants: optional(tenants)?,
        claims: claims?,
        jwks: jwks?,
        transport: transport?,
        revocations: revocations.into_iter().collect::<Option<_>>()?,
        tenant_roles: optional(tenant_roles)?,
        acting: acting?,
    })
}

/// `None`: it could not be read. `Some(None)`: it is not there.
#[allow(clippy::option_option, reason = "the two kinds of nothing are the point")]
pub(super) fn optional<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

pub(super) fn duration_or(
    node: Option<Node<'_>>,
    problems: &mut Problems,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
) -> Option<Duration> {
    node.map_or(Some(default), |node| node.duration(problems, range))
}

pub(super) fn choice_or<T: Copy>(node: Option<Node<'_>>, problems: &mut Problems, default: T, choices: &[(&str, T)]) -> Option<T> {
    node.map_or(Some(default), |node| node.choice(problems, choices))
}

fn audiences(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let audiences: Vec<Box<str>> = node.strings(problems)?.into_iter().map(|audience| audience.value.into()).collect();
    if audiences.is_empty() {
        node.problem(problems, "there must be at least one audience: a token that is for nobody in particular is for everybody");
        return None;
    }
    Some(audiences)
}

fn algorithms(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Algorithm>> {
    let mut algorithms = Vec::new();
    for name in node.strings(problems)? {
        match Algorithm::parse(&name.value) {
            Some(algorithm) if algorithms.contains(&algorithm) => name.problem(problems, format!("'{algorithm}' is there twice")),
            Some(algorithm) => algorithms.push(algorithm),
            None => name.problem(
                problems,
                format!("'{}' is no algorithm that can be allowed; choose from RS256, RS384, RS512, PS256, ES256, EdDSA", name.value),
            ),
        }
    }
    if algorithms.is_empty() {
        node.problem(problems, "there must be at least one algorithm; leave the key out for RS256");
        return None;
    }
    Some(algorithms)
}

fn types(node: &Node<'_>, problems: &mut Problems) -> Option<AcceptedTypes> {
    let types: Vec<Box<str>> = node.strings(problems)?.iter().map(|typ| media_type(&typ.value)).collect();
    if types.is_empty() {
        node.problem(
            problems,
            "there must be at least one type, such as 'at+jwt'; leave the key out to accept access tokens of the usual kinds",
        );
        return None;
    }
    if types.iter().any(|typ| **typ == *STATUS_LIST_TYPE) {
        node.problem(problems, format!("'{STATUS_LIST_TYPE}' is the type of a status list, which is nobody's access token"));
        return None;
    }
    Some(AcceptedTypes::Listed(types))
}

fn required_claims(node: &Node<'_>, problems: &mut Problems) -> Option<RequiredClaims> {
    let mut required = RequiredClaims::default();
    for claim in node.strings(problems)? {
        match &*claim.value {
            "iat" => required.issued_at = true,
            "nbf" => required.not_before = true,
            "jti" => required.token_id = true,
            "sid" => required.session = true,
            "client_id" => required.client_id = true,
            "tenant" => required.tenant = true,
            "status" => required.status = true,
            "iss" | "sub" | "aud" | "exp" => {}
            other => claim.problem(
                problems,
                format!(
                    "'{other}' cannot be required; choose from iat, nbf, jti, sid, client_id, tenant, status (iss, sub, aud and exp always are)"
                ),
            ),
        }
    }
    Some(required)
}

fn tenants(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<TenantId>> {
    let parsed = node.strings(problems)?.into_iter().filter_map(|text| {
        text.convert(problems, |text| {
            TenantId::parse(&text).ok_or_else(|| format!("'{text}' is no tenant id: at most 128 visible ASCII characters without ','"))
        })
    });
    Some(parsed.map(|tenant| tenant.value).collect())
}

/// Only what has a registered claim name is looked at unless the configuration says where it stands.
fn default_claims() -> ClaimNames {
    ClaimNames { session: Some(ClaimPath(vec!["sid".into()])), ..ClaimNames::default() }
}

fn claims(node: &Node<'_>, problems: &mut Problems) -> Option<ClaimNames> {
    let mut map = node.map(problems)?;
    let mut path = |name| map.take(name).and_then(|node| claim_path(&node, problems));
    let claims = ClaimNames {
        tenant: path("tenant"),
        permissions: path("permissions"),
        roles: path("roles"),
        role: path("role"),
        session: path("session").or_else(|| default_claims().session),
        realm: path("realm"),
        services: path("services"),
        tenant_roles: path("tenant_roles"),
        attributes: map.take("attributes").map(|node| attributes(&node, problems)).unwrap_or_default(),
    };
    map.finish(problems);
    Some(claims)
}

/// Names of attributes, and the claims that hold them.
fn attributes(node: &Node<'_>, problems: &mut Problems) -> Vec<(Box<str>, ClaimPath)> {
    let mut attributes = Vec::new();
    for (name, path) in node.entries(problems).unwrap_or_default() {
        if !is_attribute_name(&name.value) {
            name.problem(problems, format!("'{}' is no name of an attribute: {ATTRIBUTE_NAMES}", name.value));
        }
        attributes.extend(claim_path(&path, problems).map(|path| (name.value.as_str().into(), path)));
    }
    attributes
}

/// What names of attributes are made of, in words.
pub(crate) const ATTRIBUTE_NAMES: &str = "letters, digits, '_' and '-', at most 64, and not 'by', 'role' or 'subject'";

/// Whether an attribute can have this name.
pub(crate) fn is_attribute_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    fits && !matches!(name, "by" | "role" | "subject")
}

/// A claim's name, or, for one within others, the list of names that leads to it.
fn claim_path(node: &Node<'_>, problems: &mut Problems) -> Option<ClaimPath> {
    let names: Vec<Box<str>> = node.strings(problems)?.into_iter().map(|name| name.value.into()).collect();
    if names.is_empty() {
        node.problem(problems, "there must be a name, or the names that lead to the claim, such as '[realm_access, roles]'");
        return None;
    }
    Some(ClaimPath(names))
}

pub(super) fn url(node: &Node<'_>, problems: &mut Problems) -> Option<http::Uri> {
    let text = node.string(problems)?;
    let parsed = text.convert(problems, |text| match text.parse::<http::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()) => {
            if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                Err("a URL here cannot hold user information".to_string())
            } else {
                Ok(uri)
            }
        }
        _ => Err(format!("'{text}' is no URL with http:// or https:// and a host")),
    });
    parsed.map(|url| url.value)
}

pub(super) fn file(node: &Node<'_>, problems: &mut Problems) -> Option<PathBuf> {
    node.string(problems).map(|path| path.value.into())
}
