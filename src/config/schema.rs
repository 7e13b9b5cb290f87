//! The configuration as it is written. Every value is checked for its own shape here; how values fit together is
//! [`super::compile`]'s matter.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::SourceFile;
use super::problem::Problems;
use super::yaml::{self, Located, Node};
use crate::pdp::obligation::IdentityField;

mod audit;
mod directory;
mod group;
mod http_listener;
mod issuer;
mod jwks;
mod limits;
mod loading;
mod permissions;
mod place;
mod requirement;
mod requirements;
mod revocations;
mod role;
mod route;
mod schedule;
mod transport;
mod warm_start;

pub use audit::{AuditSettings, WhenUnwritable};
pub use directory::{DirectorySource, TenantRoleSource};
use group::Surroundings;
pub use http_listener::{HttpDialect, HttpListener};
pub(super) use issuer::IssuerSchema;
pub(super) use issuer::{ATTRIBUTE_NAMES, is_attribute_name};
pub use issuer::{Source, SourceFeed, StatusListFeed, TenantRoleFeed};
pub use jwks::{Discovery, JwksLocation, JwksSource};
pub use limits::{LimitSettings, ShutdownSettings};
pub use loading::LoadRules;
pub(super) use loading::named as named_tests;
pub(super) use permissions::{PermissionSetSchema, PermissionsSchema, RungSchema, SyntaxSchema};
pub(super) use place::{PlaceSchema, RevealedSchema};
pub(super) use requirement::{AccessSchema, AnswerSchema, GraphqlSchema, MethodSchema, RequirementSchema, ScopeSchema};
pub(super) use requirements::{AuthenticationSchema, NetworkSchema, SessionSchema};
pub(super) use revocations::RevocationSchema;
pub use revocations::{
    RedisAddress, RedisData, RedisScores, RedisSource, RevocationFeed, RevocationOrigin, RevocationSource, RevokedIds, StatusListSource,
};
pub(super) use role::{ManagesSchema, RoleSchema};
pub(super) use route::{RouteSchema, TenantSchema};
pub(super) use schedule::ScheduleSchema;
pub use transport::{ProxyChoice, ProxyUrl, TlsFiles, Transport};
pub use warm_start::WarmStartSettings;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Everything that the files say.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub listen: Option<Located<Listen>>,
    pub challenge_realm: Option<Located<String>>,
    pub issuers: Vec<IssuerSchema>,
    /// There are issuers that could not be read, so it is not known what tokens can say.
    pub unreadable_issuers: bool,
    pub permissions: PermissionsSchema,
    pub permission_sets: Vec<PermissionSetSchema>,
    pub roles: Vec<RoleSchema>,
    pub headers: Option<Located<HeadersSchema>>,
    pub assertion: Option<Located<AssertionSchema>>,
    pub directory: Option<Located<(DirectorySource, Transport)>>,
    pub audit: Option<Located<AuditSettings>>,
    /// There is an audit trail, which may not be one that could be read.
    pub has_audit: bool,
    pub loading: Option<Located<LoadRules>>,
    pub limits: Option<Located<LimitSettings>>,
    pub shutdown: Option<Located<ShutdownSettings>>,
    pub warm_start: Option<Located<WarmStartSettings>>,
    pub routes: Vec<RouteSchema>,
}

#[derive(Debug, Default)]
pub(super) struct HeadersSchema {
    pub names: Vec<(IdentityField, Located<String>)>,
    pub keep: Vec<Located<String>>,
}

/// `assertion`.
#[derive(Debug)]
pub(super) struct AssertionSchema {
    pub issuer: Located<String>,
    pub audience: Located<String>,
    pub ttl: Duration,
}

/// Where the sidecar listens. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// `ext_authz` over gRPC.
    pub grpc: Vec<GrpcAddress>,
    /// The same for proxies that ask over HTTP.
    pub http: Vec<HttpListener>,
    /// Health, metrics and dumps.
    pub admin: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            grpc: vec![GrpcAddress::Unix("/run/portcullis/authz.sock".into()), GrpcAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 9191)))],
            http: Vec::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 9193)),
        }
    }
}

/// An address for checks, over gRPC or HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrpcAddress {
    /// `unix:/absolute/path`.
    Unix(PathBuf),
    /// An IP address and a port.
    Tcp(SocketAddr),
}

impl std::fmt::Display for GrpcAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// The longest path of a Unix socket (`sun_path` without its final NUL).
pub(crate) const MAX_SOCKET_PATH: usize = 107;

impl GrpcAddress {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            return yaml::socket_address(text).map(Self::Tcp).map_err(|error| format!("{error} or 'unix:/run/portcullis/authz.sock'"));
        };
        // `unix:///path` is how URLs and Envoy's documentation write it.
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            return Err(format!("the socket's path must be absolute, and it is '{path}'"));
        }
        if path.len() > MAX_SOCKET_PATH {
            return Err(format!("the socket's path has {} bytes, and the system allows {MAX_SOCKET_PATH}", path.len()));
        }
        Ok(Self::Unix(path.into()))
    }
}

/// Reads all files into one schema. Lists and maps of several files add up; what can be there only once is a problem when
/// it is there twice.
pub(super) fn read(files: &[SourceFile], problems: &mut Problems) -> Schema {
    let mut schema = Schema::default();
    for file in files {
        let Some(documents) = yaml::load(&file.name, &file.text, problems) else { continue };
        for document in &documents {
            let root = Node::root(document, &file.name);
            // A document of comments only is nothing to complain about, as long as there are others.
            if !root.is_null() {
                read_document(&root, &mut schema, problems);
            }
        }
    }
    schema
}

fn read_document(root: &Node<'_>, schema: &mut Schema, problems: &mut Problems) {
    let Some(mut map) = root.map(problems) else { return };
    if let Some(cases) = map.take_unlisted("cases") {
        let message =
            "this is a policy test, and every *.yaml of a configuration's folder is configuration; keep tests in a folder of their own";
        cases.problem(problems, message);
        return;
    }
    if let Some(node) = map.take("listen") {
        let listen = listen(&node, problems).map(|listen| node.locate(listen));
        once(&mut schema.listen, listen, problems);
    }
    if let Some(node) = map.take("challenge_realm") {
        once(&mut schema.challenge_realm, challenge_realm(&node, problems), problems);
    }
    if let Some(node) = map.take("issuers") {
        let entries = node.entries(problems);
        schema.unreadable_issuers |= entries.is_none();
        for (name, issuer) in entries.unwrap_or_default() {
            let issuer = issuer::read(name, &issuer, problems);
            schema.unreadable_issuers |= issuer.is_none();
            schema.issuers.extend(issuer);
        }
    }
    if let Some(node) = map.take("permissions") {
        permissions::read(&node, schema, problems);
    }
    if let Some(node) = map.take("roles") {
        for (name, role) in node.entries(problems).unwrap_or_default() {
            schema.roles.extend(role::read(name, &role, problems));
        }
    }
    if let Some(node) = map.take("headers") {
        let headers = headers(&node, problems).map(|headers| node.locate(headers));
        once(&mut schema.headers, headers, problems);
    }
    if let Some(node) = map.take("assertion") {
        let assertion = assertion(&node, problems).map(|assertion| node.locate(assertion));
        once(&mut schema.assertion, assertion, problems);
    }
    if let Some(node) = map.take("directory") {
        once(&mut schema.directory, directory::read(&node, problems), problems);
    }
    if let Some(node) = map.take("audit") {
        schema.has_audit = true;
        once(&mut schema.audit, audit::read(&node, problems), problems);
    }
    if let Some(node) = map.take("configuration") {
        once(&mut schema.loading, loading::read(&node, problems), problems);
    }
    if let Some(node) = map.take("limits") {
        once(&mut schema.limits, limits::limits(&node, problems), problems);
    }
    if let Some(node) = map.take("shutdown") {
        once(&mut schema.shutdown, limits::shutdown(&node, problems), problems);
    }
    if let Some(node) = map.take("warm_start") {
        once(&mut schema.warm_start, warm_start::read(&node, problems), problems);
    }
    if let Some(node) = map.take("routes") {
        for route in node.items(problems).unwrap_or_default() {
            schema.routes.extend(route::read(&route, &Surroundings::default(), problems));
        }
    }
    if let Some(node) = map.take("groups") {
        for group in node.items(problems).unwrap_or_default() {
            group::read(&group, &Surroundings::default(), &mut schema.routes, problems);
        }
    }
    map.finish(problems);
}

/// Keeps the first of two values that can be there only once.
fn once<T>(slot: &mut Option<Located<T>>, value: Option<Located<T>>, problems: &mut Problems) {
    let Some(value) = value else { return };
    match slot {
        Some(first) => value.problem(problems, format!("this is there already, at {}; keep one of them", first.location)),
        None => *slot = Some(value),
    }
}

fn listen(node: &Node<'_>, problems: &mut Problems) -> Option<Listen> {
    let mut map = node.map(problems)?;
    let mut listen = Listen::default();
    if let Some(node) = map.take("grpc")
        && let Some(addresses) = node.strings(problems)
    {
        if addresses.is_empty() {
            node.problem(problems, "there must be at least one address, such as 'unix:/run/portcullis/authz.sock'");
        }
        let mut grpc: Vec<GrpcAddress> = Vec::new();
        for address in addresses {
            let Some(parsed) = address.clone().convert(problems, |text| GrpcAddress::parse(&text)) else { continue };
            if grpc.contains(&parsed.value) {
                address.problem(problems, format!("the address '{}' is there twice", address.value));
            }
            grpc.push(parsed.value);
        }
        listen.grpc = grpc;
    }
    let http = map.take("http");
    let admin = map.take("admin").and_then(|node| node.string(problems));
    if let Some(admin) = admin.and_then(|text| text.convert(problems, |text| yaml::socket_address(&text))) {
        listen.admin = admin.value;
    }
    if let Some(node) = http {
        let taken = [&listen.grpc[..], &[GrpcAddress::Tcp(listen.admin)]].concat();
        listen.http = http_listener::read(&node, &taken, problems);
    }
    map.finish(problems);
    Some(listen)
}

fn challenge_realm(node: &Node<'_>, problems: &mut Problems) -> Option<Located<String>> {
    node.string(problems)?.convert(problems, |realm| {
        if realm.len() <= 128 && realm.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && b != b'"' && b != b'\\') {
            Ok(realm)
        } else {
            Err("a realm is at most 128 visible ASCII characters without '\"' and '\\'")
        }
    })
}

fn headers(node: &Node<'_>, problems: &mut Problems) -> Option<HeadersSchema> {
    let mut map = node.map(problems)?;
    let mut headers = HeadersSchema::default();
    for (field, key, _) in IdentityField::ALL {
        if let Some(name) = map.take(key).and_then(|node| header_name(&node, problems)) {
            headers.names.push((field, name));
        }
    }
    headers.keep = map.take("keep").and_then(|node| node.strings(problems)).unwrap_or_default();
    map.finish(problems);
    Some(headers)
}

fn assertion(node: &Node<'_>, problems: &mut Problems) -> Option<AssertionSchema> {
    let mut map = node.map(problems)?;
    let issuer = map
        .require(
            problems,
            "issuer",
            "the 'iss' by which the service behind knows this sidecar, such as 'https://blog.example.com/portcullis'",
        )
        .and_then(|node| node.string(problems));
    let audience =
        map.require(problems, "audience", "the 'aud' by which the service behind knows itself").and_then(|node| node.string(problems));
    let ttl = map.take("ttl").map_or(Some(30 * SECOND), |node| node.duration(problems, SECOND..=600 * SECOND));
    map.finish(problems);
    Some(AssertionSchema { issuer: issuer?, audience: audience?, ttl: ttl? })
}

/// A header name in lower case (RFC 9110 section 5.1), without `_`, which many servers drop or fold.
pub(super) fn header_name(node: &Node<'_>, problems: &mut Problems) -> Option<Located<String>> {
    node.string(problems)?.convert(problems, |name| {
        let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(name)
        } else {
            Err(format!("'{name}' is no header name; write lower-case letters, digits and '-', such as 'x-user-id'"))
        }
    })
}
