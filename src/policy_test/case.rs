//! What a case file says.
//!
//! ```yaml
//! about: what the file is about
//! configuration: |              # as an operator would write it
//!   ...
//! variants:                     # the same configuration with some of its text replaced
//!   strict: [{ replace: "leeway: 10s", with: "leeway: 0s" }]
//! defaults:                     # of all cases: host, route, twin, token
//!   host: blog.example.com
//! state:                        # what was pulled from the issuers; a key's name is also its kid
//!   keys: { manager: [rsa-a] }  # or missing
//!   revocations: { manager: [{ type: sid, id: session-1 }] }   # or missing, or { stale: [...] }
//! cases:
//!   an editor reads a post:
//!     request: GET /posts/1
//!     token: { claims: { roles: [editor] } }
//!     allow: allowed            # or deny, or indeterminate, each with its reason
//!     route: posts
//!     then:                     # what changes afterwards, and what must come of the same request
//!       - { now: +10m, deny: token_expired }
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::reader::{self, Fields, Node};
use super::token::{Tampering, TokenSpec, relative_millis};
use crate::pdp::decision::Reason;

/// A file of cases.
pub struct CaseFile {
    /// Its name, for messages.
    pub name: String,
    /// The configuration that decides.
    pub configuration: String,
    /// Other versions of the configuration.
    pub variants: BTreeMap<String, String>,
    /// What is known of the issuers in all its cases.
    pub state: State,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case.
pub struct Case {
    /// Its name, unique within the file.
    pub name: String,
    /// The line that it begins on.
    pub line: usize,
    /// What is asked.
    pub request: RequestSpec,
    /// The token that the request carries, unless it is anonymous.
    pub token: Option<CaseToken>,
    /// The variant of the configuration that decides; `None`: the file's own.
    pub variant: Option<String>,
    /// What is known of the issuers besides, or instead of, what the file says.
    pub state: State,
    /// When it takes place, in milliseconds after the usual time.
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
    /// The line that it begins on.
    pub line: usize,
    /// Another variant of the configuration.
    pub variant: Option<String>,
    /// What is known of the issuers from now on.
    pub state: State,
    /// When it takes place; `None`: no later.
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
    /// How to make it.
    pub spec: TokenSpec,
}

/// What is known of the issuers, by their configured names. An issuer that is not mentioned publishes `rsa-a` and has revoked nothing.
#[derive(Clone, Default)]
pub struct State {
    /// Of issuers with keys.
    pub keys: BTreeMap<String, Keys>,
    /// Of issuers with a revocation list.
    pub revocations: BTreeMap<String, RevocationState>,
    /// Of issuers whose tenants define roles: the roles by tenant and name; `None`: they were never pulled, or are too old.
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
    /// There is no list.
    Missing,
    /// The last list, too old.
    Stale(Vec<RevocationEntry>),
    /// A list within its bound.
    Fresh(Vec<RevocationEntry>),
}

/// An entry of a revocation list; `before` is in milliseconds after the usual time.
#[derive(Clone)]
pub struct RevocationEntry {
    /// What is revoked, as the feed says it: `jti`, `sid`, `sub`, `tenant`, `client`, `kid`.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// Only what was issued before.
    pub before: Option<i64>,
}

/// What must come of a request. `None` means that it does not matter.
pub struct Expected {
    /// The reason, and with it the outcome.
    pub reason: Reason,
    /// `None`: no route was found.
    pub route: Option<String>,
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

#[derive(Default)]
struct Defaults {
    host: Option<String>,
    route: Option<String>,
    twin: Option<String>,
    token: CaseToken,
}

impl CaseFile {
    /// Reads a file; the first mistake is the answer.
    ///
    /// # Errors
    /// When it is not YAML, or does not say what a case file says.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        reader::read(name, text, |root| {
            let mut fields = root.fields()?;
            fields.take("about").map(|node| node.text()).transpose()?;
            let configuration = fields.require("configuration")?.text()?.to_string();
            let variants = fields.take("variants").map_or(Ok(BTreeMap::new()), |node| variants(node, &configuration))?;
            let defaults = fields.take("defaults").map_or(Ok(Defaults::default()), defaults)?;
            let state = fields.take("state").map_or(Ok(State::default()), state)?;
            let cases = fields.require("cases")?.entries()?;
            fields.finish()?;
            let cases = cases.into_iter().map(|(name, node)| case(name, node, &defaults)).collect::<Result<_, _>>()?;
            Ok(Self { name: name.to_string(), configuration, variants, state, cases })
        })
    }

    /// The reasons that its cases and their later steps expect.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        let of = |case: &Case| -> Vec<Reason> {
            std::iter::once(case.expected.reason).chain(case.then.iter().map(|step| step.expected.reason)).collect()
        };
        self.cases.iter().flat_map(of)
    }
}

fn variants(node: Node<'_>, configuration: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variants = BTreeMap::new();
    for (name, edits) in node.entries()? {
        let mut text = configuration.to_string();
        for edit in edits.items()? {
            let mut fields = edit.fields()?;
            let (old, new) = (fields.require("replace")?.text()?, fields.require("with")?.text()?);
            fields.finish()?;
            if text.matches(old).count() != 1 {
                return edit.error(format!("'{old}' is there {} times and must be there once", text.matches(old).count()));
            }
            text = text.replacen(old, new, 1);
        }
        variants.insert(name.to_string(), text);
    }
    Ok(variants)
}

fn defaults(node: Node<'_>) -> Result<Defaults, String> {
    let mut fields = node.fields()?;
    let owned = |node: Option<Node<'_>>| node.map(|node| node.text().map(str::to_string)).transpose();
    let defaults = Defaults {
        host: owned(fields.take("host"))?,
        route: owned(fields.take("route"))?,
        twin: owned(fields.take("twin"))?,
        token: fields.take("token").map_or(Ok(CaseToken::default()), |node| token(node, CaseToken::default()))?,
    };
    fields.finish()?;
    Ok(defaults)
}

fn case(name: &str, node: Node<'_>, defaults: &Defaults) -> Result<Case, String> {
    let mut fields = node.fields()?;
    let (method, target) = match fields.require("request")?.text()?.split_once(' ') {
        Some((method, target)) => (method.to_string(), target.to_string()),
        None => return node.error("a request is a method, a space and a path"),
    };
    let host = match fields.take("host") {
        Some(host) => host.text()?.to_string(),
        None => defaults.host.clone().unwrap_or_default(),
    };
    let peer = fields.take("peer").map(|node| node.text().map(str::to_string)).transpose()?.unwrap_or_default();
    let principal = fields.take("principal").map(|node| node.text().map(str::to_string)).transpose()?.unwrap_or_default();
    let body = body(&mut fields)?;
    let headers = match fields.take("headers") {
        Some(headers) => {
            headers.entries()?.into_iter().map(|(name, node)| Ok((name.to_string(), node.texts()?))).collect::<Result<_, String>>()?
        }
        None => Vec::new(),
    };
    let token = match fields.take("token") {
        Some(node) if node.as_text() == Some("none") => None,
        Some(node) => Some(token(node, defaults.token.clone())?),
        None => Some(defaults.token.clone()),
    };
    let case = Case {
        name: name.to_string(),
        line: node.line(),
        request: RequestSpec { method, target, host, peer, principal, headers, body },
        token,
        variant: variant(&mut fields)?,
        state: fields.take("state").map_or(Ok(State::default()), state)?,
        now: now(&mut fields)?.unwrap_or(0),
        twin: fields.take("twin").map(|node| node.text().map(str::to_string)).transpose()?.or_else(|| defaults.twin.clone()),
        then: fields.take("then").map_or(Ok(Vec::new()), |node| node.items()?.into_iter().map(|node| step(node, defaults)).collect())?,
        expected: expected(&mut fields, defaults)?,
    };
    fields.finish()?;
    Ok(case)
}

/// `json`, `body` or `body_state: incomplete`.
fn body(fields: &mut Fields<'_>) -> Result<BodySpec, String> {
    let found = [
        fields.take("json").map(|node| node.json().map(BodySpec::Json)),
        fields.take("body").map(|node| node.text().map(|text| BodySpec::Text(text.to_string()))),
        fields.take("body_state").map(|node| match node.text()? {
            "incomplete" => Ok(BodySpec::Incomplete),
            other => node.error(format!("'{other}' is no state of a body; write 'incomplete', or leave the key out")),
        }),
    ];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (None, _) => Ok(BodySpec::NotSent),
        (Some(body), None) => body,
        (Some(_), Some(_)) => fields.node.error("there can be one of json, body and body_state"),
    }
}

fn step(node: Node<'_>, defaults: &Defaults) -> Result<Step, String> {
    let mut fields = node.fields()?;
    let step = Step {
        line: node.line(),
        variant: variant(&mut fields)?,
        state: fields.take("state").map_or(Ok(State::default()), state)?,
        now: now(&mut fields)?,
        expected: expected(&mut fields, defaults)?,
    };
    fields.finish()?;
    Ok(step)
}

fn variant(fields: &mut Fields<'_>) -> Result<Option<String>, String> {
    fields.take("configuration").map(|node| node.text().map(str::to_string)).transpose()
}

fn now(fields: &mut Fields<'_>) -> Result<Option<i64>, String> {
    fields.take("now").map(relative).transpose()
}

fn relative(node: Node<'_>) -> Result<i64, String> {
    relative_millis(node.text()?).map_or_else(|| node.error("a time is written as 'now', '+5m', '-10s' or '+1500ms'"), Ok)
}

fn expected(fields: &mut Fields<'_>, defaults: &Defaults) -> Result<Expected, String> {
    let found = [("allow", fields.take("allow")), ("deny", fields.take("deny")), ("indeterminate", fields.take("indeterminate"))];
    let mut found = found.into_iter().filter_map(|(word, node)| node.map(|node| (word, node)));
    let (Some((word, node)), None) = (found.next(), found.next()) else {
        return fields.node.error("there must be exactly one of allow, deny, indeterminate");
    };
    let code = node.text()?;
    let Some(reason) = Reason::ALL.iter().copied().find(|reason| reason.code() == code) else {
        return node.error(format!("'{code}' is no reason"));
    };
    if reason.effect().as_str() != word {
        return node.error(format!("'{code}' is {} and not {word}", reason.effect().as_str()));
    }
    let route = match fields.take("route") {
        Some(node) => Some(node.text()?.to_string()),
        None => defaults.route.clone(),
    };
    let texts = |node: Option<Node<'_>>| node.map_or(Ok(Vec::new()), |node| node.texts());
    let number = |node: Option<Node<'_>>| node.map(|node| node.number()).transpose();
    let flag = |node: Option<Node<'_>>| node.map_or(Ok(false), |node| node.bool());
    Ok(Expected {
        reason,
        route: route.filter(|route| route != "none"),
        sets: match fields.take("sets") {
            Some(node) => Some(
                node.entries()?
                    .into_iter()
                    .map(|(name, value)| Ok((name.to_string(), value.text()?.to_string())))
                    .collect::<Result<_, String>>()?,
            ),
            None => None,
        },
        removes: texts(fields.take("removes"))?,
        keeps: texts(fields.take("keeps"))?,
        crossed_tenants: flag(fields.take("crossed_tenants"))?,
        used_stale_revocations: flag(fields.take("used_stale_revocations"))?,
        unknown_roles: number(fields.take("unknown_roles"))?,
        odd_permissions: number(fields.take("odd_permissions"))?,
        answer: fields.take("answer").map(|node| node.texts()).transpose()?,
        unknown_key: fields.take("unknown_key").map(|node| node.text().map(str::to_string)).transpose()?,
    })
}

fn token(node: Node<'_>, base: CaseToken) -> Result<CaseToken, String> {
    let CaseToken { mut issuer, mut spec } = base;
    let mut fields = node.fields()?;
    let owned = |node: Option<Node<'_>>, slot: &mut Option<String>| -> Result<(), String> {
        if let Some(node) = node {
            *slot = Some(node.text()?.to_string());
        }
        Ok(())
    };
    owned(fields.take("issuer"), &mut issuer)?;
    if let Some(node) = fields.take("key") {
        spec.key = node.text()?.to_string();
    }
    owned(fields.take("sign"), &mut spec.sign)?;
    owned(fields.take("raw_header"), &mut spec.raw_header)?;
    owned(fields.take("raw_payload"), &mut spec.raw_payload)?;
    owned(fields.take("header_segment"), &mut spec.header_segment)?;
    owned(fields.take("payload_segment"), &mut spec.payload_segment)?;
    owned(fields.take("loose_bits"), &mut spec.loose_bits)?;
    owned(fields.take("text"), &mut spec.text)?;
    for (name, target) in [("header", &mut spec.header), ("claims", &mut spec.claims), ("forged", &mut spec.forged)] {
        if let Some(node) = fields.take(name) {
            target.extend(node.json_object()?);
        }
    }
    for (name, target) in [("without_header", &mut spec.without_header), ("without", &mut spec.without)] {
        if let Some(node) = fields.take(name) {
            target.extend(node.texts()?);
        }
    }
    if let Some(node) = fields.take("signature") {
        spec.tampering = tampering(node)?;
    }
    fields.finish()?;
    Ok(CaseToken { issuer, spec })
}

fn tampering(node: Node<'_>) -> Result<Vec<Tampering>, String> {
    if node.as_text() == Some("zero") {
        return Ok(vec![Tampering::Zero]);
    }
    let one = |(name, node): (&str, Node<'_>)| {
        Ok(match name {
            "flip" => Tampering::Flip(node.number()?),
            "truncate" => Tampering::Truncate(node.number()?),
            "extend" => Tampering::Extend(node.number()?),
            other => return node.error(format!("'{other}' is none of flip, truncate, extend")),
        })
    };
    node.entries()?.into_iter().map(one).collect()
}

fn state(node: Node<'_>) -> Result<State, String> {
    let mut fields = node.fields()?;
    let mut state = State::default();
    for (issuer, node) in fields.take("keys").map_or(Ok(Vec::new()), |node| node.entries())? {
        let keys = if node.as_text() == Some("missing") {
            Keys::Missing
        } else {
            Keys::Published(node.items()?.into_iter().map(published_key).collect::<Result<_, _>>()?)
        };
        state.keys.insert(issuer.to_string(), keys);
    }
    for (issuer, node) in fields.take("revocations").map_or(Ok(Vec::new()), |node| node.entries())? {
        let revocations = if node.as_text() == Some("missing") {
            RevocationState::Missing
        } else if node.as_items().is_some() {
            RevocationState::Fresh(revocation_entries(node)?)
        } else {
            let mut fields = node.fields()?;
            let entries = revocation_entries(fields.require("stale")?)?;
            fields.finish()?;
            RevocationState::Stale(entries)
        };
        state.revocations.insert(issuer.to_string(), revocations);
    }
    for (issuer, node) in fields.take("tenant_roles").map_or(Ok(Vec::new()), |node| node.entries())? {
        let roles = if node.as_text() == Some("missing") { None } else { Some(tenant_roles(node)?) };
        state.tenant_roles.insert(issuer.to_string(), roles);
    }
    for (user, node) in fields.take("directory").map_or(Ok(Vec::new()), |node| node.entries())? {
        state.directory.insert(user.to_string(), person(node)?);
    }
    fields.finish()?;
    Ok(state)
}

fn tenant_roles(node: Node<'_>) -> Result<Vec<TenantRole>, String> {
    let mut all = Vec::new();
    for (tenant, roles) in node.entries()? {
        for (role, permissions) in roles.entries()? {
            all.push(TenantRole { tenant: tenant.to_string(), role: role.to_string(), permissions: permissions.texts()? });
        }
    }
    Ok(all)
}

fn person(node: Node<'_>) -> Result<Person, String> {
    match node.as_text() {
        Some("unknown") => return Ok(Person::Unknown),
        Some("failed") => return Ok(Person::Failed),
        Some(other) => {
            return node.error(format!("'{other}' is nothing that a directory says; write unknown, failed, or {{ roles: [...] }}"));
        }
        None => {}
    }
    let mut fields = node.fields()?;
    let tenant = fields.take("tenant").map(|node| node.text().map(str::to_string)).transpose()?;
    let roles = fields.take("roles").map_or(Ok(Vec::new()), |node| node.texts())?;
    let attributes = fields.rest().into_iter().map(|(name, node)| Ok((name.to_string(), node.text()?.to_string())));
    Ok(Person::Known { tenant, roles, attributes: attributes.collect::<Result<_, String>>()? })
}

fn published_key(node: Node<'_>) -> Result<(String, Map<String, Value>), String> {
    if let Some(name) = node.as_text() {
        return Ok((name.to_string(), Map::new()));
    }
    let mut fields = node.fields()?;
    let name = fields.require("key")?.text()?.to_string();
    let members = fields.rest().into_iter().map(|(name, node)| Ok((name.to_string(), node.json()?))).collect::<Result<_, String>>()?;
    Ok((name, members))
}

fn revocation_entries(node: Node<'_>) -> Result<Vec<RevocationEntry>, String> {
    let one = |node: Node<'_>| {
        let mut fields = node.fields()?;
        let entry = RevocationEntry {
            kind: fields.require("type")?.text()?.to_string(),
            id: fields.require("id")?.text()?.to_string(),
            before: fields.take("before").map(relative).transpose()?,
        };
        fields.finish()?;
        Ok(entry)
    };
    node.items()?.into_iter().map(one).collect()
}
