//! The demo and the examples are tests too: every row of them has to come out as it says.

use std::path::Path;
use std::time::Duration;

use crate::harness::envoy::find_envoy;
use crate::harness::mesh;
use crate::harness::process::{Process, programs};
use crate::harness::turn;

/// The examples that are walked through below.
const EXAMPLES: [&str; 5] = ["admin-tiers", "company", "erp", "saas", "two-level"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_demo_comes_out_as_expected() {
    walk(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_example_admin_tiers_comes_out_as_expected() {
    walk(&["--example", "admin-tiers"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_example_company_comes_out_as_expected() {
    walk(&["--example", "company"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_example_erp_comes_out_as_expected() {
    walk(&["--example", "erp"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_example_saas_comes_out_as_expected() {
    walk(&["--example", "saas"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_example_two_level_comes_out_as_expected() {
    walk(&["--example", "two-level"]).await;
}

#[test]
fn every_example_is_walked_through() {
    let examples = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).expect("examples");
    let folders = examples.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let mut names: Vec<String> = folders.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, EXAMPLES, "one test for each folder");
}

/// Runs the demo until the end of its walk.
async fn walk(options: &[&str]) {
    // Envoy gives the sidecar a tenth of a second here, as shipped.
    let _turn = turn::take().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = mesh::folder();
    let binaries = programs::portcullis().parent().expect("a folder").display().to_string();
    let (demo, envoy) = (root.join("demo/demo.py").display().to_string(), find_envoy(root).display().to_string());
    let usual = ["-u", &demo, "--once", "--ephemeral", "--bin-dir", &binaries, "--envoy", &envoy];
    let mut demo = Process::start("demo", Path::new("python3"), usual.iter().chain(options).copied(), folder.path());
    let status = demo.ended(Duration::from_secs(180)).await;
    assert!(status.success(), "the demo ended with {status}:\n{}", demo.log());
}
