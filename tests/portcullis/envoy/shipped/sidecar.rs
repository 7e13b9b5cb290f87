//! Beside one service: over a Unix socket, over TCP.

use super::walk::{self, Row, dora};
use crate::harness::door::Door;
use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::token;

async fn walk(file: &'static str) {
    let builder = Mesh::builder().file(file, Door::plain("localhost")).policy(|text| walk::policy(&text, "routes:\n"));
    let mut mesh = builder.start().await;
    let globex = token::mint_second(serde_json::json!({ "tenant_id": "globex", "sub": "eve", "sid": "s-2",
        "services": { "chatbot": { "enabled": true } } }));
    let eve = [("x-session-id", "s-2"), ("x-tenant-id", "globex"), ("x-user-id", "eve"), ("x-user-roles", "viewer")];
    let mut rows = walk::usual();
    rows.extend([
        Row::passes("another service", Request::get("/chatbot/tenants/globex/slots").token(&globex), "allowed", &eve).at("chatbot"),
        Row::passes(
            "another name of the host",
            Request::get("/blog/me").token(&dora()).header("host", "BLOG.localhost:1"),
            "allowed",
            &walk::DORA,
        ),
        Row::refused(
            "a service that is not paid for",
            Request::get("/chatbot/tenants/acme/slots").token(&dora()),
            403,
            "service_not_entitled",
        ),
        Row::refused("a path that only begins like a service's", Request::get("/blogger").token(&dora()), 403, "route_not_found"),
        Row::alone("two hosts", Request::get("/blog/health").header("host", "localhost,evil.test"), 404),
    ]);
    let mut count = walk::walk(&mesh, &[], &rows).await;
    count += walk::log_in(&mesh, None).await;
    count += walk::without_sidecar(&mut mesh, &rows).await;
    walk::walked(file, count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_over_a_unix_socket() {
    walk("envoy/sidecar.yaml").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_over_tcp() {
    walk("envoy/sidecar-tcp.yaml").await;
}
