//! Bodies go along where the policy judges them, and nowhere else.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::walk::{self, DORA, Row, dora, walked};
use crate::harness::door::Door;
use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::wait::PATIENCE;

const FILE: &str = "envoy/bodies.yaml";
/// What goes along at most.
const LIMIT: usize = 65536;

const ROUTES: &str = "\
routes:
  - { path: /blog/profile, methods: { PATCH: { access: authenticated, body: { only: [avatar] } } } }
  - path: /blog/graphql
    methods: { POST: { graphql: { query: { posts: \"blog:posts.read\", me: [] }, mutation: { publish: \"blog:posts.update\" } } } }
  - { path: /blog/upload, methods: { POST: { access: authenticated } } }
  - { path: /blog/forgotten, methods: { PATCH: { access: authenticated, body: { only: [avatar] } } } }
";

fn patch(body: &Value) -> Request {
    Request::new("PATCH", "/blog/profile").token(&dora()).json(body)
}

fn graphql(query: &str) -> Request {
    Request::new("POST", "/blog/graphql").token(&dora()).json(&json!({ "query": query }))
}

fn rows() -> Vec<Row> {
    // `{"avatar":"..."}` with so many bytes in all.
    let sized = |length: usize| json!({ "avatar": "a".repeat(length - 13) });
    let raw = |content_type: &str, body: &[u8]| {
        Request::new("PATCH", "/blog/profile").token(&dora()).header("content-type", content_type).body(body.to_vec())
    };
    let upload = Request::new("POST", "/blog/upload").token(&dora());
    vec![
        Row::passes("a field that may be set", patch(&json!({ "avatar": "a.png" })), "allowed", &DORA),
        Row::refused("one that may not", patch(&json!({ "avatar": "a.png", "role": "admin" })), 403, "body_field_not_allowed"),
        Row::passes("as long as may be", patch(&sized(LIMIT - 1)), "allowed", &DORA),
        Row::refused("at the limit, where Envoy may have a part", patch(&sized(LIMIT + 1)), 403, "body_unavailable"),
        Row::refused("much too long", patch(&sized(4 * LIMIT)), 403, "body_unavailable"),
        Row::refused("no body", Request::new("PATCH", "/blog/profile").token(&dora()), 403, "body_unavailable"),
        Row::refused("no JSON", raw("application/json", b"{avatar"), 400, "body_malformed"),
        Row::refused("one member twice", raw("application/json", br#"{"avatar":1,"avatar":2}"#), 400, "body_malformed"),
        Row::refused("no UTF-8", raw("application/json", b"{\"avatar\":\"\xff\"}"), 400, "body_malformed"),
        Row::refused("another type", raw("application/x-www-form-urlencoded", b"avatar=1"), 400, "body_malformed"),
        Row::refused("compressed", raw("application/json", &[31, 139, 8, 0]).header("content-encoding", "gzip"), 403, "body_unavailable"),
        Row::refused("no token", Request::new("PATCH", "/blog/profile").json(&json!({ "avatar": 1 })), 401, "credential_missing"),
        Row::passes("a query that may be asked", graphql("{ posts { id } me { id } }"), "allowed", &DORA),
        Row::refused("a mutation that may not", graphql("mutation { me: publish { id } }"), 403, "permission_missing"),
        Row::refused("a field that is not listed", graphql("{ drafts }"), 403, "graphql_field_not_listed"),
        Row::refused("two operations", graphql("{ posts } mutation { publish }"), 400, "body_malformed"),
        Row::passes("an upload, not judged", upload.clone().body(vec![7; 8 * LIMIT]), "allowed", &DORA),
        Row::passes("an upload without a body", upload, "allowed", &DORA),
        // The policy looks at bodies and Envoy's route sends none along: closed.
        Row::refused(
            "a route without its body",
            Request::new("PATCH", "/blog/forgotten").token(&dora()).json(&json!({ "avatar": 1 })),
            403,
            "body_unavailable",
        ),
    ]
}

/// What comes back to a part of a request, whose rest never comes.
async fn first_line(mesh: &Mesh, text: &str) -> String {
    let mut stream = TcpStream::connect(mesh.envoy.address).await.expect("a connection");
    stream.write_all(text.as_bytes()).await.expect("a part of a request");
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer in time").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Requests whose bodies do not come to an end: asked about at once where they are not judged, and never taken for whole where they are.
async fn unfinished(mesh: &Mesh) -> usize {
    let part = format!("{{\"avatar\":\"{}\"}}", "a".repeat(LIMIT - 13));
    let token = dora();
    let head = |line: &str, rest: &str| {
        format!("{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n{rest}\r\n")
    };
    let bearer = format!("authorization: Bearer {token}\r\n");
    let longer = format!("{bearer}content-length: {}\r\n", LIMIT + 10);
    let chunked = format!("{bearer}transfer-encoding: chunked\r\n");
    let rows = [
        ("not judged: refused before the body comes", head("POST /blog/upload", "content-length: 100\r\n"), "HTTP/1.1 401"),
        ("a part that looks whole", head("PATCH /blog/profile", &longer) + &part, "HTTP/1.1 403"),
        ("the same in chunks", head("PATCH /blog/profile", &chunked) + &format!("{LIMIT:x}\r\n{part}\r\n"), "HTTP/1.1 403"),
    ];
    let served = mesh.upstream.served();
    for (name, text, status) in &rows {
        assert_eq!(&first_line(mesh, text).await, status, "{name}");
    }
    assert_eq!(mesh.upstream.served(), served);
    rows.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_where_they_are_judged() {
    let builder = Mesh::builder().file(FILE, Door::plain("localhost")).policy(|text| walk::policy(&text, ROUTES));
    let mut mesh = builder.start().await;
    let mut rows = walk::usual();
    rows.extend(self::rows());
    let mut count = walk::walk(&mesh, &[], &rows).await;
    count += walk::log_in(&mesh, None).await;
    count += unfinished(&mesh).await;
    count += walk::without_sidecar(&mut mesh, &rows).await;
    walked(FILE, count);
}
