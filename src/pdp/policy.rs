//! What a route asks for.

use std::sync::Arc;

use smallvec::SmallVec;

pub mod condition;

use condition::authentication::AuthenticationRule;
use condition::network::NetworkRule;
use condition::schedule::ScheduleRule;
use condition::session::SessionRule;

use super::permission::Permission;
use super::tenant::{Realm, TenantBinding};

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
    /// How long a session may last; `None`: as long as its tokens are renewed.
    pub session: Option<SessionRule>,
    /// Whether `Upgrade: websocket` is let through.
    pub websocket: bool,
    /// The methods that it lists, each with its rule. A method that is not listed is refused.
    pub methods: SmallVec<[(Box<str>, MethodRule); 4]>,
}

/// A method's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodRule {
    /// Who may.
    pub access: Access,
    /// How they must have authenticated.
    pub authentication: AuthenticationRule,
}

/// What one method of a route needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing; credentials are not looked at.
    Public,
    /// Nothing; but a credential, if there is one, must be good, and then all of the route's requirements count.
    Optional,
    /// Somebody, whoever it is.
    Authenticated,
    /// Somebody with all of these permissions. There is at least one.
    Permissions(SmallVec<[Permission; 1]>),
}

impl RoutePolicy {
    /// The rule for a method, compared exactly (RFC 9110 section 9.1).
    #[must_use]
    pub fn rule(&self, method: &str) -> Option<&MethodRule> {
        self.methods.iter().find(|(listed, _)| **listed == *method).map(|(_, rule)| rule)
    }
}
