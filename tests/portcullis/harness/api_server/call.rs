//! One call of a webhook, over TLS that is verified by its `caBundle`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::Refused;
use super::selector::selects;
use crate::harness::webhook::Https;

/// A call that may have to be made.
pub struct Call<'s> {
    /// As the configuration has it.
    pub webhook: &'s Value,
    /// Where the service is.
    pub service: SocketAddr,
    pub namespace: &'s str,
    pub dry_run: bool,
}

/// What a webhook says of a pod that it lets through.
pub struct Answered {
    pub pod: Value,
    pub warnings: Vec<String>,
    pub annotations: Value,
}

impl Call<'_> {
    pub fn name(&self) -> &str {
        self.webhook["name"].as_str().expect("a name")
    }

    /// Whether the webhook wants to see this pod.
    pub fn is_due(&self, namespace: &BTreeMap<String, String>, pod: &Value) -> bool {
        let labels = pod["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| (key.clone(), value.as_str().expect("a text").to_string())).collect();
        let has = |rule: &Value, key: &str, wanted: &str| rule[key].as_array().expect("a list").iter().any(|value| value == wanted);
        let is_about_pods = |rule: &Value| {
            [("apiGroups", ""), ("apiVersions", "v1"), ("operations", "CREATE"), ("resources", "pods")]
                .iter()
                .all(|(key, wanted)| has(rule, key, wanted))
        };
        self.webhook["rules"].as_array().expect("rules").iter().any(is_about_pods)
            && selects(&self.webhook["namespaceSelector"], namespace)
            && selects(&self.webhook["objectSelector"], &labels)
    }

    /// Makes it. Where the webhook cannot be asked, `failurePolicy: Fail` refuses the pod.
    pub async fn make(&self, pod: &Value) -> Result<Answered, Refused> {
        assert_eq!(self.webhook["failurePolicy"], "Fail", "what would be let through unseen is not what is tested here");
        let within = Duration::from_secs(self.webhook["timeoutSeconds"].as_u64().expect("a time"));
        let asked = match tokio::time::timeout(within, self.ask(pod)).await {
            Ok(asked) => asked,
            Err(_) => Err("context deadline exceeded".into()),
        };
        let response = asked.map_err(|why| Refused {
            code: 500,
            reason: "InternalError",
            message: format!("Internal error occurred: failed calling webhook \"{}\": {why}", self.name()),
        })?;
        if response["allowed"] != true {
            let said = response["status"]["message"].as_str().unwrap_or("without explanation");
            let message = format!("admission webhook \"{}\" denied the request: {said}", self.name());
            return Err(Refused { code: 403, reason: "Forbidden", message });
        }
        let mut patched = pod.clone();
        if let Some(patch) = response["patch"].as_str() {
            let patch: Patch = serde_json::from_slice(&STANDARD.decode(patch).expect("Base64")).expect("a patch");
            json_patch::patch(&mut patched, &patch).expect("a patch that fits");
        }
        let warnings = response["warnings"].as_array().into_iter().flatten();
        Ok(Answered {
            pod: patched,
            warnings: warnings.map(|warning| warning.as_str().expect("a text").to_string()).collect(),
            annotations: response["auditAnnotations"].clone(),
        })
    }

    /// The `response` of the answer, if it is one that an API server takes.
    async fn ask(&self, pod: &Value) -> Result<Value, String> {
        let uid = format!("{:016x}-{:016x}", fastrand::u64(..), fastrand::u64(..));
        let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
        let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
        let review = json!({
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "request": {
                "uid": uid, "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
                "name": pod["metadata"]["name"].as_str().unwrap_or_default(), "namespace": self.namespace, "operation": "CREATE",
                "userInfo": { "username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"] },
                "object": pod, "oldObject": null, "dryRun": self.dry_run,
                "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create" },
            },
        });
        let client = &self.webhook["clientConfig"];
        let service = &client["service"];
        let text = |key: &str| service[key].as_str().expect("a text");
        let (name, path) = (format!("{}.{}.svc", text("name"), text("namespace")), text("path"));
        let bundle = STANDARD.decode(client["caBundle"].as_str().expect("a caBundle")).expect("Base64");
        let root = CertificateDer::from_pem_slice(&bundle).expect("a certificate");
        let target = format!("{path}?timeout={}s", self.webhook["timeoutSeconds"]);
        let failed = |why: String| format!("failed to call webhook: Post \"https://{name}:{}{target}\": {why}", service["port"]);
        let mut connection = Https::open(self.service, &root, &name, &["h2", "http/1.1"]).await.map_err(failed)?;
        let answer = connection.post(&target, review.to_string()).await.map_err(failed)?;
        if answer.status != 200 {
            let body = answer.text();
            return Err(format!("failed to call webhook: an error on the server ({body:?}) has prevented the request from succeeding"));
        }
        let review = answer.json();
        let response = &review["response"];
        if review["kind"] != "AdmissionReview" || review["apiVersion"] != "admission.k8s.io/v1" || response["uid"] != uid {
            return Err(format!("received invalid webhook response: {review}"));
        }
        if response.get("patch").is_some() != (response["patchType"] == "JSONPatch") {
            return Err("received invalid webhook response: response.patch and response.patchType do not go together".into());
        }
        Ok(response.clone())
    }
}
