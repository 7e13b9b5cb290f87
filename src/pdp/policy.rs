//! What a route asks for.

use std::sync::Arc;

use smallvec::SmallVec;

pub mod audit;
pub mod condition;
pub mod requirement;
pub mod value;

use audit::AuditRule;
use condition::caller::CallerRule;
use condition::network::NetworkRule;
use condition::schedule::ScheduleRule;
use condition::session::SessionRule;

use requirement::Requirement;
use value::RequestValue;

use super::tenant::Realm;

/// A route's requirements. Every field is a choice that was made when the configuration was compiled.
#[derive(Debug, Clone)]
pub struct RoutePolicy {
    /// The route's name: in metrics, records and metadata.
    pub name: Arc<str>,
    /// Why it differs from what its group says; `None`: it does not.
    pub overrides: Option<Arc<str>>,
    /// Why nothing passes at the moment, credentials or not; `None`: the route is open.
    pub lockdown: Option<Arc<str>>,
    /// The realm that it is for; `None`: both.
    pub realm: Option<Realm>,
    /// How a request says which tenant it is about.
    pub tenant: TenantBinding,
    /// The service that the tenant must have paid for.
    pub service: Option<Box<str>>,
    /// From where requests may come: all of these rules must admit them, whatever else is asked.
    pub networks: Vec<NetworkRule>,
    /// When: likewise.
    pub schedules: Vec<ScheduleRule>,
    /// Which workloads of the mesh may ask: likewise.
    pub callers: Vec<CallerRule>,
    /// The parameters of its path, each one segment, and where they stand.
    pub parameters: Vec<(Box<str>, usize)>,
    /// Whom requests are about: a name, and where it says so.
    pub targets: Vec<(Arc<str>, RequestValue)>,
    /// How long a session may last; `None`: as long as its tokens are renewed.
    pub session: Option<SessionRule>,
    /// What an audit trail records of its requests; `None`: they are not recorded.
    pub audit: Option<Arc<AuditRule>>,
    /// Whether `Upgrade: websocket` is let through.
    pub websocket: bool,
    /// The methods that it lists, each with its rule. A method that is not listed is refused.
    pub methods: SmallVec<[(Box<str>, MethodRule); 4]>,
}

/// How a route says which tenant a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantBinding {
    /// The route is about no tenant.
    None,
    /// The service behind scopes by the injected tenant header alone; the token must have a tenant.
    Token,
    /// The request says it; not in its body.
    Request(RequestValue),
    /// The one label that `*` stands for in the route's host `*.suffix`.
    Subdomain,
}

/// A method's rule.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodRule {
    /// Who may.
    pub access: Access,
    /// Whether somebody may do it on behalf of somebody else (RFC 8693 section 4.1).
    pub acting: bool,
    /// What has to be met in any case.
    pub all: Requirement,
    /// Besides, one of these, if there are any.
    pub any: Vec<Requirement>,
    /// What Portcullis answers by itself; `None`: the request goes on to the service.
    pub answer: Option<Answer>,
}

/// Who may, before anything else is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody; credentials are not looked at.
    Public,
    /// Anybody; but a credential, if there is one, must be good, and then all of the route's requirements count.
    Optional,
    /// Somebody with a good token who meets what the rule requires.
    Authenticated,
}

/// An answer that Portcullis gives by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Which of the permissions that routes ask for the caller has.
    Permissions,
}

impl RoutePolicy {
    /// The rule for a method, compared exactly (RFC 9110 section 9.1).
    #[must_use]
    pub fn rule(&self, method: &str) -> Option<&MethodRule> {
        self.methods.iter().find(|(listed, _)| **listed == *method).map(|(_, rule)| rule)
    }
}
