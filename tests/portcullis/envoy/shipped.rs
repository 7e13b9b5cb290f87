//! The configurations of `envoy/`: each is good as it is shipped, is as hardened as the first one, is named in the documentation, and is
//! started and walked through with the real sidecar.

mod bodies;
mod edge;
mod grpc;
mod mtls;
mod off_switch;
mod sidecar;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::pdp::obligation::{IdentityField, OVERRIDE_HEADERS};
use serde_json::Value;

use crate::harness::authority::Authority;
use crate::harness::envoy::{SIDECAR, find_envoy, meant_to_be_replaced, without_comments};
use crate::harness::mesh;
use crate::harness::process::command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of `envoy/`, as `envoy/NAME.yaml`.
fn files() -> Vec<String> {
    let entries = fs::read_dir(root().join("envoy")).expect("envoy/").map(|entry| entry.expect("an entry").file_name());
    let mut files: Vec<String> = entries.map(|name| format!("envoy/{}", name.to_str().expect("a name"))).collect();
    files.sort();
    assert!(files.len() >= 7 && files.iter().all(|file| file.ends_with(".yaml")), "{files:?}");
    files
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn parse(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn envoy_takes_each_file_as_it_is() {
    let folder = mesh::folder();
    let tls = folder.path().join("tls");
    fs::create_dir(&tls).expect("a folder");
    let authority = Authority::new();
    authority.for_host("localhost").write(&tls.join("tls.crt"), &tls.join("tls.key"));
    authority.write(&tls.join("ca.crt"));
    for file in files() {
        let config = folder.path().join("envoy.yaml");
        fs::write(&config, read(&file).replace("/etc/envoy/tls", &tls.display().to_string())).expect("a file");
        let mut envoy = command(&find_envoy(root()));
        let output = envoy.args(["--mode", "validate", "--disable-hot-restart", "-c"]).arg(&config).output().expect("Envoy runs");
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A text substitution that is meant to change one value changes one.
#[test]
fn what_is_meant_to_be_replaced_stands_once_and_no_port_or_path_is_left_out() {
    for file in files() {
        let shipped = read(&file);
        let (text, values) = (without_comments(&shipped), meant_to_be_replaced(&shipped));
        assert!(values.len() >= 5, "{file} lists {values:?}");
        for value in &values {
            assert_eq!(text.matches(value.as_str()).count(), 1, "{file}: {value} outside of comments");
        }
        let unlisted = |line: &&str| !values.iter().any(|value| line.contains(value.as_str()));
        let left_out: Vec<&str> =
            text.lines().filter(|line| line.contains("port_value") || line.contains("path: /run")).filter(unlisted).collect();
        assert!(left_out.is_empty(), "{file} does not say that this may be replaced: {left_out:?}");
    }
}

#[test]
fn each_file_is_explained_listed_and_walked_through() {
    let (page, readme, tests) = (read("docs/envoy.md"), read("README.md"), test_sources(&root().join("tests/portcullis")));
    for file in files() {
        assert!(page.contains(&format!("(../{file})")), "docs/envoy.md does not explain {file}");
        assert!(readme.contains(&format!("({file})")), "README.md does not list {file}");
        assert!(tests.contains(&format!("\"{file}\"")), "no test walks through {file}");
    }
}

/// All tests but these here, which name files and walk through none.
fn test_sources(folder: &Path) -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| !path.ends_with("envoy/shipped.rs"));
    paths.sort();
    let source = |path: &PathBuf| match path.is_dir() {
        true => test_sources(path),
        false => String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned(),
    };
    paths.iter().map(source).collect()
}

/// What is asked for and is not there, by path.
fn lacking(expected: &Value, got: &Value, path: &str) -> Vec<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let each = expected.iter().map(|(key, value)| lacking(value, got.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}")));
            each.flatten().collect()
        }
        (expected, got) if expected == got => Vec::new(),
        (expected, got) => vec![format!("{path} is {got} and not {expected}")],
    }
}

/// The filter of this name in a list.
fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let found = list.as_array().into_iter().flatten().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {name} in {list}"))
}

/// What stands in the first file for safety's sake, without what differs between files: their services.
fn safety(config: &Value) -> Value {
    let resources = &config["static_resources"];
    let mut listener = named(&resources["listeners"], "ingress").clone();
    let mut manager = listener["filter_chains"][0]["filters"][0]["typed_config"].clone();
    let filter = named(&manager["http_filters"], "envoy.filters.http.ext_authz")["typed_config"].clone();
    let log = manager["access_log"][0]["typed_config"]["log_format"]["json_format"].clone();
    for part in ["http_filters", "route_config", "access_log"] {
        manager[part] = Value::Null;
    }
    listener["filter_chains"] = Value::Null;
    listener["address"] = Value::Null;
    let mut cluster = named(&resources["clusters"], "authz").clone();
    cluster["load_assignment"] = Value::Null;
    serde_json::json!({
        "admin": config["admin"], "connections": config["overload_manager"]["resource_monitors"][0],
        "listener": listener, "manager": manager, "filter": filter, "log": log, "authz": cluster,
    })
}

#[test]
fn each_file_is_as_hardened_as_the_first_one() {
    // What differs on purpose; the file says why.
    let expected = [
        ("envoy/bodies.yaml", ".listener.per_connection_buffer_limit_bytes is 65536 and not 32768"),
        ("envoy/grpc.yaml", ".manager.request_timeout is \"0s\" and not \"60s\""),
    ];
    let first = safety(&parse(SIDECAR));
    for file in files().iter().filter(|file| *file != "envoy/http.yaml") {
        let differences = lacking(&first, &safety(&parse(file)), "");
        let expected: Vec<&str> = expected.iter().filter(|(other, _)| other == file).map(|(_, difference)| *difference).collect();
        assert_eq!(differences, expected, "{file}");
    }
}

/// Where Portcullis is not asked, Envoy takes away what Portcullis would have.
#[test]
fn the_route_without_a_check_takes_away_every_header_that_a_check_would() {
    let config = parse("envoy/off-switch.yaml");
    let manager = &named(&config["static_resources"]["listeners"], "ingress")["filter_chains"][0]["filters"][0]["typed_config"];
    let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array().expect("routes");
    let without: Vec<&Value> = routes.iter().filter(|route| !route["typed_per_filter_config"].is_null()).collect();
    let [route] = without[..] else { panic!("{} routes without a check", without.len()) };
    let names = OVERRIDE_HEADERS.iter().copied().chain(IdentityField::ALL.map(|(_, _, header)| header));
    for name in names.chain(["authorization", "cookie"]) {
        assert!(route["request_headers_to_remove"].as_array().expect("a list").contains(&name.into()), "{name} stays");
    }
}
