//! Which workload of the mesh calls: what Envoy verified of its certificate, and nothing that anybody writes into a header.

use std::path::Path;
use std::sync::Arc;

use rcgen::SanType;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::authority::{Authority, Identity, write_pem};
use crate::harness::http::{Answer, Connection, Request};
use crate::harness::mesh::{self, Mesh};
use crate::harness::sidecar::edit;
use crate::harness::token;

const ORDERS: &str = "spiffe://mesh.test/ns/shop/sa/orders";
const OTHER: &str = "spiffe://mesh.test/ns/shop/sa/other";

const ROUTES: &str = "\
routes:
  - { path: /blog/health, methods: { GET: { access: public } } }
  - { path: /blog/internal, principals: \"spiffe://mesh.test/ns/shop/sa/orders\", methods: { GET: { access: public } } }
  - { path: /blog/render, methods: { POST: { permission: \"blog:posts.read\", principals: \"spiffe://mesh.test/ns/shop/*\" } } }
";

pub fn workload(authority: &Authority, id: &str) -> Identity {
    authority.issue(SanType::URI(id.try_into().expect("a URI")))
}

/// One request over TLS to Envoy, by a workload or by nobody.
pub async fn send(authority: &Authority, mesh: &Mesh, workload: Option<&Identity>, request: &Request) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let builder = builder.with_root_certificates(roots);
    let config = match workload {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            builder.with_client_auth_cert(vec![certificate.clone()], key).expect("a client certificate")
        }
    };
    let stream = TcpStream::connect(mesh.envoy.address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let mut connection = Connection::over(stream, "localhost".into()).await.expect("HTTP");
    connection.send(request).await.expect("an answer")
}

/// The shipped configuration with a second way in, over TLS. The first one stays for the tests' own questions.
fn with_tls(text: &str, folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let tls = format!(
        r#"      listener_filters:
        - name: envoy.filters.listener.tls_inspector
          typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector }}
      filter_chains:
        - filter_chain_match: {{ transport_protocol: tls }}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: false
              common_tls_context:
                tls_certificates: [{{ certificate_chain: {{ filename: {} }}, private_key: {{ filename: {} }} }}]
                validation_context: {{ trusted_ca: {{ filename: {} }} }}
          filters: &filters
"#,
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let text = edit(text, "      filter_chains:\n        - filters:\n", &tls);
    edit(&text, "\n  clusters:\n", "\n        - filters: *filters\n\n  clusters:\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_is_what_its_certificate_says_and_not_what_anybody_writes() {
    let authority = Authority::new();
    let folder = mesh::folder();
    let server = authority.issue(SanType::DnsName("localhost".try_into().expect("a name")));
    write_pem(&folder.path().join("ca.pem"), "CERTIFICATE", &authority.certificate);
    write_pem(&folder.path().join("server.pem"), "CERTIFICATE", &server.certificate);
    write_pem(&folder.path().join("server.key"), "PRIVATE KEY", &server.key.serialize_der());
    let path = folder.path().to_path_buf();
    let builder = Mesh::builder().policy(|text| {
        edit(&text, "routes:\n", ROUTES).replace("  - path: /blog/health\n    name: health\n    methods: { GET: { access: public } }\n", "")
    });
    let mesh = builder.envoy(move |text| with_tls(&text, &path)).start().await;

    let (orders, other) = (workload(&authority, ORDERS), workload(&authority, OTHER));
    let internal = Request::get("/blog/internal");
    let forged = Request::get("/blog/internal").header("x-forwarded-client-cert", format!("By=x;URI={ORDERS}"));
    assert_eq!(send(&authority, &mesh, Some(&orders), &internal).await.status, 200);
    for (workload, request) in [(Some(&other), &internal), (None, &internal), (Some(&other), &forged), (None, &forged)] {
        let answer = send(&authority, &mesh, workload, request).await;
        assert_eq!(answer.status, 403);
        assert_eq!(mesh.envoy.log_entry(&answer).await["reason"], "caller_not_allowed");
    }
    let (answer, reason) = mesh.send_for_reason(&forged).await;
    assert_eq!((answer.status, reason.as_str()), (403, "caller_not_allowed"), "without TLS there is no workload");

    // A token and a workload, where both are asked for.
    let render = Request::new("POST", "/blog/render").token(&token::mint_second(json!({})));
    assert_eq!(send(&authority, &mesh, Some(&other), &render).await.status, 200);
    assert_eq!(send(&authority, &mesh, None, &render).await.status, 403);
    assert_eq!(send(&authority, &mesh, Some(&orders), &Request::new("POST", "/blog/render")).await.status, 401);
}
