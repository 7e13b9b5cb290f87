//! Files that are no Envoy configurations, and all forms of those that are.

use serde_json::{Value, json};

use super::*;

/// The one finding about a file that cannot be looked at.
fn refused(content: &[u8]) -> Finding {
    let report = check_with(content, None);
    assert!(!report.passes(false));
    let [finding] = report.findings.as_slice() else { panic!("{}\n{}", String::from_utf8_lossy(content), report.text(Style::default())) };
    assert_eq!(finding.kind.code, "unreadable");
    finding.clone()
}

#[test]
fn a_file_that_is_no_configuration_is_refused_with_what_is_wrong() {
    let deep_flow = format!("static_resources: {}", "[".repeat(5_000));
    let deep_block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let mut ladder = "a0: &a0 [x]\n".to_string();
    for level in 1..200 {
        ladder += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let cases: Vec<(&[u8], &str, usize)> = vec![
        (b"", "this file is empty", 0),
        (b"# nothing but a comment\n", "this file is empty", 0),
        (b"~", "this file is empty", 0),
        (b"\xff\xfe\x00\x01", "this is not UTF-8", 1),
        (b"admin:\n  x: \xe9\n", "this is not UTF-8", 2),
        (b"admin: [", "neither YAML nor JSON", 2),
        (b"{\"admin\": {}", "neither YAML nor JSON", 2),
        (b"admin: {}\nadmin: {}\n", "'admin' is there twice", 2),
        (b"admin: {}\n---\nadmin: {}\n", "a second document begins here", 2),
        (b"x: &x { a: 1 }\nadmin: { <<: *x }\n", "merge key", 2),
        (b"admin: &x [*x]\n", "this alias stands inside of what it stands for", 1),
        (b"[admin]: x\n", "this name of a member is no text", 1),
        (b"hello", "it must be a mapping", 1),
        (b"- admin", "it must be a mapping", 1),
        (b"{}", "it has nothing at its top", 1),
        (b"listen: {}\nissuers: {}\nroutes: []\n", "it has 'listen', 'issuers', 'routes' at its top", 1),
        (b"apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\n", "this is a resource of Kubernetes", 1),
        (b"admin: {}\n", "there is no listener in it", 1),
        (b"configs: []\n", "there is no listener in it", 1),
        (deep_flow.as_bytes(), "nested deeper than 128 levels", 1),
        (deep_block.as_bytes(), "nested deeper than 128 levels", 129),
        (bomb.as_bytes(), "with all aliases followed, this is more than", 7),
        (ladder.as_bytes(), "nested deeper than 128 levels", 128),
    ];
    for (content, message, line) in cases {
        let finding = refused(content);
        assert!(finding.message.contains(message), "{message}: {}", finding.message);
        assert_eq!(finding.location.line, line, "{}", finding.message);
    }
    let huge = vec![b' '; MAX_BYTES + 1];
    assert!(refused(&huge).message.contains("no more than 64 are read"));
    let gone = EnvoyFile { name: "gone.yaml".into(), content: Err("no such file".into()) };
    let report = check(&[gone], None);
    assert_eq!((report.findings[0].location.to_string(), report.findings[0].message.as_str()), ("gone.yaml".into(), "no such file"));
}

#[test]
fn a_value_of_a_wrong_type_is_said_and_not_guessed() {
    for (from, to, message) in [
        ("failure_mode_allow: false", "failure_mode_allow: perhaps", "'failure_mode_allow' must be true or false, and it is 'perhaps'"),
        ("failure_mode_allow: false", "failure_mode_allow: [true]", "must be true or false, and it is a list"),
        ("failure_mode_allow: false", "failure_mode_allow: 1", "must be true or false, and it is '1'"),
        ("failure_mode_allow: false", "failure_mode_allow: \"off\"", "must be true or false, and it is 'off'"),
        ("failure_mode_allow: false", "failure_mode_allow: false\n                      failureModeAllow: true", "once more"),
        ("timeout: 0.1s\n                      failure", "timeout: 100ms\n                      failure", "a span of time, such as '0.1s'"),
        ("timeout: 0.1s\n                      failure", "timeout: -1s\n                      failure", "a span of time, such as '0.1s'"),
        ("timeout: 0.1s\n                      failure", "timeout: infs\n                      failure", "a span of time, such as '0.1s'"),
        ("xff_num_trusted_hops: 0", "xff_num_trusted_hops: many", "must be a number, and it is 'many'"),
        ("transport_api_version: V3", "transport_api_version: V4", "must be one of AUTO, V2, V3, and it is 'V4'"),
        ("domains: [localhost, 127.0.0.1, \"[::1]\", blog.localhost, chatbot.localhost]", "domains: localhost", "'domains' must be a list"),
        (
            "admin:\n  address: { pipe: { path: /run/portcullis/envoy-admin.sock, mode: 0600 } }",
            "admin: 5",
            "must be a mapping, and it is '5'",
        ),
    ] {
        let report = checked(&edit(&sidecar(), from, to));
        assert_eq!(codes(&report), [(Severity::Error, "wrong-type")], "{to}\n{}", report.text(Style::default()));
        assert!(report.findings[0].message.contains(message), "{to}: {}", report.findings[0].message);
    }
    for text in [
        "static_resources: 5",
        "static_resources: { listeners: {} }",
        "static_resources: { listeners: [5] }",
        "configs: 1",
        "resources: [1]",
    ] {
        assert!(!checked(text).passes(false), "{text}");
    }
}

/// A bad configuration as a tree, to be written in other forms.
fn bad() -> Value {
    json!({ "static_resources": {
        "listeners": [{ "name": "in", "filter_chains": [{ "filters": [{ "name": "hcm", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "http_filters": [{ "name": "authz", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                "failure_mode_allow": true, "grpc_service": { "timeout": "20s", "envoy_grpc": { "cluster_name": "nowhere" } },
            } }],
            "route_config": { "name": "r", "virtual_hosts": [{ "name": "v", "domains": ["*"], "routes": [{
                "match": { "prefix": "/open" }, "route": { "cluster": "c" }, "typed_per_filter_config": { "authz": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": true } },
            }] }] },
        } }] }] }],
        "clusters": [{ "name": "c" }],
    } })
}

const EXPECTED: [&str; 5] = ["any-domain", "authorizer-missing", "check-disabled", "failure-mode-allow", "timeout-long"];

fn has_expected(report: &Report) {
    let found: Vec<&str> = codes(report).into_iter().map(|(_, code)| code).collect();
    for code in EXPECTED {
        assert!(found.contains(&code), "{code}\n{}", report.text(Style::default()));
    }
}

/// Names in lowerCamelCase, but for those that are no fields.
fn camel(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let mut upper = false;
                let camel: String = name
                    .chars()
                    .filter_map(|c| match c {
                        '_' => {
                            upper = true;
                            None
                        }
                        c => Some(if std::mem::take(&mut upper) { c.to_ascii_uppercase() } else { c }),
                    })
                    .collect();
                (camel, self::camel(value))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(camel).collect(),
        other => other.clone(),
    }
}

#[test]
fn json_yaml_and_both_spellings_of_names_are_one_configuration() {
    let pretty = format!("{:#}", bad());
    let report = checked(&pretty);
    has_expected(&report);
    let compact = checked(&bad().to_string());
    let with_tabs = checked(&pretty.replace("  ", "\t"));
    let camel = checked(&format!("{:#}", camel(&bad())));
    let with_mark = check_with(format!("\u{feff}{pretty}").as_bytes(), None);
    for other in [&compact, &with_tabs, &camel, &with_mark] {
        assert_eq!(codes(other), codes(&report), "{}", other.text(Style::default()));
    }
}

#[test]
fn json_may_write_characters_in_halves() {
    let listener = r#"{ "name": "a\ud83d\ude00\\ud83d \u00e9\/b", "traffic_direction": "OUTBOUND" }"#;
    let report = checked(&format!("{{ \"static_resources\": {{ \"listeners\": [{listener}] }} }}"));
    assert_eq!(report.findings[0].subject, "a😀\\ud83d é/b");
    let broken = r#"{ "static_resources": { "listeners": [{ "name": "\ud83d\u0041" }] } }"#;
    assert_eq!(refused(broken.as_bytes()).location.line, 1);
}

#[test]
fn anchors_stand_for_what_they_name() {
    let text = edit(&sidecar(), "failure_mode_allow: false", "failure_mode_allow: &on true\n                      shadow_mode: *on");
    assert_eq!(codes(&checked(&text)), [(Severity::Error, "failure-mode-allow"), (Severity::Error, "shadow-mode")]);
}

fn dump() -> Value {
    let listener = bad()["static_resources"]["listeners"][0].clone();
    let mut through_rds = listener.clone();
    let manager = &mut through_rds["filter_chains"][0]["filters"][0]["typed_config"];
    let mut routes = manager["route_config"].take();
    manager["rds"] = json!({ "route_config_name": "r" });
    manager.as_object_mut().unwrap().remove("route_config");
    routes["@type"] = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration".into();
    json!({ "configs": [
        { "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
          "bootstrap": { "admin": { "address": { "socket_address": { "address": "0.0.0.0", "port_value": 1 } } },
                         "dynamic_resources": { "lds_config": {}, "cds_config": {} } } },
        { "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [{ "cluster": { "name": "c" } }] },
        { "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
          "dynamic_listeners": [{ "name": "in", "active_state": { "listener": through_rds } }] },
        { "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": [{ "route_config": routes }] },
        { "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump" },
    ] })
}

#[test]
fn a_dump_shows_what_came_from_elsewhere() {
    let report = checked(&format!("{:#}", dump()));
    has_expected(&report);
    let found: Vec<&str> = codes(&report).into_iter().map(|(_, code)| code).collect();
    assert!(found.contains(&"admin-exposed") && !found.contains(&"not-seen"), "{found:?}");
}

#[test]
fn what_is_not_in_the_files_is_said_not_to_be_seen() {
    let mut dump = dump();
    dump["configs"].as_array_mut().unwrap().retain(|part| !part["@type"].as_str().unwrap().contains("RoutesConfigDump"));
    let report = checked(&dump.to_string());
    let unseen: Vec<&Finding> = report.findings.iter().filter(|finding| finding.kind.code == "not-seen").collect();
    assert!(unseen.len() == 1 && unseen[0].message.contains("RDS 'r'"), "{unseen:?}");
    assert!(report.findings.iter().all(|finding| finding.kind.code != "check-disabled"));
}

#[test]
fn several_files_count_as_one() {
    let dump = dump();
    let file = |name: &str, content: Value| EnvoyFile { name: name.into(), content: Ok(content.to_string().into_bytes()) };
    let mut listener = dump["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"].clone();
    listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
    let lds = file("lds.json", json!({ "version_info": "1", "resources": [listener] }));
    let routes = dump["configs"][3]["dynamic_route_configs"][0]["route_config"].clone();
    let wrapped = json!({ "@type": "type.googleapis.com/envoy.service.discovery.v3.Resource", "name": "r", "resource": routes });
    let rds = file("rds.json", json!({ "resources": [wrapped] }));
    let clusters = file("static.json", json!({ "static_resources": { "clusters": [{ "name": "c" }] } }));
    let report = check(&[lds, rds, clusters], None);
    has_expected(&report);
    let disabled = report.findings.iter().find(|finding| finding.kind.code == "check-disabled").unwrap();
    assert_eq!(&*disabled.location.file, "rds.json");
}

#[test]
fn filters_that_are_configured_apart_are_found_in_a_dump() {
    let mut dump = dump();
    let manager =
        &mut dump["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]["filter_chains"][0]["filters"][0]["typed_config"];
    let config = manager["http_filters"][0]["typed_config"].take();
    manager["http_filters"][0] = json!({ "name": "authz", "config_discovery": { "type_urls": [config["@type"]] } });
    let report = checked(&dump.to_string());
    assert!(report.findings.iter().any(|finding| finding.kind.code == "not-seen" && finding.message.contains("ECDS")));
    assert!(report.findings.iter().all(|finding| finding.kind.code != "no-ext-authz"), "it may be there");
    dump["configs"].as_array_mut().unwrap().push(json!({
        "@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump",
        "ecds_filters": [{ "ecds_filter": { "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                                            "name": "authz", "typed_config": config } }],
    }));
    has_expected(&checked(&dump.to_string()));
}

#[test]
fn routes_of_scopes_and_of_matchers_are_looked_at() {
    let mut scoped = bad();
    let manager = &mut scoped["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let routes = manager["route_config"].take();
    manager.as_object_mut().unwrap().remove("route_config");
    manager["scoped_routes"] =
        json!({ "scoped_route_configurations_list": { "scoped_route_configurations": [{ "route_configuration": routes }] } });
    has_expected(&checked(&scoped.to_string()));
    let mut matched = bad();
    let host = &mut matched["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        [0];
    let mut route = host["routes"][0].take();
    host.as_object_mut().unwrap().remove("routes");
    route["@type"] = "type.googleapis.com/envoy.config.route.v3.Route".into();
    host["matcher"] = json!({ "matcher_list": { "matchers": [{ "on_match": { "action": { "name": "r", "typed_config": route } } }] } });
    has_expected(&checked(&matched.to_string()));
}

#[test]
fn what_is_wrapped_in_a_typed_struct_is_looked_at() {
    let text = sidecar().replace(
        "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "\"@type\": type.googleapis.com/udpa.type.v1.TypedStruct\n                      type_url: type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua\n                      value: {}",
    );
    assert_eq!(codes(&checked(&text)), [(Severity::Warning, "rewrites-behind-check")]);
}
