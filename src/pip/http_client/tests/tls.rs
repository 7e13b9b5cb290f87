//! https: whom the client trusts, and which HTTP it speaks then.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A self-signed certificate for `name`, with its key.
fn certificate(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    (certificate.der().clone(), key)
}

/// An https server for `name` that offers `alpn`, and its certificate. Its answer names the HTTP version that came.
pub(super) async fn server(name: &str, alpn: &[&[u8]]) -> (Peer, CertificateDer<'static>) {
    let (certificate, key) = certificate(name);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a server configuration");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let mut peer = Peer::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(|request: Request<Incoming>| async move {
                let version = format!("\"{:?}\"", request.version());
                let body = match request.uri().path() {
                    "/large" => "1".repeat(3_000_000),
                    _ => version,
                };
                let fields: &[_] = match request.uri().path() {
                    "/fields" => &[("x-filler", "1"); 100],
                    "/head" => &[("x-filler", FILLER); 40],
                    _ => &[],
                };
                Ok::<_, Infallible>(response(200, fields, &body))
            });
            let stream = TokioIo::new(stream);
            if h2 {
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = connection.serve_connection(stream, service).await;
            } else {
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(stream, service).await;
            }
        }
    })
    .await;
    let port = peer.address.port();
    peer.url = format!("https://localhost:{port}/keys").parse().expect("a url");
    (peer, certificate)
}

/// One kilobyte of a header field.
const FILLER: &str = match std::str::from_utf8(&[b'x'; 1024]) {
    Ok(filler) => filler,
    Err(_) => "",
};

fn trusting(certificate: CertificateDer<'static>) -> HttpClient {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    HttpClient::with_roots(Limits::default(), roots).expect("a client")
}

async fn version(client: &HttpClient, url: &Uri) -> String {
    match client.get(request(url)).await {
        Ok(Fetched::Body { bytes, .. }) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let (peer, _) = server("localhost", &[b"h2", b"http/1.1"]).await;
    let failed = get(&peer.url).await.expect_err("a failure");
    assert_eq!(failed.label(), "tls", "{failed}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (peer, certificate) = server("elsewhere.example", &[]).await;
    let failed = trusting(certificate).get(request(&peer.url)).await;
    let failed = failed.expect_err("a failure");
    assert_eq!(failed.label(), "tls", "{failed}");
}

#[tokio::test]
async fn the_version_of_http_is_negotiated() {
    for (alpn, expected) in
        [(&[b"h2".as_slice(), b"http/1.1"][..], "\"HTTP/2.0\""), (&[b"http/1.1".as_slice()][..], "\"HTTP/1.1\""), (&[][..], "\"HTTP/1.1\"")]
    {
        let (peer, certificate) = server("localhost", alpn).await;
        let client = trusting(certificate);
        assert_eq!(version(&client, &peer.url).await, expected);
        assert_eq!(version(&client, &peer.url).await, expected);
        assert_eq!(peer.connections(), 1);
    }
}

#[tokio::test]
async fn bounds_hold_for_http_2_as_well() {
    let (peer, certificate) = server("localhost", &[b"h2"]).await;
    let client = trusting(certificate);
    let port = peer.address.port();
    for (path, label) in [
        ("large", &["too_large"][..]),
        ("fields", &["head"]),
        // The connection layer refuses this head without a word about the reason.
        ("head", &["head", "closed", "protocol"]),
    ] {
        let url = format!("https://localhost:{port}/{path}");
        let url = url.parse().expect("a url");
        let failed = client.get(request(&url)).await.expect_err("a failure");
        assert!(label.contains(&failed.label()), "{path}: {failed:?}");
    }
    assert_eq!(version(&client, &peer.url).await, "\"HTTP/2.0\"");
}

#[tokio::test]
async fn a_connection_to_a_peer_that_vanished_is_given_up() {
    let (peer, certificate) = server("localhost", &[b"h2"]).await;
    // In between: a network that swallows everything on its first connection once `gone` says so.
    let gone = Arc::new(Notify::new());
    let first = Arc::new(AtomicBool::new(true));
    let network = Peer::raw({
        let (gone, behind) = (Arc::clone(&gone), peer.address);
        move |mut near| {
            let gone = Arc::clone(&gone);
            let first = first.swap(false, Ordering::SeqCst);
            async move {
                let mut far = TcpStream::connect(behind).await.expect("a connection");
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = gone.notified(), if first => std::future::pending().await,
                }
            }
        }
    })
    .await;
    let port = network.address.port();
    let url = format!("https://localhost:{port}/keys");
    let url = url.parse().expect("a url");

    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let tls = tls_builder().expect("a builder").with_root_certificates(roots).with_no_client_auth();
    let pings = Pings { interval: SOON, timeout: SOON };
    let client = HttpClient::with_tls(Limits::default(), tls, pings);
    assert_eq!(version(&client, &url).await, "\"HTTP/2.0\"");

    gone.notify_one();
    let request = GetRequest { deadline: SOON, ..request(&url) };
    let recovered = async { while client.get(request).await.is_err() {} };
    assert!(timeout(LONG, recovered).await.is_ok());
    assert_eq!(network.connections(), 2);
}

#[tokio::test]
async fn a_peer_without_tls_is_refused() {
    let plain = Peer::raw(|mut stream| async move {
        let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read_u8().await;
    })
    .await;
    let url = format!("https://{}/", plain.address);
    let url = url.parse().expect("a url");
    let failed = get(&url).await.expect_err("a failure");
    assert_eq!(failed.label(), "tls", "{failed}");
}

#[tokio::test]
async fn a_peer_that_hangs_in_the_handshake_costs_the_deadline() {
    let (silent, mut hung_up) = flood("", b"").await;
    let url = format!("https://{}/", silent.address);
    let url = url.parse().expect("a url");
    let timeout = FetchError::Timeout { phase: Phase::Response, after: SOON };
    assert_eq!(get_within(&url, SOON).await, Err(timeout));
    assert!(hung_up.recv().await.is_some());
}

#[test]
fn a_client_that_trusts_nobody_is_refused() {
    let refused = HttpClient::with_roots(Limits::default(), RootCertStore::empty());
    assert!(matches!(refused, Err(ClientError::NoRoots)));
}
