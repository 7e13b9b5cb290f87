//! What groups hand down to the routes within them.
//!
//! Whoever is inside can only add. To replace what a group says, it has to say `override:` and why.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Map, Node};
use crate::pdp::route::HostPattern;
use crate::pdp::tenant::Realm;

use super::place::{self, PlaceSchema};
use super::requirement::{self, ScopeSchema};
use super::route::{self, TenantSchema};
use super::schedule::{self, ScheduleSchema};
use super::{DAY, SECOND};

/// `mfa`, `acr`, `max_auth_age`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuthenticationSchema {
    pub mfa: bool,
    pub acr: Option<Vec<Box<str>>>,
    pub max_age: Option<Duration>,
}

/// `networks`. `None`: not given.
#[derive(Debug, Clone)]
pub(crate) struct NetworkSchema {
    pub allow: Option<Vec<IpNet>>,
    pub deny: Option<Vec<IpNet>>,
    /// The forwarding header and its trusted hops; `None`: the connection.
    pub client: Option<(String, usize)>,
}

/// `session`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionSchema {
    pub max_age: Duration,
    pub warn_before: Duration,
}

/// Requirements of a group or a route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requirements {
    pub hosts: Option<Located<Vec<Located<HostPattern>>>>,
    pub realm: Option<Located<Realm>>,
    pub tenant: Option<Located<TenantSchema>>,
    pub service: Option<Located<String>>,
    pub session: Option<Located<SessionSchema>>,
    pub scope: Option<Located<ScopeSchema>>,
    /// Whether somebody may act on behalf of somebody else.
    pub acting: Option<Located<bool>>,
    /// Names, and where requests say them.
    pub targets: Vec<(Located<String>, Located<PlaceSchema>)>,
    /// Permissions that every method needs besides its own.
    pub permissions: Vec<Located<String>>,
    /// Conditions in CEL.
    pub conditions: Vec<Located<String>>,
    /// Mesh identities, a list from each level.
    pub callers: Vec<Vec<Located<String>>>,
    /// Conditions add up: all of them count.
    pub networks: Vec<NetworkSchema>,
    pub schedules: Vec<ScheduleSchema>,
    pub authentication: Vec<AuthenticationSchema>,
    /// Its requests are recorded. Whatever is inside of something audited is audited.
    pub audit: Option<Located<()>>,
    /// Why nothing passes at the moment. Whatever is inside of something locked is locked.
    pub lockdown: Option<Located<String>>,
    /// Why something differs from what a group says.
    pub overrides: Vec<Located<String>>,
}

impl Requirements {
    /// Reads the keys that groups and routes share.
    pub(super) fn take(map: &mut Map<'_>, problems: &mut Problems) -> Self {
        let located = |node: &Node<'_>| node.locate(());
        let realm = |node: Node<'_>, problems: &mut Problems| {
            node.choice(problems, &[("system", Realm::System), ("tenant", Realm::Tenant)]).map(|realm| located(&node).with(realm))
        };
        Self {
            hosts: map.take("hosts").and_then(|node| route::hosts(&node, problems).map(|hosts| located(&node).with(hosts))),
            realm: map.take("realm").and_then(|node| realm(node, problems)),
            tenant: map.take("tenant").and_then(|node| route::tenant(&node, problems).map(|tenant| located(&node).with(tenant))),
            service: map.take("service").and_then(|node| node.string(problems)),
            session: map.take("session").and_then(|node| session(&node, problems).map(|session| located(&node).with(session))),
            scope: map.take("scope").and_then(|node| requirement::scope(&node, problems)),
            acting: map.take("acting").and_then(|node| acting(&node, problems)),
            targets: map.take("targets").map(|node| targets(&node, problems)).unwrap_or_default(),
            permissions: map.take("permission").and_then(|node| node.strings(problems)).unwrap_or_default(),
            conditions: map.take("when").map(|node| conditions(&node, problems)).unwrap_or_default(),
            callers: map.take("principals").and_then(|node| callers(&node, problems)).into_iter().collect(),
            authentication: authentication(map, problems).into_iter().collect(),
            networks: map.take("networks").and_then(|node| networks(&node, problems)).into_iter().collect(),
            schedules: map.take("schedule").and_then(|node| schedule::read(&node, problems)).into_iter().collect(),
            audit: map.take("audit").and_then(|node| audit(&node, problems)),
            lockdown: map.take("lockdown").and_then(|node| node.string(problems)),
            overrides: map.take("override").and_then(|node| node.string(problems)).into_iter().collect(),
        }
    }

    /// These requirements as they are inside of a group with those.
    pub(super) fn within(self, outer: &Self, problems: &mut Problems) -> Self {
        let may_differ = self.overrides.first().cloned();
        let mut differs = false;
        let mut merge = Merge { may_differ: may_differ.is_some(), differs: &mut differs, problems: &mut *problems };
        let merged = Self {
            hosts: merge.one("hosts", self.hosts, &outer.hosts),
            realm: merge.one("realm", self.realm, &outer.realm),
            tenant: merge.one("tenant", self.tenant, &outer.tenant),
            service: merge.one("service", self.service, &outer.service),
            session: merge.one("session", self.session, &outer.session),
            scope: merge.one("scope", self.scope, &outer.scope),
            acting: merge.one("acting", self.acting, &outer.acting),
            targets: outer.targets.iter().cloned().chain(self.targets).collect(),
            permissions: outer.permissions.iter().cloned().chain(self.permissions).collect(),
            conditions: outer.conditions.iter().cloned().chain(self.conditions).collect(),
            callers: outer.callers.iter().cloned().chain(self.callers).collect(),
            authentication: outer.authentication.iter().cloned().chain(self.authentication).collect(),
            networks: outer.networks.iter().cloned().chain(self.networks).collect(),
            schedules: outer.schedules.iter().cloned().chain(self.schedules).collect(),
            audit: outer.audit.clone().or(self.audit),
            lockdown: outer.lockdown.clone().or(self.lockdown),
            overrides: outer.overrides.iter().cloned().chain(self.overrides).collect(),
        };
        if let Some(reason) = may_differ
            && !differs
        {
            reason.problem(problems, "there is nothing to override here: no group around it says any of the keys that are given");
        }
        merged
    }
}

/// Reads the keys that ask for a way to authenticate: of groups, routes and methods.
pub(super) fn authentication(map: &mut Map<'_>, problems: &mut Problems) -> Option<AuthenticationSchema> {
    let mut rule = AuthenticationSchema::default();
    if let Some(node) = map.take("mfa") {
        // `mfa: 10m` is both: several factors, and when.
        if node.is_string() {
            rule.mfa = true;
            rule.max_age = node.duration(problems, SECOND..=DAY);
        } else if node.is_true() {
            rule.mfa = true;
        } else {
            node.problem(problems, "write 'true', or how long ago it may be, such as '10m'; leave the key out for nothing");
        }
    }
    if let Some(node) = map.take("max_auth_age") {
        let age = node.duration(problems, SECOND..=365 * DAY);
        rule.max_age = [rule.max_age, age].into_iter().flatten().min();
    }
    if let Some(node) = map.take("acr") {
        let mut classes: Vec<Box<str>> = Vec::new();
        for class in node.strings(problems).unwrap_or_default() {
            if class.value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')) && class.value.len() <= 128 {
                classes.push(class.value.into());
            } else {
                class.problem(
                    problems,
                    format!("'{}' is no class: at most 128 visible ASCII characters without '\"' and '\\'", class.value),
                );
            }
        }
        if classes.is_empty() {
            node.problem(problems, "there must be at least one class");
        } else {
            rule.acr = Some(classes);
        }
    }
    (rule != AuthenticationSchema::default()).then_some(rule)
}

/// `when`: one condition or several, all of which have to hold.
pub(super) fn conditions(node: &Node<'_>, problems: &mut Problems) -> Vec<Located<String>> {
    let conditions = node.strings(problems).unwrap_or_default();
    if conditions.is_empty() {
        node.problem(problems, "there must be at least one condition; leave the key out for none");
    }
    conditions
}

/// `principals`: at least one.
pub(super) fn callers(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Located<String>>> {
    let callers = node.strings(problems)?;
    if callers.is_empty() {
        node.problem(problems, "there must be at least one identity, such as 'spiffe://mesh/ns/shop/sa/orders'");
    }
    Some(callers)
}

/// `acting`: whether somebody may act on behalf of somebody else.
pub(super) fn acting(node: &Node<'_>, problems: &mut Problems) -> Option<Located<bool>> {
    node.choice(problems, &[("allowed", true), ("refused", false)]).map(|acting| node.locate(acting))
}

/// `audit`: there is only `true`.
fn audit(node: &Node<'_>, problems: &mut Problems) -> Option<Located<()>> {
    if node.is_true() {
        return Some(node.locate(()));
    }
    node.problem(problems, "write 'true', or leave the key out; inside of a group that says it, it cannot be switched off");
    None
}

fn targets(node: &Node<'_>, problems: &mut Problems) -> Vec<(Located<String>, Located<PlaceSchema>)> {
    let entries = node.entries(problems).unwrap_or_default();
    entries.into_iter().filter_map(|(name, node)| Some((name, place::place(&node, problems)?))).collect()
}

fn networks(node: &Node<'_>, problems: &mut Problems) -> Option<NetworkSchema> {
    let mut map = node.map(problems)?;
    let mut list = |name, problems: &mut Problems| {
        let node = map.take(name)?;
        let texts = node.strings(problems).unwrap_or_default();
        if texts.is_empty() {
            node.problem(problems, "there must be at least one network, such as '10.0.0.0/8'");
        }
        Some(
            texts.into_iter().filter_map(|text| text.convert(problems, |text| parse_network(&text))).map(|network| network.value).collect(),
        )
    };
    let (allow, deny) = (list("allow", problems), list("deny", problems));
    if allow.is_none() && deny.is_none() {
        node.problem(problems, "say from where requests may come: 'allow', 'deny', or both");
    }
    let client = map.take("client").map(|node| client(&node, problems));
    map.finish(problems);
    // A header that cannot be read must not become the connection.
    let client = match client {
        Some(client) => Some(client?),
        None => None,
    };
    Some(NetworkSchema { allow, deny, client })
}

/// A network (`10.0.0.0/8`) or a single address, whose bits beyond its length must be zero.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| format!("'{text}' is no network, such as '10.0.0.0/8', and no address"))?,
    };
    if network.trunc() == network { Ok(network) } else { Err(format!("'{text}' has bits beyond its length; write '{}'", network.trunc())) }
}

fn client(node: &Node<'_>, problems: &mut Problems) -> Option<(String, usize)> {
    let mut map = node.map(problems)?;
    let header = map
        .require(problems, "header", "which header to believe, such as 'x-forwarded-for'")
        .and_then(|node| super::header_name(&node, problems));
    let hops = map
        .require(problems, "trusted_hops", "how many trusted proxies append to it; with 1, the last address counts")
        .and_then(|node| node.usize(problems, 1..=16));
    map.finish(problems);
    Some((header?.value, hops?))
}

fn session(node: &Node<'_>, problems: &mut Problems) -> Option<SessionSchema> {
    let mut map = node.map(problems)?;
    let max_age = map
        .require(problems, "max_age", "how long a session may last, such as '30m'")
        .and_then(|node| node.duration(problems, SECOND..=365 * DAY));
    let warn_before = map.take("warn_before").map_or(Some(Duration::ZERO), |node| node.duration(problems, Duration::ZERO..=365 * DAY));
    map.finish(problems);
    let rule = SessionSchema { max_age: max_age?, warn_before: warn_before? };
    if rule.warn_before >= rule.max_age {
        node.problem(problems, "'warn_before' must be less than 'max_age'");
        return None;
    }
    Some(rule)
}

struct Merge<'m> {
    may_differ: bool,
    differs: &'m mut bool,
    problems: &'m mut Problems,
}

impl Merge<'_> {
    /// A requirement of which there is one: the inner one, where both are there and that is allowed.
    fn one<T: Clone>(&mut self, key: &str, inner: Option<Located<T>>, outer: &Option<Located<T>>) -> Option<Located<T>> {
        let (Some(inner), Some(outer)) = (&inner, outer) else { return inner.or_else(|| outer.clone()) };
        *self.differs = true;
        if !self.may_differ {
            inner.problem(
                self.problems,
                format!(
                    "the group around it says '{key}' already, at {}; leave it out, or add 'override: <why>' if it has to differ",
                    outer.location
                ),
            );
        }
        Some(inner.clone())
    }
}
