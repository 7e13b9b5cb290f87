//! What a client sees, exactly, and whether the service behind is reached.

use serde_json::json;

use super::POST;
use crate::harness::http::{Answer, Request};
use crate::harness::mesh::Mesh;
use crate::harness::token;

/// Names of the configuration, of the token and of our own that no client may be told.
const INTERNAL: [&str; 12] =
    ["acme", "globex", "viewer", "editor", "blog", "posts", "permission", "tenant", "rsa-", "revision", "_", "second.test"];

/// A refusal in all its parts (RFC 6750, RFC 9457): the same whatever the cause.
pub fn assert_refused(answer: &Answer, status: u16, error: Option<&str>) {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        503 => "Service Unavailable",
        other => panic!("no refusal has status {other}: {}", answer.text()),
    };
    assert_eq!(answer.status, status, "{}", answer.text());
    let challenge = error.map(|error| match error {
        "" => "Bearer realm=\"tests\"".to_string(),
        error => format!("Bearer realm=\"tests\", error=\"{error}\""),
    });
    assert_eq!(answer.header("www-authenticate"), challenge.as_deref());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("retry-after"), (status == 503).then_some("5"));

    let body = answer.json();
    let id = body["request_id"].as_str().expect("a request id");
    assert_eq!(body, json!({ "type": "about:blank", "title": title, "status": status, "request_id": id }));
    // All others are Envoy's own. After a 400 it also ends the connection.
    const KNOWN: [&str; 9] = [
        "www-authenticate",
        "content-type",
        "cache-control",
        "retry-after",
        "content-length",
        "connection",
        "date",
        "server",
        "x-request-id",
    ];
    for name in answer.headers.keys() {
        assert!(KNOWN.contains(&name.as_str()), "the header {name} says more than it should: {:?}", answer.headers);
    }
    let text = answer.text().replace("request_id", "");
    for word in INTERNAL {
        assert!(!text.contains(word), "{word:?} is nothing for a client: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_gets_the_standard_answer_and_never_the_reason() {
    let mesh = Mesh::start().await;
    let served = mesh.upstream.served();
    let now = token::now();
    let mint = |claims| token::mint_second(claims);
    let viewer = mint(json!({}));
    let forged = token::forge(json!({}));
    let with = |token: &str| Request::get(POST).token(token);

    let rows: Vec<(&str, Request, u16, Option<&str>)> = vec![
        ("credential_missing", Request::get(POST), 401, Some("")),
        ("credential_malformed", Request::get(POST).header("authorization", "Basic dTpw"), 401, Some("invalid_request")),
        ("credential_malformed", Request::get("/blog/feed").header("authorization", "Bearer"), 401, Some("invalid_request")),
        ("credential_repeated", with(&viewer).token(&viewer), 401, Some("invalid_request")),
        ("token_malformed", with("garbage"), 401, Some("invalid_token")),
        ("issuer_unknown", with(&token::mint(json!({ "iss": "http://evil.test" }))), 401, Some("invalid_token")),
        ("key_unknown", with(&token::mint(json!({}))), 401, Some("invalid_token")),
        ("signature_invalid", with(&forged), 401, Some("invalid_token")),
        ("token_expired", with(&mint(json!({ "iat": now - 900, "nbf": now - 900, "exp": now - 60 }))), 401, Some("invalid_token")),
        ("token_not_yet_valid", with(&mint(json!({ "nbf": now + 600 }))), 401, Some("invalid_token")),
        ("audience_mismatch", with(&mint(json!({ "aud": ["other"] }))), 401, Some("invalid_token")),
        ("claims_invalid", with(&mint(json!({ "roles": "viewer" }))), 401, Some("invalid_token")),
        ("token_expired", Request::get("/blog/feed").token(&mint(json!({ "exp": now - 60 }))), 401, Some("invalid_token")),
        ("permission_missing", Request::new("PUT", POST).token(&viewer), 403, Some("insufficient_scope")),
        ("tenant_mismatch", Request::get("/blog/tenants/globex/posts/1").token(&viewer), 403, Some("insufficient_scope")),
        ("realm_mismatch", Request::get("/blog/system/usage").token(&viewer), 403, Some("insufficient_scope")),
        ("service_not_entitled", Request::get("/chatbot/tenants/acme/slots").token(&viewer), 403, Some("insufficient_scope")),
        ("method_not_allowed", Request::new("PATCH", POST).token(&viewer), 403, Some("insufficient_scope")),
        ("route_not_found", Request::get("/blog/drafts").token(&viewer), 403, Some("insufficient_scope")),
        ("route_not_found", Request::get("/nowhere"), 403, Some("insufficient_scope")),
        ("path_not_canonical", Request::get("/blog/tenants/acme;globex/posts/1").token(&viewer), 400, None),
        ("path_not_canonical", Request::get("/blog/tenants/acme/posts/%c0%af").token(&viewer), 400, None),
    ];
    for (reason, request, status, error) in rows {
        let (answer, got) = mesh.send_for_reason(&request).await;
        assert_eq!(got, reason);
        assert_refused(&answer, status, error);
    }
    assert_eq!(mesh.upstream.served(), served, "a refused request reached the service");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_the_identity_service_may_do_what_their_roles_tenants_and_services_say() {
    let mesh = Mesh::start().await;
    let alice = mesh.identity.log_in("alice", Some("acme")).await.token;
    let alice_at_globex = mesh.identity.log_in("alice", Some("globex")).await.token;
    let bob = mesh.identity.log_in("bob", Some("acme")).await.token;
    let carol = mesh.identity.log_in("carol", Some("acme")).await.token;
    let eve = mesh.identity.log_in("eve", Some("globex")).await.token;
    let root = mesh.identity.log_in("root", None).await.token;

    let globex_post = "/blog/tenants/globex/posts/1";
    let rows = [
        (&bob, "GET", POST, "allowed"),
        (&bob, "PUT", POST, "permission_missing"),
        (&carol, "PUT", POST, "allowed"),
        (&carol, "DELETE", POST, "allowed"),
        (&carol, "GET", globex_post, "tenant_mismatch"),
        (&alice, "DELETE", POST, "allowed"),
        (&alice, "GET", globex_post, "tenant_mismatch"),
        (&alice_at_globex, "GET", globex_post, "allowed"),
        (&alice_at_globex, "DELETE", globex_post, "permission_missing"),
        (&eve, "GET", POST, "tenant_mismatch"),
        (&eve, "GET", "/chatbot/tenants/globex/slots", "allowed"),
        (&alice, "GET", "/chatbot/tenants/acme/slots", "service_not_entitled"),
        (&alice, "GET", "/blog/system/usage", "realm_mismatch"),
        (&root, "GET", "/blog/system/usage", "allowed"),
        (&root, "GET", POST, "realm_mismatch"),
        (&root, "GET", "/blog/me", "allowed"),
        // Folded by Envoy, and then judged as what they mean.
        (&bob, "GET", "/blog/tenants/acme/%2e%2e/globex/posts/1", "tenant_mismatch"),
        (&bob, "GET", "/blog//tenants//globex/posts/1", "tenant_mismatch"),
        (&bob, "GET", "/blog/tenants/globex/../acme/posts/1", "allowed"),
    ];
    let mut passed = mesh.upstream.served();
    for (token, method, path, reason) in rows {
        let (answer, got) = mesh.send_for_reason(&Request::new(method, path).token(token)).await;
        assert_eq!(got, reason, "{method} {path}");
        let allowed = reason == "allowed";
        assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{method} {path}");
        passed += u64::from(allowed);
        assert_eq!(mesh.upstream.served(), passed, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_itself_refuses_what_could_be_read_in_two_ways() {
    let mesh = Mesh::start().await;
    let (served, decided) = (mesh.upstream.served(), mesh.sidecar.metrics().await.decisions());
    let token = token::mint_second(json!({}));
    let rows = [
        (400, Request::get("/blog/tenants/acme%2f..%2fglobex/posts/1").token(&token)),
        (400, Request::get("/blog/tenants/acme%5c..%5cglobex/posts/1").token(&token)),
        (400, Request::get("/blog/health").header("x_user_id", "root")),
        (403, Request::get(POST).token(&token).header("connection", "upgrade").header("upgrade", "websocket")),
        (404, Request::get(POST).token(&token).header("host", "evil.test")),
        (404, Request::get(POST).token(&token).header("host", "localhost,evil.test")),
    ];
    for (status, request) in rows {
        assert_eq!(mesh.send(&request).await.status, status, "{request:?}");
    }
    assert_eq!(mesh.upstream.served(), served);
    assert_eq!(mesh.sidecar.metrics().await.decisions(), decided, "the sidecar was asked");
}
