//! Which part of the program may know of which other, enforced on the source itself.
//!
//! A rule is about a module and everything below it. Tests are free: they may put together what the program keeps apart.

mod paths;

use std::path::{Path, PathBuf};

/// What a module must not name.
struct Rule {
    module: &'static str,
    /// Paths that must not be named. `tokio` is a crate, `crate::config` a module of ours, and `*::Instant::now` the end of a path.
    never: &'static [&'static str],
    /// If there are any: the only modules of ours that may be named.
    only: &'static [&'static str],
}

const RULES: &[Rule] = &[
    // The decision core is a pure function: no runtime, no wire, no files, no environment, no clock.
    Rule {
        module: "pdp",
        never: &[
            "tokio",
            "tonic",
            "prost",
            "envoy_types",
            "hyper",
            "hyper_util",
            "http",
            "axum",
            "saphyr",
            "clap",
            "tracing",
            "prometheus",
            "notify",
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "std::io",
            "*::SystemTime",
            "*::Instant::now",
            "*::TcpStream",
            "*::UnixStream",
        ],
        only: &["crate::pdp"],
    },
    // One direction within it: request → credential → token → revocation → principal → route → policy.
    Rule { module: "pdp::credential", never: &["crate::pdp::token", "crate::pdp::policy"], only: &[] },
    Rule { module: "pdp::token", never: &["crate::pdp::policy", "crate::pdp::route", "crate::pdp::request"], only: &[] },
    Rule { module: "pdp::revocation", never: &["crate::pdp::policy", "crate::pdp::route"], only: &[] },
    Rule { module: "pdp::principal", never: &["crate::pdp::policy", "crate::pdp::request"], only: &[] },
    Rule { module: "pdp::permission", never: &[], only: &["crate::pdp::permission"] },
    Rule { module: "pdp::json", never: &[], only: &["crate::pdp::json"] },
    Rule { module: "pdp::path", never: &[], only: &["crate::pdp::path"] },
    Rule { module: "pdp::tenant", never: &[], only: &["crate::pdp::tenant"] },
    Rule { module: "pdp::route", never: &["crate::pdp::policy", "crate::pdp::token", "crate::pdp::credential"], only: &[] },
    Rule { module: "pdp::policy", never: &["crate::pdp::token", "crate::pdp::credential"], only: &[] },
    // A language of its own: what it reads of a request is handed to it.
    Rule {
        module: "pdp::policy::condition::expression",
        never: &[],
        only: &["crate::pdp::policy::condition::expression", "crate::pdp::json", "crate::pdp::time"],
    },
    // Configuration is text and what it compiles to; it neither fetches nor serves.
    Rule {
        module: "config",
        never: &["tokio", "tonic", "hyper", "std::net::TcpListener", "std::env"],
        only: &["crate::config", "crate::pdp"],
    },
    // Only `compile` knows the schema and the snapshot both.
    Rule { module: "config::schema", never: &["crate::pdp::snapshot", "crate::pdp::policy", "crate::pdp::role"], only: &[] },
    Rule { module: "config::yaml", never: &["crate::pdp"], only: &[] },
    // What is said of an Envoy configuration comes from its text alone.
    Rule {
        module: "envoy_check",
        never: &["tokio", "tonic", "hyper", "envoy_types", "std::fs", "std::env", "std::process", "std::net::TcpStream"],
        only: &["crate::envoy_check", "crate::config", "crate::pdp"],
    },
    Rule { module: "envoy_check::tree", never: &[], only: &["crate::envoy_check::tree"] },
    // Refreshers feed the state and know nothing of who asks.
    Rule { module: "pip", never: &["crate::ext_authz", "crate::admin", "crate::server", "crate::cli", "tonic", "envoy_types"], only: &[] },
    Rule { module: "pip::http_client", never: &[], only: &["crate::pip::http_client", "crate::pip::disk"] },
    // What is kept on disk is told of by those who pull it, and knows none of them.
    Rule {
        module: "pip::warm_start",
        never: &["http", "hyper"],
        only: &["crate::pip::warm_start", "crate::clock", "crate::config", "crate::pdp", "crate::state", "crate::telemetry"],
    },
    Rule { module: "pip::config_file", never: &[], only: &["crate::pip::config_file"] },
    // What a check loads; others fill it.
    Rule {
        module: "state",
        never: &["crate::config", "crate::pip", "crate::ext_authz", "crate::admin", "crate::server", "crate::cli", "tonic", "hyper"],
        only: &[],
    },
    Rule { module: "assertion", never: &["tokio", "tonic", "envoy_types", "std::fs"], only: &["crate::pdp"] },
    Rule { module: "clock", never: &[], only: &["crate::pdp::time"] },
    // Of a decision, metrics and logs see its codes.
    Rule { module: "telemetry", never: &[], only: &["crate::telemetry", "crate::pdp::decision"] },
    Rule { module: "ext_authz", never: &["crate::config", "crate::pip", "crate::admin", "crate::server", "crate::cli"], only: &[] },
    // Over HTTP, too, checks go the one way: what asks for them knows neither how they are decided nor Envoy's messages.
    Rule {
        module: "http_authz",
        never: &["tokio", "tonic", "prost", "hyper", "envoy_types"],
        only: &["crate::http_authz", "crate::ext_authz"],
    },
    // The audit trail is told of checks by whoever answers them, and knows nobody else.
    Rule {
        module: "audit",
        never: &["tonic", "hyper", "envoy_types", "std::env", "std::process"],
        only: &["crate::audit", "crate::clock", "crate::config", "crate::pdp"],
    },
    // What walks a trail has no business with those who write it.
    Rule { module: "audit::verify", never: &["tokio"], only: &["crate::audit"] },
    Rule { module: "admin", never: &["crate::config", "crate::pip", "crate::ext_authz", "crate::cli"], only: &[] },
    // Policy tests decide on what they were given: like the core they talk to nobody, and they take the policy from its text.
    Rule {
        module: "policy_test",
        never: &["tokio", "tonic", "hyper", "std::fs", "std::env", "std::process", "*::Instant::now"],
        only: &["crate::policy_test", "crate::config", "crate::pdp"],
    },
    Rule { module: "server", never: &["crate::cli"], only: &[] },
    // The webhook is a program of its own that borrows a few parts. It has no policy and decides nothing about requests.
    Rule {
        module: "webhook",
        never: &["tonic", "envoy_types", "std::env"],
        only: &[
            "crate::webhook",
            "crate::clock",
            "crate::inject",
            "crate::pdp::time",
            "crate::pip::disk",
            "crate::server::accept",
            "crate::server::http1",
            "crate::server::socket",
        ],
    },
    // From bytes to bytes.
    Rule { module: "webhook::review", never: &["tokio", "hyper", "http", "std::fs"], only: &["crate::webhook", "crate::inject"] },
    // A probe asks a sidecar that runs, and is none itself: of the configuration it knows how things are written.
    Rule {
        module: "cli::healthcheck",
        never: &["tracing", "std::thread"],
        only: &["crate::cli", "crate::config", "crate::ext_authz", "crate::pip::http_client"],
    },
    // What is injected is worked out from what is given: no file, no network, no clock.
    Rule {
        module: "inject",
        never: &["tokio", "tonic", "hyper", "axum", "clap", "tracing", "std::fs", "std::env", "std::process", "std::io"],
        only: &["crate::inject"],
    },
    Rule { module: "inject::yaml", never: &["k8s_openapi"], only: &["crate::inject::yaml"] },
    // The reference identity service and the sidecar meet on the wire only.
    Rule { module: "identity", never: &[], only: &["crate::identity"] },
    Rule { module: "main", never: &["portcullis::identity"], only: &["portcullis::cli"] },
    Rule { module: "bin::portcullis-identity", never: &[], only: &["portcullis::identity"] },
];

/// Rules for everything but some modules.
struct Except {
    never: &'static str,
    but_in: &'static [&'static str],
}

const EXCEPTIONS: &[Except] = &[
    // The wall clock is read in one place, so that tests and decisions can be told what time it is. The identity service has its own.
    Except { never: "*::SystemTime::now", but_in: &["clock", "identity"] },
    Except { never: "crate::identity", but_in: &["identity"] },
    Except { never: "crate::cli", but_in: &["cli"] },
    // What signs tokens of its own has no business where requests are answered.
    Except { never: "crate::policy_test", but_in: &["cli", "policy_test", "server::policy_tests"] },
    // The environment is the command line's matter, how logs look is the terminal's, and proxies are the network's.
    Except { never: "std::env", but_in: &["cli", "telemetry::log", "identity", "pip::transport"] },
    // The GraphQL parser can be replaced in one place.
    Except { never: "bluejay_parser", but_in: &["pdp::policy::condition::graphql::document"] },
    Except { never: "bluejay_core", but_in: &["pdp::policy::condition::graphql::document"] },
    // Of the crate that reads expressions, only its parser is used, behind a look at how deep they are.
    Except { never: "cel", but_in: &["pdp::policy::condition::expression::syntax", "pdp::policy::condition::expression::check"] },
    // The sole map to Envoy's messages.
    Except { never: "envoy_types", but_in: &["ext_authz"] },
];

/// Whether `module` is `other` or below it.
fn is_within(module: &str, other: &str) -> bool {
    module.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether a path is named by a pattern of the rules.
fn is_named(path: &str, pattern: &str) -> bool {
    match pattern.strip_prefix("*::") {
        Some(tail) => path == tail || format!("::{path}::").contains(&format!("::{tail}::")),
        None => is_within(path, pattern),
    }
}

/// What a file names against the rules.
fn violations(module: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths::named_in(module, source) {
        let of_ours = is_within(&path, "crate") || is_within(&path, "portcullis");
        for rule in RULES.iter().filter(|rule| is_within(module, rule.module)) {
            if rule.never.iter().any(|pattern| is_named(&path, pattern)) {
                found.push(format!("'{module}' names '{path}', and '{}' never does", rule.module));
            }
            if of_ours && !rule.only.is_empty() && !rule.only.iter().any(|only| is_within(&path, only)) {
                found.push(format!("'{module}' names '{path}', and of ours '{}' names only {}", rule.module, rule.only.join(", ")));
            }
        }
        for exception in EXCEPTIONS {
            if is_named(&path, exception.never) && !exception.but_in.iter().any(|allowed| is_within(module, allowed)) {
                found.push(format!("'{module}' names '{path}', which only {} may", exception.but_in.join(", ")));
            }
        }
    }
    found
}

/// All source files that are no tests, with their modules.
fn sources(directory: &Path) -> Vec<(String, PathBuf)> {
    let mut sources = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(directory).unwrap().with_extension("");
            let names: Vec<String> = relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if names.iter().any(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && names != ["lib"] {
                sources.push((names.join("::"), path));
            }
        }
    }
    sources.sort();
    sources
}

#[test]
fn every_module_keeps_to_what_it_may_know() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let violations: Vec<String> =
        sources.iter().flat_map(|(module, path)| violations(module, &std::fs::read_to_string(path).unwrap())).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn rules_are_about_modules_that_exist() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let exists = |module: &str| sources.iter().any(|(other, _)| is_within(other, module));
    for rule in RULES {
        assert!(exists(rule.module), "there is no module '{}' any more", rule.module);
        for ours in rule.never.iter().chain(rule.only).filter_map(|pattern| pattern.strip_prefix("crate::")) {
            assert!(exists(ours), "the rule for '{}' names '{ours}', which is not there any more", rule.module);
        }
    }
}

#[test]
fn a_broken_rule_is_found() {
    for (module, source) in [
        ("pdp::path", "use tokio::sync::Mutex;"),
        ("pdp", "use crate::config::Configuration;"),
        ("pdp::token::cache", "fn f() { let now = Instant::now(); }"),
        ("pdp::token::cache", "fn f() { let now = std::time::Instant::now(); }"),
        ("pdp::time", "use std::{collections::HashMap, time::{Duration, SystemTime}};"),
        ("pdp::time", "fn f() -> std::time::SystemTime { loop {} }"),
        ("pdp", "fn f() { std::fs::read(\"x\"); }"),
        ("pdp", "use std::{fs, fmt};"),
        ("pdp", "use std::{env as e};"),
        ("pdp::decision", "use http::StatusCode;"),
        ("pdp::credential::authorization", "use super::super::token::jws;"),
        ("pdp::token::claims", "use crate::pdp::{time::UnixTime, policy::Access};"),
        ("pdp::token", "use super::route::RouteTable;"),
        ("pdp::policy", "use super::token::claims::Claims;"),
        ("pdp::policy::condition::expression::evaluate", "use crate::pdp::request::AccessRequest;"),
        ("pdp::policy::condition::expression::evaluate", "use cel::Program;"),
        ("config::compile", "use crate::pip::http_client;"),
        ("config::schema::route", "use crate::pdp::snapshot::Snapshot;"),
        ("pip::refresh", "fn f() { crate::server::run() }"),
        ("state", "use crate::{clock, config};"),
        ("clock", "use super::state;"),
        ("server::reload", "fn f() { SystemTime::now(); }"),
        ("server", "use crate::identity;"),
        ("server", "use crate::policy_test::keys;"),
        ("policy_test::run", "fn f() { std::fs::read(\"x\"); }"),
        ("envoy_check::document", "fn f() { std::fs::read(\"x\"); }"),
        ("admin", "use envoy_types::pb;"),
        ("http_authz::dialect", "use envoy_types::pb;"),
        ("http_authz", "use crate::pdp::decide;"),
        ("audit::record", "use crate::ext_authz;"),
        ("inject::pod", "use crate::config::Configuration;"),
        ("inject::documents", "fn f() { std::fs::read(\"x\"); }"),
        ("audit::verify", "use crate::pdp::decision::Reason;"),
        ("webhook::serve", "use crate::state::Live;"),
        ("webhook::review", "use tokio::time::timeout;"),
        ("identity::store", "use crate::pdp::time;"),
        ("cli::healthcheck", "use crate::server::health::Health;"),
        ("identity", "pub use super::config::Problem;"),
        ("main", "fn main() { portcullis::server::run() }"),
    ] {
        assert_ne!(violations(module, source), Vec::<String>::new(), "{module}: {source}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (module, source) in [
        ("pdp::path", "use std::borrow::Cow; use smallvec::SmallVec; use crate::pdp::path::PathError;"),
        ("pdp::token::cache", "use std::time::{Duration, Instant}; fn f(_: Instant) {}"),
        (
            "pdp::token",
            "//! Like [`crate::config`].\n/* use tokio::x; */ // use tokio::x;\nfn f() -> &'static str { \"crate::config::x tokio::y\" }",
        ),
        ("pdp::token", "fn f() -> &'static str { r#\"std::fs::\"x\" \"# }"),
        ("pdp::token", "#[cfg(test)]\nmod tests { use crate::config::X; fn f() { let s = '}'; { std::fs::read(\"}\"); } } }\nfn g() {}"),
        ("pdp::token::claims", "fn f<'a>(x: &'a str) -> Option<&'a str> { Some(x) } use super::json::Json;"),
        ("config::compile", "use super::schema::Schema; use crate::pdp::snapshot::Snapshot;"),
        ("clock", "use std::time::SystemTime; use crate::pdp::time::UnixTime; fn f() { SystemTime::now(); }"),
        ("telemetry::metrics", "use crate::pdp::decision::Reason;"),
        ("pdp", "mod token; use token::cache::TokenCache; use self::path::NormalizedPath;"),
    ] {
        assert_eq!(violations(module, source), Vec::<String>::new(), "{module}: {source}");
    }
}
