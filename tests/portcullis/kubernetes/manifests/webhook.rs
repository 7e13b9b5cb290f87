//! The webhook as its Deployment starts it, with a certificate that the script made.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{certificates, kustomize};
use crate::harness::http::{self, Connection, Request};
use crate::harness::kustomize::{named, pod_template};
use crate::harness::process::{Process, programs};

/// The address in a line of the log: `address=127.0.0.1:1234`, or as JSON.
fn address(line: &str) -> SocketAddr {
    let rest = line.split("address").nth(1).expect("an address").trim_start_matches(['"', '=', ':']);
    rest.split(['"', ' ', ',', '}']).next().and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("no address in {line}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_runs_with_the_arguments_of_its_deployment_and_answers_its_probes_and_prometheus() {
    let folder = TempDir::new().expect("a folder");
    let copy = kustomize::copy(folder.path());
    certificates::make(&copy.join("self-signed"), &[]).success();
    let tls = copy.join("self-signed/generated");
    let objects = kustomize::render(&copy.join("self-signed"));
    let pod = pod_template(named(&objects, "Deployment", "portcullis-webhook")).expect("a pod");
    let container = &pod["spec"]["containers"][0];

    let arguments = container["args"].as_array().expect("arguments").iter().map(|argument| {
        // What Kubernetes fills in, and what is different in this folder.
        let argument =
            argument.as_str().expect("text").replace("$(SIDECAR_IMAGE)", container["env"][0]["value"].as_str().expect("an image"));
        let argument = argument.replace("/tls/", &format!("{}/", tls.display()));
        ["0.0.0.0:8443", "0.0.0.0:9193"].iter().fold(argument, |argument, address| argument.replace(address, "127.0.0.1:0"))
    });
    let mut webhook = Process::start("webhook", programs::portcullis(), arguments, folder.path());
    let reviewing = address(&webhook.log_line("reviewing pods").await);
    let admin = address(&webhook.log_line("the admin listener is up").await);

    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&fs::read(tls.join("ca.crt")).expect("ca.crt")).expect("a certificate"))
        .expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let connector = TlsConnector::from(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()));
    let host = "portcullis-webhook.portcullis-system.svc";
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!((&get["scheme"], &get["port"]), (&Value::from("HTTPS"), &Value::from("https")), "{probe}");
        let stream = TcpStream::connect(reviewing).await.expect("the webhook");
        let stream = connector.connect(ServerName::try_from(host).expect("a name"), stream).await.expect("TLS");
        let mut connection = Connection::over(stream, host.into()).await.expect("HTTP");
        let answer = connection.send(&Request::get(get["path"].as_str().expect("a path"))).await.expect("an answer");
        assert_eq!(answer.status, 200, "{probe}: {}", answer.text());
    }
    let monitor = kustomize::shipped("monitoring");
    let path = &named(&monitor, "ServiceMonitor", "portcullis-webhook")["spec"]["endpoints"][0]["path"];
    let metrics = http::send(admin, &Request::get(path.as_str().expect("a path"))).await;
    assert!(metrics.status == 200 && metrics.text().contains("# TYPE portcullis_"), "{}", metrics.text());
}
