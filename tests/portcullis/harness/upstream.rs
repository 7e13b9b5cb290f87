//! A service behind Envoy that answers each request with what reached it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::http::Answer;

/// The running service. It ends when it is dropped.
pub struct Upstream {
    pub address: SocketAddr,
    served: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::new(AtomicU64::new(0));
        let router = Router::new().fallback(echo).with_state(Arc::clone(&served));
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, served, task }
    }

    /// How many requests got here.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(State(served): State<Arc<AtomicU64>>, request: Request) -> axum::Json<Value> {
    served.fetch_add(1, Ordering::SeqCst);
    let headers: Vec<Value> =
        request.headers().iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect();
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    // All of it: an answer before its end would look like a service that broke off.
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.map_or(0, |body| body.len());
    axum::Json(json!({ "method": method, "target": target, "headers": headers, "body_bytes": body }))
}

/// What reached the service, read from its answer.
#[derive(Debug)]
pub struct Seen {
    pub method: String,
    /// The raw request target.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Seen {
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "the service was not reached: {}", answer.text());
        Self::told(&answer.json())
    }

    /// The same from what the service told of it.
    pub fn told(echo: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        let headers = echo["headers"].as_array().expect("headers").iter();
        Self {
            method: text(&echo["method"]),
            target: text(&echo["target"]),
            headers: headers.map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        }
    }

    /// All values of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// All identity headers that a careless service would find, however their names are spelled, sorted.
    pub fn identity(&self) -> Vec<(&str, &str)> {
        const NAMES: [&str; 6] = ["x-user-id", "x-tenant-id", "x-user-roles", "x-user-permissions", "x-session-id", "x-user-scope"];
        let folded = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let mut found: Vec<(&str, &str)> =
            self.headers.iter().filter(|(name, _)| NAMES.contains(&&*folded(name))).map(|(name, value)| (&**name, &**value)).collect();
        found.sort_unstable();
        found
    }
}
