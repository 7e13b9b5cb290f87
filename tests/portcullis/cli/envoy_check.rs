//! `portcullis check --envoy`, as a person or a script meets it, and with a real Envoy.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use portcullis::config::{Configuration, SourceFile};
use portcullis::envoy_check::{Needs, Severity, known_fields};
use serde_json::{Value, json};

use super::{err, good, out, portcullis};
use crate::harness::envoy::{Envoy, Neighbours, find_envoy};
use crate::harness::http::{Connection, Request};
use crate::harness::mesh;
use crate::harness::process::{command, programs};
use crate::harness::sidecar::edit;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn of_ours(name: &str) -> PathBuf {
    root().join("tests/portcullis/cli/envoy_check").join(name)
}

fn shipped() -> String {
    fs::read_to_string(root().join("envoy/sidecar.yaml")).expect("envoy/sidecar.yaml")
}

/// A file with the shipped configuration, edited.
fn edited(folder: &Path, from: &str, to: &str) -> PathBuf {
    let path = folder.join("envoy.yaml");
    fs::write(&path, edit(&shipped(), from, to)).expect("a file");
    path
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_str(&out(output)).unwrap_or_else(|error| panic!("{error}\n{}\n{}", out(output), err(output)))
}

/// The codes of all findings that count at least so much.
fn codes(report: &Value, least: Severity) -> BTreeSet<String> {
    let counts =
        |severity: &str| [Severity::Note, Severity::Warning, Severity::Error].iter().any(|s| *s >= least && s.as_str() == severity);
    let findings = report["envoy"]["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter(|finding| counts(finding["severity"].as_str().unwrap()))
        .map(|finding| finding["code"].as_str().unwrap().into())
        .collect()
}

#[test]
fn a_bad_configuration_is_told_as_it_always_was() {
    let output =
        command(programs::portcullis()).current_dir(of_ours("")).args(["check", "--envoy", "bad.yaml"]).output().expect("portcullis runs");
    assert_eq!((output.status.code(), err(&output)), (Some(1), String::new()));
    let golden = fs::read_to_string(of_ours("bad.txt")).expect("bad.txt");
    assert_eq!(out(&output), golden, "if that is meant: write this to tests/portcullis/cli/envoy_check/bad.txt");
}

#[test]
fn the_bad_configuration_is_one_that_envoy_takes() {
    let folder = mesh::folder();
    let output = command(&find_envoy(root()))
        .args(["--mode", "validate", "--disable-hot-restart", "-c"])
        .arg(of_ours("bad.yaml"))
        .current_dir(folder.path())
        .output()
        .expect("Envoy runs");
    assert!(output.status.success(), "{}", err(&output));
}

#[test]
fn what_is_shipped_passes_with_strict() {
    let output = portcullis(["check", "--strict", "--envoy", root().join("envoy/sidecar.yaml").to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    assert_eq!(out(&output).lines().count(), 1, "{}", out(&output));
    assert!(out(&output).contains("1 listener, 1 HTTP connection manager, 1 ext_authz, 4 routes: 0 errors, 0 warnings, 0 notes"));
}

#[test]
fn warnings_fail_only_with_strict_and_what_is_accepted_does_not() {
    let folder = mesh::folder();
    let path = edited(folder.path(), "merge_slashes: true", "merge_slashes: false");
    let run = |more: &[&str]| portcullis(["check", "--envoy", path.to_str().unwrap()].iter().chain(more));
    assert_eq!(run(&[]).status.code(), Some(0));
    assert_eq!(run(&["--strict"]).status.code(), Some(1));
    assert_eq!(run(&["--strict", "--accept", "merge-slashes=ingress"]).status.code(), Some(0));
    let other = run(&["--strict", "--accept", "merge-slashes=another"]);
    assert_eq!(other.status.code(), Some(1));
    assert_eq!(err(&other), "note: --accept merge-slashes=another: nothing of that was found\n");
    let report = json(&run(&["--json", "--strict"]));
    assert_eq!((&report["valid"], &report["envoy"]["passes"], &report["envoy"]["warnings"]), (&false.into(), &false.into(), &1.into()));
    let finding = &report["envoy"]["findings"][0];
    for (field, value) in [("code", "merge-slashes"), ("severity", "warning"), ("subject", "ingress"), ("file", path.to_str().unwrap())] {
        assert_eq!(finding[field], value, "{finding}");
    }
    assert!(finding["at"].as_str().unwrap().starts_with("static_resources.listeners[0].filter_chains[0]"), "{finding}");
}

#[test]
fn a_file_that_is_not_there_or_no_configuration_is_named() {
    let folder = mesh::folder();
    let missing = folder.path().join("missing.yaml");
    for (path, message) in [(missing.as_path(), "No such file"), (folder.path(), "directory")] {
        let output = portcullis([Path::new("check"), Path::new("--envoy"), path]);
        assert_eq!(output.status.code(), Some(1));
        let said = out(&output);
        assert!(said.starts_with(&path.display().to_string()) && said.contains(message) && said.contains("[unreadable]"), "{said}");
    }
    let of_ours = good(folder.path());
    let output = portcullis([Path::new("check"), Path::new("--envoy"), &of_ours]);
    assert!(output.status.code() == Some(1) && out(&output).contains("this is no Envoy configuration"), "{}", out(&output));
}

#[test]
fn both_configurations_are_checked_and_compared() {
    let folder = mesh::folder();
    let config = good(folder.path());
    let envoy = edited(folder.path(), "failure_mode_allow: false", "failure_mode_allow: true");
    let check =
        |config: &Path, envoy: &Path| json(&portcullis([Path::new("check"), config, Path::new("--json"), Path::new("--envoy"), envoy]));
    let report = check(&config, &envoy);
    assert_eq!((&report["valid"], &report["problems"]), (&false.into(), &Value::Array(vec![])));
    assert!(report["revision"].is_string() && codes(&report, Severity::Error).contains("failure-mode-allow"), "{report:#}");
    // The configuration of the tests listens on a socket of its own.
    assert!(codes(&report, Severity::Warning).contains("authorizer-address"), "{report:#}");

    fs::write(&config, "routes: 5\n").expect("a file");
    let report = check(&config, &root().join("envoy/sidecar.yaml"));
    assert_eq!((&report["valid"], &report["envoy"]["passes"]), (&false.into(), &true.into()));
    assert!(!report["problems"].as_array().unwrap().is_empty());
}

#[test]
fn a_configuration_says_what_it_needs() {
    let text = "\
listen: { grpc: [\"unix:/run/portcullis/authz.sock\", 127.0.0.1:9191] }
issuers:
  manager:
    issuer: https://id.example.com
    audiences: [shop]
    jwks: { url: \"https://id.example.com/keys\" }
    claims: { tenant: tenant, roles: roles }
directory: { url: \"https://id.example.com/v1/directory\", deadline: 300ms }
limits: { message_bytes: 64KiB, request_timeout: 5s }
permissions: { syntax: \"resource:action\" }
roles: { clerk: { permissions: [\"orders:read\"] } }
routes:
  - { path: /orders, name: orders, tenant: { header: x-tenant }, methods: { POST: { permission: \"orders:read\", body: { only: [note] } } } }
  - { path: /health, name: health, methods: { GET: { access: public } } }
";
    let file = SourceFile { name: "portcullis.yaml".into(), text: text.into() };
    let configuration = Configuration::compile(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
    let needs = Needs::of(&configuration);
    assert_eq!(needs.directory_deadline, Some(std::time::Duration::from_millis(300)));
    assert_eq!((needs.audit_deadline, needs.request_timeout.as_secs(), needs.message_bytes), (None, 5, 65_536));
    assert_eq!((needs.sockets, needs.ports), (vec!["/run/portcullis/authz.sock".to_string()], vec![9191]));
    assert_eq!(needs.body_routes.iter().map(|name| &**name).collect::<Vec<_>>(), ["orders"]);
    assert_eq!(needs.headers.iter().map(|name| &**name).collect::<Vec<_>>(), ["x-tenant"]);
    assert!(needs.identity_headers.iter().any(|name| &**name == "x-user-id"));

    let folder = mesh::folder();
    let config = folder.path().join("portcullis.yaml");
    fs::write(&config, text).expect("a file");
    let envoy = root().join("envoy/sidecar.yaml");
    let report = json(&portcullis([Path::new("check"), &config, Path::new("--json"), Path::new("--envoy"), &envoy]));
    let expected: BTreeSet<String> = ["body-not-sent", "directory-deadline"].map(String::from).into();
    assert_eq!(codes(&report, Severity::Note), expected, "{report:#}");
}

/// A message with every field that is known of it: `null` is absence, but for the names, which Envoy has to know.
fn with_all_fields(message: &str, mut content: Value, told: &mut BTreeSet<String>) -> Value {
    let (_, fields) = known_fields().find(|(name, _)| *name == message).unwrap_or_else(|| panic!("no fields of {message} are known"));
    let members = content.as_object_mut().expect("a message");
    for field in fields {
        members.entry(*field).or_insert(Value::Null);
    }
    told.insert(message.to_string());
    content
}

#[test]
fn the_fields_that_are_known_are_those_of_envoy() {
    let filter = |kind: &str| format!("type.googleapis.com/envoy.extensions.filters.{kind}");
    let mut told = BTreeSet::new();
    let mut all = |message: &str, content: Value| with_all_fields(message, content, &mut told);
    let envoy_grpc = all("EnvoyGrpc", json!({ "cluster_name": "app" }));
    let grpc = all("GrpcService", json!({ "envoy_grpc": envoy_grpc }));
    let server = json!({ "uri": "http://app", "cluster": "app", "timeout": "1s" });
    let http_service = all("HttpService", json!({ "server_uri": server }));
    let settings = all("CheckSettings", json!({ "http_service": http_service }));
    let per_route = all("ExtAuthzPerRoute", json!({ "@type": filter("http.ext_authz.v3.ExtAuthzPerRoute"), "check_settings": settings }));
    let config = all("FilterConfig", json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": per_route }));
    let authz = all("ExtAuthz", json!({ "@type": filter("http.ext_authz.v3.ExtAuthz"), "grpc_service": grpc }));
    let authz = all("HttpFilter", json!({ "name": "authz", "typed_config": authz }));
    let router = json!({ "name": "router", "typed_config": { "@type": filter("http.router.v3.Router") } });
    let action = all("RouteAction", json!({ "cluster": "app" }));
    let route = all("Route", json!({ "match": { "prefix": "/" }, "route": action, "typed_per_filter_config": { "authz": config } }));
    let host = all("VirtualHost", json!({ "name": "app", "domains": ["app"], "routes": [route] }));
    let manager = json!({ "@type": filter("network.http_connection_manager.v3.HttpConnectionManager"), "stat_prefix": "x",
        "http_filters": [authz, router], "route_config": { "virtual_hosts": [host] } });
    let manager = all("HttpConnectionManager", manager);
    let network = json!({ "@type": filter("network.ext_authz.v3.ExtAuthz"), "stat_prefix": "x",
        "grpc_service": { "envoy_grpc": { "cluster_name": "app" } } });
    let network = all("ExtAuthz (network)", network);
    let filters = json!([{ "name": "authz", "typed_config": network }, { "name": "http", "typed_config": manager }]);
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 10000 } });
    let configuration = json!({ "static_resources": {
        "listeners": [{ "name": "x", "address": address, "filter_chains": [{ "filters": filters }] }],
        "clusters": [{ "name": "app", "type": "STATIC", "load_assignment": { "cluster_name": "app" } }] } });
    let known: BTreeSet<String> = known_fields().map(|(name, _)| name.to_string()).collect();
    assert_eq!(told, known, "every message is shown to Envoy");
    let folder = mesh::folder();
    let path = folder.path().join("all.json");
    let validate = |configuration: &Value| {
        fs::write(&path, configuration.to_string()).expect("a file");
        let mut envoy = command(&find_envoy(root()));
        envoy
            .args(["--mode", "validate", "--disable-hot-restart", "-c"])
            .arg(&path)
            .current_dir(folder.path())
            .output()
            .expect("Envoy runs")
    };
    let output = validate(&configuration);
    assert!(output.status.success(), "{}", err(&output));
    let mut unknown = configuration;
    unknown["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][1]["typed_config"]["no_such_field"] = Value::Null;
    let output = validate(&unknown);
    assert!(!output.status.success() && err(&output).contains("no_such_field"), "{}", err(&output));
}

/// What a running Envoy says of its configuration.
async fn dump(folder: &Path) -> Vec<u8> {
    let admin = folder.join("envoy-admin.sock");
    let mut connection = Connection::open_unix(&admin).await.expect("the admin interface");
    let answer = connection.send(&Request::get("/config_dump")).await.expect("an answer");
    assert_eq!(answer.status, 200);
    answer.body.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dump_of_a_running_envoy_says_the_same_as_its_file() {
    let somewhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    for (from, to, code) in [
        ("failure_mode_allow: false", "failure_mode_allow: yes", Some("failure-mode-allow")),
        ("failure_mode_allow: false", "failureModeAllow: \"t\"", Some("failure-mode-allow")),
        ("merge_slashes: true", "mergeSlashes: off", Some("merge-slashes")),
        ("transport_api_version: V3", "transport_api_version: v3", None),
    ] {
        let folder = mesh::folder();
        let neighbours = Neighbours { authz: &folder.path().join("authz.sock"), upstream: somewhere, identity: somewhere };
        let _envoy = Envoy::start(folder.path(), &neighbours, |text| edit(&text, from, to)).await;
        let check = |path: &Path| portcullis([Path::new("check"), Path::new("--json"), Path::new("--envoy"), path]);
        let from_file = codes(&json(&check(&folder.path().join("envoy.yaml"))), Severity::Note);
        let dumped = folder.path().join("dump.json");
        fs::write(&dumped, dump(folder.path()).await).expect("a file");
        let report = json(&check(&dumped));
        assert_eq!(codes(&report, Severity::Note), from_file, "{to}: {report:#}");
        assert_eq!((&report["envoy"]["managers"], &report["envoy"]["routes"]), (&1.into(), &4.into()));
        assert!(code.is_none_or(|code| from_file.contains(code)), "{to}: {from_file:?}");
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = command(programs::portcullis())
        .args(["check", "--envoy", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("portcullis runs");
    child.stdin.take().expect("standard input").write_all(shipped().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success() && out(&output).starts_with("standard input: 1 listener"), "{}", out(&output));
}
