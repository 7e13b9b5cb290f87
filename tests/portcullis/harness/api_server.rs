//! Enough of an API server for `kubectl` to create pods through admission webhooks: discovery, the selectors of a
//! MutatingWebhookConfiguration, its calls over TLS, reinvocation, failure policy, and a strict look at what comes out.
//!
//! How webhooks are called follows `k8s.io/apiserver/pkg/admission/plugin/webhook`: by configuration name, one after the other; what a
//! later one changes makes those before it that ask for it be called once more, and so does what the server itself adds meanwhile.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::schemas;

mod call;
mod defaults;
pub mod selector;

use call::Call;

/// What somebody else's webhook does to a pod.
pub type Mutation = fn(&mut Value);

/// A running one. It ends when it is dropped.
pub struct ApiServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// What it knows.
pub struct Setup {
    /// A MutatingWebhookConfiguration, with a `caBundle`.
    pub configuration: Value,
    /// Other webhooks, by the name of their configuration.
    pub others: Vec<(&'static str, Mutation)>,
    /// Where the pods behind all services are.
    pub service: SocketAddr,
    /// Namespaces and their labels.
    pub namespaces: Vec<(&'static str, Vec<(&'static str, &'static str)>)>,
}

/// One call of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    pub webhook: String,
    pub is_again: bool,
    pub changed: bool,
    pub dry_run: bool,
    pub annotations: Value,
}

struct Shared {
    setup: Setup,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    calls: Mutex<Vec<Called>>,
    pods: Mutex<Vec<Value>>,
}

/// A refusal: its status and what it says.
struct Refused {
    code: u16,
    reason: &'static str,
    message: String,
}

impl ApiServer {
    pub async fn start(setup: Setup) -> Self {
        let namespaces = setup.namespaces.iter().map(|(name, labels)| {
            // Every namespace has this one.
            let own = ("kubernetes.io/metadata.name".to_string(), (*name).to_string());
            let labels = labels.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string()));
            ((*name).to_string(), labels.chain([own]).collect())
        });
        let shared = Arc::new(Shared { namespaces: namespaces.collect(), setup, calls: Mutex::default(), pods: Mutex::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                let service = service_fn(move |request| {
                    let server = Arc::clone(&server);
                    async move { Ok::<_, Infallible>(server.respond(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared, task: task.abort_handle() }
    }

    /// The calls of webhooks since this was asked last.
    pub fn calls(&self) -> Vec<Called> {
        std::mem::take(&mut *self.shared.calls.lock().unwrap())
    }

    /// The pods that were created.
    pub fn pods(&self) -> Vec<Value> {
        self.shared.pods.lock().unwrap().clone()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let dry_run = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "dryRun=All"));
        let segments: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        match (head.method.as_str(), &segments[..]) {
            ("GET", ["version"]) => answer(200, &json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.0" }), &[]),
            ("GET", ["api"]) => answer(200, &json!({ "kind": "APIVersions", "versions": ["v1"] }), &[]),
            ("GET", ["apis"]) => answer(200, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] }), &[]),
            ("GET", ["api", "v1"]) => {
                let pods = json!({ "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["create", "get", "patch"] });
                answer(200, &json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [pods] }), &[])
            }
            // Both are creations where there is nothing yet. An applied object comes as YAML, which JSON is.
            ("POST", ["api", "v1", "namespaces", namespace, "pods"]) | ("PATCH", ["api", "v1", "namespaces", namespace, "pods", _]) => {
                let body = body.collect().await.expect("a body").to_bytes();
                let pod = serde_json::from_slice(&body).expect("kubectl sends JSON");
                match self.create(namespace, pod, dry_run).await {
                    Ok((pod, warnings)) => answer(201, &pod, &warnings),
                    Err(refused) => status(&refused),
                }
            }
            _ => status(&Refused { code: 404, reason: "NotFound", message: "the server could not find the requested resource".into() }),
        }
    }

    async fn create(&self, namespace: &str, mut pod: Value, dry_run: bool) -> Result<(Value, Vec<String>), Refused> {
        if !self.namespaces.contains_key(namespace) {
            return Err(Refused { code: 404, reason: "NotFound", message: format!("namespaces \"{namespace}\" not found") });
        }
        pod["metadata"]["namespace"] = json!(namespace);
        let (mut pod, warnings) = self.admit(namespace, pod, dry_run).await?;
        if pod["metadata"].get("name").is_none() {
            let prefix = pod["metadata"]["generateName"].as_str().expect("a name, or what to generate one from").to_string();
            let suffix: String = (0..5).map(|_| fastrand::lowercase()).collect();
            pod["metadata"]["name"] = json!(prefix + &suffix);
        }
        for version in [schemas::OLDEST, schemas::NEWEST] {
            let problems = schemas::problems(&pod, version);
            if !problems.is_empty() {
                let message = format!("Pod is invalid on Kubernetes {version}: {}", problems.join(", "));
                return Err(Refused { code: 422, reason: "Invalid", message });
            }
        }
        if !dry_run {
            self.pods.lock().unwrap().push(pod.clone());
        }
        Ok((pod, warnings))
    }

    /// All admission plugins that change pods.
    async fn admit(&self, namespace: &str, mut pod: Value, dry_run: bool) -> Result<(Value, Vec<String>), Refused> {
        let mut warnings = Vec::new();
        defaults::server(&mut pod);
        let configuration = &self.setup.configuration;
        let name = configuration["metadata"]["name"].as_str().expect("a name");
        let mut order: Vec<(&str, Option<Mutation>)> = self.setup.others.iter().map(|(name, mutation)| (*name, Some(*mutation))).collect();
        order.push((name, None));
        order.sort_by_key(|(name, _)| *name);
        // Those that ask to be called again, and whether they are to be.
        let mut again: Vec<(Call<'_>, bool)> = Vec::new();
        for (_, mutation) in order {
            if let Some(mutation) = mutation {
                let before = pod.clone();
                mutation(&mut pod);
                defaults::fields(&mut pod);
                if pod != before {
                    again.iter_mut().for_each(|(_, due)| *due = true);
                }
                continue;
            }
            for webhook in configuration["webhooks"].as_array().expect("webhooks") {
                let call = Call { webhook, service: self.setup.service, namespace, dry_run };
                if !call.is_due(&self.namespaces[namespace], &pod) {
                    continue;
                }
                let before = pod.clone();
                self.call(&call, &mut pod, false, &mut warnings).await?;
                if pod != before {
                    again.iter_mut().for_each(|(_, due)| *due = true);
                }
                if webhook["reinvocationPolicy"] == "IfNeeded" {
                    again.push((call, false));
                }
            }
        }
        let before = pod.clone();
        defaults::server(&mut pod);
        let changed = pod != before;
        for (call, due) in again {
            if (due || changed) && call.is_due(&self.namespaces[namespace], &pod) {
                self.call(&call, &mut pod, true, &mut warnings).await?;
            }
        }
        Ok((pod, warnings))
    }

    async fn call(&self, call: &Call<'_>, pod: &mut Value, is_again: bool, warnings: &mut Vec<String>) -> Result<(), Refused> {
        let answered = call.make(pod).await?;
        let before = std::mem::replace(pod, answered.pod);
        defaults::fields(pod);
        warnings.extend(answered.warnings);
        let webhook = call.name().to_string();
        let called = Called { webhook, is_again, changed: *pod != before, dry_run: call.dry_run, annotations: answered.annotations };
        self.calls.lock().unwrap().push(called);
        Ok(())
    }
}

fn answer(code: u16, body: &Value, warnings: &[String]) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(code).header("content-type", "application/json");
    for warning in warnings {
        answer = answer.header("warning", format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    answer.body(Full::new(body.to_string().into())).expect("an answer")
}

fn status(Refused { code, reason, message }: &Refused) -> Response<Full<Bytes>> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    answer(*code, &status, &[])
}
