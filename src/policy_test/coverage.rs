//! Which methods of which routes the cases of a configuration say anything about.

use std::collections::HashMap;
use std::sync::Arc;

use super::run::CaseReport;
use crate::pdp::decision::Effect;
use crate::pdp::policy::{Access, MethodRule, RoutePolicy};
use crate::pdp::snapshot::Snapshot;

/// What was seen of a configuration.
pub struct Coverage {
    methods: Vec<Method>,
}

/// A method of a route.
pub struct Method {
    /// The route's name.
    pub route: Arc<str>,
    /// The method.
    pub method: Box<str>,
    /// Whether any request can pass, and any be refused: a public route that asks for nothing refuses nobody.
    can: Seen,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    passing: bool,
    refused: bool,
}

impl Coverage {
    /// Nothing was seen yet. Methods are in the order of the configuration.
    #[must_use]
    pub fn new(snapshot: &Snapshot) -> Self {
        let routes: HashMap<&str, &RoutePolicy> = snapshot.routes.payloads().into_iter().map(|route| (&*route.name, &**route)).collect();
        let methods = snapshot.route_names.iter().filter_map(|name| routes.get(&**name)).flat_map(|route| {
            route.methods.iter().map(|(method, rule)| Method {
                route: Arc::clone(&route.name),
                method: method.clone(),
                can: Seen { passing: route.lockdown.is_none(), refused: can_refuse(route, rule) },
                seen: Seen::default(),
            })
        });
        Self { methods: methods.collect() }
    }

    /// Takes notice of what came of cases.
    pub fn record(&mut self, cases: &[CaseReport]) {
        for decided in cases.iter().flat_map(|case| &case.decided) {
            let Some(name) = &decided.route else { continue };
            let of_it = |method: &&mut Method| *method.route == **name && *method.method == *decided.method;
            let Some(method) = self.methods.iter_mut().find(of_it) else { continue };
            match decided.reason.effect() {
                Effect::Permit => method.seen.passing = true,
                Effect::Deny => method.seen.refused = true,
                // That something was out of order says nothing of the policy.
                Effect::Indeterminate => {}
            }
        }
    }

    /// How many methods the routes have.
    #[must_use]
    pub fn total(&self) -> usize {
        self.methods.len()
    }

    /// Methods on which no case was let through.
    #[must_use]
    pub fn never_let_through(&self) -> Vec<&Method> {
        self.methods.iter().filter(|method| method.can.passing && !method.seen.passing).collect()
    }

    /// Methods on which no case was refused.
    #[must_use]
    pub fn never_refused(&self) -> Vec<&Method> {
        self.methods.iter().filter(|method| method.can.refused && !method.seen.refused).collect()
    }
}

fn can_refuse(route: &RoutePolicy, rule: &MethodRule) -> bool {
    let for_everybody =
        !route.networks.is_empty() || !route.schedules.is_empty() || !route.callers.is_empty() || !rule.all.callers.is_empty();
    rule.access != Access::Public || route.lockdown.is_some() || for_everybody
}

/// Methods by route, as in `posts (GET, POST), me (GET)`.
#[must_use]
pub fn by_route(methods: &[&Method]) -> String {
    let routes: Vec<String> = methods
        .chunk_by(|a, b| a.route == b.route)
        .filter_map(|methods| {
            let names: Vec<&str> = methods.iter().map(|method| &*method.method).collect();
            methods.first().map(|first| format!("{} ({})", first.route, names.join(", ")))
        })
        .collect();
    routes.join(", ")
}
