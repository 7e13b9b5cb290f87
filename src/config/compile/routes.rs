//! Routes: what they ask for, in one table without ties.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::permissions::Vocabulary;
use super::requirement::{Surroundings, compile_callers, compile_place};
use crate::config::problem::{Problem, Problems};
use crate::config::schema::{AccessSchema, IssuerSchema, NetworkSchema, RouteSchema, ScheduleSchema, SessionSchema, TenantSchema};
use crate::config::yaml::Located;
use crate::pdp::policy::audit::AuditRule;
use crate::pdp::policy::condition::network::{ClientAddress, NetworkRule};
use crate::pdp::policy::condition::schedule::ScheduleRule;
use crate::pdp::policy::condition::session::SessionRule;
use crate::pdp::policy::requirement::Requirement;
use crate::pdp::policy::value::RequestValue;
use crate::pdp::policy::{RoutePolicy, TenantBinding};
use crate::pdp::route::template::TemplateSegment;
use crate::pdp::route::{HostPattern, RouteTable};
use crate::pdp::scope::RequiredPermission;
use crate::pdp::tenant::Realm;

/// Requirements that no token of any issuer could ever meet are mistakes, not policies.
pub(super) fn check_satisfiable(routes: &[RouteSchema], issuers: &[IssuerSchema], problems: &mut Problems) {
    let says = |claim: fn(&IssuerSchema) -> bool| issuers.is_empty() || issuers.iter().any(claim);
    let grants = says(|issuer| {
        let claims = &issuer.claims;
        claims.permissions.is_some() || claims.roles.is_some() || claims.role.is_some()
    });
    let tenants = says(|issuer| issuer.claims.tenant.is_some());
    let realms = says(|issuer| issuer.claims.realm.is_some());
    let services = says(|issuer| issuer.claims.services.is_some());
    let advice = |claim: &str| format!("no issuer's 'claims' says where tokens have {claim}, so this could never be met");
    for route in routes {
        let needs_somebody = route.methods.iter().find(|rule| rule.access != AccessSchema::Public);
        if let Some(rule) = needs_somebody
            && issuers.is_empty()
        {
            rule.method.problem(problems, "a token is needed and there are no 'issuers'");
        }
        if let (Some(first), false) = (route.requirements.permissions.first(), grants) {
            first.problem(problems, advice("'permissions' or 'roles'"));
        }
        for requirement in route.methods.iter().flat_map(|rule| std::iter::once(&rule.all).chain(&rule.any)) {
            let fields = requirement.graphql.iter().flat_map(|graphql| graphql.value.query.iter().chain(&graphql.value.mutation));
            let first = requirement.permissions.iter().chain(fields.flat_map(|(_, permissions)| permissions)).next();
            if let (Some(first), false) = (first, grants) {
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

/// The routes, and what is known from all of them together.
pub(super) struct Compiled {
    pub table: RouteTable<RoutePolicy>,
    pub names: Vec<Arc<str>>,
    /// The permissions that they ask for, each once.
    pub permissions: Vec<RequiredPermission>,
}

pub(super) fn compile(routes: Vec<RouteSchema>, vocabulary: &Vocabulary, has_directory: bool, problems: &mut Problems) -> Compiled {
    let mut permissions = Vec::new();
    let mut asked: HashSet<Arc<str>> = HashSet::new();
    let mut table = RouteTable::default();
    let mut names: HashMap<Arc<str>, Located<String>> = HashMap::new();
    let mut order = Vec::new();
    for route in routes {
        let at = route.name.clone().unwrap_or_else(|| route.path_text.clone());
        let policy = Arc::new(compile_route(&Surroundings { route: &route, vocabulary, has_directory }, problems));
        let rules = policy.methods.iter().flat_map(|(_, rule)| std::iter::once(&rule.all).chain(&rule.any));
        for required in rules.flat_map(Requirement::all_permissions) {
            if asked.insert(Arc::clone(required.name())) {
                permissions.push(required.clone());
            }
        }
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
    Compiled { table, names: order, permissions }
}

/// What is allowed and worth knowing: where something differs from the group around it, and what is locked.
pub(super) fn notices(routes: &[RouteSchema]) -> Vec<Problem> {
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

fn compile_route(surroundings: &Surroundings<'_>, problems: &mut Problems) -> RoutePolicy {
    let route = surroundings.route;
    let name = route.name.as_ref().map_or_else(|| default_name(route), |name| name.value.as_str().into());
    let tenant = route.requirements.tenant.as_ref().map_or(TenantBinding::None, |tenant| compile_tenant(tenant, route, problems));
    let public_only = route.methods.iter().all(|rule| rule.access == AccessSchema::Public);
    if route.requirements.tenant.is_none() && !public_only {
        check_unbound(route, problems);
    }
    let targets = compile_targets(route, problems);
    let methods = route.methods.iter().map(|rule| (rule.method.value.as_str().into(), surroundings.method(rule, problems)));
    let methods = methods.collect();
    RoutePolicy {
        name,
        realm: route.requirements.realm.as_ref().map(|realm| realm.value),
        tenant,
        overrides: overrides(route),
        lockdown: route.requirements.lockdown.as_ref().map(|reason| reason.value.as_str().into()),
        service: route.requirements.service.as_ref().map(|service| service.value.as_str().into()),
        schedules: route.requirements.schedules.iter().map(compile_schedule).collect(),
        callers: route.requirements.callers.iter().map(|callers| compile_callers(callers, problems)).collect(),
        parameters: route.path.parameters().map(|(name, position)| (name.into(), position)).collect(),
        targets,
        networks: route.requirements.networks.iter().map(compile_networks).collect(),
        session: route.requirements.session.as_ref().map(|session| {
            let SessionSchema { max_age, warn_before } = session.value;
            SessionRule { max_age, warn_before }
        }),
        audit: route.requirements.audit.as_ref().map(|_| Arc::new(AuditRule::new(&route.path))),
        websocket: route.websocket,
        methods,
    }
}

fn compile_targets(route: &RouteSchema, problems: &mut Problems) -> Vec<(Arc<str>, RequestValue)> {
    let mut targets: Vec<(Arc<str>, RequestValue)> = Vec::new();
    for (name, place) in &route.requirements.targets {
        if targets.iter().any(|(other, _)| **other == *name.value) {
            name.problem(problems, format!("the target '{}' is there already, in a group around the route", name.value));
        }
        // The number of a target is its place, also where another one could not be read.
        let place = compile_place(place, &route.path, problems).unwrap_or(RequestValue::Path(usize::MAX));
        targets.push((name.value.as_str().into(), place));
    }
    targets
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

fn compile_schedule(ScheduleSchema { days, from, until, zone }: &ScheduleSchema) -> ScheduleRule {
    ScheduleRule { days: days.clone(), from: *from, until: *until, zone: zone.clone() }
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
        TenantSchema::Place(place) => {
            let place = tenant.clone().with(place.clone());
            compile_place(&place, &route.path, problems).map_or(TenantBinding::None, TenantBinding::Request)
        }
        TenantSchema::Subdomain => {
            let subdomains = |hosts: &[Located<HostPattern>]| hosts.iter().all(|host| matches!(host.value, HostPattern::Suffix(_)));
            if !route.requirements.hosts.as_ref().is_some_and(|hosts| subdomains(&hosts.value)) {
                tenant.problem(problems, "the tenant can only be the subdomain if all of the route's 'hosts' begin with '*.'");
            }
            TenantBinding::Subdomain
        }
    }
}
