//! One version of the compiled policy. A decision is made by exactly one of them.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::obligation::{AssertionRule, IdentityHeaders};
use super::policy::RoutePolicy;
use super::role::RoleTable;
use super::route::RouteTable;
use super::scope::RequiredPermission;
use super::token::profile::{IssuerPolicy, PolicyFingerprint, SourceId};

/// Compiled policy: no string left to parse, no dangling name.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The first characters of the SHA-256 of the configuration's text.
    pub revision: Arc<str>,
    /// The configured issuers.
    pub issuers: IssuerTable,
    /// The configured roles.
    pub roles: RoleTable,
    /// The routes.
    pub routes: RouteTable<RoutePolicy>,
    /// The names of all routes, for metrics and dumps.
    pub route_names: Vec<Arc<str>>,
    /// All permissions that routes ask for, each once, in the order of the configuration.
    pub permissions: Vec<RequiredPermission>,
    /// Where it can be asked what people are whom requests are about.
    pub directory: Option<SourceId>,
    /// Which headers tell the service behind who is asking.
    pub identity_headers: IdentityHeaders,
    /// Assertions towards the service behind; `None`: there are none.
    pub assertion: Option<AssertionRule>,
    /// `realm` of `WWW-Authenticate`, safe to be quoted.
    pub challenge_realm: Box<str>,
}

/// The configured issuers.
#[derive(Debug, Clone, Default)]
pub struct IssuerTable {
    policies: Vec<Arc<IssuerPolicy>>,
    by_issuer: HashMap<Box<str>, usize, RandomState>,
    by_fingerprint: HashMap<PolicyFingerprint, usize, RandomState>,
    longest_token: usize,
}

impl IssuerTable {
    /// Collects issuers. Of two with one `iss` the later one would win: the compiler refuses such configurations.
    #[must_use]
    pub fn new(policies: Vec<Arc<IssuerPolicy>>) -> Self {
        let by_issuer = policies.iter().enumerate().map(|(index, policy)| (policy.issuer.clone(), index)).collect();
        let by_fingerprint = policies.iter().enumerate().map(|(index, policy)| (policy.fingerprint, index)).collect();
        let longest_token = policies.iter().map(|policy| policy.max_token_bytes).max().unwrap_or(0);
        Self { policies, by_issuer, by_fingerprint, longest_token }
    }

    /// The issuer with this `iss`, compared exactly.
    #[must_use]
    pub fn by_issuer(&self, issuer: &str) -> Option<&Arc<IssuerPolicy>> {
        self.by_issuer.get(issuer).and_then(|index| self.policies.get(*index))
    }

    /// The issuer whose policy has this fingerprint, if that policy is still in force.
    #[must_use]
    pub fn by_fingerprint(&self, fingerprint: PolicyFingerprint) -> Option<&Arc<IssuerPolicy>> {
        self.by_fingerprint.get(&fingerprint).and_then(|index| self.policies.get(*index))
    }

    /// All issuers.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<IssuerPolicy>> {
        self.policies.iter()
    }

    /// The most bytes that any issuer's token may have.
    #[must_use]
    pub fn longest_token(&self) -> usize {
        self.longest_token
    }
}
