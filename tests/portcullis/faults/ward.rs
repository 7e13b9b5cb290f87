//! One sidecar with many issuers, each of which has a source of its own that can be made to fail in a way of its own.
//!
//! All faults go on at once: so whatever one of them does to the others shows, and it takes the time of one.

use std::fmt::Write;
use std::time::{Duration, Instant};

use portcullis::policy_test::keys;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::check::Ask;
use crate::harness::hostile::{Behaviour, Hostile};
use crate::harness::mesh;
use crate::harness::oracle::{Load, Oracle, Probe, Says};
use crate::harness::sidecar::Sidecar;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

/// An issuer that needs nobody: its keys are in a file.
pub const HEALTHY: &str = "healthy";
/// A path for everybody.
pub const PUBLIC: &str = "/blog/health";
/// A path for everybody with a token.
pub const ME: &str = "/blog/me";

/// For a busy machine.
pub const SLACK: Duration = Duration::from_secs(5);
/// How long the return of an identity service may go unnoticed.
pub const NOTICED: Duration = Duration::from_secs(5);

/// A name, a way to fail, and whether the next request comes while it lasts (a hung one is given up after ten seconds only).
pub type Fault = (&'static str, Behaviour, bool);

/// Ways to fail after which a source is not to be believed.
pub const FAULTS: [Fault; 24] = [
    ("hung", Behaviour::Hung, false),
    ("trickling", Behaviour::Trickling, false),
    ("status-500", Behaviour::Status(500), true),
    ("status-503", Behaviour::Status(503), true),
    ("status-404", Behaviour::Status(404), true),
    ("status-204", Behaviour::Status(204), true),
    ("too-many", Behaviour::TooMany(1), true),
    ("garbage", Behaviour::Garbage, true),
    ("garbage-body", Behaviour::GarbageBody, true),
    ("truncated", Behaviour::Truncated, true),
    ("cut-chunks", Behaviour::CutChunks, true),
    ("html", Behaviour::Html, true),
    ("wrong-type", Behaviour::WrongType, true),
    ("gzip-bomb", Behaviour::GzipBomb, true),
    ("large", Behaviour::Large(50), true),
    ("endless", Behaviour::Endless, true),
    ("endless-head", Behaviour::EndlessHead, true),
    ("redirect", Behaviour::Redirect, true),
    ("redirect-loop", Behaviour::RedirectLoop, true),
    ("reset", Behaviour::Reset, true),
    ("not-modified", Behaviour::NotModified, true),
    ("wrong-json", Behaviour::WrongJson, true),
    ("deep-json", Behaviour::DeepJson, true),
    ("half-json", Behaviour::HalfJson, true),
];

/// Troubles that a source is still believed through.
pub const TROUBLES: [(&str, Behaviour); 2] = [("slow", Behaviour::Slow(Duration::from_millis(400))), ("flapping", Behaviour::Flapping)];

/// Begins these faults and all troubles, each at the path of its name.
pub fn begin<'f>(hostile: &Hostile, faults: impl IntoIterator<Item = &'f Fault>) {
    let faults = faults.into_iter().map(|(name, behaviour, _)| (name, behaviour));
    for (name, behaviour) in faults.chain(TROUBLES.iter().map(|(name, behaviour)| (name, behaviour))) {
        hostile.behave(&format!("/{name}"), *behaviour);
    }
}

/// The load of these tests: there are many probes, and little to ask each one.
const LOAD: Load = Load { connections: 2, streams: 2, rate: Some(600) };

/// The sidecar and what is asked of it.
pub struct Ward {
    pub sidecar: Sidecar,
    pub oracle: Oracle,
    _folder: TempDir,
}

/// An issuer: its name, and its `jwks` and `revocations` as they are configured.
pub struct Patient {
    pub name: String,
    pub sources: String,
}

impl Patient {
    /// With keys from here, as the configuration says it.
    pub fn with_keys(name: &str, jwks: &str) -> Self {
        Self { name: name.into(), sources: format!("jwks: {jwks}") }
    }

    /// With good keys and revocations from here.
    pub fn with_revocations(name: &str, revocations: &str) -> Self {
        Self { name: name.into(), sources: format!("jwks: {{ file: @FOLDER@/keys.json }}, revocations: {revocations}") }
    }
}

/// A policy with these issuers.
pub fn policy(folder: &std::path::Path, patients: &[Patient]) -> String {
    let set = keys::key_set(&["rsa-a"]).expect("a key");
    std::fs::write(folder.join("keys.json"), set.to_string()).expect("a file with keys");
    let mut text = "listen: { grpc: [\"unix:@FOLDER@/authz.sock\", 127.0.0.1:0], admin: 127.0.0.1:0 }\nissuers:\n".to_string();
    let healthy = Patient::with_keys(HEALTHY, "{ file: @FOLDER@/keys.json }");
    for Patient { name, sources } in patients.iter().chain([&healthy]) {
        writeln!(text, "  {name}: {{ issuer: \"http://{name}.test\", audiences: [demo], {sources}, claims: {{ session: sid }} }}").unwrap();
    }
    text.push_str("routes:\n");
    for (path, access) in [(PUBLIC, "public"), (ME, "authenticated")] {
        writeln!(text, "  - {{ path: {path}, methods: {{ GET: {{ access: {access} }} }} }}").unwrap();
    }
    text.replace("@FOLDER@", &folder.display().to_string())
}

async fn start(patients: &[Patient]) -> (Sidecar, TempDir) {
    let folder = mesh::folder();
    let policy = policy(folder.path(), patients);
    (Sidecar::start(folder.path(), &policy).await, folder)
}

/// A request with a token of this issuer.
pub fn ask(name: impl Into<String>, issuer: &str, session: &str, right: Says) -> Probe {
    ask_with_key("rsa-a", name, issuer, session, right)
}

/// The same with a token that this key signed.
pub fn ask_with_key(key: &str, name: impl Into<String>, issuer: &str, session: &str, right: Says) -> Probe {
    let claims = json!({ "iss": format!("http://{issuer}.test"), "sid": session });
    let bearer = format!("Bearer {}", token::mint_with_key(key, claims));
    Probe::new(name, &Ask::get(ME).header("authorization", &bearer), right)
}

/// Whatever it is, the request does not pass.
pub fn refused() -> Says {
    Says::Judged("a refusal", std::sync::Arc::new(|verdict| !verdict.passes))
}

impl Ward {
    /// Waits until all issuers' tokens pass, and asks what is to be asked from then on.
    pub async fn open(patients: &[Patient], probes: impl IntoIterator<Item = Probe>) -> Self {
        let (sidecar, folder) = start(patients).await;
        sidecar.ready().await;
        Self::watch(sidecar, folder, probes).await
    }

    /// Does not wait for anybody's being ready.
    pub async fn unready(patients: &[Patient], probes: impl IntoIterator<Item = Probe>) -> Self {
        let (sidecar, folder) = start(patients).await;
        Self::watch(sidecar, folder, probes).await
    }

    async fn watch(sidecar: Sidecar, folder: TempDir, probes: impl IntoIterator<Item = Probe>) -> Self {
        let public = Probe::new("public", &Ask::get(PUBLIC), Says::Passes);
        let healthy = ask(HEALTHY, HEALTHY, "usual", Says::Passes);
        let oracle = Oracle::with(LOAD, &sidecar.socket, probes.into_iter().chain([public, healthy])).await;
        Self { sidecar, oracle, _folder: folder }
    }

    /// Waits for the announced changes, and gives how long each one took and how much memory the sidecar held meanwhile, at most.
    pub async fn changed<'n>(&self, names: &[&'n str]) -> (Vec<(&'n str, Duration)>, u64) {
        let mut memory = 0;
        let mut took = Vec::new();
        for name in names {
            let after = wait::until(&format!("the new answer to {name}"), PATIENCE, async || {
                memory = memory.max(self.sidecar.process.resident_bytes());
                self.oracle.has_changed(name)
            })
            .await;
            took.push((*name, after));
        }
        (took, memory)
    }

    /// Waits until each of these paths got so many more requests, and gives how much memory the sidecar held meanwhile, at most.
    pub async fn asked(&self, hostile: &Hostile, wanted: &[(String, u64)]) -> u64 {
        let mut memory = 0;
        let before: Vec<u64> = wanted.iter().map(|(path, _)| hostile.requests(path)).collect();
        wait::until_true("requests to what is broken", PATIENCE, async || {
            memory = memory.max(self.sidecar.process.resident_bytes());
            wanted.iter().zip(&before).all(|((path, more), before)| hostile.requests(path) >= before + more)
        })
        .await;
        memory
    }

    /// The alarm: failures of this issuer's feed that were counted.
    pub async fn failures(&self, issuer: &str, feed: &str) -> f64 {
        let metrics = self.sidecar.metrics().await;
        let series = format!("portcullis_refreshes_total{{feed=\"{feed}\",issuer=\"{issuer}\",result=\"");
        let failed = |name: &&str| name.starts_with(&series) && !name.ends_with("\"ok\"}") && !name.ends_with("\"unchanged\"}");
        metrics.names().into_iter().filter(failed).map(|name| metrics.get(name)).sum()
    }
}

/// Where the client has enough while the server goes on sending.
const BROKEN_OFF: [&str; 4] = ["/gzip-bomb", "/large", "/endless", "/endless-head"];

/// Nobody is asked twice at once, nor more often than four times a second, and nowhere else.
pub fn assert_asked_decently(hostile: &Hostile, paths: &[String], since: Instant) {
    for path in paths {
        // What the client breaks off is over for the server a moment later, when the next request may be there.
        let at_once = if BROKEN_OFF.contains(&path.as_str()) { 2 } else { 1 };
        assert!(hostile.most_in_flight(path) <= at_once, "{} requests to {path} at once", hostile.most_in_flight(path));
        // A redirect to the same server may be followed a few times before it is a loop.
        let hops = if path == "/redirect-loop" { 6 } else { 1 };
        let (requests, most) = (hostile.requests(path), hops * (6 + 4 * since.elapsed().as_secs()));
        assert!(requests <= most, "{requests} requests to {path} in {:?}", since.elapsed());
    }
    assert_eq!(hostile.reached_elsewhere(), 0, "a redirect was followed");
}

/// Bytes, for people.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
