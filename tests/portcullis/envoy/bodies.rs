//! Bodies, as the real Envoy sends them along: whole ones are judged, and a part is never taken for the whole.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::wait::PATIENCE;

/// What Envoy sends along at most.
const LIMIT: usize = 1024;

const ROUTES: &str = "\
routes:
  - { path: /blog/profile, methods: { PATCH: { access: authenticated, body: { only: [avatar] } } } }
  - path: /blog/graphql
    methods: { POST: { graphql: { query: { posts: \"blog:posts.read\", me: [] }, mutation: { publish: \"blog:posts.update\" } } } }
  - { path: /blog/free, methods: { POST: { access: authenticated } } }
";

async fn mesh() -> Mesh {
    let with_body = format!(
        "failure_mode_allow: false\n                      with_request_body: {{ max_request_bytes: {LIMIT}, allow_partial_message: true, pack_as_bytes: true }}"
    );
    let builder = Mesh::builder().policy(|text| edit(&text, "routes:\n", ROUTES));
    builder.envoy(move |text| edit(&text, "failure_mode_allow: false", &with_body)).start().await
}

async fn reason(mesh: &Mesh, method: &str, path: &str, body: &Value) -> (u16, String) {
    let request = Request::new(method, path).token(&token::mint_second(json!({ "roles": ["viewer"] }))).json(body);
    let (answer, reason) = mesh.send_for_reason(&request).await;
    (answer.status, reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_bodies_are_judged_and_others_refused() {
    let mesh = mesh().await;
    let long = "a".repeat(2 * LIMIT);
    for (method, path, body, status, expected) in [
        ("PATCH", "/blog/profile", json!({ "avatar": "a.png" }), 200, "allowed"),
        ("PATCH", "/blog/profile", json!({ "avatar": "a.png", "role": "admin" }), 403, "body_field_not_allowed"),
        ("PATCH", "/blog/profile", json!({ "avatar": long }), 403, "body_unavailable"),
        ("POST", "/blog/free", json!({ "anything": long }), 200, "allowed"),
        ("POST", "/blog/graphql", json!({ "query": "{ posts { id } me { id } }" }), 200, "allowed"),
        ("POST", "/blog/graphql", json!({ "query": "{ me: posts { id } } mutation { publish }" }), 400, "body_malformed"),
        ("POST", "/blog/graphql", json!({ "query": "mutation { me: publish { id } }" }), 403, "permission_missing"),
        ("POST", "/blog/graphql", json!({ "query": "{ ...f } fragment f on Query { drafts }" }), 403, "graphql_field_not_listed"),
    ] {
        assert_eq!(reason(&mesh, method, path, &body).await, (status, expected.to_string()), "{method} {path} {body}");
    }
    let bare = Request::new("PATCH", "/blog/profile").token(&token::mint_second(json!({})));
    assert_eq!(mesh.send_for_reason(&bare).await.1, "body_unavailable");
}

/// At its limit Envoy asks at once and calls what it has the whole body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_looks_whole_is_refused() {
    let mesh = mesh().await;
    let bearer = token::mint_second(json!({}));
    let head = format!(
        "PATCH /blog/profile HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {bearer}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    );
    let part = format!("{{\"avatar\":\"{}\"}}", "a".repeat(LIMIT - 13));
    assert_eq!(part.len(), LIMIT);
    let served = mesh.upstream.served();
    for (framing, start) in [
        (format!("content-length: {}\r\n\r\n", LIMIT + 10), part.clone()),
        ("transfer-encoding: chunked\r\n\r\n".to_string(), format!("{LIMIT:x}\r\n{part}\r\n")),
    ] {
        let mut stream = TcpStream::connect(mesh.envoy.address).await.expect("a connection");
        stream.write_all(format!("{head}{framing}{start}").as_bytes()).await.expect("a part of a request");
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer in time").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 403", "{framing}");
    }
    assert_eq!(mesh.upstream.served(), served, "nothing reached the service");
}
