//! A walk through a shipped configuration: rows of a request and what has to come of it, for the client, in the access log and at the
//! service behind.

use serde_json::{Value, json};

use crate::envoy::POST;
use crate::envoy::headers::{OVERRIDES, SPOOFED};
use crate::harness::door::Door;
use crate::harness::http::{Answer, Request};
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::upstream::Seen;

/// What has to come of a request.
pub enum Expected {
    /// It reaches the service, which sees these identity headers and this path.
    Passes { reason: &'static str, cluster: &'static str, identity: Vec<(&'static str, &'static str)>, path: Option<&'static str> },
    /// Portcullis refuses it.
    Refused { status: u16, reason: &'static str },
    /// Envoy answers alone, without asking.
    Alone { status: u16 },
}

pub struct Row {
    pub name: &'static str,
    pub request: Request,
    pub expected: Expected,
    pub door: Option<Door>,
}

impl Row {
    pub fn passes(name: &'static str, request: Request, reason: &'static str, identity: &[(&'static str, &'static str)]) -> Self {
        Self::new(name, request, Expected::Passes { reason, cluster: "blog", identity: identity.to_vec(), path: None })
    }

    pub fn refused(name: &'static str, request: Request, status: u16, reason: &'static str) -> Self {
        Self::new(name, request, Expected::Refused { status, reason })
    }

    pub fn alone(name: &'static str, request: Request, status: u16) -> Self {
        Self::new(name, request, Expected::Alone { status })
    }

    pub fn new(name: &'static str, request: Request, expected: Expected) -> Self {
        Self { name, request, expected, door: None }
    }

    /// At another service than "blog".
    pub fn at(mut self, other: &'static str) -> Self {
        if let Expected::Passes { cluster, .. } = &mut self.expected {
            *cluster = other;
        }
        self
    }

    /// Where the service sees another path than was sent.
    pub fn seen_as(mut self, folded: &'static str) -> Self {
        if let Expected::Passes { path, .. } = &mut self.expected {
            *path = Some(folded);
        }
        self
    }

    /// By another way in than usual.
    pub fn by(mut self, door: &Door) -> Self {
        self.door = Some(door.clone());
        self
    }
}

/// What `token::mint_second` says of dora, as the service sees it.
pub const DORA: [(&str, &str); 4] = [("x-session-id", "s-1"), ("x-tenant-id", "acme"), ("x-user-id", "dora"), ("x-user-roles", "viewer")];

/// A token of dora, a viewer in acme.
pub fn dora() -> String {
    token::mint_second(json!({ "sub": "dora", "sid": "s-1" }))
}

/// With everything by which a client could try to be somebody else.
pub fn spoofed(request: Request) -> Request {
    OVERRIDES.iter().fold(request.headers(&SPOOFED), |request, name| request.header(name, "DELETE"))
}

/// What has to be so behind every configuration with services over HTTP.
pub fn usual() -> Vec<Row> {
    let now = token::now();
    let good = dora();
    let get = |path: &str| Request::get(path).token(&good);
    vec![
        Row::passes("a token that may", get(POST), "allowed", &DORA),
        Row::passes("a token that may, with forged headers", spoofed(get(POST)), "allowed", &DORA),
        Row::passes("a public route", Request::get("/blog/health"), "public", &[]),
        Row::passes("a public route, with forged headers", spoofed(Request::get("/blog/health")), "public", &[]),
        Row::passes("an optional route without a token", spoofed(Request::get("/blog/feed")), "anonymous", &[]),
        Row::passes("dots", get("/blog/tenants/globex/../acme/posts/1"), "allowed", &DORA).seen_as(POST),
        Row::passes("escaped dots", get("/blog/tenants/globex/%2e%2E/acme/posts/1"), "allowed", &DORA).seen_as(POST),
        Row::passes("doubled slashes", get("/blog//tenants///acme/posts/1"), "allowed", &DORA).seen_as(POST),
        Row::refused("no token", Request::get(POST), 401, "credential_missing"),
        Row::refused("no token, with forged headers", spoofed(Request::get(POST)), 401, "credential_missing"),
        Row::refused("another scheme", Request::get(POST).header("authorization", "Basic dTpw"), 401, "credential_malformed"),
        Row::refused("two tokens", get(POST).token(&good), 401, "credential_repeated"),
        Row::refused("no token at all in it", Request::get(POST).token("garbage"), 401, "token_malformed"),
        Row::refused("a forged signature", Request::get(POST).token(&token::forge(json!({}))), 401, "signature_invalid"),
        Row::refused("an expired token", Request::get(POST).token(&token::mint_second(json!({ "exp": now - 60 }))), 401, "token_expired"),
        Row::refused("a right that is missing", Request::new("PUT", POST).token(&good), 403, "permission_missing"),
        Row::refused("another tenant", get("/blog/tenants/globex/posts/1"), 403, "tenant_mismatch"),
        Row::refused("another tenant behind dots", get("/blog/tenants/acme/../globex/posts/1"), 403, "tenant_mismatch"),
        Row::refused("another tenant behind slashes", get("/blog//tenants//globex/posts/1"), 403, "tenant_mismatch"),
        Row::refused("no route", get("/blog/drafts"), 403, "route_not_found"),
        Row::refused("another method", Request::new("PATCH", POST).token(&good), 403, "method_not_allowed"),
        Row::refused("a semicolon", get("/blog/tenants/acme;globex/posts/1"), 400, "path_not_canonical"),
        Row::refused("an overlong escape", get("/blog/tenants/acme/posts/%c0%af"), 400, "path_not_canonical"),
        Row::alone("an escaped slash", get("/blog/tenants/acme%2f..%2fglobex/posts/1"), 400),
        Row::alone("an escaped backslash", get("/blog/tenants/acme%5c..%5cglobex/posts/1"), 400),
        Row::alone("a header with an underscore", Request::get("/blog/health").header("x_user_id", "root"), 400),
        Row::alone("an unknown host", get(POST).header("host", "evil.test"), 404),
        Row::alone("an upgrade", get(POST).header("connection", "upgrade").header("upgrade", "websocket"), 403),
    ]
}

/// Walks through rows and gives how many there were. `everywhere`: headers that every answer has to have.
pub async fn walk(mesh: &Mesh, everywhere: &[(&str, &str)], rows: &[Row]) -> usize {
    let before = mesh.sidecar.metrics().await.decisions();
    let mut served = mesh.upstream.served();
    let mut decided = 0;
    for row in rows {
        let answer = mesh.send_by(row.door.as_ref().unwrap_or(&mesh.door), &row.request).await;
        let entry = match answer.header("x-request-id") {
            Some(_) => mesh.envoy.log_entry(&answer).await,
            // Envoy refused to read it as a request.
            None => Value::Null,
        };
        let name = row.name;
        let got = (answer.status, entry["reason"].as_str().unwrap_or("-"), entry["upstream"].as_str().unwrap_or("-"));
        match &row.expected {
            Expected::Passes { reason, cluster, identity, path } => {
                assert_eq!(got, (200, *reason, *cluster), "{name}: {}", answer.text());
                let seen = Seen::of(&answer);
                assert_eq!(&seen.identity(), identity, "{name}");
                for header in OVERRIDES {
                    assert!(seen.values(header).is_empty(), "{name}: {header} reached the service");
                }
                if let Some(path) = path {
                    assert_eq!(seen.target, *path, "{name}");
                }
                served += 1;
            }
            Expected::Refused { status, reason } => {
                assert_eq!((got.0, got.1), (*status, *reason), "{name}: {}", answer.text());
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
            }
            Expected::Alone { status } => assert_eq!((got.0, got.1), (*status, "-"), "{name}: {}", answer.text()),
        }
        decided += u64::from(!matches!(row.expected, Expected::Alone { .. }));
        assert_eq!(mesh.upstream.served(), served, "{name}: what reached the service");
        has(&answer, everywhere, name, !entry.is_null());
    }
    assert_eq!(mesh.sidecar.metrics().await.decisions() - before, decided, "how often Portcullis was asked");
    rows.len()
}

/// Whether these headers are in an answer to something that Envoy took for a request.
fn has(answer: &Answer, headers: &[(&str, &str)], name: &str, is_request: bool) {
    if is_request {
        for (header, value) in headers {
            assert_eq!(answer.header(header), Some(*value), "{name}: {:?}", answer.headers);
        }
    }
}

/// A user of the identity service logs in through Envoy, and uses the token. Gives how many rows that was.
pub async fn log_in(mesh: &Mesh, at: Option<&str>) -> usize {
    let body = json!({ "email": "bob@example.test", "password": "bob-password", "tenant": "acme", "device": "test" });
    let mut login = Request::new("POST", "/v1/login").json(&body);
    if let Some(host) = at {
        login = login.header("host", host);
    }
    let answer = mesh.send(&login).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["access_token"].as_str().expect("a token").to_string();
    let (answer, reason) = mesh.send_for_reason(&Request::get(POST).token(&token)).await;
    assert_eq!((answer.status, reason.as_str()), (200, "allowed"));
    let of_an_operator = Request::get("/v1/admin/revocations").token(&token);
    let of_an_operator = at.into_iter().fold(of_an_operator, |request, host| request.header("host", host));
    let (answer, reason) = mesh.send_for_reason(&of_an_operator).await;
    assert_eq!((answer.status, reason.as_str()), (403, "route_not_found"), "the operator's interface");
    3
}

/// The usual policy with the log-in, and with more routes, whose list begins with `routes:`.
pub fn policy(text: &str, routes: &str) -> String {
    edit(text, "routes:\n", &format!("{routes}  - {{ path: /v1/login, methods: {{ POST: {{ access: public }} }} }}\n"))
}

/// Ends the sidecar: nothing that passed passes any more, and nothing else either. Gives how many rows it sent.
pub async fn without_sidecar(mesh: &mut Mesh, rows: &[Row]) -> usize {
    mesh.sidecar.process.kill();
    let served = mesh.upstream.served();
    let asked = rows.iter().filter(|row| !matches!(row.expected, Expected::Alone { .. }));
    let mut count = 0;
    for row in asked {
        let answer = mesh.send_by(row.door.as_ref().unwrap_or(&mesh.door), &row.request).await;
        assert_eq!(answer.status, 503, "{}, without a sidecar: {}", row.name, answer.text());
        assert_eq!((answer.header("retry-after"), answer.header("cache-control")), (Some("1"), Some("no-store")), "{}", row.name);
        count += 1;
    }
    assert_eq!(mesh.upstream.served(), served, "something passed without a sidecar");
    count
}

/// The metrics of Envoy that docs/envoy.md names.
pub fn metrics_to_watch() -> Vec<String> {
    let page = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/envoy.md")).expect("docs/envoy.md");
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = page.split(|c| !is_part(c)).filter(|word| word.starts_with("envoy_") && !word.starts_with("envoy_cluster_name"));
    words.map(str::to_string).collect()
}

/// Whether Envoy has these metrics.
pub async fn has_metrics(mesh: &Mesh, names: &[String]) {
    let metrics = mesh.envoy.admin("/stats/prometheus").await;
    for name in names {
        let is_there = metrics.lines().any(|line| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert!(is_there, "docs/envoy.md names {name}, which Envoy does not have");
    }
}

/// Says how long a walk was, for whoever counts (`cargo test -- --nocapture`).
pub fn walked(file: &str, rows: usize) {
    println!("walked through {file}: {rows} rows");
}
