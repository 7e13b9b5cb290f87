//! What `docs/kubernetes.md` tells people to type.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use axum::extract::{Query, State};
use axum::http::Uri;
use axum::{Json, Router};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::kustomize;

pub(super) fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes.md")).expect("the page")
}

/// The commands of the page.
pub(super) fn blocks(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("a block")).collect()
}

#[test]
fn every_folder_is_on_the_page_and_every_file_that_it_names_is_there() {
    let (page, root) = (page(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for folder in super::KUSTOMIZATIONS.iter().chain(&["self-signed"]) {
        let name = format!("`{folder}`");
        assert!(table.iter().any(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(&name))), "{folder} has no row");
    }
    let words = page.split(|c: char| c.is_whitespace() || "()`".contains(c));
    for path in words.filter(|word| word.starts_with("deploy/kubernetes/")) {
        assert!(root.join(path).exists(), "there is no {path}");
    }
}

/// An API server that knows some namespaces and their pods.
async fn answer(State(pods): State<HashMap<&'static str, Value>>, uri: Uri, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get", "list"] });
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    Json(match path[..] {
        ["version"] => json!({ "major": "1", "minor": "32", "gitVersion": "v1.32.0" }),
        ["api"] => json!({ "kind": "APIVersions", "versions": ["v1"] }),
        ["apis"] => json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] }),
        ["api", "v1"] => json!({
            "kind": "APIResourceList", "groupVersion": "v1",
            "resources": [resource("namespaces", "Namespace", false), resource("pods", "Pod", true)],
        }),
        ["api", "v1", "namespaces"] => {
            assert_eq!(query["labelSelector"], "portcullis.dev/inject,portcullis.dev/inject!=false");
            let items: Vec<Value> =
                pods.keys().map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })).collect();
            json!({ "kind": "NamespaceList", "apiVersion": "v1", "items": items })
        }
        ["api", "v1", "namespaces", namespace, "pods"] => json!({ "kind": "PodList", "apiVersion": "v1", "items": pods[namespace] }),
        _ => panic!("{uri}"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_run_without_a_sidecar_are_found() {
    let pod = |namespace: &str, name: &str, first: &[&str], containers: &[&str]| {
        let named = |names: &[&str]| names.iter().map(|name| json!({ "name": name, "image": "a" })).collect::<Vec<_>>();
        let mut spec = json!({ "containers": named(containers) });
        if !first.is_empty() {
            spec["initContainers"] = named(first).into();
        }
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace }, "spec": spec })
    };
    let shop = json!([
        pod("shop", "native", &["portcullis", "migrate"], &["envoy", "app"]),
        pod("shop", "plain", &[], &["portcullis", "envoy"]),
        pod("shop", "alike", &["portcullis-setup"], &["app-portcullis", "not portcullis!"]),
        pod("shop", "without", &[], &["envoy", "app"]),
    ]);
    // The namespace's own name is no container's.
    let other = json!([pod("portcullis", "portcullis", &["migrate"], &["app"])]);
    let pods = HashMap::from([("shop", shop), ("portcullis", other)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer).with_state(pods)).await });

    let home = TempDir::new().expect("a folder");
    let configuration = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a", "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
        "clusters": [{ "name": "a", "cluster": { "server": format!("http://{address}") } }], "users": [{ "name": "a", "user": {} }],
    });
    fs::write(home.path().join("config"), configuration.to_string()).expect("a file");
    let page = page();
    let command = blocks(&page).into_iter().find(|block| block.contains("jsonpath")).expect("the command").to_string();
    let mut shell = Command::new("sh");
    shell.args(["-ec", &command]).env("HOME", home.path()).env("KUBECONFIG", home.path().join("config")).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || shell.output().expect("sh")).await.expect("it ends");
    server.abort();
    let mut found: Vec<String> = String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_string).collect();
    found.sort();
    assert_eq!(found, ["portcullis/portcullis", "shop/alike", "shop/without"], "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_right_that_is_bound_is_the_one_that_is_shipped() {
    let page = page();
    let bound = page.split("--clusterrole=").nth(1).expect("a command").split_whitespace().next().expect("a name");
    kustomize::named(&kustomize::shipped("break-glass"), "ClusterRole", bound);
}
