//! The pod of the example, as it would run: its Envoy and its sidecar with the configurations that are in its ConfigMaps.

use std::fs;
use std::path::Path;

use portcullis::policy_test::keys;
use serde_json::json;

use super::example::file_of;
use crate::harness::envoy::{Envoy, Neighbours};
use crate::harness::http::{self, Request};
use crate::harness::mesh;
use crate::harness::sidecar::{Sidecar, edit};
use crate::harness::token;
use crate::harness::upstream::{Seen, Upstream};
use crate::harness::wait::{self, PATIENCE};

/// The sidecar's configuration, with keys that the test signs with in place of an identity service.
fn policy(folder: &Path) -> String {
    let key_set = keys::key_set(&[token::SECOND_KEY]).expect("a key");
    fs::write(folder.join("keys.json"), key_set.to_string()).expect("keys");
    let keys = format!("    jwks: {{ file: \"{}/keys.json\" }}", folder.display());
    let text = file_of("example", "portcullis", "portcullis.yaml");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("revocations:"));
    let text: String = lines.map(|line| if line.trim_start().starts_with("jwks:") { &keys } else { line }.to_owned() + "\n").collect();
    let text = edit(&text, "/run/portcullis/authz.sock]", &format!("{}/authz.sock, \"127.0.0.1:0\"]", folder.display()));
    let text = edit(&text, "0.0.0.0:9193", "127.0.0.1:0");
    edit(&edit(&text, "issuer: https://identity.example.com", &format!("issuer: {}", token::SECOND_ISSUER)), "[blog]", "[demo]")
}

/// Envoy's configuration, for these ports and this folder.
fn envoy(folder: &Path, upstream: u16) -> String {
    let text = file_of("example", "envoy", "envoy.yaml");
    let text = edit(&text, "0.0.0.0, port_value: 10000", "127.0.0.1, port_value: 0");
    let text = edit(&text, "port_value: 9501", &format!("port_value: {upstream}"));
    let text = edit(&text, "/run/portcullis/authz.sock", &folder.join("authz.sock").display().to_string());
    let text = edit(&text, "/run/envoy/admin.sock", &folder.join("envoy-admin.sock").display().to_string());
    // How busy this machine is, is not what is tested.
    edit(&edit(&text, "timeout: 0.1s\n", "timeout: 10s\n"), "timeout: 0.5s", "timeout: 5s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_is_guarded() {
    let folder = mesh::folder();
    let upstream = Upstream::start().await;
    let mut sidecar = Sidecar::start(folder.path(), &policy(folder.path())).await;
    sidecar.ready().await;
    let neighbours = Neighbours { authz: &sidecar.socket, upstream: upstream.address, identity: upstream.address };
    let envoy = Envoy::start(folder.path(), &neighbours, |_| envoy(folder.path(), upstream.address.port())).await;
    let get = |path: &str| Request::get(path).header("host", "blog.portcullis-example.svc");
    // Envoy lets nothing pass before its first health check of the sidecar.
    let feed = get("/blog/feed");
    wait::until_true("the feed", PATIENCE, async || http::send(envoy.address, &feed).await.status == 200).await;

    let reader = token::mint_second(json!({ "permissions": ["blog:posts.read"] }));
    let stranger = token::mint_second(json!({ "permissions": ["blog:posts.write"] }));
    let forged = token::forge(json!({ "permissions": ["blog:posts.read"] }));
    let rows = [
        ("a public route", get("/blog/feed"), 200),
        ("a public route, spoofed", get("/blog/feed").header("x-user-id", "root"), 200),
        ("without a token", get("/blog/posts"), 401),
        ("with the permission", get("/blog/posts").token(&reader), 200),
        ("with the permission, spoofed", get("/blog/posts").token(&reader).header("x-user-id", "root"), 200),
        ("by the name that the world knows", Request::get("/blog/posts").header("host", "blog.example.com:80").token(&reader), 200),
        ("without the permission", get("/blog/posts").token(&stranger), 403),
        ("with a forged token", get("/blog/posts").token(&forged), 401),
        ("what no route names", get("/blog/drafts").token(&reader), 403),
        ("what is not the service's", get("/other").token(&reader), 403),
        ("dots", get("/blog/feed/../posts"), 401),
        ("encoded dots", get("/blog/feed/%2e%2e/posts"), 401),
        ("an encoded slash", get("/blog%2Fposts").token(&reader), 400),
        ("two slashes", get("//blog//posts"), 401),
        ("another method", Request::new("POST", "/blog/posts").header("host", "blog").token(&reader), 403),
        ("another host", Request::get("/blog/feed").header("host", "evil.example.com"), 404),
    ];
    for (what, request, status) in &rows {
        let answer = http::send(envoy.address, request).await;
        assert_eq!(answer.status, *status, "{what}: {}", answer.text());
        if *status == 200 {
            let expected: &[&str] = if what.contains("route") { &[] } else { &["alice"] };
            assert_eq!(Seen::of(&answer).values("x-user-id"), expected, "{what}");
        }
    }
    println!("{} requests through the example's Envoy", rows.len() + 1);

    sidecar.process.kill();
    assert_eq!(http::send(envoy.address, &get("/blog/posts").token(&reader)).await.status, 503);
}
