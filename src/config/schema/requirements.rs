//! What groups hand down to the routes within them.
//!
//! Whoever is inside can only add. To replace what a group says, it has to say `override:` and why.

use crate::config::problem::Problems;
use crate::config::yaml::{Located, Map, Node};
use crate::pdp::route::HostPattern;
use crate::pdp::tenant::Realm;

use super::route::{self, TenantSchema};

/// Requirements of a group or a route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requirements {
    pub hosts: Option<Located<Vec<Located<HostPattern>>>>,
    pub realm: Option<Located<Realm>>,
    pub tenant: Option<Located<TenantSchema>>,
    pub service: Option<Located<String>>,
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
