//! The demo is a test too: every row of it has to come out as it says.

use std::path::Path;
use std::time::Duration;

use crate::harness::envoy::find_envoy;
use crate::harness::mesh;
use crate::harness::process::{Process, programs};
use crate::harness::turn;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_demo_comes_out_as_expected() {
    // Envoy gives the sidecar a tenth of a second here, as shipped.
    let _turn = turn::take().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = mesh::folder();
    let binaries = programs::portcullis().parent().expect("a folder").display().to_string();
    let (demo, envoy) = (root.join("demo/demo.py").display().to_string(), find_envoy(root).display().to_string());
    let arguments = ["-u", &demo, "--once", "--ephemeral", "--bin-dir", &binaries, "--envoy", &envoy];
    let mut demo = Process::start("demo", Path::new("python3"), arguments, folder.path());
    let status = demo.ended(Duration::from_secs(180)).await;
    assert!(status.success(), "the demo ended with {status}:\n{}", demo.log());
}
