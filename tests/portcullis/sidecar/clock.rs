//! The wall clock of the real sidecar jumps: time does not go back for it, and what it does at intervals does not notice.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::mesh;
use crate::harness::sidecar::{self, Sidecar};
use crate::harness::stub::Stub;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

const HOUR: i64 = 3600;

/// The library that gives a process another time.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let found = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    found.expect("there is no libfaketime, with which this test lets a clock jump; install it: apt-get install faketime")
}

/// A sidecar whose wall clock a file sets.
struct Shifted {
    sidecar: Sidecar,
    file: PathBuf,
}

impl Shifted {
    async fn start(folder: &Path, configuration: &str) -> Self {
        let file = folder.join("time");
        set(&file, 0);
        let (library, path) = (faketime().display().to_string(), file.display().to_string());
        let environment = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &path),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        let sidecar = Sidecar::start_with(folder, configuration, &environment).await;
        sidecar.ready().await;
        Self { sidecar, file }
    }

    /// Sets its clock so many seconds after the real one.
    fn set(&self, seconds: i64) {
        set(&self.file, seconds);
    }

    async fn reason(&self, token: &str) -> String {
        let bearer = format!("Bearer {token}");
        self.sidecar.ask(&Ask::get(POST).header("authorization", &bearer)).await.reason
    }

    async fn behind(&self) -> f64 {
        self.sidecar.metrics().await.get("portcullis_clock_behind_seconds")
    }
}

/// Renamed over, so that it is never read half-written.
fn set(file: &Path, seconds: i64) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{seconds:+}\n")).expect("the time");
    fs::rename(&new, file).expect("the time set");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps() {
    let folder = mesh::folder();
    let stub = Stub::start().await;
    let mut shifted = Shifted::start(folder.path(), &sidecar::policy(folder.path(), &stub.url())).await;
    let now = token::now();
    let short = token::mint(json!({ "exp": now + 600 }));
    let long = token::mint(json!({ "exp": now + 4 * HOUR }));
    let revoked = token::mint(json!({ "exp": now + 4 * HOUR, "jti": "revoked" }));
    for token in [&short, &long, &revoked] {
        assert_eq!(shifted.reason(token).await, "allowed");
    }
    stub.revoke("jti", "revoked");
    wait::until_true("the revocation", PATIENCE, async || shifted.reason(&revoked).await == "token_revoked").await;
    let fetched = stub.keys_fetched();
    assert!(shifted.behind().await.abs() < f64::EPSILON);

    // An hour forward: what is short has expired.
    shifted.set(HOUR);
    assert_eq!(shifted.reason(&short).await, "token_expired");
    assert_eq!(shifted.reason(&long).await, "allowed");
    assert_eq!(shifted.reason(&revoked).await, "token_revoked");
    let late = token::mint(json!({ "iat": now + HOUR, "nbf": now + HOUR, "exp": now + HOUR + 600 }));
    assert_eq!(shifted.reason(&late).await, "allowed", "the jump is believed");
    assert!(shifted.behind().await.abs() < f64::EPSILON);

    // And back: nothing is valid again, nor is anything refused that was good until now.
    for seconds in [0, -HOUR, 0] {
        shifted.set(seconds);
        assert_eq!(shifted.reason(&short).await, "token_expired", "{seconds}");
        assert_eq!(shifted.reason(&long).await, "allowed", "{seconds}");
        assert_eq!(shifted.reason(&late).await, "allowed", "{seconds}");
        assert_eq!(shifted.reason(&revoked).await, "token_revoked", "{seconds}");
        let expected = (HOUR - seconds) as f64;
        assert!((shifted.behind().await - expected).abs() < 30.0, "{seconds}: {}", shifted.behind().await);
    }
    // A revocation that comes meanwhile counts as well.
    stub.revoke("sid", "another");
    let another = token::mint(json!({ "exp": now + 4 * HOUR, "sid": "another" }));
    wait::until_true("the revocation", PATIENCE, async || shifted.reason(&another).await == "token_revoked").await;

    shifted.sidecar.process.log_line("the wall clock jumped back").await;
    shifted.set(HOUR);
    wait::until_true("the clock to catch up", PATIENCE, async || shifted.behind().await.abs() < f64::EPSILON).await;
    shifted.sidecar.process.log_line("the wall clock has caught up").await;
    assert_eq!(shifted.reason(&long).await, "allowed");
    assert_eq!(shifted.sidecar.process.log().matches("the wall clock jumped back").count(), 1, "it is told once");

    // The keys are due in an hour of the monotonic clock, and the wall clock is none of their business.
    assert_eq!(stub.keys_fetched(), fetched, "fetches of the keys");
    assert_eq!(shifted.sidecar.get("/readyz").await.status, 200);
}
