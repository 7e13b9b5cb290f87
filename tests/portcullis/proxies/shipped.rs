//! The files that we ship for proxies name every header that has to be named.

use std::fs;

use portcullis::pdp::obligation::{IdentityField, OVERRIDE_HEADERS};

use super::programs::root;

/// The lines of a file that are no comments, in lower case.
fn lines(path: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().map(|line| line.trim().to_lowercase());
    lines.filter(|line| !line.starts_with('#')).collect()
}

fn identity() -> impl Iterator<Item = &'static str> {
    IdentityField::ALL.iter().map(|(_, _, name)| *name)
}

/// Of each header, what has to stand in a file.
fn holds<'n>(path: &str, names: impl Iterator<Item = &'n str>, wanted: impl Fn(&str) -> Vec<String>) {
    let lines = lines(path);
    let missing: Vec<String> = names.flat_map(&wanted).filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty(), "{path} lacks:\n{}", missing.join("\n"));
}

/// nginx's name for the header of an answer.
fn variable(name: &str) -> String {
    format!("$authz_{}", name.trim_start_matches("x-").replace('-', "_"))
}

#[test]
fn nginx_sets_or_takes_away_every_header_of_ours() {
    holds("deploy/nginx/portcullis-headers.conf", identity(), |name| vec![format!("proxy_set_header {name} {};", variable(name))]);
    holds("deploy/nginx/portcullis-headers.conf", OVERRIDE_HEADERS.into_iter(), |name| vec![format!("proxy_set_header {name} \"\";")]);
    holds("deploy/nginx/portcullis.conf", identity(), |name| {
        vec![format!("auth_request_set {} $upstream_http_{};", variable(name), name.replace('-', "_"))]
    });
}

#[test]
fn caddy_takes_away_every_header_of_ours_and_sets_those_that_are_there() {
    let path = "deploy/caddy/Caddyfile";
    holds(path, OVERRIDE_HEADERS.into_iter(), |name| vec![format!("request_header -{name}")]);
    holds(path, identity(), |name| {
        let matcher = name.trim_start_matches("x-").replace('-', "_");
        vec![
            format!("request_header -{name}"),
            format!("request_header -{}", name.replace('-', "_")),
            format!("@{matcher} not vars {{rp.header.{name}}} \"\" \"<nil>\""),
            format!("request_header @{matcher} {name} {{rp.header.{name}}}"),
        ]
    });
}

#[test]
fn traefik_takes_away_every_header_of_ours() {
    let path = "deploy/traefik/dynamic.yaml";
    holds(path, OVERRIDE_HEADERS.into_iter(), |name| vec![format!("- {name}")]);
    holds(path, identity(), |name| vec![format!("- {name}"), format!("- {}", name.replace('-', "_"))]);
}

#[test]
fn envoy_lets_every_header_of_ours_through_to_the_service() {
    holds("envoy/http.yaml", identity(), |name| vec![format!("- exact: {name}")]);
}
