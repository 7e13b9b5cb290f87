//! Decides cases and says how what came out differs from what they expect.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::case::{Case, CaseFile, Expected};
use super::configuration::Configurations;
use super::expectation::{Difference, Outcome, differences};
use super::facts::MemoryFacts;
use super::request::BuiltRequest;
use crate::config::{Configuration, Location};
use crate::pdp::decision::{Reason, TokenLookup};
use crate::pdp::obligation::obligations;
use crate::pdp::request::{AccessRequest, Headers, Peer};
use crate::pdp::time::UnixTime;
use crate::pdp::token::cache::TokenCache;
use crate::pdp::{View, decide};

const CACHE_BYTES: u64 = 1 << 20;
/// More than passes between two decisions, however busy the machine is.
const SOME_TIME: Duration = Duration::from_secs(30);

/// What came of a case.
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Location,
    /// Method and path, as the file has them.
    pub request: String,
    /// What was decided, at first and in its later steps.
    pub decided: Vec<Decided>,
    /// What was not as expected; nothing if it passed.
    pub failures: Vec<Failure>,
}

/// One decision.
pub struct Decided {
    /// The request's method.
    pub method: String,
    /// The route that decided.
    pub route: Option<Arc<str>>,
    /// Why, and with it the outcome.
    pub reason: Reason,
}

/// One way in which a case failed.
pub struct Failure {
    /// The case, or the later step of it.
    pub location: Location,
    /// In which of its decisions.
    pub when: When,
    /// What was not as expected.
    pub cause: Cause,
}

/// The decisions that are made on one request. All of them must be the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing was seen before.
    First,
    /// Its repeated headers are joined by commas, as Envoy may do it.
    Joined,
    /// The token was seen before.
    Remembered,
    /// In a later step.
    Then,
}

impl fmt::Display for Failure {
    /// In one line, without its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.when != When::First {
            write!(f, "{}: ", self.when)?;
        }
        match &self.cause {
            Cause::Error(error) => write!(f, "it could not be run: {error}"),
            Cause::Differences(differences) => differences.iter().enumerate().try_for_each(|(index, difference)| {
                let separator = if index == 0 { "" } else { "; " };
                write!(f, "{separator}{difference}")
            }),
        }
    }
}

/// Why a case failed.
pub enum Cause {
    /// Something else came out.
    Differences(Vec<Difference>),
    /// It could not be run.
    Error(String),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "at first",
            Self::Joined => "with its repeated headers joined",
            Self::Remembered => "with its token remembered",
            Self::Then => "then",
        })
    }
}

/// Runs the cases of a file whose names contain `filter`.
#[must_use]
pub fn run(file: &CaseFile, configurations: &Configurations<'_>, filter: &str) -> Vec<CaseReport> {
    file.cases.iter().filter(|case| case.name.contains(filter)).map(|case| run_case(file, case, configurations)).collect()
}

/// Runs one case of a file.
#[must_use]
pub fn run_case(file: &CaseFile, case: &Case, configurations: &Configurations<'_>) -> CaseReport {
    Run::new(file, case).report(configurations)
}

/// A case that is being run.
struct Run<'f> {
    file: &'f CaseFile,
    case: &'f Case,
    decided: Vec<Decided>,
    failures: Vec<Failure>,
}

impl<'f> Run<'f> {
    fn new(file: &'f CaseFile, case: &'f Case) -> Self {
        Self { file, case, decided: Vec::new(), failures: Vec::new() }
    }

    fn report(mut self, configurations: &Configurations<'_>) -> CaseReport {
        if let Err(error) = self.decide_all(configurations) {
            let location = self.case.location.clone();
            self.failures.push(Failure { location, when: When::First, cause: Cause::Error(error) });
        }
        CaseReport {
            name: self.case.name.clone(),
            location: self.case.location.clone(),
            request: format!("{} {}", self.case.request.method, self.case.request.target),
            decided: self.decided,
            failures: self.failures,
        }
    }

    fn decide_all(&mut self, configurations: &Configurations<'_>) -> Result<(), String> {
        let case = self.case;
        let at = |millis: i64| UnixTime::from_millis(case.at.saturating_add(millis));
        let mut configuration = configurations.get(case.variant.as_deref())?;
        let mut states = vec![&self.file.state, &case.state];
        let mut now = at(case.now);
        let request = BuiltRequest::new(case, configuration)?;
        let facts = MemoryFacts::new(configuration, &states, case.at)?;

        let tokens = TokenCache::new(CACHE_BYTES);
        let first = decide_once(configuration, &facts, &tokens, &request, now);
        self.decided.push(Decided::new(&request, &first));
        // What comes after would only say the same again.
        if !self.judge(When::First, &case.location, configuration, &case.expected, &first) {
            return Ok(());
        }
        if let Some(joined) = request.joined() {
            let outcome = decide_once(configuration, &facts, &TokenCache::new(CACHE_BYTES), &joined, now);
            self.judge(When::Joined, &case.location, configuration, &case.expected, &outcome);
        }
        let again = decide_once(configuration, &facts, &tokens, &request, now);
        self.judge(When::Remembered, &case.location, configuration, &case.expected, &again);
        // Nothing is remembered beyond `exp`, not even for the leeway; and with little time left, it passes while this runs.
        let expires = first.decision.principal.as_ref().map(|principal| principal.token().claims().expires);
        let has_time = expires.is_some_and(|expires| expires.since(now) > SOME_TIME);
        if has_time && again.decision.token_lookup != Some(TokenLookup::Hit) {
            return Err("its token was not remembered".into());
        }

        for step in &case.then {
            states.push(&step.state);
            if let Some(name) = &step.variant {
                configuration = configurations.get(Some(name))?;
            }
            now = step.now.map_or(now, at);
            let facts = MemoryFacts::new(configuration, &states, case.at)?;
            let outcome = decide_once(configuration, &facts, &tokens, &request, now);
            self.decided.push(Decided::new(&request, &outcome));
            self.judge(When::Then, &step.location, configuration, &step.expected, &outcome);
        }
        Ok(())
    }

    /// Notes how an outcome differs; the answer is whether it does not.
    fn judge(&mut self, when: When, location: &Location, policy: &Configuration, expected: &Expected, outcome: &Outcome) -> bool {
        let differences = differences(expected, outcome, &policy.snapshot);
        let as_expected = differences.is_empty();
        if !as_expected {
            self.failures.push(Failure { location: location.clone(), when, cause: Cause::Differences(differences) });
        }
        as_expected
    }
}

impl Decided {
    fn new(request: &BuiltRequest, outcome: &Outcome) -> Self {
        Self { method: request.method.clone(), route: outcome.decision.route.clone(), reason: outcome.decision.reason }
    }
}

fn decide_once(configuration: &Configuration, facts: &MemoryFacts, tokens: &TokenCache, request: &BuiltRequest, now: UnixTime) -> Outcome {
    let mut sent = Headers::default();
    for (name, value) in &request.fields {
        sent.push(name, value);
    }
    let asked = AccessRequest {
        method: &request.method,
        target: &request.target,
        authority: &request.host,
        headers: sent.clone(),
        peer: Peer { address: &request.peer, principal: &request.principal },
        body: request.body(),
    };
    let decision = decide(&View { snapshot: &configuration.snapshot, facts, tokens }, &asked, now);
    let duties = obligations(&configuration.snapshot.identity_headers, &decision, &sent, None);
    let sets = duties.set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let removes = duties.remove.iter().map(|name| name.to_string()).collect();
    Outcome { decision, sets, removes }
}
