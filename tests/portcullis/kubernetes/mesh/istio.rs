//! Our provider and our policy in Istio's own form, through the real Envoy.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::istiod::{add_tcp_listener, configure, inbound, rules};
use super::walk::{self, Expected, POST};
use super::{cluster, connection_manager, document, documents, parse_envoy, read};
use crate::harness::envoy::{Envoy, Neighbours};
use crate::harness::http::{self, Request};
use crate::harness::mesh::{self, Mesh};
use crate::harness::ports;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::upstream::Seen;
use crate::harness::wait::PATIENCE;

/// With our policy as changed.
async fn start(name: &'static str, entry: &'static str, policy: impl FnOnce(&mut Value), routes: &'static str, tcp: Option<u16>) -> Mesh {
    let mut authorization = document(POLICY);
    policy(&mut authorization);
    let grpc = ports::pick();
    let builder = Mesh::builder().policy(move |text| {
        let text = edit(&text, "127.0.0.1:0]", &format!("127.0.0.1:{grpc}]"));
        edit(&text, "\nroutes:\n", &format!("\n{routes}"))
    });
    let change = move |text: String| {
        let mut config = parse_envoy(&text);
        configure(&mut config, name, entry, &authorization, grpc);
        if let Some(port) = tcp {
            add_tcp_listener(&mut config, name, &authorization, port);
        }
        config.to_string()
    };
    builder.envoy(change).start().await
}

/// Sends something over a connection to a port that carries no HTTP, and gives what comes back until its end.
pub async fn over_tcp(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // It is closed, or torn down.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the end of the connection");
    answer
}

pub const POLICY: &str = "deploy/istio/workload/authorization-policy.yaml";
pub const UNIX: &str = "deploy/istio/mesh/service-entry-unix.yaml";
const LOCALHOST: &str = "deploy/istio/mesh/service-entry-localhost.yaml";

/// No routes besides the usual ones.
const USUAL: &str = "routes:\n";

/// What Istio leaves to Portcullis.
const EXPECTED: Expected = Expected { refuses_underscores: false, refuses_escaped_slashes: false, two_hosts: 400 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_form_over_the_socket_lets_pass_and_refuses_as_ours_does() {
    let port = ports::pick();
    let mut mesh = start("portcullis-unix", UNIX, |_| {}, USUAL, Some(port)).await;
    let mut requests = walk::through(&mesh, EXPECTED).await;

    // A connection that carries no request of HTTP, or one that nobody recognized as such.
    let served = mesh.upstream.served();
    for bytes in [&b"\x00\x01\x02"[..], b"GET /blog/health HTTP/1.1\r\nhost: a\r\n\r\n"] {
        assert_eq!(over_tcp(port, bytes).await, b"");
        requests += 1;
    }
    assert_eq!(mesh.upstream.served(), served, "a connection got through");

    requests += walk::without_sidecar(&mut mesh).await;
    println!("{requests} requests through Istio's form, over the socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_form_over_loopback_lets_pass_and_refuses_as_ours_does() {
    let mut mesh = start("portcullis-localhost", LOCALHOST, |_| {}, USUAL, None).await;
    let requests = walk::through(&mesh, EXPECTED).await + walk::without_sidecar(&mut mesh).await;
    println!("{requests} requests through Istio's form, over loopback");
}

/// A waypoint has no pod beside it: it asks the central Portcullis, over the network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_waypoints_policy_has_everything_asked_about() {
    let policy = |policy: &mut Value| *policy = document("deploy/istio/waypoint/authorization-policy.yaml");
    let mut mesh = start("portcullis-central", LOCALHOST, policy, USUAL, None).await;
    let requests = walk::through(&mesh, EXPECTED).await + walk::without_sidecar(&mut mesh).await;
    println!("{requests} requests through Istio's form, with the waypoint's policy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_form_with_bodies_judges_whole_ones_and_lets_others_pass_where_nobody_judges() {
    const ROUTES: &str = "\
routes:
  - { path: /blog/profile, methods: { PATCH: { access: authenticated, body: { only: [avatar] } } } }
  - { path: /blog/free, methods: { POST: { access: authenticated } } }
";
    let mesh = start("portcullis-unix-body", UNIX, |_| {}, ROUTES, None).await;
    let long = "a".repeat(100_000);
    for (method, path, body, status) in [
        ("PATCH", "/blog/profile", json!({ "avatar": "a.png" }), 200),
        ("PATCH", "/blog/profile", json!({ "avatar": "a.png", "role": "admin" }), 403),
        ("PATCH", "/blog/profile", json!({ "avatar": long }), 403),
        ("POST", "/blog/free", json!({ "anything": long }), 200),
    ] {
        let request = Request::new(method, path).token(&token::mint_second(json!({}))).json(&body);
        assert_eq!(mesh.send(&request).await.status, status, "{method} {path}");
    }
}

/// The trap that the policy warns of, and what to do instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_istio_leaves_out_lets_a_client_say_who_it_is_and_a_public_route_does_not() {
    let leave_out = |policy: &mut Value| policy["spec"]["rules"][0]["to"][0]["operation"]["notPaths"] = json!(["/blog/me"]);
    let mesh = start("portcullis-unix", UNIX, leave_out, USUAL, None).await;
    let spoofed = |path: &str| Request::get(path).header("x-user-id", "root");
    let seen = Seen::of(&mesh.send(&spoofed("/blog/me")).await);
    assert_eq!(seen.identity(), [("x-user-id", "root")], "nobody was asked");
    assert_eq!(Seen::of(&mesh.send(&spoofed("/blog/health")).await).identity(), []);
    assert_eq!(mesh.send(&Request::get(POST)).await.status, 401);
    // Other spellings of what is left out are judged as what they are.
    assert_eq!(mesh.send(&Request::get("/blog/me/")).await.status, 403);
}

/// A connection is asked about when its first byte arrives: a server that speaks first has spoken by then, and hears nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_speaks_first_says_its_greeting_and_hears_nothing() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (here, port) = (server.local_addr().expect("an address").port(), ports::pick());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.expect("a connection");
        stream.write_all(b"220 ready").await.expect("sent");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let change = move |text: String| {
        let mut config = parse_envoy(&text);
        let policy = document(POLICY);
        configure(&mut config, "portcullis-unix", UNIX, &policy, 0);
        add_tcp_listener(&mut config, "portcullis-unix", &policy, port);
        config["static_resources"]["listeners"][1]["filter_chains"][0]["filters"][2]["typed_config"]["cluster"] = json!("chatbot");
        let endpoint = &mut cluster(&mut config, "chatbot")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        endpoint["address"]["socket_address"]["port_value"] = json!(here);
        config.to_string()
    };
    let _mesh = Mesh::builder().envoy(change).start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    let mut greeting = [0; 9];
    stream.read_exact(&mut greeting).await.expect("a greeting");
    stream.write_all(b"HELO client").await.expect("sent");
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the end of the connection");
    assert_eq!((&greeting[..], &rest[..]), (&b"220 ready"[..], &b""[..]));
    assert_eq!(heard.await.expect("the server's task"), b"");
}

/// What Istio does with a policy whose provider it does not know (`getBadCustomDenyRules`), and how it looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_not_there_refuses_everything_in_words_of_envoys() {
    let mesh = Mesh::start().await;
    let change = |text: String| {
        let mut config = parse_envoy(&text);
        inbound(&mut config);
        let deny = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": rules(&document(POLICY), "nobody", false) });
        let filters = connection_manager(&mut config)["http_filters"].as_array_mut().expect("filters");
        filters.insert(0, json!({ "name": "envoy.filters.http.rbac", "typed_config": deny }));
        config.to_string()
    };
    let neighbours = Neighbours { authz: &mesh.sidecar.socket, upstream: mesh.upstream.address, identity: mesh.identity.address };
    let folder = mesh::folder();
    let envoy = Envoy::start(folder.path(), &neighbours, change).await;
    let answer = http::send(envoy.address, &Request::get("/blog/health")).await;
    assert_eq!((answer.status, answer.text().as_str()), (403, "RBAC: access denied"));
    assert!(read("docs/mesh.md").contains("`RBAC: access denied`"));
}

#[test]
fn the_policy_says_what_it_leaves_out_and_names_the_trap() {
    let text = read(POLICY);
    assert!(text.contains("notPaths") && text.contains("x-user-id"));
    let operation = &documents(&text)[0]["spec"]["rules"][0]["to"][0]["operation"];
    assert_eq!(operation, &json!({ "notPorts": ["9193"] }), "only the sidecar's own metrics are left out");
}
