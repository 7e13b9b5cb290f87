//! The bridge from the schema to the PDP: everything that depends on two places of the configuration at once.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use smallvec::SmallVec;

use super::problem::{Problem, Problems};
use super::schema::{
    AccessSchema, AuthenticationSchema, IssuerSchema, NetworkSchema, PermissionsSchema, RouteSchema, Schema, SessionSchema, Source,
    SourceFeed, TenantSchema,
};
use super::yaml::Located;
use super::{Configuration, SourceFile};
use crate::pdp::obligation::{IdentityField, IdentityHeaders, OVERRIDE_HEADERS};
use crate::pdp::permission::{Permission, PermissionSyntax};
use crate::pdp::policy::condition::authentication::AuthenticationRule;
use crate::pdp::policy::condition::network::{ClientAddress, NetworkRule};
use crate::pdp::policy::condition::session::SessionRule;
use crate::pdp::policy::{Access, MethodRule, RoutePolicy};
use crate::pdp::route::template::TemplateSegment;
use crate::pdp::route::{HostPattern, RouteTable};
use crate::pdp::snapshot::{IssuerTable, Snapshot};
use crate::pdp::tenant::{Realm, TenantBinding};
use crate::pdp::token::profile::{IssuerPolicy, PolicyFingerprint, RevocationRule, SourceId};

mod roles;

/// Headers that carry the request itself and cannot tell who is asking.
const RESERVED_HEADERS: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

pub(super) fn compile(schema: Schema, files: &[SourceFile], problems: &mut Problems) -> Option<Configuration> {
    let Schema { listen, challenge_realm, issuers, unreadable_issuers, permissions, permission_sets, roles, headers, routes } = schema;
    let syntax = Syntax::new(permissions);
    let roles = roles::compile(permission_sets, roles, &syntax, problems);
    let identity_headers = compile_headers(headers, problems);
    if !unreadable_issuers {
        check_satisfiable(&routes, &issuers, problems);
    }
    let notices = notices(&routes);
    let (routes, route_names) = compile_routes(routes, &syntax, problems);
    let (issuers, sources) = compile_issuers(issuers, &syntax, problems);
    if route_names.is_empty() && problems.is_empty() {
        let message = "there are no routes, so every request would be refused; add at least one under 'routes'".to_string();
        problems.push(Problem { location: None, key: String::new(), message });
    }
    let snapshot = Snapshot {
        revision: revision(files),
        issuers: IssuerTable::new(issuers),
        roles,
        routes,
        route_names,
        identity_headers,
        challenge_realm: challenge_realm.map_or_else(|| "service".into(), |realm| realm.value.into()),
    };
    Some(Configuration { snapshot, listen: listen.map(|listen| listen.value).unwrap_or_default(), sources, notices })
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

/// Names a configuration by its text.
fn revision(files: &[SourceFile]) -> Arc<str> {
    let parts: Vec<&[u8]> = files.iter().flat_map(|file| [file.name.as_bytes(), file.text.as_bytes()]).collect();
    sha256(&parts).as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn short_digest(text: &str) -> u128 {
    sha256(&[text.as_bytes()]).as_ref().iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// The permission syntax, or why there is none.
enum Syntax {
    Absent,
    Broken,
    Known(Arc<PermissionSyntax>),
}

impl Syntax {
    fn new(schema: PermissionsSchema) -> Self {
        match schema {
            PermissionsSchema::Absent => Self::Absent,
            PermissionsSchema::Broken => Self::Broken,
            PermissionsSchema::Read(syntax) => Self::Known(Arc::new(syntax.value)),
        }
    }

    /// The syntax for a permission that is written here. A broken one has been reported already.
    fn for_use<T>(&self, user: &Located<T>, problems: &mut Problems) -> Option<&PermissionSyntax> {
        match self {
            Self::Known(syntax) => Some(syntax),
            Self::Broken => None,
            Self::Absent => {
                user.problem(
                    problems,
                    "permissions are used and their syntax is not given; write 'permissions: { syntax: \"service:resource.action\" }'",
                );
                None
            }
        }
    }

    /// The syntax for reading tokens; where no permission is used, any will do.
    fn for_tokens(&self) -> Arc<PermissionSyntax> {
        match self {
            Self::Known(syntax) => Arc::clone(syntax),
            Self::Absent | Self::Broken => Arc::default(),
        }
    }
}

fn compile_headers(headers: Option<Located<super::schema::HeadersSchema>>, problems: &mut Problems) -> IdentityHeaders {
    let Some(Located { value: headers, .. }) = headers else { return IdentityHeaders::default() };
    let mut fields: Vec<(IdentityField, Arc<str>)> = Vec::new();
    for (field, _, default) in IdentityField::ALL {
        let given = headers.names.iter().find(|(given, _)| *given == field).map(|(_, name)| name);
        let name = given.map_or(default, |name| name.value.as_str());
        if let Some(given) = given
            && (RESERVED_HEADERS.contains(&name) || OVERRIDE_HEADERS.contains(&name) || name.starts_with("x-envoy-"))
        {
            given.problem(problems, format!("'{name}' has another meaning and cannot tell who is asking; the default is '{default}'"));
        }
        if fields.iter().any(|(_, other)| **other == *name) {
            let message = format!("two identity headers would have the name '{name}'");
            match given.or_else(|| headers.names.iter().map(|(_, name)| name).find(|other| other.value == name)) {
                Some(given) => given.problem(problems, message),
                None => problems.push(Problem { location: None, key: "headers".into(), message }),
            }
        }
        fields.push((field, name.into()));
    }
    for name in &headers.keep {
        if !OVERRIDE_HEADERS.contains(&name.value.as_str()) {
            name.problem(
                problems,
                format!("'{}' is none of the headers that are removed; those are {}", name.value, OVERRIDE_HEADERS.join(", ")),
            );
        }
    }
    let keep: Vec<Box<str>> = headers.keep.into_iter().map(|name| name.value.into()).collect();
    IdentityHeaders::new(fields, &keep)
}

/// Requirements that no token of any issuer could ever meet are mistakes, not policies.
fn check_satisfiable(routes: &[RouteSchema], issuers: &[IssuerSchema], problems: &mut Problems) {
    let says = |claim: fn(&IssuerSchema) -> bool| issuers.is_empty() || issuers.iter().any(claim);
    let grants = says(|issuer| issuer.claims.permissions.is_some() || issuer.claims.roles.is_some());
    let tenants = says(|issuer| issuer.claims.tenant.is_some());
    let realms = says(|issuer| issuer.claims.realm.is_some());
    let services = says(|issuer| issuer.claims.services.is_some());
    let advice = |claim: &str| format!("no issuer's 'claims' says where tokens have {claim}, so this could never be met");
    for route in routes {
        let needs_somebody = route.methods.iter().find(|rule| !matches!(rule.access, AccessSchema::Public));
        if let Some(rule) = needs_somebody
            && issuers.is_empty()
        {
            rule.method.problem(problems, "a token is needed and there are no 'issuers'");
        }
        for rule in &route.methods {
            if let (AccessSchema::Permissions(permissions), false) = (&rule.access, grants)
                && let Some(first) = permissions.first()
            {
                first.problem(problems, advice("'permissions' or 'roles'"));
            }
        }
        if let (Some(tenant), false) = (&route.requirements.tenant, tenants)
            && !matches!(tenant.value, TenantSchema::None)
        {
            tenant.problem(problems, advice("the 'tenant'"));
        }
        if let (Some(_), false) = (&route.requirements.realm, realms) {
            route.path_text.problem(problems, advice("the 'realm'"));
        }
        if let (Some(service), false) = (&route.requirements.service, services) {
            service.problem(problems, advice("the 'services'"));
        }
    }
}

fn compile_routes(routes: Vec<RouteSchema>, syntax: &Syntax, problems: &mut Problems) -> (RouteTable<RoutePolicy>, Vec<Arc<str>>) {
    let mut table = RouteTable::default();
    let mut names: HashMap<Arc<str>, Located<String>> = HashMap::new();
    let mut order = Vec::new();
    for route in routes {
        let at = route.name.clone().unwrap_or_else(|| route.path_text.clone());
        let policy = Arc::new(compile_route(&route, syntax, problems));
        let any = [HostPattern::Any];
        let hosts: Vec<&HostPattern> = match &route.requirements.hosts {
            None => any.iter().collect(),
            Some(hosts) => hosts.value.iter().map(|host| &host.value).collect(),
        };
        let mut tied = false;
        for host in hosts {
            if let Err(conflict) = table.insert(host, &route.path, Arc::clone(&policy))
                && !std::mem::replace(&mut tied, true)
            {
                let first = names.get(&conflict.existing.name).map(|first| format!(" at {}", first.location)).unwrap_or_default();
                route.path_text.problem(
                    problems,
                    format!(
                        "'{}' has the same host and the same shape of path as the route '{}'{first}, so neither would come first; merge their \
                         methods or make one of them more specific",
                        route.path_text.value, conflict.existing.name
                    ),
                );
            }
        }
        if tied {
            continue;
        }
        if let Some(first) = names.get(&policy.name) {
            at.problem(
                problems,
                format!("the route name '{}' is taken, at {}; give this route a 'name' of its own", policy.name, first.location),
            );
            continue;
        }
        order.push(Arc::clone(&policy.name));
        names.insert(Arc::clone(&policy.name), at);
    }
    (table, order)
}

/// What is allowed and worth knowing: where something differs from the group around it, and what is locked.
fn notices(routes: &[RouteSchema]) -> Vec<Problem> {
    let mut notices: Vec<Problem> = Vec::new();
    let mut add = |what: &str, why: &Located<String>| {
        let notice = Problem { location: Some(why.location.clone()), key: why.key.clone(), message: format!("{what}: {}", why.value) };
        // What a group says, all of its routes say.
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    };
    for route in routes {
        route.requirements.overrides.iter().for_each(|why| add("differs from the group around it", why));
        route.requirements.lockdown.iter().for_each(|why| add("locked down", why));
    }
    notices
}

fn default_name(route: &RouteSchema) -> Arc<str> {
    let hosts: Vec<String> = route
        .requirements
        .hosts
        .iter()
        .flat_map(|hosts| &hosts.value)
        .map(|host| match &host.value {
            HostPattern::Any => "*".to_string(),
            HostPattern::Exact(host) => host.as_str().to_string(),
            HostPattern::Suffix(suffix) => format!("*.{suffix}"),
        })
        .collect();
    format!("{}{}", hosts.join(","), route.path_text.value).into()
}

fn compile_route(route: &RouteSchema, syntax: &Syntax, problems: &mut Problems) -> RoutePolicy {
    let name = route.name.as_ref().map_or_else(|| default_name(route), |name| name.value.as_str().into());
    let tenant = route.requirements.tenant.as_ref().map_or(TenantBinding::None, |tenant| compile_tenant(tenant, route, problems));
    let public_only = route.methods.iter().all(|rule| matches!(rule.access, AccessSchema::Public));
    if route.requirements.tenant.is_none() && !public_only {
        check_unbound(route, problems);
    }
    let mut methods = SmallVec::new();
    for rule in &route.methods {
        let access = compile_access(&rule.access, syntax, problems);
        let authentication = compile_authentication(route.requirements.authentication.iter().chain(&rule.authentication));
        if authentication.acr.as_ref().is_some_and(Vec::is_empty) {
            rule.method
                .problem(problems, "the method, its route and the groups around it have no 'acr' in common, so nobody could ever pass");
        }
        methods.push((rule.method.value.as_str().into(), MethodRule { access, authentication }));
    }
    RoutePolicy {
        name,
        realm: route.requirements.realm.as_ref().map(|realm| realm.value),
        tenant,
        overrides: overrides(route),
        lockdown: route.requirements.lockdown.as_ref().map(|reason| reason.value.as_str().into()),
        service: route.requirements.service.as_ref().map(|service| service.value.as_str().into()),
        networks: route.requirements.networks.iter().map(compile_networks).collect(),
        session: route.requirements.session.as_ref().map(|session| {
            let SessionSchema { max_age, warn_before } = session.value;
            SessionRule { max_age, warn_before }
        }),
        websocket: route.websocket,
        methods,
    }
}

fn compile_networks(NetworkSchema { allow, deny, client }: &NetworkSchema) -> NetworkRule {
    NetworkRule {
        allow: allow.clone(),
        deny: deny.clone().unwrap_or_default(),
        client: match client {
            None => ClientAddress::Peer,
            Some((name, trusted_hops)) => ClientAddress::Header { name: name.as_str().into(), trusted_hops: *trusted_hops },
        },
    }
}

/// All that groups, a route and a method ask for.
fn compile_authentication<'s>(all: impl Iterator<Item = &'s AuthenticationSchema>) -> AuthenticationRule {
    all.fold(AuthenticationRule::default(), |rule, AuthenticationSchema { mfa, acr, max_age }| {
        rule.and(&AuthenticationRule { mfa: *mfa, acr: acr.clone(), max_age: *max_age })
    })
}

/// Why a route differs from the groups around it, all reasons in one.
fn overrides(route: &RouteSchema) -> Option<Arc<str>> {
    let reasons: Vec<&str> = route.requirements.overrides.iter().map(|why| why.value.as_str()).collect();
    (!reasons.is_empty()).then(|| reasons.join("; ").into())
}

/// A route that is about a tenant must say how, so that isolation cannot be forgotten.
fn check_unbound(route: &RouteSchema, problems: &mut Problems) {
    let tenant_parameter = route.path.segments().iter().find_map(|segment| match segment {
        TemplateSegment::Param(name) | TemplateSegment::Rest(name) if matches!(&**name, "tenant" | "tenant_id" | "tenantId") => Some(name),
        _ => None,
    });
    if let Some(name) = tenant_parameter {
        route.path_text.problem(
            problems,
            format!("the path names a tenant and nothing compares it with the token's; write 'tenant: {{ path: {name} }}', or give the parameter another name"),
        );
    } else if route.requirements.realm.as_ref().is_some_and(|realm| realm.value == Realm::Tenant) {
        route.path_text.problem(
            problems,
            "a route of realm 'tenant' must say which tenant it is about; write 'tenant: { path: ... }', or 'tenant: token' if the service behind \
             scopes everything by the injected header",
        );
    }
}

fn compile_tenant(tenant: &Located<TenantSchema>, route: &RouteSchema, problems: &mut Problems) -> TenantBinding {
    match &tenant.value {
        TenantSchema::None => {
            if route.requirements.realm.as_ref().is_some_and(|realm| realm.value == Realm::Tenant) {
                tenant.problem(problems, "a route of realm 'tenant' is about a tenant; say which, or 'token'");
            }
            TenantBinding::None
        }
        TenantSchema::Token => TenantBinding::Token,
        TenantSchema::Header(name) => TenantBinding::Header(name.as_str().into()),
        TenantSchema::Query(name) => TenantBinding::Query(name.as_str().into()),
        TenantSchema::Subdomain => {
            let subdomains = |hosts: &[Located<HostPattern>]| hosts.iter().all(|host| matches!(host.value, HostPattern::Suffix(_)));
            if !route.requirements.hosts.as_ref().is_some_and(|hosts| subdomains(&hosts.value)) {
                tenant.problem(problems, "the tenant can only be the subdomain if all of the route's 'hosts' begin with '*.'");
            }
            TenantBinding::Subdomain
        }
        TenantSchema::Path(name) => match route.path.position_of(name) {
            Some(position) => TenantBinding::Path(position),
            None => {
                let parameters: Vec<String> = route
                    .path
                    .segments()
                    .iter()
                    .filter_map(|segment| if let TemplateSegment::Param(name) = segment { Some(format!("'{name}'")) } else { None })
                    .collect();
                let have = if parameters.is_empty() { "it has none".to_string() } else { format!("it has {}", parameters.join(", ")) };
                tenant.problem(problems, format!("the path has no parameter '{{{name}}}' of one segment; {have}"));
                TenantBinding::None
            }
        },
    }
}

fn compile_access(access: &AccessSchema, syntax: &Syntax, problems: &mut Problems) -> Access {
    match access {
        AccessSchema::Public => Access::Public,
        AccessSchema::Optional => Access::Optional,
        AccessSchema::Authenticated => Access::Authenticated,
        AccessSchema::Permissions(texts) => {
            let required = texts.iter().filter_map(|text| {
                let syntax = syntax.for_use(text, problems)?;
                let required: Option<Located<Permission>> = text.clone().convert(problems, |text| {
                    syntax.required(&text).map_err(|error| format!("'{text}' is no permission that can be required: {error}"))
                });
                required.map(|permission| permission.value)
            });
            Access::Permissions(required.collect())
        }
    }
}

fn compile_issuers(issuers: Vec<IssuerSchema>, syntax: &Syntax, problems: &mut Problems) -> (Vec<Arc<IssuerPolicy>>, Vec<Arc<Source>>) {
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
        sources.push(Arc::new(Source { id: keys, issuer: Arc::clone(&name), feed: SourceFeed::Keys(schema.jwks.clone()) }));
        let revocations = schema.revocations.map(|feed| {
            let source = SourceId(short_digest(&format!("revocations {:?} {:?}", schema.issuer.value, feed.url)));
            let rule = RevocationRule { source, when_stale: feed.when_stale };
            sources.push(Arc::new(Source { id: source, issuer: Arc::clone(&name), feed: SourceFeed::Revocations(feed) }));
            rule
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
            syntax: syntax.for_tokens(),
            keys,
            revocations,
            fingerprint: PolicyFingerprint(0),
        };
        // The text that is hashed names every field, so another policy is another fingerprint.
        policy.fingerprint = PolicyFingerprint(short_digest(&format!("{policy:?}")));
        policies.push(Arc::new(policy));
    }
    (policies, sources)
}
