//! From the text of a test file to its cases.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    BodySpec, Case, CaseFile, CaseToken, Expected, ExpectedRoute, Keys, Person, RequestSpec, RevocationEntry, RevocationState, Revoked,
    STATUS_LIST_LENGTH, State, Step, TenantRole,
};
use crate::config::{self, Problems};
use crate::pdp::decision::Reason;
use crate::pdp::revocation::RevocationKind;
use crate::policy_test::configuration::{Edit, Stated};
use crate::policy_test::reader::{self, Entry, Fields, Node, Read, keep};
use crate::policy_test::token::{Tampering, relative_millis};
use crate::policy_test::{NOW_SECONDS, keys};

const FILE: [&str; 7] = ["about", "configuration", "variants", "tokens", "defaults", "state", "cases"];
const DEFAULTS: [&str; 6] = ["host", "peer", "route", "twin", "token", "at"];
const CASE: [&str; 13] =
    ["about", "request", "host", "peer", "principal", "headers", "json", "body", "body_state", "token", "at", "twin", "then"];
/// Of a case and of its later steps.
const CIRCUMSTANCES: [&str; 3] = ["configuration", "state", "now"];
const EXPECTED: [&str; 13] = [
    "allow",
    "deny",
    "indeterminate",
    "route",
    "sets",
    "removes",
    "keeps",
    "crossed_tenants",
    "used_stale_revocations",
    "unknown_roles",
    "odd_permissions",
    "unknown_key",
    "answer",
];
const TOKEN: [&str; 16] = [
    "like",
    "issuer",
    "claims",
    "without",
    "key",
    "sign",
    "header",
    "without_header",
    "signature",
    "forged",
    "text",
    "raw_header",
    "raw_payload",
    "header_segment",
    "payload_segment",
    "loose_bits",
];

/// What cases share.
struct Shared {
    variants: BTreeMap<String, Vec<Edit>>,
    tokens: BTreeMap<String, CaseToken>,
    defaults: Defaults,
}

struct Defaults {
    host: String,
    peer: String,
    route: ExpectedRoute,
    twin: Option<String>,
    token: Option<CaseToken>,
    at: i64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            peer: String::new(),
            route: ExpectedRoute::Any,
            twin: None,
            token: Some(CaseToken::default()),
            at: NOW_SECONDS * 1000,
        }
    }
}

pub(super) fn file(name: &str, text: &str) -> Result<CaseFile, Problems> {
    reader::read(name, text, |root, problems| {
        let fields = keep(problems, root.fields(&FILE))?;
        keep(problems, fields.string("about"));
        let configuration = keep(problems, fields.read("configuration", |node| Stated::read(&node, text)))
            .map(|stated| stated.unwrap_or_else(|| Stated::Nowhere(root.location())));
        let variants =
            keep(problems, fields.read_or("variants", BTreeMap::new(), |node| node.map(|edits| edits.each(|edit| Edit::read(&edit)))));
        let state = keep(problems, fields.read_or("state", State::default(), |node| state(&node)));
        let tokens = keep(problems, fields.read_or("tokens", BTreeMap::new(), |node| tokens(&node)));
        // What follows may name a token or a variant, and would only repeat the problem.
        let (variants, tokens) = (variants?, tokens?);
        let defaults = keep(problems, fields.read_or("defaults", Defaults::default(), |node| defaults(&node, &tokens)))?;
        let shared = Shared { variants, tokens, defaults };
        let entries = keep(problems, fields.require("cases").and_then(|node| node.entries()))?;
        if entries.is_empty() {
            problems.push(fields.node.problem("there are no cases"));
        }
        let mut cases = Vec::new();
        for entry in &entries {
            cases.extend(keep(problems, case(entry, &shared)));
        }
        Some(CaseFile { name: name.to_string(), configuration: configuration?, variants: shared.variants, state: state?, cases })
    })
}

fn tokens(node: &Node<'_>) -> Read<BTreeMap<String, CaseToken>> {
    let mut tokens = BTreeMap::new();
    for entry in node.entries()? {
        if entry.name == "none" {
            return entry.key.error("'none' is the word for no token at all; give this one another name");
        }
        let made = token(&entry.value, &CaseToken::default(), &tokens)?;
        tokens.insert(entry.name.to_string(), made);
    }
    Ok(tokens)
}

fn defaults(node: &Node<'_>, tokens: &BTreeMap<String, CaseToken>) -> Read<Defaults> {
    let usual = Defaults::default();
    let fields = node.fields(&DEFAULTS)?;
    Ok(Defaults {
        host: fields.read_or("host", usual.host, |node| node.string())?,
        peer: fields.read_or("peer", usual.peer, |node| node.string())?,
        route: fields.read_or("route", usual.route, |node| route(&node))?,
        twin: fields.string("twin")?,
        token: fields.read_or("token", usual.token, |node| token_or_none(&node, &CaseToken::default(), tokens))?,
        at: fields.read_or("at", usual.at, |node| moment(&node))?,
    })
}

fn case(entry: &Entry<'_>, shared: &Shared) -> Read<Case> {
    let known: Vec<&str> = CASE.into_iter().chain(CIRCUMSTANCES).chain(EXPECTED).collect();
    let fields = entry.value.fields(&known)?;
    fields.string("about")?;
    let request = fields.require("request")?;
    let Some((method, target)) = request.text()?.split_once(' ') else {
        return request.error("a request is a method, a space and a path, such as 'GET /posts/1'");
    };
    let defaults = &shared.defaults;
    let unset = CaseToken::default();
    let base = defaults.token.as_ref().unwrap_or(&unset);
    Ok(Case {
        name: entry.name.to_string(),
        location: entry.key.location(),
        request: RequestSpec {
            method: method.to_string(),
            target: target.to_string(),
            host: fields.read_or("host", defaults.host.clone(), |node| node.string())?,
            peer: fields.read_or("peer", defaults.peer.clone(), |node| node.string())?,
            principal: fields.string("principal")?.unwrap_or_default(),
            body: body(&fields)?,
            headers: fields.read_or("headers", Vec::new(), |node| node.map(|values| values.texts()))?,
        },
        token: fields.read_or("token", defaults.token.clone(), |node| token_or_none(&node, base, &shared.tokens))?,
        variant: variant(&fields, shared)?,
        state: fields.read_or("state", State::default(), |node| state(&node))?,
        at: fields.read_or("at", defaults.at, |node| moment(&node))?,
        now: fields.read_or("now", 0, |node| relative(&node))?,
        twin: fields.string("twin")?.or_else(|| defaults.twin.clone()),
        then: fields.read_or("then", Vec::new(), |node| node.each(|node| step(&node, shared)))?,
        expected: expected(&fields, shared)?,
    })
}

/// `json`, `body` or `body_state: incomplete`.
fn body(fields: &Fields<'_>) -> Read<BodySpec> {
    let found = [
        fields.read("json", |node| node.json().map(BodySpec::Json))?,
        fields.read("body", |node| node.string().map(BodySpec::Text))?,
        fields.read("body_state", |node| match node.text()? {
            "incomplete" => Ok(BodySpec::Incomplete),
            other => node.error(format!("'{other}' is no state of a body; write 'incomplete', or leave the key out")),
        })?,
    ];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (body, None) => Ok(body.unwrap_or(BodySpec::NotSent)),
        (_, Some(_)) => fields.node.error("there can be one of 'json', 'body' and 'body_state'"),
    }
}

fn step(node: &Node<'_>, shared: &Shared) -> Read<Step> {
    let known: Vec<&str> = CIRCUMSTANCES.into_iter().chain(EXPECTED).collect();
    let fields = node.fields(&known)?;
    Ok(Step {
        location: node.location(),
        variant: variant(&fields, shared)?,
        state: fields.read_or("state", State::default(), |node| state(&node))?,
        now: fields.read("now", |node| relative(&node))?,
        expected: expected(&fields, shared)?,
    })
}

fn variant(fields: &Fields<'_>, shared: &Shared) -> Read<Option<String>> {
    fields.read("configuration", |node| {
        let name = node.string()?;
        if shared.variants.contains_key(&name) {
            return Ok(name);
        }
        let names: Vec<&str> = shared.variants.keys().map(String::as_str).collect();
        node.error(match names.as_slice() {
            [] => format!("there is no variant '{name}' of the configuration; describe it under 'variants'"),
            names => format!("there is no variant '{name}' of the configuration; the variants are {}", config::list(names)),
        })
    })
}

fn relative(node: &Node<'_>) -> Read<i64> {
    relative_millis(node.text()?).map_or_else(|| node.error("a time is written as 'now', '+5m', '-10s' or '+1500ms'"), Ok)
}

fn moment(node: &Node<'_>) -> Read<i64> {
    match node.text()?.parse::<jiff::Timestamp>() {
        Ok(timestamp) => Ok(timestamp.as_millisecond()),
        Err(_) => node.error("a date and time is written as '2027-01-18T09:30:00Z', or with an offset such as '+01:00'"),
    }
}

fn expected(fields: &Fields<'_>, shared: &Shared) -> Read<Expected> {
    let words = ["allow", "deny", "indeterminate"].map(|word| (word, fields.get(word)));
    let mut found = words.into_iter().filter_map(|(word, node)| node.map(|node| (word, node)));
    let (Some((word, node)), None) = (found.next(), found.next()) else {
        return fields.node.error("there must be exactly one of 'allow', 'deny', 'indeterminate', with its reason");
    };
    let texts = |name| fields.read_or(name, Vec::new(), |node| node.texts());
    let flag = |name| fields.read_or(name, false, |node| node.bool());
    let number = |name| fields.read(name, |node| node.number());
    Ok(Expected {
        reason: reason(word, &node)?,
        route: fields.read_or("route", shared.defaults.route.clone(), |node| route(&node))?,
        sets: fields.read("sets", |node| node.map(|value| value.string()))?,
        removes: texts("removes")?,
        keeps: texts("keeps")?,
        crossed_tenants: flag("crossed_tenants")?,
        used_stale_revocations: flag("used_stale_revocations")?,
        unknown_roles: number("unknown_roles")?,
        odd_permissions: number("odd_permissions")?,
        unknown_key: fields.string("unknown_key")?,
        answer: fields.read("answer", |node| node.texts())?,
    })
}

fn reason(word: &str, node: &Node<'_>) -> Read<Reason> {
    let code = node.text()?;
    let with_word = || Reason::ALL.iter().filter(|reason| reason.effect().as_str() == word).map(|reason| reason.code());
    let Some(reason) = Reason::ALL.iter().copied().find(|reason| reason.code() == code) else {
        let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        let near = config::nearest(code, &all).map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default();
        return node.error(format!("there is no reason '{code}'{near}; with {word} go {}", config::list(&with_word().collect::<Vec<_>>())));
    };
    match reason.effect().as_str() {
        right if right == word => Ok(reason),
        right => node.error(format!("'{code}' is the reason of a decision '{right}' and not '{word}'")),
    }
}

fn route(node: &Node<'_>) -> Read<ExpectedRoute> {
    Ok(match node.text()? {
        "none" => ExpectedRoute::None,
        name => ExpectedRoute::Named(name.to_string()),
    })
}

fn token_or_none(node: &Node<'_>, base: &CaseToken, named: &BTreeMap<String, CaseToken>) -> Read<Option<CaseToken>> {
    if node.says("none") { Ok(None) } else { token(node, base, named).map(Some) }
}

/// A token, or the name of one.
fn token(node: &Node<'_>, base: &CaseToken, named: &BTreeMap<String, CaseToken>) -> Read<CaseToken> {
    let of_name = |node: &Node<'_>| {
        let name = node.text()?;
        named.get(name).cloned().map_or_else(
            || {
                let names: Vec<&str> = named.keys().map(String::as_str).chain(["none"]).collect();
                node.error(format!("there is no token '{name}'; the tokens are {}", config::list(&names)))
            },
            Ok,
        )
    };
    if node.as_text().is_some() {
        return of_name(node);
    }
    let fields = node.fields(&TOKEN)?;
    let CaseToken { mut issuer, mut key, mut spec } = fields.read_or("like", base.clone(), |node| of_name(&node))?;
    for (name, slot) in [
        ("issuer", &mut issuer),
        ("sign", &mut spec.sign),
        ("raw_header", &mut spec.raw_header),
        ("raw_payload", &mut spec.raw_payload),
        ("header_segment", &mut spec.header_segment),
        ("payload_segment", &mut spec.payload_segment),
        ("loose_bits", &mut spec.loose_bits),
        ("text", &mut spec.text),
    ] {
        if let Some(text) = fields.string(name)? {
            *slot = Some(text);
        }
    }
    if let Some(name) = fields.read("key", |node| key_name(&node))? {
        key = Some(name);
    }
    for (name, target) in [("header", &mut spec.header), ("claims", &mut spec.claims), ("forged", &mut spec.forged)] {
        target.extend(fields.read_or(name, Map::new(), |node| node.json_object())?);
    }
    for (name, target) in [("without_header", &mut spec.without_header), ("without", &mut spec.without)] {
        target.extend(fields.read_or(name, Vec::new(), |node| node.texts())?);
    }
    if let Some(changes) = fields.read("signature", |node| tampering(&node))? {
        spec.tampering = changes;
    }
    Ok(CaseToken { issuer, key, spec })
}

fn tampering(node: &Node<'_>) -> Read<Vec<Tampering>> {
    if node.says("zero") {
        return Ok(vec![Tampering::Zero]);
    }
    let fields = node.fields(&["flip", "truncate", "extend"])?;
    let number = |name| fields.read(name, |node| node.number());
    let changes =
        [number("flip")?.map(Tampering::Flip), number("truncate")?.map(Tampering::Truncate), number("extend")?.map(Tampering::Extend)];
    Ok(changes.into_iter().flatten().collect())
}

fn state(node: &Node<'_>) -> Read<State> {
    let fields = node.fields(&["keys", "revocations", "tenant_roles", "directory"])?;
    Ok(State {
        keys: fields.read_or("keys", BTreeMap::new(), |node| node.map(|keys| issuer_keys(&keys)))?,
        revocations: fields.read_or("revocations", BTreeMap::new(), |node| node.map(|list| revocations(&list)))?,
        tenant_roles: fields.read_or("tenant_roles", BTreeMap::new(), |node| node.map(|roles| tenant_roles(&roles)))?,
        directory: fields.read_or("directory", BTreeMap::new(), |node| node.map(|person| self::person(&person)))?,
    })
}

fn issuer_keys(node: &Node<'_>) -> Read<Keys> {
    if node.says("missing") { Ok(Keys::Missing) } else { node.each(|key| published_key(&key)).map(Keys::Published) }
}

fn published_key(node: &Node<'_>) -> Read<(String, Map<String, Value>)> {
    if node.as_text().is_some() {
        return Ok((key_name(node)?, Map::new()));
    }
    let fields = node.open_fields()?;
    let name = key_name(&fields.require("key")?)?;
    let members = fields.others(&["key"]).map(|entry| Ok((entry.name.to_string(), entry.value.json()?))).collect::<Read<_>>()?;
    Ok((name, members))
}

fn key_name(node: &Node<'_>) -> Read<String> {
    let name = node.string()?;
    keys::named(&name).map_or_else(|message| node.error(message), |key| Ok(key.name.to_string()))
}

/// `missing`, a list of entries, or what status lists say besides: `{ entries: [...], status: { 7: 1 } }`, `{ stale: [...] }`.
fn revocations(node: &Node<'_>) -> Read<RevocationState> {
    if node.says("missing") {
        return Ok(RevocationState::Missing);
    }
    let entries = |node: Node<'_>| node.each(|entry| revocation(&entry));
    if !node.is_map() {
        return Ok(RevocationState::Fresh(Revoked { entries: entries(node.clone())?, ..Revoked::default() }));
    }
    let fields = node.fields(&["entries", "stale", "status", "signed_by"])?;
    let (fresh, stale) = (fields.read("entries", entries)?, fields.read("stale", entries)?);
    let revoked = |entries: Option<Vec<RevocationEntry>>| {
        Ok(Revoked {
            entries: entries.unwrap_or_default(),
            statuses: fields.read_or("status", BTreeMap::new(), |node| statuses(&node))?,
            signed_by: fields.read("signed_by", |node| key_name(&node))?,
        })
    };
    match (fresh, stale) {
        (Some(_), Some(_)) => node.error("what is 'stale' is not fresh: there can be 'entries' or 'stale', not both"),
        (None, Some(stale)) => revoked(Some(stale)).map(RevocationState::Stale),
        (fresh, None) => revoked(fresh).map(RevocationState::Fresh),
    }
}

/// `{ 7: 1 }`: the token with the index 7 has the status 1.
fn statuses(node: &Node<'_>) -> Read<BTreeMap<u64, u8>> {
    let mut statuses = BTreeMap::new();
    for (index, status) in node.pairs()? {
        let Some(place) = index.number()?.try_into().ok().filter(|place| *place < STATUS_LIST_LENGTH) else {
            return index.error(format!("the status lists of cases have {STATUS_LIST_LENGTH} entries, the first of which is number 0"));
        };
        let Ok(value) = status.number()?.try_into() else {
            return status.error("a status is a number from 0 (VALID) to 255; 1 is INVALID, 2 SUSPENDED");
        };
        statuses.insert(place, value);
    }
    Ok(statuses)
}

fn revocation(node: &Node<'_>) -> Read<RevocationEntry> {
    let fields = node.fields(&["type", "id", "before"])?;
    let kind = fields.require("type")?;
    Ok(RevocationEntry {
        kind: match RevocationKind::parse(kind.text()?) {
            Some(kind) => kind,
            None => return kind.error("this is none of 'jti', 'sid', 'sub', 'tenant', 'client', 'kid'"),
        },
        id: fields.require("id")?.string()?,
        before: fields.read("before", |node| relative(&node))?,
    })
}

fn tenant_roles(node: &Node<'_>) -> Read<Option<Vec<TenantRole>>> {
    if node.says("missing") {
        return Ok(None);
    }
    let mut all = Vec::new();
    for tenant in node.entries()? {
        for role in tenant.value.entries()? {
            all.push(TenantRole { tenant: tenant.name.to_string(), role: role.name.to_string(), permissions: role.value.texts()? });
        }
    }
    Ok(Some(all))
}

fn person(node: &Node<'_>) -> Read<Person> {
    match node.as_text() {
        Some("unknown") => return Ok(Person::Unknown),
        Some("failed") => return Ok(Person::Failed),
        Some(_) => {
            return node
                .error("a directory says 'unknown' or 'failed' of somebody, or what it knows: '{ roles: [EMPLOYEE], department: d1 }'");
        }
        None => {}
    }
    let fields = node.open_fields()?;
    let attributes = fields.others(&["tenant", "roles"]).map(|entry| Ok((entry.name.to_string(), entry.value.string()?)));
    Ok(Person::Known {
        tenant: fields.string("tenant")?,
        roles: fields.read_or("roles", Vec::new(), |node| node.texts())?,
        attributes: attributes.collect::<Read<_>>()?,
    })
}
