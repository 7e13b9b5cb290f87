//! Envoy describes a request in one of two forms. They are one request, and get one decision.

use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::token;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_header_map_of_one_request_are_decided_alike() {
    let more = "routes:
  - path: /by-header
    tenant: { header: x-tenant }
    methods: { GET: { permission: \"blog:posts.read\" } }
  - path: /by-query
    tenant: { query: tenant }
    methods: { GET: { permission: \"blog:posts.read\" } }
  - path: /socket
    upgrade: websocket
    methods: { GET: { access: public } }
";
    let lab = Lab::with_policy(|text| edit(&text, "routes:\n", more)).await;
    let client = lab.sidecar.connect().await;
    let good = format!("Bearer {}", token::mint(json!({})));
    let other = format!("bearer {}", token::mint(json!({ "tenant_id": "globex" })));
    let comma = format!("{good},");
    let with = |path| Ask::get(path).header("authorization", &good);

    let rows = [
        ("allowed", with(POST)),
        ("allowed", Ask::get(POST).header("Authorization", &good)),
        ("tenant_mismatch", Ask::get(POST).header("authorization", &other)),
        ("credential_missing", Ask::get(POST)),
        ("credential_repeated", with(POST).header("authorization", &good)),
        ("credential_repeated", with(POST).header("authorization", &other)),
        ("credential_repeated", with(POST).header("authorization", "")),
        ("credential_repeated", Ask::get(POST).header("authorization", "").header("authorization", "")),
        ("credential_repeated", Ask::get(POST).header("authorization", &comma)),
        ("credential_malformed", Ask::get(POST).header("authorization", "")),
        ("credential_malformed", Ask::get(POST).header("authorization", "Basic dTpw")),
        ("public", Ask::get("/blog/health").header("authorization", "").header("authorization", "x")),
        ("public", Ask::get("/blog/health").header("x-user-id", "root").header("x-user-id", "root2")),
        ("public", Ask::get("/blog/health").header("x_user_id", "root").header("x.user-roles", "admin")),
        ("anonymous", Ask::get("/blog/feed").header("x-http-method-override", "DELETE").header("x-original-url", "/")),
        ("allowed", with("/by-header").header("x-tenant", "acme")),
        ("tenant_mismatch", with("/by-header").header("x-tenant", "globex")),
        ("tenant_unbound", with("/by-header")),
        ("tenant_unbound", with("/by-header").header("x-tenant", "")),
        ("tenant_unbound", with("/by-header").header("x-tenant", "acme").header("x-tenant", "acme")),
        ("tenant_unbound", with("/by-header").header("x-tenant", "acme").header("x-tenant", "globex")),
        ("tenant_unbound", with("/by-header").header("x-tenant", "acme,globex")),
        ("allowed", with("/by-query?tenant=acme")),
        ("tenant_unbound", with("/by-query?tenant=acme&tenant=globex")),
        ("tenant_unbound", with("/by-query")),
        ("public", Ask::get("/socket").header("upgrade", "websocket")),
        ("public", Ask::get("/socket").header("upgrade", "WebSocket")),
        ("upgrade_not_allowed", Ask::get("/socket").header("upgrade", "h2c")),
        ("upgrade_not_allowed", Ask::get("/socket").header("upgrade", "websocket").header("upgrade", "h2c")),
        ("upgrade_not_allowed", Ask::get("/socket").header("upgrade", "websocket, h2c")),
        ("upgrade_not_allowed", Ask::get("/blog/health").header("upgrade", "websocket")),
        ("upgrade_not_allowed", Ask::get("/blog/health").header(":protocol", "websocket")),
        ("method_not_allowed", Ask::new("get", POST).header("authorization", &good)),
        ("path_not_canonical", with("/blog/tenants/globex/../acme/posts/1")),
        ("path_not_canonical", with("/blog/tenants/acme%2fposts/1")),
        ("path_not_canonical", with("blog/health")),
        ("host_invalid", with(POST).host("a,b")),
        ("host_invalid", with(POST).host("")),
        ("allowed", with(POST).host("BLOG.localhost:8080")),
        ("route_not_found", with("/blog/health/")),
    ];
    for (reason, ask) in rows {
        let raw = Verdict::of(&client.check(&ask.raw()).await).without_id();
        let joined = Verdict::of(&client.check(&ask.joined()).await).without_id();
        assert_eq!(raw, joined, "{ask:?}");
        assert_eq!(raw.reason, reason, "{ask:?}");
    }
}
