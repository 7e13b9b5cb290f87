//! A case's request, as its client would send it.

use serde_json::json;

use super::case::{BodySpec, Case, CaseToken};
use super::keys;
use super::template::{fill, fill_text};
use super::token::TokenSpec;
use crate::config::Configuration;
use crate::pdp::request::RequestBody;

/// Makes the token, with the `iss` and `aud` of its issuer unless it says otherwise.
fn mint(token: &CaseToken, at: i64, configuration: &Configuration) -> Result<Vec<u8>, String> {
    let mut issuers = configuration.snapshot.issuers.iter();
    let policy = match &token.issuer {
        Some(name) => issuers.find(|policy| *policy.name == **name).ok_or_else(|| format!("the configuration has no issuer '{name}'"))?,
        None => match issuers.next() {
            Some(policy) => policy,
            None => return Ok(Vec::new()),
        },
    };
    let mut spec = TokenSpec { now: at, ..token.spec.clone() };
    match &token.key {
        Some(name) => spec.key.clone_from(name),
        None => {
            let (name, algorithm) = keys::usual(&policy.algorithms);
            spec.key = name.into();
            spec.sign.get_or_insert_with(|| algorithm.into());
        }
    }
    spec.claims.entry("iss").or_insert_with(|| json!(policy.issuer));
    spec.claims.entry("aud").or_insert_with(|| json!(policy.audiences));
    spec.mint()
}

/// A body that owns its bytes.
#[derive(Clone)]
enum Body {
    NotSent,
    Incomplete,
    Whole(Vec<u8>),
}

/// A request whose parts own their text.
#[derive(Clone)]
pub(super) struct BuiltRequest {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) peer: String,
    pub(super) principal: String,
    body: Body,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

impl BuiltRequest {
    pub(super) fn new(case: &Case, configuration: &Configuration) -> Result<Self, String> {
        let token = case.token.as_ref().map_or(Ok(Vec::new()), |token| mint(token, case.at, configuration))?;
        let variables: [(&str, &[u8]); 1] = [("token", &token)];
        let mut fields = Vec::new();
        for (name, values) in &case.request.headers {
            for value in values {
                fields.push((name.clone(), fill(value, &variables)?));
            }
        }
        let written = case.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !token.is_empty() && !written {
            fields.push(("authorization".to_string(), [b"Bearer ", token.as_slice()].concat()));
        }
        // An empty list of values keeps a header away.
        let add = |fields: &mut Vec<(String, Vec<u8>)>, name: &str, value: &str| {
            if !case.request.headers.iter().any(|(written, _)| written.eq_ignore_ascii_case(name)) {
                fields.push((name.to_string(), value.as_bytes().to_vec()));
            }
        };
        let body = match &case.request.body {
            BodySpec::NotSent => Body::NotSent,
            BodySpec::Incomplete => Body::Incomplete,
            BodySpec::Text(text) => {
                let bytes = fill(text, &variables)?;
                add(&mut fields, "content-length", &bytes.len().to_string());
                Body::Whole(bytes)
            }
            BodySpec::Json(value) => {
                let bytes = value.to_string().into_bytes();
                add(&mut fields, "content-type", "application/json");
                add(&mut fields, "content-length", &bytes.len().to_string());
                Body::Whole(bytes)
            }
        };
        Ok(Self {
            body,
            principal: case.request.principal.clone(),
            method: case.request.method.clone(),
            target: fill_text(&case.request.target, &variables)?,
            host: fill_text(&case.request.host, &variables)?,
            peer: case.request.peer.clone(),
            fields,
        })
    }

    /// The body, as the PEP sends it along.
    pub(super) fn body(&self) -> RequestBody<'_> {
        match &self.body {
            Body::NotSent => RequestBody::NotSent,
            Body::Incomplete => RequestBody::Incomplete,
            Body::Whole(bytes) => RequestBody::Whole(bytes),
        }
    }

    /// The same request as a PEP describes it that joins repeated headers; `None` if there are none.
    pub(super) fn joined(&self) -> Option<Self> {
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in &self.fields {
            match fields.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                Some((_, joined)) => {
                    joined.push(b',');
                    joined.extend_from_slice(value);
                }
                None => fields.push((name.clone(), value.clone())),
            }
        }
        (fields.len() < self.fields.len()).then(|| Self { fields, ..self.clone() })
    }
}
