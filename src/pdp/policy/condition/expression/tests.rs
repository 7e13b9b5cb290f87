mod evaluation;
mod generated;
mod hostile;
mod refused;
mod temporal;

use std::borrow::Cow;

use super::*;
use crate::pdp::json::{self, Json};
use crate::pdp::time::UnixTime;

/// 2026-07-16T06:30:15.250Z, a Thursday.
const NOW: i64 = 1_784_183_415_250;

/// A request as plain data.
#[derive(Debug, Clone)]
struct Request {
    headers: Vec<(&'static str, String)>,
    /// `None`: it cannot be read.
    query: Option<Vec<(&'static str, String)>>,
    tenant: Option<&'static str>,
    roles: Vec<String>,
    permissions: Vec<String>,
    attributes: Vec<(&'static str, &'static str)>,
    authenticated_at: Option<i64>,
    crossed_tenants: bool,
    target: Option<(&'static str, Vec<&'static str>, &'static str)>,
    body: Option<Json>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            headers: vec![("x-amount", "250".to_owned()), ("user-agent", "curl/8".to_owned())],
            query: Some(vec![("page", "2".to_owned())]),
            tenant: Some("acme"),
            roles: vec!["EMPLOYEE".to_owned(), "SALES".to_owned()],
            permissions: vec!["orders:read".to_owned()],
            attributes: vec![("department", "d1")],
            authenticated_at: Some(NOW - 60_000),
            crossed_tenants: false,
            target: Some(("bob", vec!["EMPLOYEE"], "d1")),
            body: None,
        }
    }
}

impl Request {
    fn with_body(body: &str) -> Self {
        Self { body: Some(json::parse(body.as_bytes(), 64).unwrap()), ..Self::default() }
    }
}

impl Inputs for Request {
    fn text(&self, variable: TextVariable) -> Option<Cow<'_, str>> {
        let text = match variable {
            TextVariable::Method => "PUT",
            TextVariable::RequestPath => "/users/bob",
            TextVariable::Host => "api.example.com",
            TextVariable::Subject => "alice",
            TextVariable::Tenant => self.tenant?,
            TextVariable::Issuer => "https://id.example.com",
            TextVariable::Session => "s1",
            TextVariable::Realm => "tenant",
            TextVariable::PeerAddress => "10.0.0.7",
            TextVariable::PathParameter(0) => "bob",
            TextVariable::TargetId(0) => self.target.as_ref()?.0,
            _ => return None,
        };
        Some(text.into())
    }

    fn list(&self, variable: ListVariable) -> Vec<Cow<'_, str>> {
        let borrowed = |list: &'_ [String]| -> Vec<Cow<'_, str>> { list.iter().map(|text| Cow::Owned(text.clone())).collect() };
        match variable {
            ListVariable::Roles => borrowed(&self.roles),
            ListVariable::Permissions => borrowed(&self.permissions),
            ListVariable::AuthenticationMethods => vec!["pwd".into(), "otp".into()],
            ListVariable::Services => Vec::new(),
            ListVariable::TargetRoles(_) => self.target.iter().flat_map(|(_, roles, _)| roles).map(|role| Cow::Borrowed(*role)).collect(),
        }
    }

    fn time(&self, variable: TimeVariable) -> Option<UnixTime> {
        match variable {
            TimeVariable::Now => Some(UnixTime::from_millis(NOW)),
            TimeVariable::AuthenticatedAt => self.authenticated_at.map(UnixTime::from_millis),
            TimeVariable::IssuedAt => Some(UnixTime::from_millis(NOW - 120_000)),
            TimeVariable::Expires => Some(UnixTime::from_millis(NOW + 600_000)),
        }
    }

    fn entry(&self, table: TableVariable, name: &str) -> Entry<'_> {
        let found = |entries: &'_ [(&'static str, String)]| {
            let mut values = entries.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.clone());
            match (values.next(), values.next()) {
                (None, _) => Entry::Absent,
                (Some(value), None) => Entry::Value(value.into()),
                _ => Entry::Unclear,
            }
        };
        let only = |value: Option<&'static str>| value.map_or(Entry::Absent, |value| Entry::Value(value.into()));
        match table {
            TableVariable::Headers => found(&self.headers),
            TableVariable::Query => self.query.as_ref().map_or(Entry::Unclear, |query| found(query)),
            TableVariable::PrincipalAttributes => only(self.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)),
            TableVariable::TargetAttributes(_) => {
                only(self.target.as_ref().filter(|_| name == "department").map(|(_, _, department)| *department))
            }
        }
    }

    fn names(&self, table: TableVariable) -> Option<Vec<Cow<'_, str>>> {
        let mut names: Vec<&'static str> = match table {
            TableVariable::Headers => self.headers.iter().map(|(name, _)| *name).collect(),
            TableVariable::Query => self.query.as_ref()?.iter().map(|(name, _)| *name).collect(),
            TableVariable::PrincipalAttributes => self.attributes.iter().map(|(name, _)| *name).collect(),
            TableVariable::TargetAttributes(_) => self.target.iter().map(|_| "department").collect(),
        };
        names.dedup();
        Some(names.into_iter().map(Cow::Borrowed).collect())
    }

    fn crossed_tenants(&self) -> bool {
        self.crossed_tenants
    }

    fn body(&self) -> Option<&Json> {
        self.body.as_ref()
    }
}

fn environment() -> Environment {
    Environment { path_parameters: vec!["user".into()], targets: vec!["user".into(), "manager".into()], body: true }
}

fn compile(text: &str) -> Expression {
    Expression::compile(text, &environment()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn holds(text: &str, request: &Request) -> Result<bool, EvaluationErrorKind> {
    compile(text).holds(request).map_err(|error| error.kind)
}

/// Whether it holds for the usual request.
fn is_true(text: &str) -> bool {
    holds(text, &Request::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn refusal(text: &str) -> String {
    match Expression::compile(text, &environment()) {
        Ok(_) => panic!("'{text}' was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn it_says_what_it_reads() {
    let plain = compile("principal.tenant == path.user && has(targets.user.id) && targets.manager.id != 'x'");
    assert!(!plain.reads_body());
    assert_eq!(plain.targets(), [0_usize; 0], "ids are in the request");
    let all = compile("'x' in targets.manager.roles && targets.user.attributes.department == body.department && 'y' in targets.user.roles");
    assert!(all.reads_body());
    assert_eq!(all.targets(), [0, 1]);
    assert!(compile("has(body.x)").reads_body());
}

#[test]
fn it_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug + Eq>(_: &T) {}
    let expression = compile("now > principal.expires");
    shared(&expression);
    assert_eq!(format!("{expression:?}"), "Expression(\"now > principal.expires\")");
}
