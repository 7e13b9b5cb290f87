//! Decides cases and compares what comes out with what they say.

use std::collections::BTreeMap;

use super::at;
use super::case::{Case, CaseFile, Expected};
use super::facts::MemoryFacts;
use super::request::BuiltRequest;
use crate::config::{Configuration, SourceFile};
use crate::pdp::decision::{Decision, Effect, Granted, TokenLookup};
use crate::pdp::obligation::obligations;
use crate::pdp::request::{AccessRequest, Headers, Peer};
use crate::pdp::time::UnixTime;
use crate::pdp::token::cache::TokenCache;
use crate::pdp::{View, decide};

const CACHE_BYTES: u64 = 1 << 20;

/// The configuration of a file and its variants, compiled.
struct Configurations {
    base: Configuration,
    variants: BTreeMap<String, Configuration>,
}

impl Configurations {
    fn compile(file: &CaseFile) -> Result<Self, String> {
        let compile = |name: &str, text: &str| {
            let source = SourceFile { name: name.to_string(), text: text.to_string() };
            Configuration::compile(&[source]).map_err(|problems| format!("{}: the configuration has problems:\n{problems}", file.name))
        };
        let variants = file.variants.iter().map(|(name, text)| Ok((name.clone(), compile(name, text)?))).collect::<Result<_, String>>()?;
        Ok(Self { base: compile("configuration", &file.configuration)?, variants })
    }

    fn get(&self, variant: Option<&str>) -> Result<&Configuration, String> {
        match variant {
            None => Ok(&self.base),
            Some(name) => self.variants.get(name).ok_or_else(|| format!("there is no variant '{name}' of the configuration")),
        }
    }
}

/// What was decided, and what has to be done to the request; copied, so that it outlives the request.
struct Outcome {
    decision: Decision,
    sets: BTreeMap<String, String>,
    set_twice: bool,
    removes: Vec<String>,
}

/// Runs all cases of a file; the answer is a list of failures.
///
/// # Errors
/// When the configuration has problems.
pub fn run(file: &CaseFile) -> Result<Vec<String>, String> {
    let configurations = Configurations::compile(file)?;
    let mut failures = Vec::new();
    for case in &file.cases {
        let at = format!("{}:{}: '{}'", file.name, case.line, case.name);
        match run_case(file, case, &configurations) {
            Ok(found) => failures.extend(found.iter().map(|failure| format!("{at} {failure}"))),
            Err(error) => failures.push(format!("{at} could not be run: {error}")),
        }
    }
    Ok(failures)
}

fn run_case(file: &CaseFile, case: &Case, configurations: &Configurations) -> Result<Vec<String>, String> {
    let configuration = configurations.get(case.variant.as_deref())?;
    let request = BuiltRequest::new(case, configuration)?;
    let facts = MemoryFacts::new(configuration, &[&file.state, &case.state])?;
    let now = at(case.now);
    let mut failures = Vec::new();
    let mut judge = |what: &str, expected: &Expected, outcome: &Outcome| {
        let differences = differences(expected, outcome);
        if !differences.is_empty() {
            failures.push(format!("({what}): {}", differences.join("; ")));
        }
        differences.is_empty()
    };

    let tokens = TokenCache::new(CACHE_BYTES);
    let first = decide_once(configuration, &facts, &tokens, &request, now);
    // What comes after would only say the same again.
    if !judge("never seen", &case.expected, &first) {
        return Ok(failures);
    }
    if let Some(joined) = request.joined() {
        let outcome = decide_once(configuration, &facts, &TokenCache::new(CACHE_BYTES), &joined, now);
        judge("headers joined", &case.expected, &outcome);
    }
    let again = decide_once(configuration, &facts, &tokens, &request, now);
    judge("seen before", &case.expected, &again);
    // Nothing is remembered beyond `exp`, not even for the leeway.
    let in_date = first.decision.principal.as_ref().is_some_and(|principal| principal.token().claims().expires > now);
    if in_date && again.decision.token_lookup != Some(TokenLookup::Hit) {
        return Err("its token was not remembered".into());
    }

    let mut states = vec![&file.state, &case.state];
    let (mut configuration, mut now) = (configuration, now);
    for step in &case.then {
        states.push(&step.state);
        if let Some(name) = &step.variant {
            configuration = configurations.get(Some(name))?;
        }
        now = step.now.map_or(now, at);
        let facts = MemoryFacts::new(configuration, &states)?;
        let outcome = decide_once(configuration, &facts, &tokens, &request, now);
        judge(&format!("then, line {}", step.line), &step.expected, &outcome);
    }
    Ok(failures)
}

fn decide_once(configuration: &Configuration, facts: &MemoryFacts, tokens: &TokenCache, request: &BuiltRequest, now: UnixTime) -> Outcome {
    let headers = || {
        let mut headers = Headers::default();
        for (name, value) in &request.fields {
            headers.push(name, value);
        }
        headers
    };
    let decision = {
        let headers = headers();
        let request = AccessRequest {
            method: &request.method,
            target: &request.target,
            authority: &request.host,
            headers,
            peer: Peer { address: &request.peer, principal: &request.principal },
            body: request.body(),
        };
        decide(&View { snapshot: &configuration.snapshot, facts, tokens }, &request, now)
    };
    let (sets, set_twice, removes) = {
        let sent = headers();
        let duties = obligations(&configuration.snapshot.identity_headers, &decision, &sent, None);
        let sets: BTreeMap<String, String> = duties.set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let set_twice = sets.len() < duties.set.len();
        (sets, set_twice, duties.remove.iter().map(|name| name.to_string()).collect())
    };
    Outcome { decision, sets, set_twice, removes }
}

fn differences(expected: &Expected, outcome: &Outcome) -> Vec<String> {
    let decision = &outcome.decision;
    let mut differences = Vec::new();
    if decision.reason != expected.reason {
        let show = |effect: Effect, code| format!("{} {code}", effect.as_str());
        differences.push(format!(
            "expected {}, got {}",
            show(expected.reason.effect(), expected.reason.code()),
            show(decision.effect(), decision.reason.code())
        ));
    }
    let mut compare = |what: &str, expected: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug| {
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        if expected != got {
            differences.push(format!("expected {what} {expected}, got {got}"));
        }
    };
    compare("route", &expected.route.as_deref(), &decision.route.as_deref());
    compare("crossed_tenants", &expected.crossed_tenants, &decision.crossed_tenants);
    compare("used_stale_revocations", &expected.used_stale_revocations, &decision.used_stale_revocations);
    if let Some(unknown) = expected.unknown_roles {
        compare("unknown_roles", &unknown, &decision.unknown_roles);
    }
    if let Some(odd) = expected.odd_permissions {
        let got = decision.principal.as_ref().map(|principal| principal.token().claims().odd_permissions);
        compare("odd_permissions", &Some(odd), &got);
    }
    if let Some(key_id) = &expected.unknown_key {
        compare("unknown_key", &Some(key_id.as_str()), &decision.unknown_key.as_ref().map(|key| &*key.key_id));
    }
    if let Some(answer) = &expected.answer {
        let shown = |granted: &Granted| {
            let scope = granted.scope.iter().map(|scope| format!(" {scope}"));
            let boundary = granted.boundary.iter().map(|(name, value)| format!(" {name}={value}"));
            std::iter::once(granted.permission.to_string()).chain(scope).chain(boundary).collect::<String>()
        };
        let got: Option<Vec<String>> = decision.answer.as_ref().map(|granted| granted.iter().map(shown).collect());
        compare("answer", &Some(answer), &got.as_ref());
    }
    if let Some(sets) = &expected.sets {
        compare("headers set", sets, &outcome.sets);
    }
    let removed = |name: &str| outcome.removes.iter().any(|other| other.eq_ignore_ascii_case(name));
    // A PEP that sets first and removes later, without looking at case, would undo what was set.
    let undone: Vec<&String> =
        outcome.sets.keys().filter(|name| outcome.removes.iter().any(|other| other.eq_ignore_ascii_case(name))).collect();
    compare("headers both set and removed", &Vec::<&String>::new(), &undone);
    compare("a header set twice", &false, &outcome.set_twice);
    let left: Vec<&String> = expected.removes.iter().filter(|name| !removed(name)).collect();
    compare("headers left that should be removed", &Vec::<&String>::new(), &left);
    let touched: Vec<&String> = expected.keeps.iter().filter(|name| removed(name) || outcome.sets.contains_key(*name)).collect();
    compare("headers touched that should be kept", &Vec::<&String>::new(), &touched);
    differences
}
