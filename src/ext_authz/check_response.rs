//! From a [`Decision`] to Envoy's `CheckResponse`: the only place that knows HTTP statuses.
//!
//! What Envoy does with a response (tried with 1.40):
//! - it passes the request if, and only if, `status.code` is 0 or `status` is missing, whatever else the response says;
//! - otherwise it answers with `denied_response`.
//!
//! So `status.code` comes from the decision's effect alone, and everything that is not a permit has a code other than 0.

use envoy_types::ext_authz::v3::pb::{CheckResponse, DeniedHttpResponse, HttpResponse, HttpStatus, OkHttpResponse};
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{BoolValue, Struct, Value};
use envoy_types::pb::google::rpc::Status;

use crate::pdp::decision::{AnswerKind, Decision, Effect, Granted, Reason};
use crate::pdp::obligation;
use crate::pdp::policy::condition::authentication::StepUp;
use crate::pdp::request::Headers;
use crate::pdp::snapshot::Snapshot;

use super::InForce;

/// `Retry-After` of an answer that could not be decided, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;

/// The header of an answer that says how many seconds are left of the session.
const SESSION_ENDS_IN: &str = "x-session-ends-in";

/// How a refusal looks from outside. Nothing in it depends on why.
struct Refusal {
    status: u16,
    title: &'static str,
    /// The canonical gRPC code that goes with it; never 0.
    code: i32,
    /// The `error` of the challenge (RFC 6750 section 3.1): `None`, no challenge; `Some("")`, a challenge without one.
    challenge: Option<&'static str>,
}

const UNAUTHENTICATED: i32 = 16;
const PERMISSION_DENIED: i32 = 7;
const UNAVAILABLE: i32 = 14;

fn refusal(kind: AnswerKind) -> Refusal {
    let (status, title, code, challenge) = match kind {
        AnswerKind::BadRequest => (400, "Bad Request", PERMISSION_DENIED, None),
        AnswerKind::BadCredential => (401, "Unauthorized", UNAUTHENTICATED, Some("invalid_request")),
        AnswerKind::Unauthenticated => (401, "Unauthorized", UNAUTHENTICATED, Some("")),
        AnswerKind::InvalidToken => (401, "Unauthorized", UNAUTHENTICATED, Some("invalid_token")),
        AnswerKind::StepUp => (401, "Unauthorized", UNAUTHENTICATED, Some("insufficient_user_authentication")),
        AnswerKind::Forbidden => (403, "Forbidden", PERMISSION_DENIED, Some("insufficient_scope")),
        // A refusal that claims to be a pass is a mistake of ours, and closed.
        AnswerKind::Unavailable | AnswerKind::Pass | AnswerKind::Answer => (503, "Service Unavailable", UNAVAILABLE, None),
    };
    Refusal { status, title, code, challenge }
}

/// The status that answers a reason; `None`: the request goes on to the service.
pub(super) fn status(reason: Reason) -> Option<u16> {
    match (reason.effect(), reason.answer()) {
        (Effect::Permit, AnswerKind::Answer) => Some(200),
        (Effect::Permit, _) => None,
        (Effect::Deny | Effect::Indeterminate, kind) => Some(refusal(kind).status),
    }
}

/// Encodes a decision. `sent` are the headers that the client sent, `signed` is the assertion for the service behind.
pub(super) fn encode(id: &str, decision: &Decision, sent: Option<&Headers<'_>>, version: &InForce, signed: Option<&str>) -> CheckResponse {
    let snapshot = &version.snapshot;
    let metadata = Some(dynamic_metadata(id, decision, version));
    if let (Effect::Permit, Some(granted)) = (decision.effect(), &decision.answer) {
        return CheckResponse {
            // Any other code than 0 keeps the request from the service.
            status: Some(Status { code: PERMISSION_DENIED, ..Status::default() }),
            http_response: Some(HttpResponse::DeniedResponse(answered(decision, granted))),
            dynamic_metadata: metadata,
        };
    }
    match (decision.effect(), sent) {
        (Effect::Permit, Some(sent)) => CheckResponse {
            status: Some(Status { code: 0, ..Status::default() }),
            http_response: Some(HttpResponse::OkResponse(passed(decision, sent, snapshot, signed))),
            dynamic_metadata: metadata,
        },
        (Effect::Permit | Effect::Deny | Effect::Indeterminate, _) => {
            let refusal = refusal(decision.reason.answer());
            CheckResponse {
                status: Some(Status { code: refusal.code, ..Status::default() }),
                http_response: Some(HttpResponse::DeniedResponse(denied(id, &refusal, decision, &snapshot.challenge_realm))),
                dynamic_metadata: metadata,
            }
        }
    }
}

/// For `ok_response`, Envoy looks at `append` alone; both fields say "overwrite", so that nothing depends on which.
#[expect(deprecated, reason = "`append` is what Envoy looks at")]
fn header(name: &str, value: impl Into<String>) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.into(), value: value.into(), ..HeaderValue::default() }),
        append: Some(BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

fn passed(decision: &Decision, sent: &Headers<'_>, snapshot: &Snapshot, signed: Option<&str>) -> OkHttpResponse {
    let obligations = obligation::obligations(&snapshot.identity_headers, decision, sent, signed);
    OkHttpResponse {
        headers: obligations.set.iter().map(|(name, value)| header(name, *value)).collect(),
        response_headers_to_add: session_ends_in(decision).into_iter().collect(),
        headers_to_remove: obligations.remove.iter().map(|name| (*name).to_string()).collect(),
        ..OkHttpResponse::default()
    }
}

/// An answer of our own: what the caller may do. Envoy sends it as it would send a refusal, with the status that it has.
fn answered(decision: &Decision, granted: &[Granted]) -> DeniedHttpResponse {
    let principal = decision.principal.as_ref();
    let entry = |granted: &Granted| {
        let boundary: serde_json::Map<_, _> = granted.boundary.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let members = [
            Some(("permission".to_string(), serde_json::Value::from(&*granted.permission))),
            granted.scope.as_ref().map(|scope| ("scope".to_string(), (**scope).into())),
            (!boundary.is_empty()).then(|| ("boundary".to_string(), boundary.into())),
        ];
        serde_json::Value::Object(members.into_iter().flatten().collect())
    };
    let permissions: Vec<serde_json::Value> = granted.iter().map(entry).collect();
    let body = serde_json::json!({
        "subject": principal.map(|principal| &*principal.token().claims().subject),
        "tenant": principal.and_then(|principal| principal.tenant()).map(|tenant| tenant.as_str()),
        "permissions": permissions,
    });
    let mut headers = vec![header("content-type", "application/json"), header("cache-control", "no-store")];
    headers.extend(session_ends_in(decision));
    DeniedHttpResponse { status: Some(HttpStatus { code: 200 }), headers, body: body.to_string() }
}

fn session_ends_in(decision: &Decision) -> Option<HeaderValueOption> {
    decision.session_ends_in.map(|left| header(SESSION_ENDS_IN, left.as_secs().to_string()))
}

/// A denied response (RFC 9457), whose headers Envoy sends as they are.
fn denied(id: &str, refusal: &Refusal, decision: &Decision, realm: &str) -> DeniedHttpResponse {
    let mut headers = vec![header("content-type", "application/problem+json"), header("cache-control", "no-store")];
    match refusal.challenge {
        None => {}
        Some("") => headers.push(header("www-authenticate", format!("Bearer realm=\"{realm}\""))),
        Some(error) => {
            let step_up = decision.step_up.as_ref().map(step_up_parameters).unwrap_or_default();
            headers.push(header("www-authenticate", format!("Bearer realm=\"{realm}\", error=\"{error}\"{step_up}")));
        }
    }
    if refusal.status == 503 {
        headers.push(header("retry-after", RETRY_AFTER_SECONDS.to_string()));
    }
    let body = format!(r#"{{"type":"about:blank","title":"{}","status":{},"request_id":"{id}"}}"#, refusal.title, refusal.status);
    DeniedHttpResponse { status: Some(HttpStatus { code: refusal.status.into() }), headers, body }
}

/// The parameters of a step-up challenge (RFC 9470 section 3). The values come from the configuration, which lets nothing through
/// that would end a quoted string.
fn step_up_parameters(step_up: &StepUp) -> String {
    let mut parameters = String::new();
    if !step_up.acr_values.is_empty() {
        parameters.push_str(&format!(", acr_values=\"{}\"", step_up.acr_values.join(" ")));
    }
    if let Some(seconds) = step_up.max_age {
        parameters.push_str(&format!(", max_age=\"{seconds}\""));
    }
    parameters
}

/// What Envoy's access log can print: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%`.
fn dynamic_metadata(id: &str, decision: &Decision, version: &InForce) -> Struct {
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.into())) };
    #[expect(clippy::cast_precision_loss, reason = "nobody loads a configuration that often")]
    let number = |value: u64| Value { kind: Some(Kind::NumberValue(value as f64)) };
    let mut fields: std::collections::HashMap<String, Value> = [
        ("decision_id".into(), text(id)),
        ("decision".into(), text(decision.effect().as_str())),
        ("reason".into(), text(decision.reason.code())),
        ("revision".into(), text(&version.snapshot.revision)),
        ("generation".into(), number(version.generation)),
    ]
    .into();
    if let Some(route) = &decision.route {
        fields.insert("route".into(), text(route));
    }
    Struct { fields }
}
