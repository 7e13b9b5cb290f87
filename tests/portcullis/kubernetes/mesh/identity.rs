//! Which workload of the mesh calls, as Portcullis learns of it in each of Istio's forms.

use std::path::Path;

use serde_json::{Value, json};

use super::{document, envoy_filter, istio, istiod, parse_envoy};
use crate::envoy::mesh_identity::{send, workload};
use crate::harness::authority::{Authority, write_pem};
use crate::harness::http::Request;
use crate::harness::mesh::{self, Builder, Mesh};
use crate::harness::ports;
use crate::harness::sidecar::edit;

const ROUTES: &str = "\
routes:
  - { path: /blog/internal, principals: \"spiffe://cluster.local/ns/shop/sa/orders\", methods: { GET: { access: public } } }
";

/// A second way in, with the mesh's mTLS; the first one stays for the tests' own questions.
fn add_mtls(config: &mut Value, folder: &Path) {
    let file = |name: &str| json!({ "filename": folder.join(name).display().to_string() });
    let listener = &mut config["static_resources"]["listeners"][0];
    let mut chain = listener["filter_chains"][0].clone();
    chain["filter_chain_match"] = json!({ "transport_protocol": "tls" });
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{ "certificate_chain": file("server.pem"), "private_key": file("server.key") }],
                "validation_context": { "trusted_ca": file("ca.pem") },
            },
        },
    });
    listener["filter_chains"].as_array_mut().expect("chains").insert(0, chain);
    listener["listener_filters"] = json!([{
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" },
    }]);
}

/// Only who has the identity gets in, whatever anybody writes into a header.
async fn only_orders(authority: &Authority, mesh: &Mesh) {
    let [orders, other] = ["orders", "other"].map(|name| workload(authority, &format!("spiffe://cluster.local/ns/shop/sa/{name}")));
    let internal = Request::get("/blog/internal");
    let forged = internal.clone().header("x-forwarded-client-cert", "By=x;URI=spiffe://cluster.local/ns/shop/sa/orders");
    assert_eq!(send(authority, mesh, Some(&orders), &internal).await.status, 200);
    for request in [&internal, &forged] {
        let answer = send(authority, mesh, Some(&other), request).await;
        assert_eq!((answer.status, mesh.envoy.log_entry(&answer).await["reason"].as_str()), (403, Some("caller_not_allowed")));
        let (answer, reason) = mesh.send_for_reason(request).await;
        assert_eq!((answer.status, reason.as_str()), (403, "caller_not_allowed"), "without mTLS nobody is known");
    }
}

fn prepare() -> (Authority, tempfile::TempDir, Builder) {
    let authority = Authority::new();
    let folder = mesh::folder();
    let server = authority.for_host("localhost");
    authority.write(&folder.path().join("ca.pem"));
    write_pem(&folder.path().join("server.pem"), "CERTIFICATE", &server.certificate);
    write_pem(&folder.path().join("server.key"), "PRIVATE KEY", &server.key.serialize_der());
    (authority, folder, Mesh::builder().policy(|text| edit(&text, "routes:\n", ROUTES)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_known_by_its_certificate_in_istios_form() {
    let (authority, folder, builder) = prepare();
    let path = folder.path().to_path_buf();
    let change = move |text: String| {
        let mut config = parse_envoy(&text);
        istiod::configure(&mut config, "portcullis-unix", istio::UNIX, &document(istio::POLICY), 0);
        add_mtls(&mut config, &path);
        config.to_string()
    };
    only_orders(&authority, &builder.envoy(change).start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_known_by_its_certificate_with_the_envoy_filter() {
    let (authority, folder, builder) = prepare();
    let path = folder.path().to_path_buf();
    let change = move |text: String| {
        let mut config = envoy_filter::patched(&text, ports::pick());
        add_mtls(&mut config, &path);
        config.to_string()
    };
    only_orders(&authority, &builder.envoy(change).start().await).await;
}
