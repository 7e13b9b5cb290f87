//! An identity service that is part of the test: it publishes the test's own keys and whatever revocations the test likes, and
//! counts who asks.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use portcullis::policy_test::keys;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The running stub. It ends when it is dropped.
pub struct Stub {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    keys: watch::Sender<Value>,
    entries: watch::Sender<Vec<Value>>,
    keys_fetched: AtomicU64,
    full_lists: AtomicU64,
    broken: AtomicBool,
    people: watch::Sender<HashMap<String, Person>>,
    people_asked: AtomicU64,
    tenant_roles: watch::Sender<Value>,
}

/// What the directory says when it is asked about somebody.
#[derive(Debug, Clone)]
pub enum Person {
    /// This, whatever was asked.
    Says(Value),
    /// Nothing, until it is changed.
    Hangs,
    /// 500.
    Breaks,
}

impl Stub {
    /// Publishes the key `rsa-a` and no revocations.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            keys: watch::Sender::new(key_set(&["rsa-a"])),
            entries: watch::Sender::new(Vec::new()),
            keys_fetched: AtomicU64::new(0),
            full_lists: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            people: watch::Sender::default(),
            people_asked: AtomicU64::new(0),
            tenant_roles: watch::Sender::new(json!({ "tenants": {} })),
        });
        let router = Router::new()
            .route("/.well-known/jwks.json", get(jwks))
            .route("/v1/revocations", get(revocations))
            .route("/v1/directory/{user}", get(directory))
            .route("/v1/roles", get(tenant_roles))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often the keys were fetched.
    pub fn keys_fetched(&self) -> u64 {
        self.shared.keys_fetched.load(Ordering::SeqCst)
    }

    /// How many entries the revocation feed has, which is its cursor.
    pub fn revocations(&self) -> usize {
        self.shared.entries.borrow().len()
    }

    /// How often the revocations were given whole.
    pub fn full_lists(&self) -> u64 {
        self.shared.full_lists.load(Ordering::SeqCst)
    }

    /// Publishes these keys and no others.
    pub fn publish_keys(&self, names: &[&str]) {
        self.shared.keys.send_replace(key_set(names));
    }

    /// Adds an entry to the revocation feed.
    pub fn revoke(&self, kind: &str, id: &str) {
        self.shared.entries.send_modify(|entries| entries.push(json!({ "type": kind, "id": id })));
    }

    /// Adds many entries at once.
    pub fn revoke_many(&self, kind: &str, ids: impl Iterator<Item = String>) {
        self.shared.entries.send_modify(|entries| entries.extend(ids.map(|id| json!({ "type": kind, "id": id }))));
    }

    /// What the directory says about somebody. It knows nobody else.
    pub fn person(&self, user: &str, person: Person) {
        self.shared.people.send_modify(|people| {
            people.insert(user.into(), person);
        });
    }

    /// How often the directory was asked.
    pub fn people_asked(&self) -> u64 {
        self.shared.people_asked.load(Ordering::SeqCst)
    }

    /// Publishes roles of tenants.
    pub fn tenant_roles(&self, tenants: Value) {
        self.shared.tenant_roles.send_replace(json!({ "tenants": tenants }));
    }

    /// From now on every request is answered with 500, also one that is being held; or no longer.
    pub fn break_down(&self, broken: bool) {
        self.shared.broken.store(broken, Ordering::SeqCst);
        self.shared.entries.send_modify(|_| ());
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn key_set(names: &[&str]) -> Value {
    keys::key_set(names).expect("keys")
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    shared.keys_fetched.fetch_add(1, Ordering::SeqCst);
    if shared.broken.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    Json(shared.keys.borrow().clone()).into_response()
}

/// The cursor is the number of entries.
async fn revocations(State(shared): State<Arc<Shared>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let (since, wait) = (number("since"), number("wait").unwrap_or(0));
    let mut entries = shared.entries.subscribe();
    let news = |entries: &Vec<Value>| since.is_none_or(|since| entries.len() > since) || shared.broken.load(Ordering::SeqCst);
    let hold = tokio::time::timeout(Duration::from_secs(wait as u64), entries.wait_for(news)).await;
    drop(hold);
    if shared.broken.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let entries = shared.entries.borrow().clone();
    let known = since.filter(|since| *since <= entries.len());
    if known.is_none() {
        shared.full_lists.fetch_add(1, Ordering::SeqCst);
    }
    let new = entries.get(known.unwrap_or(0)..).unwrap_or_default();
    Json(json!({ "cursor": entries.len().to_string(), "full": known.is_none(), "entries": new })).into_response()
}

/// With the token that the tests' configuration names, and only then.
async fn directory(State(shared): State<Arc<Shared>>, Path(user): Path<String>, headers: HeaderMap) -> Response {
    if headers.get("authorization").is_none_or(|value| value != "Bearer of-the-sidecar") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    shared.people_asked.fetch_add(1, Ordering::SeqCst);
    let mut people = shared.people.subscribe();
    let says = |people: &HashMap<String, Person>| !matches!(people.get(&user), Some(Person::Hangs));
    match people.wait_for(says).await.ok().and_then(|people| people.get(&user).cloned()) {
        Some(Person::Says(answer)) => Json(answer).into_response(),
        Some(Person::Breaks | Person::Hangs) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn tenant_roles(State(shared): State<Arc<Shared>>) -> Response {
    if shared.broken.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    Json(shared.tenant_roles.borrow().clone()).into_response()
}
