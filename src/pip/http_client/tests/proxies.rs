//! Through proxies: what they are sent, and what becomes of their refusals.

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::*;

fn through(peer: &Peer, credentials: Option<(&str, &str)>) -> HttpClient {
    let uri = format!("http://{}/", peer.address).parse().expect("a url");
    client().reaching(TlsFiles::default(), Proxy::Always(ProxyAddress::new(uri, credentials))).expect("a client")
}

/// Reads the head of a request.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a byte"));
    }
    String::from_utf8(head).expect("text")
}

/// A proxy that answers like this whatever it is asked, and reports what that was.
async fn proxy(answer: &'static str) -> (Peer, mpsc::UnboundedReceiver<String>) {
    let (asked, reports) = mpsc::unbounded_channel();
    let peer = Peer::raw(move |mut stream| {
        let asked = asked.clone();
        async move {
            let _ = asked.send(head(&mut stream).await);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (peer, reports)
}

#[tokio::test]
async fn a_plain_request_is_forwarded_in_absolute_form_with_credentials() {
    let (peer, mut asked) = proxy("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    let url = Uri::from_static("http://id.invalid:8080/keys?a=b");
    let fetched = through(&peer, Some(("Aladdin", "open sesame"))).get(request(&url)).await;
    assert!(fetched.is_ok(), "{fetched:?}");
    let asked = asked.recv().await.expect("a request");
    assert!(asked.starts_with("GET http://id.invalid:8080/keys?a=b HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: id.invalid:8080\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{asked}");
}

#[tokio::test]
async fn a_tunnel_leads_to_the_server_itself_which_sees_nothing_of_the_proxy() {
    let (server, certificate) = super::tls::server("localhost", &[b"h2"]).await;
    let (asked, mut reports) = mpsc::unbounded_channel();
    let proxy = Peer::raw({
        let behind = server.address;
        move |mut near| {
            let asked = asked.clone();
            async move {
                let _ = asked.send(head(&mut near).await);
                near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("answered");
                let mut far = TcpStream::connect(behind).await.expect("a connection");
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, super::tls_files::pem("CERTIFICATE", &certificate)).expect("a file");
    let uri = format!("http://{}/", proxy.address).parse().expect("a url");
    let address = ProxyAddress::new(uri, Some(("me", "secret")));
    let tls = TlsFiles { ca: Some(ca), client: None };
    let client = client().reaching(tls, Proxy::Always(address)).expect("a client");
    // The name is resolved by the proxy, or not at all.
    let url = format!("https://localhost:{}/keys", server.address.port()).parse().expect("a url");
    for _ in 0..2 {
        assert!(client.get(request(&url)).await.is_ok());
    }
    let asked = reports.recv().await.expect("a request");
    assert!(asked.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.address.port())), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0\r\n"), "{asked}");
    assert_eq!((proxy.connections(), server.connections()), (1, 1));
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_told_from_other_failures() {
    for answer in ["HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "SSH-2.0\r\n\r\n", ""] {
        let (peer, _asked) = proxy(answer).await;
        let failed = through(&peer, Some(("me", "secret"))).get(request(&Uri::from_static("https://id.invalid/"))).await;
        let failed = failed.expect_err("a failure");
        assert_eq!(failed.label(), "proxy", "{answer}: {failed}");
        assert!(failed.to_string().contains(&peer.address.to_string()) && !failed.to_string().contains("secret"), "{failed}");
    }
    let (peer, _asked) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    let failed = through(&peer, None).get(request(&Uri::from_static("http://id.invalid/"))).await;
    assert_eq!(failed, Err(FetchError::Status { status: 407, retry_after: None }));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_not_gone_round() {
    let server = Peer::hyper(|_| response(200, &[], "{}")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = listener.local_addr().expect("an address");
    drop(listener);
    let uri = format!("http://{nobody}/").parse().expect("a url");
    let gone = client().reaching(TlsFiles::default(), Proxy::Always(ProxyAddress::new(uri, None))).expect("a client");
    let secure = format!("https://{}/", server.address).parse().expect("a url");
    for url in [&server.url, &secure] {
        let failed = gone.get(request(url)).await.expect_err("a failure");
        assert_eq!(failed.label(), "proxy", "{failed}");
    }
    let unusable = Environment { http: Some(Err("SOCKS proxies are not supported".into())), https: None, no_proxy: NoProxy::new("") };
    let unusable = client().reaching(TlsFiles::default(), Proxy::Environment(Arc::new(unusable))).expect("a client");
    let failed = unusable.get(request(&Uri::from_static("http://id.invalid/"))).await;
    assert_eq!(failed, Err(FetchError::Proxy("SOCKS proxies are not supported".into())));
    assert_eq!(server.connections(), 0);
    assert!(unusable.get(request(&server.url)).await.is_ok(), "this machine is reached without a proxy");
}

#[tokio::test]
async fn a_proxy_that_hangs_costs_the_deadline() {
    let (peer, mut hung_up) = flood("", b"").await;
    let url = Uri::from_static("https://id.invalid/");
    let request = GetRequest { deadline: SOON, ..request(&url) };
    let timeout = FetchError::Timeout { phase: Phase::Response, after: SOON };
    assert_eq!(through(&peer, None).get(request).await, Err(timeout));
    assert!(hung_up.recv().await.is_some());
}
