//! The same walk through each Envoy: what passes, what is refused, and what the service sees of it.

use serde_json::json;

use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::token;
use crate::harness::upstream::Seen;

/// A path that viewers may read and editors may write.
pub const POST: &str = "/blog/tenants/acme/posts/1";

/// What a client might send to be taken for somebody else, in spellings that some servers fold into one.
pub const SPOOFED: [(&str, &str); 7] = [
    ("x-user-id", "root"),
    ("X-User-Id", "admin"),
    ("x-tenant-id", "globex"),
    ("x-user-roles", "admin"),
    ("x-user-permissions", "*"),
    ("x-session-id", "stolen"),
    ("x-forwarded-client-cert", "By=x;URI=spiffe://mesh.test/ns/shop/sa/orders"),
];

/// The same in spellings that Envoy may refuse by itself.
pub const FOLDED: [(&str, &str); 4] =
    [("x_user_id", "root"), ("X_TENANT_ID", "globex"), ("x_user.roles", "admin"), ("x_session_id", "stolen")];

/// What an Envoy is expected to do by itself.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Headers with underscores are refused before anybody is asked.
    pub refuses_underscores: bool,
    /// So are paths with an escaped slash.
    pub refuses_escaped_slashes: bool,
    /// What a request with two hosts gets: 404 where hosts have routes of their own, 400 where Portcullis is asked.
    pub two_hosts: u16,
}

/// Walks, and says how many requests it were.
pub async fn through(mesh: &Mesh, expected: Expected) -> usize {
    let mut requests = 0;
    let viewer = token::mint_second(json!({ "sub": "dora", "sid": "s-1" }));
    let with = |request: Request| request.token(&viewer);

    // What passes, and as whom, whatever the client says of itself.
    let dora =
        [("x-session-id", "s-1"), ("x-tenant-id", "acme"), ("x-user-id", "dora"), ("x-user-permissions", ""), ("x-user-roles", "viewer")];
    let dora: Vec<(&str, &str)> = dora.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut spoofs: Vec<Vec<(&str, &str)>> = vec![vec![], SPOOFED.to_vec()];
    if !expected.refuses_underscores {
        spoofs.push([SPOOFED.as_slice(), &FOLDED].concat());
    }
    for spoof in &spoofs {
        for (request, identity) in [
            (with(Request::get(POST)), &dora),
            (with(Request::get("/blog/feed")), &dora),
            (Request::get("/blog/feed"), &vec![]),
            (Request::get("/blog/health"), &vec![]),
        ] {
            let answer = mesh.send(&request.headers(spoof).header("x-harmless", "stays")).await;
            let seen = Seen::of(&answer);
            let identity_seen: Vec<_> = seen.identity().into_iter().filter(|(_, value)| !value.is_empty()).collect();
            assert_eq!(&identity_seen, identity, "with {spoof:?}");
            assert_eq!(seen.values("x-harmless"), ["stays"]);
            assert!(!seen.values("x-forwarded-client-cert").iter().any(|value| value.contains("orders")), "with {spoof:?}");
            requests += 1;
        }
    }

    // What does not, and why.
    let editor = "PUT";
    let two_hosts = Request::get("/blog/health").header("host", "blog.localhost").header("host", "chatbot.localhost");
    let upgrade = |request: Request| request.header("connection", "upgrade").header("upgrade", "websocket");
    let rows: Vec<(Request, u16, &str)> = vec![
        (Request::get(POST), 401, "credential_missing"),
        (Request::get(POST).token("garbage"), 401, "token_malformed"),
        (Request::get(POST).token(&token::forge(json!({}))), 401, "signature_invalid"),
        (with(Request::new(editor, POST)), 403, "permission_missing"),
        (with(Request::get("/blog/tenants/globex/posts/1")), 403, "tenant_mismatch"),
        (with(Request::get("/nowhere")), 403, "route_not_found"),
        // Doubled, as they came or joined: there is one credential or none.
        (with(with(Request::get(POST))), 401, "credential_repeated"),
        (Request::get(POST).token("a").token(&viewer), 401, "credential_repeated"),
    ];
    for (request, status, reason) in rows {
        let served = mesh.upstream.served();
        let (answer, found) = mesh.send_for_reason(&request).await;
        assert_eq!((answer.status, found.as_str()), (status, reason), "{request:?}");
        assert_eq!(mesh.upstream.served(), served, "{request:?} reached the service");
        requests += 1;
    }

    // Whoever refuses these, the service sees nothing of them.
    let mut refused = vec![
        (two_hosts, expected.two_hosts),
        (upgrade(with(Request::get(POST))), 403),
        (with(Request::get("/blog/tenants/acme%2Fposts/1")), 400),
        (with(Request::get("/blog/tenants/acme/posts/1;x=1")), 400),
        (with(Request::get("/blog/tenants/acme/posts/%2e%2e%2f1")), 400),
    ];
    if expected.refuses_underscores {
        refused.extend(FOLDED.map(|(name, value)| (with(Request::get(POST)).header(name, value), 400)));
    }
    for (request, status) in refused {
        let served = mesh.upstream.served();
        let answer = mesh.send(&request).await;
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        assert_eq!(mesh.upstream.served(), served, "{request:?} reached the service");
        requests += 1;
    }
    // Envoy gives no request an id that it refuses by itself.
    let answer = mesh.send(&with(Request::get("/blog/tenants/acme%2Fposts/1"))).await;
    assert_eq!(answer.header("x-request-id").is_none(), expected.refuses_escaped_slashes);

    // One spelling: what is folded is judged as it is sent on.
    for (path, status) in [("/blog//tenants/acme/./posts/1", 200), ("/blog/health/../tenants/globex/posts/1", 403)] {
        assert_eq!(mesh.send(&with(Request::get(path))).await.status, status, "{path}");
        requests += 1;
    }
    requests + 1
}

/// Nothing passes while the sidecar is away, and everything as before when it is back. Says how many requests it were.
pub async fn without_sidecar(mesh: &mut Mesh) -> usize {
    let requests = [
        Request::get(POST).token(&token::mint_second(json!({}))),
        Request::get("/blog/feed"),
        Request::get("/blog/health"),
        Request::get("/nowhere"),
    ];
    mesh.sidecar.process.kill();
    let served = mesh.upstream.served();
    for request in &requests {
        assert_eq!(mesh.send(request).await.status, 503, "{request:?}");
    }
    assert_eq!(mesh.upstream.served(), served, "something passed");
    mesh.sidecar.restart().await;
    mesh.answers(&requests[0], 200).await;
    requests.len()
}
