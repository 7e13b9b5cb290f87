//! An edge: TLS, several hosts, the redirect, and who the client is behind something that forwards.

use std::path::Path;

use rcgen::SanType;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::walk::{self, DORA, Row, dora, spoofed, walked};
use crate::envoy::POST;
use crate::harness::authority::Authority;
use crate::harness::client_hello::{HANDSHAKE_FAILURE, PROTOCOL_VERSION, Reaction, offer};
use crate::harness::door::Door;
use crate::harness::http::Request;
use crate::harness::mesh::{self, Mesh};
use crate::harness::sidecar::edit;
use crate::harness::wait::{self, PATIENCE};

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

/// A folder with a certificate for all hosts.
fn folder(authority: &Authority) -> TempDir {
    let folder = mesh::folder();
    std::fs::create_dir(folder.path().join("tls")).expect("a folder");
    certify(authority, folder.path());
    folder
}

/// Moves a new certificate and its key to where Envoy reads them.
fn certify(authority: &Authority, folder: &Path) {
    let names = [BLOG, CHATBOT, ID].map(|name| SanType::DnsName(name.try_into().expect("a name")));
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.join(name));
    authority.issue_with(names.to_vec(), |_| ()).write(&certificate, &key);
    for file in [key, certificate] {
        std::fs::rename(&file, folder.join("tls").join(file.file_name().expect("a name"))).expect("moved");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge() {
    let authority = Authority::new();
    let door = Door::tls(BLOG, &authority, None);
    let http2 = door.clone().http2();
    let builder = Mesh::builder().file(FILE, door).folder(folder(&authority)).policy(|text| policy(&text));
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
        Row::refused(
            "a client's claim before a proxy's",
            forwarded("/blog/behind-a-proxy", "203.0.113.7, 198.51.100.9"),
            403,
            "network_not_allowed",
        ),
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

/// What `docs/envoy.md` says of clients that come through something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_behind_something_that_forwards() {
    let authority = Authority::new();
    let start = async |envoy: fn(String) -> String| {
        let builder = Mesh::builder().file(FILE, Door::tls(BLOG, &authority, None)).folder(folder(&authority));
        builder.policy(|text| policy(&text)).envoy(envoy).start().await
    };
    let claim = |path: &str| Request::get(path).header("x-forwarded-for", "203.0.113.7");

    let mesh = start(|text| edit(&text, "xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1")).await;
    let answer = mesh.send(&claim("/blog/behind-a-proxy")).await;
    assert_eq!((answer.status, &mesh.envoy.log_entry(&answer).await["client"]), (200, &"203.0.113.7".into()));
    assert_eq!(mesh.send(&claim("/blog/by-connection")).await.status, 403, "the connection is the proxy's");
    drop(mesh);

    // A balancer that says at the beginning of each connection whose it is. A client's own header counts for nothing. (Connections
    // without it are let in for the question by which the tests wait for Envoy.)
    let mesh = start(|text| {
        let filter = "      listener_filters:\n        - name: envoy.filters.listener.proxy_protocol\n          typed_config:\n            \
                      \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol\n            \
                      allow_requests_without_proxy_protocol: true\n";
        text.replacen("      per_connection_buffer", &format!("{filter}      per_connection_buffer"), 1)
    })
    .await;
    for (client, status) in [("203.0.113.7", 200), ("198.51.100.9", 403)] {
        let mut stream = TcpStream::connect(mesh.envoy.address).await.expect("a connection");
        stream.write_all(format!("PROXY TCP4 {client} 192.0.2.1 50000 443\r\n").as_bytes()).await.expect("said");
        let answer = mesh.door.over(stream).await.expect("TLS").send(&claim("/blog/by-connection")).await.expect("an answer");
        assert_eq!((answer.status, &mesh.envoy.log_entry(&answer).await["client"]), (status, &client.into()));
    }
}

/// The blocks of YAML in the page's section about certificates.
fn snippets() -> [String; 2] {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/envoy.md")).expect("docs/envoy.md");
    let section = page.split("### Certificates that change").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let blocks: Vec<String> = section.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_string())).collect();
    blocks.try_into().expect("two blocks")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_up_without_a_restart() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let here = |text: &str| text.replace("/etc/envoy/tls", &folder.path().join("tls").display().to_string());
    let [source, secret] = snippets();
    std::fs::write(folder.path().join("tls/certificate.yaml"), here(&secret)).expect("a file");
    let indented: String = here(&source).lines().map(|line| format!("{}{line}\n", " ".repeat(16))).collect();
    let builder = Mesh::builder().file(FILE, Door::tls(BLOG, &authority, None)).policy(|text| policy(&text));
    let path = folder.path().to_path_buf();
    let builder = builder.folder(folder).envoy(move |text| {
        let (before, rest) = text.split_once("                tls_certificates:\n").expect("certificates");
        let (_, rest) = rest.split_once("tls.key }\n").expect("their end");
        format!("{before}{indented}{rest}")
    });
    let mesh = builder.start().await;

    let other = Authority::new();
    let new = Door::tls(BLOG, &other, None);
    assert!(new.connect(mesh.envoy.address).await.is_err(), "it shows what it began with");
    certify(&other, &path);
    wait::until_true("the new certificate", PATIENCE, async || new.connect(mesh.envoy.address).await.is_ok()).await;
    assert_eq!(mesh.send_by(&new, &Request::get("/blog/health")).await.status, 200);
}
