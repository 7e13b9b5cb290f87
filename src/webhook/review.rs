//! From the body of a request to the body of its answer: `AdmissionReview` of `admission.k8s.io/v1`, in both directions.
//!
//! Nothing lets a pod through that was not looked at. What cannot be understood is an answer that refuses the pod, if it is known to
//! which request that belongs (`request.uid`), and otherwise an HTTP error, which keeps the pod out where `failurePolicy` is `Fail`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_core::DynamicObject;
use kube_core::admission::{AdmissionRequest, AdmissionResponse, META_API_VERSION_V1, META_KIND, Operation};
use kube_core::response::StatusSummary;
use serde_json::Value;

use crate::inject::{self, Refusal};

/// The longest `request.uid`, in bytes. A UUID has 36.
const MAX_UID: usize = 256;
/// The longest text from outside that is repeated in a message, in characters.
const MAX_REPEATED: usize = 100;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The pod gets a sidecar.
    Injected,
    /// The pod has it already.
    Unchanged,
    /// The pod opted out, and is let through as it is.
    LeftOut,
    /// The pod cannot be injected, and is refused.
    Refused,
    /// It was no review of a pod that is about to be created: the webhook is registered for something else. Refused.
    Misdirected,
    /// It could not be understood. Refused.
    Invalid,
    /// The webhook itself broke down. Refused.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Injected, Self::Unchanged, Self::LeftOut, Self::Refused, Self::Misdirected, Self::Invalid, Self::Failed];

    /// Its name for the audit log of the API server, which takes one for each pod, however often the webhook is shown it.
    fn annotation(self) -> &'static str {
        if self == Self::Unchanged { Self::Injected.label() } else { self.label() }
    }

    /// Its name in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::LeftOut => "left_out",
            Self::Refused => "refused",
            Self::Misdirected => "misdirected",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Verdict {
    pub outcome: Outcome,
    /// An `AdmissionReview` in JSON; or, where nobody knows which request it would belong to, what is wrong.
    pub answer: Result<Vec<u8>, String>,
}

/// Why a pod is refused.
struct Denial {
    outcome: Outcome,
    message: String,
}

impl Denial {
    fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into() }
    }
}

/// How pods are injected: [`inject::inject_pod`] with the settings of the webhook.
pub(super) trait Inject: Fn(&mut Value, Option<&str>) -> Result<inject::Outcome, Refusal> {}
impl<F: Fn(&mut Value, Option<&str>) -> Result<inject::Outcome, Refusal>> Inject for F {}

/// Answers a review.
pub(super) fn answer(body: &[u8], inject: impl Inject) -> Verdict {
    let mut review: Value = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => return unaddressed(format!("the body is no JSON: {error}")),
    };
    // Before anything else: whom an answer is for.
    let Some(uid) = review.pointer("/request/uid").and_then(Value::as_str).filter(|uid| (1..=MAX_UID).contains(&uid.len())) else {
        let message = understood(&mut review).err().map_or_else(
            || format!("the review's 'request.uid' is missing, empty, no text or longer than {MAX_UID} bytes"),
            |denial| denial.message,
        );
        return unaddressed(message);
    };
    let uid = uid.to_owned();
    let mut place = Place::default();
    let decided = understood(&mut review).and_then(|(request, object)| {
        place = Place::of(&request, &object);
        decide(&request, object, inject)
    });
    let (outcome, mut response) = match decided {
        Ok((outcome, response)) => {
            tracing::info!(uid, namespace = place.namespace, pod = place.pod, outcome = outcome.label(), "reviewed");
            (outcome, response)
        }
        Err(Denial { outcome, message }) => {
            let label = outcome.label();
            tracing::warn!(uid, namespace = place.namespace, pod = place.pod, outcome = label, reason = message, "refused");
            (outcome, denied(message))
        }
    };
    response.uid = uid;
    response.audit_annotations.insert("outcome".into(), outcome.annotation().into());
    match written(response) {
        Ok(answer) => Verdict { outcome, answer: Ok(answer) },
        Err(error) => Verdict { outcome: Outcome::Failed, answer: Err(format!("the answer cannot be written: {error}")) },
    }
}

fn unaddressed(message: String) -> Verdict {
    tracing::warn!(outcome = Outcome::Invalid.label(), reason = message, "refused");
    Verdict { outcome: Outcome::Invalid, answer: Err(message) }
}

/// The request and its object, which stays as it came: what its type does not know must not get lost.
fn understood(review: &mut Value) -> Result<(AdmissionRequest<DynamicObject>, Value), Denial> {
    let invalid = |message: String| Denial::new(Outcome::Invalid, message);
    let text = |key: &str| review.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != META_KIND || text("apiVersion") != META_API_VERSION_V1 {
        let (kind, version) = (short(text("kind")), short(text("apiVersion")));
        return Err(invalid(format!(
            "the body has kind '{kind}' and apiVersion '{version}'; this webhook understands '{META_KIND}' of '{META_API_VERSION_V1}' \
             only: its configuration should say admissionReviewVersions: [v1]"
        )));
    }
    let Some(request) = review.get_mut("request").and_then(Value::as_object_mut) else {
        return Err(invalid("the review has no 'request'".into()));
    };
    let object = request.remove("object").unwrap_or_default();
    // Nobody asks for it, and it may be anything.
    request.remove("oldObject");
    let request = serde_json::from_value(Value::Object(std::mem::take(request)));
    let request = request.map_err(|error| invalid(format!("the review's 'request' cannot be understood: {error}")))?;
    Ok((request, object))
}

fn decide(request: &AdmissionRequest<DynamicObject>, object: Value, inject: impl Inject) -> Result<(Outcome, AdmissionResponse), Denial> {
    let (kind, resource) = (&request.kind, &request.resource);
    let is_pod = (&*kind.group, &*kind.version, &*kind.kind) == ("", "v1", "Pod")
        && (&*resource.group, &*resource.version, &*resource.resource) == ("", "v1", "pods")
        && request.sub_resource.as_deref().unwrap_or_default().is_empty();
    if !is_pod || request.operation != Operation::Create {
        let operation = format!("{:?}", request.operation).to_uppercase();
        let mut asked = short(&resource.resource);
        for (separator, part) in [(".", &*resource.group), ("/", request.sub_resource.as_deref().unwrap_or_default())] {
            if !part.is_empty() {
                asked = format!("{asked}{separator}{}", short(part));
            }
        }
        return Err(Denial::new(
            Outcome::Misdirected,
            format!(
                "this webhook injects pods as they are created, and was asked about {operation} of '{asked}' ({}): its \
                 MutatingWebhookConfiguration should name CREATE of pods and nothing else",
                short(&kind.kind)
            ),
        ));
    }
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != "Pod" || text("apiVersion") != "v1" {
        return Err(Denial::new(Outcome::Invalid, "the review's 'request.object' is no Pod of v1"));
    }
    let mut pod = object.clone();
    let injected = catch_unwind(AssertUnwindSafe(|| inject(&mut pod, request.namespace.as_deref())));
    let injected = injected.map_err(|_| Denial::new(Outcome::Failed, "the injection broke down; the log of the webhook says where"))?;
    match injected.map_err(|refusal| Denial::new(Outcome::Refused, refusal.to_string()))? {
        inject::Outcome::LeftOut { .. } => Ok((Outcome::LeftOut, allowed())),
        inject::Outcome::Injected { warnings } => {
            let mut response = allowed();
            response.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
            if pod == object {
                return Ok((Outcome::Unchanged, response));
            }
            Ok((Outcome::Injected, with_patch(response, object, &pod)?))
        }
    }
}

/// With the patch that makes this of the object. What comes of it is looked at before anybody else does.
fn with_patch(response: AdmissionResponse, mut object: Value, pod: &Value) -> Result<AdmissionResponse, Denial> {
    let failed = |why: String| Denial::new(Outcome::Failed, format!("the patch cannot be made: {why}"));
    let patch = json_patch::diff(&object, pod);
    json_patch::patch(&mut object, &patch).map_err(|error| failed(error.to_string()))?;
    if object != *pod {
        return Err(failed("it does not lead to the injected pod".into()));
    }
    response.with_patch(patch).map_err(|error| failed(error.to_string()))
}

fn allowed() -> AdmissionResponse {
    let mut response = AdmissionResponse::invalid("");
    response.allowed = true;
    response.result = kube_core::Status::default();
    response
}

fn denied(message: String) -> AdmissionResponse {
    let mut response = AdmissionResponse::invalid("");
    response.result = kube_core::Status {
        status: Some(StatusSummary::Failure),
        code: 403,
        message,
        reason: "Forbidden".into(),
        ..kube_core::Status::default()
    };
    response
}

/// The answer as it is sent: Kubernetes has bytes in Base64, the type has them as a list of numbers.
fn written(response: AdmissionResponse) -> Result<Vec<u8>, serde_json::Error> {
    let patch = response.patch.as_ref().map(|patch| STANDARD.encode(patch));
    let mut review = serde_json::to_value(response.into_review())?;
    if let (Some(slot), Some(patch)) = (review.pointer_mut("/response/patch"), patch) {
        *slot = patch.into();
    }
    serde_json::to_vec(&review)
}

/// Where a pod is and what it is called, for the log. Its name may still have to be made.
#[derive(Default)]
struct Place {
    namespace: String,
    pod: String,
}

impl Place {
    fn of(request: &AdmissionRequest<DynamicObject>, object: &Value) -> Self {
        let generated = || object.pointer("/metadata/generateName").and_then(Value::as_str).map(|name| format!("{}*", short(name)));
        let name = Some(short(&request.name)).filter(|name| !name.is_empty());
        Self { namespace: short(request.namespace.as_deref().unwrap_or_default()), pod: name.or_else(generated).unwrap_or_default() }
    }
}

/// A text from outside, as it may be repeated: not long, and without what a terminal would obey.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_REPEATED).map(|c| if c.is_control() { '?' } else { c }).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests;
