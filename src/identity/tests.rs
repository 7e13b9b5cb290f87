//! The service as its clients meet it: the real router on a real socket.

mod clients;
mod directory;
mod exchange;
mod lifecycle;
mod login;
mod one_time_passwords;
mod operator;
mod revocations;
mod rights;
mod seeding;
mod sessions;
mod verification;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::password::Cost;
use super::settings::{ApiSecret, IssuerUrl, ServiceAccess, Settings};
use super::store::Database;
use super::{Identity, serve};

/// The time at which every test begins.
const START: i64 = 1_800_000_000;

const ADMIN_TOKEN: &str = "operator-secret";

const SEED: &str = r#"{
    "tenants": [
        {"id": "acme", "name": "Acme", "services": {"blog": {"enabled": true}}},
        {"id": "globex", "name": "Globex"}
    ],
    "users": [
        {"id": "alice", "email": "alice@example.com", "password": "alice-pw", "memberships": [
            {"tenant": "acme", "roles": ["admin"], "permissions": ["blog:posts.read"]},
            {"tenant": "globex", "roles": ["viewer"]}]},
        {"id": "bob", "email": "bob@example.com", "password": "bob-pw", "memberships": [
            {"tenant": "acme", "roles": ["viewer"]}]},
        {"id": "eve", "email": "eve@example.com", "password": "eve-pw", "memberships": [
            {"tenant": "globex", "roles": ["admin"]}]},
        {"id": "root", "email": "root@example.com", "password": "root-pw", "memberships": [
            {"tenant": null, "realm": "system", "roles": ["admin"]}]}
    ]
}"#;

/// A running service; it ends with the test.
struct Service {
    address: SocketAddr,
    identity: Arc<Identity>,
    now: Arc<AtomicI64>,
    serving: JoinHandle<std::io::Result<()>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

fn settings() -> Settings {
    Settings {
        issuer: IssuerUrl::parse("https://id.example.com").unwrap(),
        audiences: vec!["demo".to_owned()],
        access_ttl: 900,
        refresh_ttl: 86_400,
        admin_token: None,
        service_access: ServiceAccess::Open,
        password_cost: Cost::TEST,
    }
}

/// A service to be started.
struct Setup<'a> {
    database: Database,
    admin_token: Option<&'a str>,
    service_access: ServiceAccess,
    seed: String,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { database: Database::Memory, admin_token: Some(ADMIN_TOKEN), service_access: ServiceAccess::Open, seed: SEED.to_owned() }
    }
}

impl Setup<'_> {
    async fn start(self) -> Service {
        let now = Arc::new(AtomicI64::new(START));
        let settings = Settings {
            admin_token: self.admin_token.map(|token| ApiSecret::new("admin token", token).unwrap()),
            service_access: self.service_access,
            ..settings()
        };
        let clock = Clock::Manual(Arc::clone(&now));
        let identity = Identity::open(&self.database, settings, clock).await.unwrap();
        seeding::apply(&identity, &self.seed).await.unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Service {
            address: listener.local_addr().unwrap(),
            serving: tokio::spawn(serve(listener, Arc::clone(&identity))),
            identity,
            now,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Service {
    async fn start() -> Self {
        Self::start_with(Some(ADMIN_TOKEN)).await
    }

    async fn start_with(admin_token: Option<&str>) -> Self {
        Setup { admin_token, ..Setup::default() }.start().await
    }

    async fn start_on(database: &Database, admin_token: Option<&str>) -> Self {
        Setup { database: database.clone(), admin_token, ..Setup::default() }.start().await
    }

    /// A service with a seed of its own.
    async fn seeded(seed: &Value) -> Self {
        Setup { seed: seed.to_string(), ..Setup::default() }.start().await
    }

    fn advance(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn request(&self, method: Method, path: &str) -> Call<'_> {
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method(method).uri(uri).body(Full::default()).unwrap();
        Call { service: self, request }
    }

    fn get(&self, path: &str) -> Call<'_> {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> Call<'_> {
        self.request(Method::POST, path)
    }

    fn delete(&self, path: &str) -> Call<'_> {
        self.request(Method::DELETE, path)
    }

    async fn try_login(&self, user: &str, tenant: Option<&str>) -> Answer {
        let (email, password) = (format!("{user}@example.com"), format!("{user}-pw"));
        let body = json!({"email": email, "password": password, "tenant": tenant});
        self.post("/v1/login").json(&body).send().await
    }

    async fn login(&self, user: &str, tenant: Option<&str>) -> Grant {
        Grant::of(&self.try_login(user, tenant).await)
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        self.post("/v1/token").json(&json!({"refresh_token": refresh_token})).send().await
    }

    async fn token(&self, body: &Value) -> Answer {
        self.post("/v1/token").json(body).send().await
    }

    /// What is published in the feed.
    async fn revoked(&self) -> Vec<(String, String)> {
        let feed = self.get("/v1/revocations").send().await.json();
        let entries = feed["entries"].as_array().unwrap();
        entries.iter().map(|entry| (entry["type"].as_str().unwrap().to_owned(), entry["id"].as_str().unwrap().to_owned())).collect()
    }

    /// The status of a request that any good token may make.
    async fn try_token(&self, access_token: &str) -> StatusCode {
        self.get("/v1/me").bearer(access_token).send().await.status
    }
}

/// A request in the making.
struct Call<'a> {
    service: &'a Service,
    request: Request<Full<Bytes>>,
}

impl Call<'_> {
    fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    fn bearer(self, token: &str) -> Self {
        self.header(header::AUTHORIZATION, &format!("Bearer {token}"))
    }

    fn operator(self) -> Self {
        self.bearer(ADMIN_TOKEN)
    }

    fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into());
        self
    }

    fn json(self, body: &Value) -> Self {
        self.header(header::CONTENT_TYPE, "application/json").body(body.to_string())
    }

    async fn send(self) -> Answer {
        let response = self.service.client.request(self.request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// A response.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    #[track_caller]
    fn expect_error(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["error"].as_str()), (status, Some(code)), "{body}");
        assert!(body["error_description"].is_string(), "{body}");
        assert_eq!(self.header(header::CACHE_CONTROL), "no-store");
    }
}

/// What a login or refresh gave.
#[derive(Debug)]
struct Grant {
    access: String,
    refresh: String,
    session: String,
}

impl Grant {
    #[track_caller]
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token"), session: text("session_id") }
    }
}

/// The members of a token's header (0) or claims (1).
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A user of a seed whom [`Service::login`] can log in.
fn user(id: &str, memberships: Value) -> Value {
    json!({"id": id, "email": format!("{id}@example.com"), "password": format!("{id}-pw"), "memberships": memberships})
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_json() {
    let service = Service::start().await;
    assert_eq!(service.get("/livez").send().await.status, StatusCode::OK);
    service.get("/").send().await.expect_error(404, "not_found");
    service.get("/v1/nothing").send().await.expect_error(404, "not_found");
    let wrong_method = service.get("/v1/login").send().await;
    wrong_method.expect_error(405, "invalid_request");
    assert_eq!(wrong_method.header(header::ALLOW), "POST");
    service.post("/v1/revocations").send().await.expect_error(405, "invalid_request");
}

#[tokio::test]
async fn bodies_are_bounded_json() {
    let service = Service::start().await;
    let login = || service.post("/v1/login");
    login().body("{}").send().await.expect_error(415, "invalid_request");
    let json = |body: String| login().header(header::CONTENT_TYPE, "application/json").body(body);
    for bad in ["", "{", "[]", "null", "{}", r#"{"email":1,"password":"x"}"#, "\u{0}"] {
        json(bad.to_owned()).send().await.expect_error(400, "invalid_request");
    }
    let doubled = r#"{"email":"a@x","email":"b@x","password":"x"}"#;
    json(doubled.to_owned()).send().await.expect_error(400, "invalid_request");
    let unknown = r#"{"email":"a@x","password":"x","tenent":"acme"}"#;
    json(unknown.to_owned()).send().await.expect_error(400, "invalid_request");
    let large = format!(r#"{{"email":"a@x","password":"{}"}}"#, "x".repeat(70_000));
    json(large).send().await.expect_error(413, "invalid_request");
}

/// The entries of a feed without the moments at which they were published, which are the real clock's.
fn undated_entries(feed: &Value) -> Value {
    let mut entries = feed["entries"].clone();
    for entry in entries.as_array_mut().expect("a list") {
        let at = entry.as_object_mut().expect("an entry").remove("at");
        assert!(at.is_some_and(|at| at.is_number()), "{entry}");
    }
    entries
}
