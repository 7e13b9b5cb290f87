//! An edge: TLS, several hosts, the redirect, and who the client is behind something that forwards.

use rcgen::SanType;

use super::walk::{self, DORA, Row, dora, spoofed, walked};
use crate::envoy::POST;
use crate::harness::authority::Authority;
use crate::harness::client_hello::{HANDSHAKE_FAILURE, PROTOCOL_VERSION, Reaction, offer};
use crate::harness::door::Door;
use crate::harness::http::Request;
use crate::harness::mesh::{self, Mesh};
use crate::harness::sidecar::edit;

const FILE: &str = "envoy/edge.yaml";
const BLOG: &str = "blog.example.com";
const CHATBOT: &str = "chatbot.example.com";
const ID: &str = "id.example.com";

/// From one network alone: by the connection, and by what a trusted proxy and Envoy appended.
const NETWORKS: &str = "\
routes:
  - { path: /blog/by-connection, networks: { allow: [203.0.113.0/24] }, methods: { GET: { access: public } } }
  - path: /blog/behind-a-proxy
    networks: { allow: [203.0.113.0/24], client: { header: x-forwarded-for, trusted_hops: 2 } }
    methods: { GET: { access: public } }
";

/// The usual policy with what stands in the file: each service has its host.
fn policy(text: &str) -> String {
    let text = walk::policy(text, NETWORKS);
    edit(&text, "  - { path: /v1/login,", &format!("  - {{ hosts: [{ID}], path: /v1/login,"))
        .replace("  - path: /blog/", &format!("  - hosts: [{BLOG}]\n    path: /blog/"))
        .replace("  - path: /chatbot/", &format!("  - hosts: [{CHATBOT}]\n    path: /chatbot/"))
}

/// Only in plain text is there a port without TLS, and nothing behind it.
async fn redirect(mesh: &Mesh) -> usize {
    let door = Door::plain(BLOG);
    let address = mesh.envoy.listener("redirect");
    let rows = [
        ("a browser", Request::get("/blog/health?a=b"), 308, Some("https://blog.example.com/blog/health?a=b")),
        ("another service", Request::get("/").header("host", CHATBOT), 308, Some("https://chatbot.example.com/")),
        ("with a port", Request::new("HEAD", "/").header("host", "blog.example.com:80"), 308, Some("https://blog.example.com/")),
        ("an unknown host", Request::get("/").header("host", "evil.test"), 404, None),
        ("a token in plain text", Request::get(POST).token(&dora()), 403, None),
        ("a program", Request::new("POST", POST), 403, None),
        ("another site by its path", Request::get("//evil.test/"), 308, Some("https://blog.example.com/evil.test/")),
    ];
    let (served, decided) = (mesh.upstream.served(), mesh.sidecar.metrics().await.decisions());
    for (name, request, status, location) in &rows {
        let answer = door.try_send(address, request).await.expect("an answer");
        assert_eq!((answer.status, answer.header("location")), (*status, *location), "{name}");
    }
    assert_eq!((mesh.upstream.served(), mesh.sidecar.metrics().await.decisions()), (served, decided));
    rows.len()
}

/// Which clients Envoy talks to at all.
async fn tls(mesh: &Mesh, authority: &Authority) -> usize {
    const ECDHE_ECDSA_AES128_GCM: u16 = 0xc02b;
    const ECDHE_ECDSA_AES128_CBC: u16 = 0xc009;
    let rows = [
        ("SSL 3", 0x0300, ECDHE_ECDSA_AES128_CBC, Reaction::Alert(PROTOCOL_VERSION)),
        ("TLS 1.0", 0x0301, ECDHE_ECDSA_AES128_CBC, Reaction::Alert(PROTOCOL_VERSION)),
        ("TLS 1.1", 0x0302, ECDHE_ECDSA_AES128_CBC, Reaction::Alert(PROTOCOL_VERSION)),
        ("TLS 1.2 without authenticated encryption", 0x0303, ECDHE_ECDSA_AES128_CBC, Reaction::Alert(HANDSHAKE_FAILURE)),
        ("TLS 1.2 without forward secrecy", 0x0303, 0x009c, Reaction::Alert(HANDSHAKE_FAILURE)),
        ("TLS 1.2 as it should be", 0x0303, ECDHE_ECDSA_AES128_GCM, Reaction::ServerHello),
    ];
    for (name, version, suite, reaction) in &rows {
        assert_eq!(&offer(mesh.envoy.address, BLOG, *version, *suite).await, reaction, "{name}");
    }
    for (version, name) in [(&rustls::version::TLS12, "TLSv1.2"), (&rustls::version::TLS13, "TLSv1.3")] {
        let answer = mesh.send_by(&Door::tls_with(BLOG, authority, None, &[version]), &Request::get("/blog/health")).await;
        assert_eq!((answer.status, &mesh.envoy.log_entry(&answer).await["tls"]), (200, &name.into()));
    }
    rows.len() + 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge() {
    let authority = Authority::new();
    let folder = mesh::folder();
    let tls_folder = folder.path().join("tls");
    std::fs::create_dir(&tls_folder).expect("a folder");
    let names = [BLOG, CHATBOT, ID].map(|name| SanType::DnsName(name.try_into().expect("a name")));
    authority.issue_with(names.to_vec(), |_| ()).write(&tls_folder.join("tls.crt"), &tls_folder.join("tls.key"));

    let door = Door::tls(BLOG, &authority, None);
    let http2 = door.clone().http2();
    let builder = Mesh::builder().file(FILE, door).folder(folder).policy(|text| policy(&text));
    let mut mesh = builder.start().await;

    let mut rows = walk::usual();
    let get = |path: &str| Request::get(path).token(&dora());
    let forwarded = |path: &str, list: &str| Request::get(path).header("x-forwarded-for", list);
    rows.extend([
        Row::alone("two hosts", get(POST).header("host", "blog.example.com,evil.test"), 404),
        Row::refused("a path of the blog at another service", get(POST).header("host", CHATBOT), 403, "route_not_found"),
        Row::refused("the log-in at another service", Request::new("POST", "/v1/login"), 403, "route_not_found"),
        Row::refused("nothing but the log-in at the identity service", get(POST).header("host", ID), 403, "route_not_found"),
        Row::passes("another spelling of the host", get(POST).header("host", "BLOG.example.com.:443"), "allowed", &DORA),
        Row::passes("HTTP/2", spoofed(get(POST)), "allowed", &DORA).by(&http2),
        Row::passes("HTTP/2, dots", get("/blog/tenants/globex/../acme/posts/1"), "allowed", &DORA).seen_as(POST).by(&http2),
        Row::refused("HTTP/2, another tenant behind dots", get("/blog/tenants/acme/%2e%2e/globex/posts/1"), 403, "tenant_mismatch")
            .by(&http2),
        Row::refused("HTTP/2, no token", spoofed(Request::get(POST)), 401, "credential_missing").by(&http2),
        Row::refused("HTTP/2, two tokens", get(POST).token(&dora()), 401, "credential_repeated").by(&http2),
        Row::alone("HTTP/2, an escaped slash", get("/blog/tenants/acme%2fposts/1"), 400).by(&http2),
        Row::alone("HTTP/2, an unknown host", get(POST).header("host", "evil.test"), 404).by(&http2),
        Row::refused("a network that a client claims", forwarded("/blog/by-connection", "203.0.113.7"), 403, "network_not_allowed"),
        Row::passes("a network that a proxy names", forwarded("/blog/behind-a-proxy", "203.0.113.7"), "public", &[]),
        Row::refused("a client's claim before a proxy's", forwarded("/blog/behind-a-proxy", "203.0.113.7, 198.51.100.9"), 403, "network_not_allowed"),
        Row::refused("nobody's word", Request::get("/blog/behind-a-proxy"), 403, "network_not_allowed"),
    ]);
    let everywhere = [("strict-transport-security", "max-age=31536000")];
    let mut count = walk::walk(&mesh, &everywhere, &rows).await;
    count += walk::log_in(&mesh, Some(ID)).await;
    count += redirect(&mesh).await;
    count += tls(&mesh, &authority).await;
    count += walk::without_sidecar(&mut mesh, &rows).await;
    walked(FILE, count);
}
