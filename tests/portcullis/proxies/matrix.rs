//! One matrix for all proxies: the same decision through each, and what the service receives is what was judged.

use portcullis::pdp::obligation::{IdentityField, OVERRIDE_HEADERS};
use portcullis::pdp::request::is_same_folded;
use serde_json::json;

use super::programs::Proxy;
use super::scene::{REFERENCE, Scene, undecidable};
use crate::harness::http::{Answer, Request};
use crate::harness::token;
use crate::harness::upstream::Seen;

const POST: &str = "/blog/tenants/acme/posts/1";
/// What a client claims that is not so. No service ever sees it.
const LIE: &str = "spoofed-by-client";

/// What is to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The service gets it with this target.
    Passes(&'static str),
    /// The client gets this status, as Portcullis' answer.
    Refused(u16),
    /// The client gets this status from the proxy, which takes the request for none, or Portcullis for broken.
    Rejected(u16),
}
use Fate::{Passes, Refused, Rejected};

struct Case {
    name: &'static str,
    request: Request,
    fate: Fate,
    /// Where a proxy differs.
    but: &'static [(&'static str, Fate)],
    /// Who the service learns that it is: `sub`, tenant, roles; empty: nobody.
    identity: &'static [(&'static str, &'static str)],
}

/// The same for somebody.
fn alices(name: &'static str, request: Request, fate: Fate) -> Case {
    case(name, request, fate).by(ALICE)
}

fn case(name: &'static str, request: Request, fate: Fate) -> Case {
    Case { name, request, fate, but: &[], identity: &[] }
}

impl Case {
    fn but(self, but: &'static [(&'static str, Fate)]) -> Self {
        Self { but, ..self }
    }

    fn by(self, identity: &'static [(&'static str, &'static str)]) -> Self {
        Self { identity, ..self }
    }

    fn fate_through(&self, proxy: &Proxy) -> Fate {
        self.but.iter().find(|(name, _)| *name == proxy.name).map_or(self.fate, |(_, fate)| *fate)
    }
}

const ALICE: &[(&str, &str)] = &[("x-user-id", "alice"), ("x-tenant-id", "acme"), ("x-user-roles", "viewer")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_proxy_decides_alike_and_the_service_gets_what_was_judged() {
    let scene = Scene::start().await;
    let revoked = token::mint(json!({ "jti": "the-revoked-one" }));
    scene.stub.revoke("jti", "the-revoked-one");
    let reference = scene.proxies.iter().find(|proxy| proxy.name == REFERENCE).expect("Envoy over gRPC");
    scene.answers(reference, &Request::get(POST).token(&revoked), 401).await;

    let mut wrong = Vec::new();
    let (mut requests, mut differing) = (0, 0);
    let cases: Vec<Case> = [usual(&revoked), paths(), spoofs(), shapes()].into_iter().flatten().collect();
    for case in &cases {
        differing += usize::from(!case.but.is_empty());
        for proxy in &scene.proxies {
            let (answer, reached) = scene.send(proxy, &case.request).await;
            requests += 1;
            if let Err(problem) = judge(case, proxy, &answer, reached) {
                wrong.push(format!(
                    "{} through {}: {problem}\n    {} {:?}\n    {}",
                    case.name,
                    proxy.name,
                    answer.status,
                    answer.headers,
                    answer.text().chars().take(160).collect::<String>()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {requests} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} cases, {requests} requests, {differing} cases where a proxy differs from the others", cases.len());
}

/// Decisions of every kind.
fn usual(revoked: &str) -> Vec<Case> {
    let alice = token::mint(json!({}));
    let second = token::mint_second(json!({}));
    let many = json!({ "permissions": (0..120).map(|n| format!("blog:resource-{n}.read")).collect::<Vec<_>>() });
    vec![
        case("a public route", Request::get("/blog/health"), Passes("/blog/health")),
        case("a public route, and a token that is none", Request::get("/blog/health").token("x"), Passes("/blog/health")),
        case("a good token", Request::get(POST).token(&alice), Passes(POST)).by(ALICE),
        case("of the second issuer", Request::get(POST).token(&second), Passes(POST)).by(ALICE),
        case("with a query", Request::get("/blog/me?a=b&c=%20d&a=%2F..").token(&alice), Passes("/blog/me?a=b&c=%20d&a=%2F..")).by(ALICE),
        case("an empty query", Request::get("/blog/me?").token(&alice), Passes("/blog/me?")).by(ALICE),
        case("anonymous where that may be", Request::get("/blog/feed"), Passes("/blog/feed")),
        case("somebody where nobody need be", Request::get("/blog/feed").token(&alice), Passes("/blog/feed")).by(ALICE),
        case("no token", Request::get(POST), Refused(401)),
        case("a token that is none", Request::get(POST).token("x"), Refused(401)),
        case("a forged token", Request::get(POST).token(&token::forge(json!({}))), Refused(401)),
        case("an expired token", Request::get(POST).token(&token::mint(json!({ "iat": 1, "nbf": 1, "exp": 2 }))), Refused(401)),
        case("a revoked token", Request::get(POST).token(revoked), Refused(401)),
        case("nobody's key", Request::get(POST).token(&undecidable()), Refused(503)),
        case("another tenant", Request::get("/blog/tenants/globex/posts/1").token(&alice), Refused(403)),
        case("no permission", Request::new("DELETE", POST).token(&alice), Refused(403)),
        case("no such route", Request::get("/blog/nowhere").token(&alice), Refused(403)),
        case("step-up", Request::get("/blog/step-up").token(&alice), Refused(401)),
        case("an answer of Portcullis' own", Request::get("/blog/mine").token(&alice), Refused(503)).but(&[(REFERENCE, Rejected(200))]),
        case("from near", Request::get("/blog/near"), Passes("/blog/near")),
        case(
            "from near, though it says from afar",
            Request::get("/blog/near").header("x-forwarded-for", "10.0.0.1").header("x-real-ip", "10.0.0.1"),
            Passes("/blog/near"),
        ),
        case("from near, where only those from afar may", Request::get("/blog/far"), Refused(403)),
        case(
            "the same, and it says that it is",
            Request::get("/blog/far").header("x-forwarded-for", "10.0.0.1").header("x-real-ip", "10.0.0.1"),
            Refused(403),
        ),
        case("a condition on a header", Request::get("/blog/marked").token(&alice).header("x-mark", "yes"), Passes("/blog/marked"))
            .by(ALICE),
        case("a condition on a header that is another", Request::get("/blog/marked").token(&alice).header("x-mark", "no"), Refused(403)),
        case("somebody with much to say", Request::get(POST).token(&token::mint(many)), Passes(POST)).by(ALICE),
    ]
}

/// Paths that two could read in two ways. Envoy folds or refuses them before it asks; the others ask about them as they came.
fn paths() -> Vec<Case> {
    let get = |target| Request::get(target).token(&token::mint(json!({})));
    const FOLDED: &[(&str, Fate)] = &[(REFERENCE, Passes(POST)), ("envoy-http", Passes(POST))];
    const ELSEWHERE: &[(&str, Fate)] = &[(REFERENCE, Refused(403)), ("envoy-http", Refused(403))];
    const REFUSED_BY_ENVOY: &[(&str, Fate)] = &[(REFERENCE, Rejected(400)), ("envoy-http", Rejected(400))];
    vec![
        alices("dots that lead to it", get("/blog/tenants/globex/../acme/posts/1"), Refused(400)).but(FOLDED),
        alices("encoded dots that lead to it", get("/blog/tenants/globex/%2e%2E/acme/posts/1"), Refused(400)).but(FOLDED),
        alices("dots that lead away", get("/blog/tenants/acme/../globex/posts/1"), Refused(400)).but(ELSEWHERE),
        alices("dots from what is public", get("/blog/health/../tenants/globex/posts/1"), Refused(400)).but(ELSEWHERE),
        alices("two slashes", get("/blog//tenants/acme/posts/1"), Refused(400)).but(FOLDED),
        alices("two slashes first", get("//blog/tenants/acme/posts/1"), Refused(400)).but(FOLDED),
        alices("an encoded slash", get("/blog/tenants/acme%2f..%2fglobex/posts/1"), Refused(400)).but(REFUSED_BY_ENVOY),
        alices("an encoded backslash", get("/blog/tenants/acme%5c..%5cglobex/posts/1"), Refused(400)).but(REFUSED_BY_ENVOY),
        alices("an encoded zero", get("/blog/files/a%00b"), Refused(400)).but(&[
            (REFERENCE, Rejected(400)),
            ("envoy-http", Rejected(400)),
            ("nginx", Rejected(400)),
        ]),
        alices("an encoded letter", get("/blog/%6de"), Refused(400)).but(&[
            (REFERENCE, Passes("/blog/me")),
            ("envoy-http", Passes("/blog/me")),
            ("traefik", Passes("/blog/me")),
        ]),
        alices("a parameter", get("/blog/health;x=y"), Refused(400)),
        alices("dots behind a parameter", get("/blog/health/..;/me"), Refused(400))
            .but(&[(REFERENCE, Passes("/blog/me")), ("envoy-http", Passes("/blog/me"))]),
        case("an encoded space where any name may be", get("/blog/files/a%20b"), Passes("/blog/files/a%20b")),
        alices("a slash at the end", get("/blog/me/"), Refused(403)),
        alices("other letters", get("/blog/ME"), Refused(403)),
        alices("a path in the query", get("/blog/nowhere?/../health"), Refused(403)),
    ]
}

/// Headers that say what is not so.
fn spoofs() -> Vec<Case> {
    let alice = token::mint(json!({}));
    let all = |request: Request| {
        let names = IdentityField::ALL.iter().map(|(_, _, name)| *name).chain(OVERRIDE_HEADERS);
        names.fold(request, |request, name| request.header(name, LIE))
    };
    let others_request = |request: Request| {
        request
            .header("x-original-method", "GET")
            .header("x-original-uri", "/blog/health")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", "/blog/health")
            .header("x-forwarded-host", "blog.localhost")
            .header("x-envoy-original-path", "/blog/health")
            .header("x-rewrite-url", "/blog/health")
    };
    // Envoy refuses names with underscores, nginx and Traefik take away whatever is an alias, and Caddy what it was told of.
    const ALL_UNDERSCORES: &[(&str, Fate)] = &[(REFERENCE, Rejected(400)), ("envoy-http", Rejected(400))];
    const ONE_UNDERSCORE: &[(&str, Fate)] = &[(REFERENCE, Rejected(400)), ("envoy-http", Rejected(400)), ("caddy", Refused(400))];
    const DOTS: &[(&str, Fate)] = &[("caddy", Refused(400))];
    vec![
        case("every header of ours, from nobody", all(Request::get("/blog/health")), Passes("/blog/health")),
        case("every header of ours, from somebody", all(Request::get(POST).token(&alice)), Passes(POST)).by(ALICE),
        case("every header of ours, and no token", all(Request::get(POST)), Refused(401)),
        case("twice", Request::get(POST).token(&alice).header("x-user-id", LIE).header("x-user-id", LIE), Passes(POST)).by(ALICE),
        case("in capitals", Request::get(POST).token(&alice).header("X-USER-ID", LIE), Passes(POST)).by(ALICE),
        case("with underscores", Request::get(POST).token(&alice).header("x_user_id", LIE), Passes(POST)).by(ALICE).but(ALL_UNDERSCORES),
        case("with one underscore", Request::get(POST).token(&alice).header("x-tenant_id", LIE), Passes(POST))
            .by(ALICE)
            .but(ONE_UNDERSCORE),
        case("with dots", Request::get(POST).token(&alice).header("x.user.id", LIE), Passes(POST)).by(ALICE).but(DOTS),
        case("with what else may be in a name", Request::get("/blog/health").header("x~tenant!id", LIE), Passes("/blog/health")).but(DOTS),
        case("an override with an underscore", Request::get("/blog/health").header("x_original-url", LIE), Passes("/blog/health"))
            .but(ONE_UNDERSCORE),
        case("another request in other dialects' words", others_request(Request::get(POST)), Refused(401)),
        case("the same with a token that does not fit", others_request(Request::new("DELETE", POST).token(&alice)), Refused(403)),
        case("the same with one that does", others_request(Request::get(POST).token(&alice)), Passes(POST)).by(ALICE),
        case(
            "a connection that names identity headers",
            Request::get(POST).token(&alice).header("connection", "x-user-id, x-tenant-id, x-user-roles"),
            Passes(POST),
        )
        .by(ALICE),
        case(
            "a connection that names what describes the request",
            Request::get(POST).header("connection", "x-forwarded-uri, x-forwarded-method, x-original-uri, x-real-ip, x-forwarded-for"),
            Refused(401),
        )
        .but(&[(REFERENCE, Rejected(400)), ("envoy-http", Rejected(400))]),
        case(
            "a connection that names the credential",
            Request::get(POST).token(&alice).header("connection", "authorization"),
            Passes(POST),
        )
        .by(ALICE)
        .but(&[(REFERENCE, Refused(401)), ("envoy-http", Refused(401)), ("traefik", Refused(401))]),
        case(
            "what Envoy may be told to take away",
            Request::get(POST).token(&alice).header("x-envoy-auth-headers-to-remove", "x-user-id"),
            Passes(POST),
        )
        .by(ALICE),
        case("a part of a body", Request::get(POST).token(&alice).header("x-envoy-auth-partial-body", "false"), Passes(POST)).by(ALICE),
    ]
}

/// Requests of other shapes.
fn shapes() -> Vec<Case> {
    let alice = token::mint(json!({}));
    let bearer = format!("Bearer {alice}");
    let long = (0..20).fold(Request::get(POST).token(&alice), |request, n| request.header(&format!("x-long-{n}"), "l".repeat(1000)));
    let headers = |most| (0..most).fold(Request::get("/blog/health"), |request, n| request.header(&format!("x-{n}"), "x"));
    const BY_ITSELF: Fate = Rejected(400);
    const ENVOY_REJECTS: &[(&str, Fate)] = &[(REFERENCE, Rejected(400)), ("envoy-http", Rejected(400))];
    // Envoy's files let nothing upgrade. Traefik says nothing of it when it asks, so its file routes no such request.
    const NO_UPGRADES: &[(&str, Fate)] = &[(REFERENCE, Rejected(403)), ("envoy-http", Rejected(403)), ("traefik", Rejected(404))];
    let upgrade = |request: Request| request.header("connection", "upgrade, x-user-id").header("upgrade", "websocket");
    vec![
        case("more headers than anybody has", headers(300), Rejected(431)).but(&[("nginx", Rejected(503))]),
        case("the same token twice", Request::get(POST).token(&alice).header("authorization", &bearer), Refused(401))
            .but(&[("nginx", Rejected(400))]),
        case("two tokens in one", Request::get(POST).header("authorization", format!("{bearer}, {bearer}")), Refused(401)),
        case("two hosts", Request::get("/blog/health").header("host", "localhost").header("host", "evil.test"), BY_ITSELF)
            .but(&[(REFERENCE, Rejected(404)), ("envoy-http", Rejected(404))]),
        case("an unknown host", Request::get("/blog/health").header("host", "evil.test"), Rejected(404))
            .but(&[("nginx", Rejected(421)), ("caddy", Rejected(421))]),
        case("a host with a port", Request::get(POST).header("host", "localhost:81").token(&alice), Passes(POST)).by(ALICE).but(&[]),
        case("another method", Request::new("HEAD", POST).token(&alice), Refused(403)),
        case("a method that may be, without a body in the answer", Request::new("HEAD", "/blog/profile"), Passes("/blog/profile")),
        case("a preflight", Request::new("OPTIONS", POST).header("origin", "https://evil.test"), Refused(403)),
        case("a method that nobody has", Request::new("BREW", POST).token(&alice), Refused(403)).but(ENVOY_REJECTS),
        case("a method in small letters", Request::new("get", POST).token(&alice), Refused(403)).but(&[
            (REFERENCE, Rejected(400)),
            ("envoy-http", Rejected(400)),
            ("nginx", Rejected(400)),
        ]),
        case(
            "a body that nobody judges",
            Request::new("POST", "/blog/profile").token(&alice).json(&json!({ "a": 1 })),
            Passes("/blog/profile"),
        )
        .by(ALICE),
        case(
            "a body that has to be judged",
            Request::new("PATCH", "/blog/profile").token(&alice).json(&json!({ "phone": 1 })),
            Refused(403),
        ),
        case("a long request", long, Passes(POST)).by(ALICE),
        case("another protocol", upgrade(Request::get(POST).token(&alice)), Refused(403)).but(NO_UPGRADES),
        case("another protocol that may be", upgrade(Request::get("/blog/socket")), Passes("/blog/socket")).but(NO_UPGRADES),
        case(
            "the session's end",
            Request::get("/blog/session").token(&token::mint(json!({ "auth_time": token::now() - 300 }))),
            Passes("/blog/session"),
        )
        .by(ALICE),
    ]
}

fn judge(case: &Case, proxy: &Proxy, answer: &Answer, reached: bool) -> Result<(), String> {
    let fate = case.fate_through(proxy);
    match fate {
        Passes(target) => {
            if answer.status != 200 || !reached {
                return Err(format!("{fate:?} expected"));
            }
            if answer.body.is_empty() {
                return Ok(()); // HEAD
            }
            let seen = Seen::of(answer);
            if seen.target != target {
                return Err(format!("the service got {}", seen.target));
            }
            sees(&seen, case.identity)?;
            let ends = answer.headers.get_all("x-session-ends-in").iter().count();
            // Traefik lets nobody but the service have a header of an answer that lets pass.
            if ends != usize::from(target == "/blog/session" && proxy.name != "traefik") {
                return Err(format!("{ends} x-session-ends-in"));
            }
        }
        Refused(_) | Rejected(_) if reached => return Err("it reached the service".into()),
        Rejected(status) if answer.status != status => return Err(format!("{status} expected")),
        Rejected(_) => {}
        Refused(status) => {
            if answer.status != status {
                return Err(format!("{status} expected"));
            }
            is_ours(case, proxy, answer)?;
        }
    }
    Ok(())
}

/// The service sees who it is, once each, and nothing that the client says of that.
fn sees(seen: &Seen, identity: &[(&str, &str)]) -> Result<(), String> {
    if let Some((name, _)) = seen.headers.iter().find(|(_, value)| value.contains(LIE)) {
        return Err(format!("the service got the client's '{name}'"));
    }
    for (_, _, ours) in IdentityField::ALL {
        let found: Vec<_> = seen.headers.iter().filter(|(name, _)| is_same_folded(name, ours)).map(|(_, value)| value.as_str()).collect();
        let expected: Vec<_> = identity.iter().filter(|(name, _)| *name == ours).map(|(_, value)| *value).collect();
        // What else there is to say of somebody depends on the token; of nobody there is nothing.
        let is_open = expected.is_empty() && !identity.is_empty();
        if found.len() > 1 || (!is_open && found != expected) || found.iter().any(|value| value.is_empty()) {
            return Err(format!("the service got {ours}: {found:?}"));
        }
        if ours == "x-portcullis-assertion" && found.is_empty() != identity.is_empty() {
            return Err(format!("the assertion: {found:?}"));
        }
    }
    Ok(())
}

/// A refusal is Portcullis' own, as far as the proxy can show it.
fn is_ours(case: &Case, proxy: &Proxy, answer: &Answer) -> Result<(), String> {
    let header = |name: &str| {
        let values: Vec<_> = answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
        values.join(" AND ")
    };
    if header("cache-control") != "no-store" {
        return Err("it may be kept by caches".into());
    }
    let challenge = header("www-authenticate");
    if challenge.starts_with("Bearer realm=\"tests\"") != [401, 403].contains(&answer.status) || challenge.contains(" AND ") {
        return Err(format!("the challenge: {challenge}"));
    }
    if case.name == "step-up" && !challenge.contains("insufficient_user_authentication") {
        return Err(format!("the challenge: {challenge}"));
    }
    let is_unavailable = answer.status == 503;
    if header("retry-after").parse::<u32>().is_ok() != is_unavailable {
        return Err(format!("retry-after: {}", header("retry-after")));
    }
    // Envoy takes a 5xx that it gets over HTTP for an error of Portcullis' and answers by itself.
    if answer.body.is_empty() && (is_unavailable && proxy.name == "envoy-http" || case.name == "another method") {
        return Ok(());
    }
    if header("content-type") != "application/problem+json" {
        return Err(format!("content-type: {}", header("content-type")));
    }
    let body = answer.json();
    let has_id = body["request_id"].as_str().is_some_and(|id| id.contains('-'));
    if body["status"] != answer.status || body["type"] != "about:blank" || !has_id {
        return Err("the body".into());
    }
    Ok(())
}
