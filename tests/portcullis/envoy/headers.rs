//! The service behind sees identity headers of ours, once each, and none of the client's.

use serde_json::json;

use super::POST;
use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::sidecar;
use crate::harness::token;
use crate::harness::upstream::Seen;

/// What a client might send to be taken for somebody else.
pub const SPOOFED: [(&str, &str); 8] = [
    ("x-user-id", "root"),
    ("X-User-Id", "root"),
    ("x-tenant-id", "globex"),
    ("x-user-roles", "admin"),
    ("x-user-permissions", "*"),
    ("x-session-id", "stolen"),
    ("x-user-scope", "all"),
    ("x-user-scope", "system"),
];

/// Spellings that some servers fold into the same names.
const FOLDED: [(&str, &str); 7] = [
    ("x_user_id", "root"),
    ("x-user_id", "root"),
    ("X_TENANT_ID", "globex"),
    ("x.user.roles", "admin"),
    ("x_user.permissions", "*"),
    ("x_session_id", "stolen"),
    ("x~user~scope", "system"),
];

/// Headers by which some services let a client name another method, path or host.
pub const OVERRIDES: [&str; 7] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-host",
    "x-original-host",
];

/// The three ways to get through, and the identity headers that the service must see on each.
async fn each_way_through(mesh: &Mesh, spoofed: &[(&str, &str)]) {
    let token = token::mint_second(json!({
        "sub": "dora", "sid": "s-1", "roles": ["viewer", "editor"], "permissions": ["blog:comments.create"],
    }));
    let dora = vec![
        ("x-session-id", "s-1"),
        ("x-tenant-id", "acme"),
        ("x-user-id", "dora"),
        ("x-user-permissions", "blog:comments.create"),
        ("x-user-roles", "viewer,editor"),
    ];
    let rows = [
        ("a protected route", Request::get(POST).token(&token), dora.clone()),
        ("a route for everybody with a token", Request::get("/blog/me").token(&token), dora.clone()),
        ("an optional route with a token", Request::get("/blog/feed").token(&token), dora),
        ("an optional route without one", Request::get("/blog/feed"), vec![]),
        ("a public route", Request::get("/blog/health"), vec![]),
        ("a public route with a token", Request::get("/blog/health").token(&token), vec![]),
    ];
    for (name, request, expected) in rows {
        let mut request = request.headers(spoofed).header("x-harmless", "stays");
        for name in OVERRIDES {
            request = request.header(name, "DELETE");
        }
        let seen = Seen::of(&mesh.send(&request).await);
        assert_eq!(seen.identity(), expected, "{name}");
        assert_eq!(seen.values("x-harmless"), ["stays"], "{name}");
        for header in OVERRIDES {
            assert!(seen.values(header).is_empty(), "{name}: {header} reached the service");
        }
        assert_eq!(seen.method, "GET", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_sees_our_identity_headers_once_each_and_nothing_that_the_client_sent_in_their_place() {
    let mesh = Mesh::start().await;
    each_way_through(&mesh, &[]).await;
    each_way_through(&mesh, &SPOOFED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_spellings_of_identity_headers_are_taken_away_even_by_an_envoy_that_lets_them_in() {
    let mesh = Mesh::builder()
        .envoy(|text| sidecar::edit(&text, "headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW"))
        .start()
        .await;
    // It does let them in.
    let seen = Seen::of(&mesh.send(&Request::get("/blog/health").header("x_other", "1")).await);
    assert_eq!(seen.values("x_other"), ["1"]);
    each_way_through(&mesh, &FOLDED).await;
    each_way_through(&mesh, &[SPOOFED.as_slice(), &FOLDED].concat()).await;
}
