//! What a test file says; docs/policy-tests.md describes the format.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::configuration::{Edit, Stated};
use super::token::TokenSpec;
use crate::config::{Location, Problems};
use crate::pdp::decision::{Effect, Reason};
use crate::pdp::revocation::RevocationKind;

mod read;

/// A file of cases.
pub struct CaseFile {
    /// Its name, for messages.
    pub name: String,
    /// The configuration that decides.
    pub configuration: Stated,
    /// Other versions of the configuration, each made by edits of its text.
    pub variants: BTreeMap<String, Vec<Edit>>,
    /// What is known of the issuers in all its cases.
    pub state: State,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case.
pub struct Case {
    /// Its name, unique within the file.
    pub name: String,
    /// Where its name stands.
    pub location: Location,
    /// What is asked.
    pub request: RequestSpec,
    /// The token that the request carries, unless it is anonymous.
    pub token: Option<CaseToken>,
    /// The variant of the configuration that decides; `None`: the file's own.
    pub variant: Option<String>,
    /// What is known of the issuers besides, or instead of, what the file says.
    pub state: State,
    /// The time that its tokens and revocations refer to, in milliseconds since the epoch.
    pub at: i64,
    /// When the request comes, in milliseconds after that.
    pub now: i64,
    /// What must come of it.
    pub expected: Expected,
    /// The name of a case that differs little and is let through.
    pub twin: Option<String>,
    /// What changes afterwards, one after the other.
    pub then: Vec<Step>,
}

/// A change of circumstances, and what must come of the same request then.
pub struct Step {
    /// Where it stands.
    pub location: Location,
    /// Another variant of the configuration.
    pub variant: Option<String>,
    /// What is known of the issuers from now on.
    pub state: State,
    /// When it takes place, as [`Case::now`]; `None`: no later.
    pub now: Option<i64>,
    /// What must come of it.
    pub expected: Expected,
}

/// A request without its token.
pub struct RequestSpec {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `:authority`.
    pub host: String,
    /// The other end of the connection.
    pub peer: String,
    /// The authenticated mesh identity of the other end.
    pub principal: String,
    /// Names and values, with repetitions.
    pub headers: Vec<(String, Vec<String>)>,
    /// The body.
    pub body: BodySpec,
}

/// A request's body.
pub enum BodySpec {
    /// The PEP did not send it along, or there is none.
    NotSent,
    /// The PEP sent a part of it.
    Incomplete,
    /// This text, with holes.
    Text(String),
    /// This value, with the headers that go with it unless they are given.
    Json(Value),
}

/// A token and the issuer that it claims to be from.
#[derive(Clone, Default)]
pub struct CaseToken {
    /// The configured name of the issuer whose `iss` and `aud` it has; `None`: the first one's.
    pub issuer: Option<String>,
    /// The signing key's name; `None`: the usual one of the issuer's algorithms.
    pub key: Option<String>,
    /// The rest.
    pub spec: TokenSpec,
}

/// What is known of the issuers, by their configured names. An issuer that is not mentioned publishes its usual key and has revoked
/// nothing.
#[derive(Clone, Default)]
pub struct State {
    /// Of issuers with keys.
    pub keys: BTreeMap<String, Keys>,
    /// Of issuers with a revocation list.
    pub revocations: BTreeMap<String, RevocationState>,
    /// Of issuers whose tenants define roles: all of those roles; `None`: they were never pulled, or are too old.
    pub tenant_roles: BTreeMap<String, Option<Vec<TenantRole>>>,
    /// What the directory says of users. It knows nobody else.
    pub directory: BTreeMap<String, Person>,
}

/// A role that a tenant defined.
#[derive(Clone)]
pub struct TenantRole {
    /// The tenant.
    pub tenant: String,
    /// The role.
    pub role: String,
    /// What it grants.
    pub permissions: Vec<String>,
}

/// What a directory says of a user.
#[derive(Clone)]
pub enum Person {
    /// There is nobody of this id.
    Unknown,
    /// It does not answer.
    Failed,
    /// Somebody in this tenant; without one, in whichever is asked for.
    Known {
        /// The tenant.
        tenant: Option<String>,
        /// Their roles.
        roles: Vec<String>,
        /// Their attributes.
        attributes: Vec<(String, String)>,
    },
}

/// An issuer's keys.
#[derive(Clone)]
pub enum Keys {
    /// They were never pulled, or are too old.
    Missing,
    /// Names of signing keys, and members that replace those of the JWK.
    Published(Vec<(String, Map<String, Value>)>),
}

/// An issuer's revocations.
#[derive(Clone)]
pub enum RevocationState {
    /// Nothing was ever pulled.
    Missing,
    /// What was pulled last, too old.
    Stale(Revoked),
    /// The same within its bound.
    Fresh(Revoked),
}

/// What sources of revocations say.
#[derive(Clone, Default)]
pub struct Revoked {
    /// Those that tell ids.
    pub entries: Vec<RevocationEntry>,
    /// Status lists: the statuses that are not VALID, by their index.
    pub statuses: BTreeMap<u64, u8>,
    /// The name of the key that signed the status lists; `None`: one of those that their issuer publishes.
    pub signed_by: Option<String>,
}

/// So many entries have the status lists of cases.
pub const STATUS_LIST_LENGTH: u64 = 1024;

/// An entry of a revocation list.
#[derive(Clone)]
pub struct RevocationEntry {
    /// What is revoked.
    pub kind: RevocationKind,
    /// Which one.
    pub id: String,
    /// Only what was issued before, in milliseconds after [`Case::at`].
    pub before: Option<i64>,
}

/// What must come of a request. `None` means that it does not matter.
pub struct Expected {
    /// The reason, and with it the outcome.
    pub reason: Reason,
    /// Which route decides.
    pub route: ExpectedRoute,
    /// The headers that are set, all of them.
    pub sets: Option<BTreeMap<String, String>>,
    /// Headers that are taken away, among others.
    pub removes: Vec<String>,
    /// Headers that are neither set nor taken away.
    pub keeps: Vec<String>,
    /// Whether a role let it cross into another tenant.
    pub crossed_tenants: bool,
    /// Whether a list that is too old was used.
    pub used_stale_revocations: bool,
    /// How many of the token's roles the configuration does not know.
    pub unknown_roles: Option<usize>,
    /// How many of the token's permissions could not be read.
    pub odd_permissions: Option<usize>,
    /// The `kid` that should be looked for.
    pub unknown_key: Option<String>,
    /// The permissions that Portcullis answers with, each with its scope if it has one: `orders:read own`.
    pub answer: Option<Vec<String>>,
}

/// What a case says of its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedRoute {
    /// Nothing.
    Any,
    /// That none is found.
    None,
    /// That it is this one.
    Named(String),
}

impl CaseFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not YAML, or does not say what a test file says: one problem of every case that has any.
    pub fn read(name: &str, text: &str) -> Result<Self, Problems> {
        read::file(name, text)
    }

    /// Whether this is the text of a test file and not, say, of a configuration.
    ///
    /// # Errors
    /// When it is not YAML, so that nobody can tell.
    pub fn is_one(name: &str, text: &str) -> Result<bool, Problems> {
        super::reader::is_test_file(name, text)
    }

    /// The reasons that its cases and their later steps expect.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.cases.iter().flat_map(|case| case.expectations().map(|expected| expected.reason))
    }

    /// What is wrong with the `twin` of a refusal: a refusal proves little if nothing nearby is ever allowed.
    ///
    /// # Errors
    /// When it names no other case of the file that is let through on the same route.
    pub fn check_twin(&self, case: &Case) -> Result<(), String> {
        if case.expected.reason.effect() == Effect::Permit {
            return Ok(());
        }
        let name = case.twin.as_deref().ok_or("it is a refusal and names no 'twin', a case nearby that is let through")?;
        let twin = self.cases.iter().find(|other| other.name == name).ok_or_else(|| format!("there is no case '{name}' to be its twin"))?;
        if twin.expected.reason.effect() != Effect::Permit {
            return Err(format!("its twin '{name}' is refused as well"));
        }
        match (&case.expected.route, &twin.expected.route) {
            (ExpectedRoute::Named(route), ExpectedRoute::Named(other)) if route != other => {
                Err(format!("it is about the route '{route}' and its twin '{name}' about '{other}'"))
            }
            _ => Ok(()),
        }
    }
}

impl Case {
    /// What it and its later steps expect.
    pub fn expectations(&self) -> impl Iterator<Item = &Expected> {
        std::iter::once(&self.expected).chain(self.then.iter().map(|step| &step.expected))
    }
}
