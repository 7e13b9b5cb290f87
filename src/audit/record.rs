//! What records say. Members are always in the same order, and what there is nothing to say of is left out.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::pdp::decision::{Decision, Reason};
use crate::pdp::path::NormalizedPath;
use crate::pdp::policy::audit::AuditRule;
use crate::pdp::policy::condition::graphql::RootFields;
use crate::pdp::request::AccessRequest;
use crate::pdp::time::UnixTime;

/// How many root fields of a GraphQL request are named at most. A request that is let through has listed ones only, and those are few.
const MAX_ROOT_FIELDS: usize = 100;

/// A check of an audited route, as it was decided.
#[derive(Debug)]
pub struct AuditedCheck<'c, 'r> {
    /// The decision's id, which the log and the client's answer have too.
    pub id: &'c str,
    /// What was decided.
    pub decision: &'c Decision,
    /// What of the request is recorded.
    pub rule: &'c AuditRule,
    /// The request.
    pub request: &'c AccessRequest<'r>,
    /// The revision of the configuration that decided.
    pub revision: &'c str,
    /// How many policies had been in force by then.
    pub generation: u64,
    /// When.
    pub now: UnixTime,
    /// The status that answers a reason; `None`: the request goes on to the service.
    pub status: fn(Reason) -> Option<u16>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub reason: Reason,
    pub status: Option<u16>,
}

#[derive(Serialize)]
struct CheckMembers<'c> {
    time: String,
    event: &'static str,
    decision_id: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<Who<'c>>,
    what: What<'c>,
    #[serde(skip_serializing_if = "str::is_empty")]
    peer: &'c str,
    #[serde(skip_serializing_if = "str::is_empty")]
    caller: &'c str,
    revision: &'c str,
    generation: u64,
}

/// Whoever it was, as the verified token says; nobody, where there was no good one.
#[derive(Serialize)]
struct Who<'c> {
    issuer: &'c str,
    subject: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'c str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'c str>,
}

#[derive(Serialize)]
struct What<'c> {
    method: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'c str>,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: Parameters<'c>,
    /// The root fields of a GraphQL request: `mutation deleteUser`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    graphql: Vec<String>,
    /// Where a role let it cross into another tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lockdown: Option<&'c str>,
}

/// Path parameters by name, in the order of the path.
#[derive(Default)]
struct Parameters<'c>(Vec<(&'c str, Cow<'c, str>)>);

impl Parameters<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Parameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What a record says of a check, up to what came of it.
pub(super) fn check(check: &AuditedCheck<'_, '_>) -> String {
    let (decision, request) = (check.decision, check.request);
    let who = decision.principal.as_ref().map(|principal| {
        let claims = principal.token().claims();
        Who {
            issuer: &claims.issuer,
            subject: &claims.subject,
            actor: claims.actor.as_ref().map(|actor| &*actor.subject),
            tenant: claims.tenant.as_ref().map(|tenant| tenant.as_str()),
            session: claims.session.as_deref(),
            client: claims.client_id.as_deref(),
            roles: claims.roles_text.split(',').filter(|role| !role.is_empty()).collect(),
        }
    });
    let crossed = decision.principal.as_ref().filter(|_| decision.crossed_tenants).and_then(|principal| principal.tenant());
    // A route was found, so the path is canonical.
    let path = NormalizedPath::parse(request.target).ok();
    let parameters = path.as_ref().map(|path| Parameters(check.rule.values(path).collect()));
    members(&CheckMembers {
        time: time(check.now),
        event: "check",
        decision_id: check.id,
        who,
        what: What {
            method: request.method,
            route: decision.route.as_deref(),
            parameters: parameters.unwrap_or_default(),
            graphql: decision.root_fields.as_ref().map(graphql).unwrap_or_default(),
            tenant: crossed.map(|tenant| tenant.as_str()),
            scope: decision.scope.as_deref(),
            overrides: decision.overrides.as_deref(),
            lockdown: decision.lockdown.as_deref(),
        },
        peer: request.peer.address,
        caller: request.peer.principal,
        revision: check.revision,
        generation: check.generation,
    })
}

/// What a GraphQL request asks for, as far as there is room for it.
fn graphql(fields: &RootFields) -> Vec<String> {
    let mut named: Vec<String> = fields.iter().take(MAX_ROOT_FIELDS).map(|(kind, field)| format!("{kind} {field}")).collect();
    let more = fields.iter().skip(MAX_ROOT_FIELDS).count();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named
}

#[derive(Serialize)]
struct OutcomeMembers {
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead_of: Option<&'static str>,
}

/// What came of a check, and what was decided if that is something else.
pub(super) fn outcome(Outcome { reason, status }: Outcome, instead_of: Option<Reason>) -> String {
    members(&OutcomeMembers { decision: reason.effect().as_str(), reason: reason.code(), status, instead_of: instead_of.map(Reason::code) })
}

/// What happens to the trail itself.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Event<'e> {
    /// A run of the sidecar begins.
    Start { version: &'static str, revision: &'e str, generation: u64 },
    /// Another configuration is in force.
    Configuration { revision: &'e str, generation: u64 },
    /// A new file goes on where another one ended.
    Continues {},
    /// Somebody else made the file longer or shorter.
    Altered { expected_bytes: u64, found_bytes: u64 },
    /// So many checks could not be recorded.
    Unrecorded { records: u64 },
    /// A record that was written does not count: nobody waited for it any more.
    Withdrawn { decision_id: &'e str },
    /// The run ends as it should.
    Stop {},
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Configuration { .. } => "configuration",
            Self::Continues {} => "continues",
            Self::Altered { .. } => "altered",
            Self::Unrecorded { .. } => "unrecorded",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Stop {} => "stop",
        }
    }
}

#[derive(Serialize)]
struct EventMembers<'e> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    says: &'e Event<'e>,
}

/// What a record says of the trail itself.
pub(super) fn event(event: &Event<'_>, now: UnixTime) -> String {
    members(&EventMembers { time: time(now), event: event.name(), says: event })
}

/// The members of a JSON object, without its braces.
fn members<T: Serialize>(object: &T) -> String {
    // These types have names for keys and nothing that JSON does not know.
    let text = serde_json::to_string(object).unwrap_or_default();
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().into()
}

/// RFC 3339 in UTC, with milliseconds.
fn time(now: UnixTime) -> String {
    let time = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
