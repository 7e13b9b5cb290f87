//! Who takes part, and what is asked.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::check::{Ask, Verdict};
use crate::harness::identity::Identity;
use crate::harness::oracle::{Load, Oracle, Probe, Says};
use crate::harness::process::{Process, programs};
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{mesh, token};
use crate::line::Line;

/// What the tokens of the identity service are for.
pub const POST: &str = "/blog/tenants/acme/posts/1";

/// Everything that runs.
pub struct Scene {
    pub oracle: Oracle,
    pub sidecar: Sidecar,
    pub identity: Identity,
    pub line: Line,
    /// The two policies that are swapped, and which of them is in force now.
    pub versions: [String; 2],
    pub folder: TempDir,
}

/// A policy named by a letter, as in the test of swaps: `/blog/x` passes under `a` only, `/blog/y` under `b` only, `/blog/both` under
/// each, and not if the routes of one met the roles of the other; `/blog/none` under neither, but would in such a mixture. Who asks is
/// told in a header named by the version as well.
fn version(usual: &str, letter: char) -> String {
    let other = if letter == 'a' { 'b' } else { 'a' };
    let roles = format!("headers: {{ user: x-user-{letter} }}\n\nroles:\n  swapped: {{ permissions: [\"blog:{letter}.*\"] }}\n");
    let routes = [("x", 'a'), ("y", 'b'), ("both", letter), ("none", other)];
    let routes =
        routes.map(|(path, needs)| format!("  - path: /blog/{path}\n    methods: {{ GET: {{ permission: \"blog:{needs}.read\" }} }}\n"));
    edit(usual, "roles:\n", &roles) + &routes.concat()
}

/// The usual policy with bounds that are short enough to be reached.
fn policy(folder: &Path, identity: &str) -> String {
    let text = sidecar::policy(folder, identity);
    let text = edit(&text, "refresh: 1h, max_stale: 24h, cooldown: 1s", "refresh: 1s, max_stale: 5m, cooldown: 500ms");
    edit(&text, "wait: 30s, max_staleness: 60s", "wait: 2s, max_staleness: 6s")
}

impl Scene {
    pub async fn set(rate: u32) -> Self {
        let folder = mesh::folder();
        let mut identity = Identity::prepare(folder.path());
        identity.start().await;
        let line = Line::to(identity.address).await;
        let usual = policy(folder.path(), &line.url());
        let versions = ['a', 'b'].map(|letter| version(&usual, letter));
        let sidecar = Sidecar::start(folder.path(), &versions[1]).await;
        sidecar.ready().await;
        let second = revision(&sidecar).await;
        sidecar.replace_config(&versions[0]);
        sidecar.generation_is(2).await;
        let first = revision(&sidecar).await;
        let load = Load { connections: 4, streams: 4, rate: Some(rate) };
        let oracle = Oracle::with(load, &sidecar.socket, usual_probes(&first, &second)).await;
        Self { oracle, sidecar, identity, line, versions, folder }
    }

    /// Whether the sidecar can take over from another one.
    pub fn can_take_over() -> bool {
        let help = std::process::Command::new(programs::portcullis()).args(["run", "--help"]).output().expect("portcullis run --help");
        String::from_utf8_lossy(&help.stdout).contains("--takeover")
    }

    /// A new sidecar takes over from the one that runs, which ends then. Gives the process that serves from then on.
    pub async fn take_over(&mut self, number: u64) -> u32 {
        let config = self.sidecar.config.display().to_string();
        let name = format!("sidecar-{number}");
        let before = inode(&self.sidecar.socket);
        let mut new = Process::start(&name, programs::portcullis(), ["run", "--takeover", "--config", &config], self.folder.path());
        let admin = new.log_line("the admin listener is up").await;
        wait::until_true("another sidecar behind the socket", PATIENCE, async || inode(&self.sidecar.socket) != before).await;
        let mut old = std::mem::replace(&mut self.sidecar.process, new);
        self.sidecar.admin = admin.rsplit("address=").next().and_then(|text| text.trim().parse().ok()).expect("an address");
        self.sidecar.ready().await;
        old.signal("TERM");
        let status = old.ended(PATIENCE).await;
        assert!(status.success(), "the sidecar that was taken over from: {status}");
        self.sidecar.process.id()
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("the socket").ino()
}

async fn revision(sidecar: &Sidecar) -> String {
    sidecar.dump().await["revision"].as_str().expect("a revision").to_string()
}

fn with<'a>(path: &'a str, bearer: &'a str) -> Ask<'a> {
    Ask::get(path).header("authorization", bearer)
}

/// What is right at all times, whatever happens.
fn usual_probes(first: &str, second: &str) -> Vec<Probe> {
    let now = token::now();
    // A soak may be longer than the usual token lives.
    let long = |roles: &str| json!({ "roles": [roles], "exp": now + 30 * 86_400 });
    let bearer = |token: String| format!("Bearer {token}");
    let (viewer, swapped) = (bearer(token::mint_second(long("viewer"))), bearer(token::mint_second(long("swapped"))));
    let (forged, expired) = (bearer(token::forge(long("viewer"))), bearer(token::mint_second(json!({ "exp": now - 60 }))));
    let under = |path: &str, name: &'static str, passes: [bool; 2]| {
        let revisions = [first.to_string(), second.to_string()];
        let judge = move |verdict: &Verdict| {
            let Some(version) = revisions.iter().position(|revision| *revision == verdict.revision) else { return false };
            let (mine, other) = if version == 0 { ("x-user-a", "x-user-b") } else { ("x-user-b", "x-user-a") };
            let told = verdict.header(mine) == Some("alice") && verdict.header(other).is_none();
            verdict.passes == passes[version] && if verdict.passes { told } else { verdict.reason == "permission_missing" }
        };
        Probe::new(path, &with(path, &swapped), Says::Judged(name, Arc::new(judge)))
    };
    vec![
        Probe::new("public", &Ask::get("/blog/health"), Says::Passes),
        Probe::new("no token", &Ask::get(POST), Says::Refuses(401, "credential_missing")),
        Probe::new("viewer", &with(POST, &viewer), Says::Passes),
        Probe::new("viewer elsewhere", &with("/blog/tenants/globex/posts/1", &viewer), Says::Refuses(403, "tenant_mismatch")),
        Probe::new("viewer who writes", &Ask::new("PUT", POST).header("authorization", &viewer), Says::Refuses(403, "permission_missing")),
        Probe::new("nowhere", &with("/blog/nowhere", &viewer), Says::Refuses(403, "route_not_found")),
        Probe::new("forged", &with(POST, &forged), Says::Refuses(401, "signature_invalid")),
        Probe::new("expired", &with(POST, &expired), Says::Refuses(401, "token_expired")),
        under("/blog/x", "a pass under the first policy only", [true, false]),
        under("/blog/y", "a pass under the second policy only", [false, true]),
        under("/blog/both", "a pass under either policy", [true, true]),
        under("/blog/none", "a refusal under either policy", [false, false]),
    ]
}

/// Puts another configuration in the place of the one that is there, in one step.
pub fn replace(config: &Path, text: &str) {
    let new: PathBuf = config.with_extension("swap");
    fs::write(&new, text).and_then(|()| fs::rename(&new, config)).expect("the configuration replaced");
}
