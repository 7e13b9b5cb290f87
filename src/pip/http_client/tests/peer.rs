//! Servers for the tests: a hyper server with a given answer, and a bare socket with a script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response, Uri};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server on an ephemeral port of the loopback address. It ends when it is dropped.
pub(super) struct Peer {
    pub(super) url: Uri,
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Runs `script` on each connection.
    pub(super) async fn raw<F, S>(script: F) -> Self
    where
        F: Fn(TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let url = format!("http://{address}/keys").parse().expect("a url");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut scripts = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                scripts.spawn(script(stream));
            }
        });
        Self { url, address, connections, _tasks: tasks }
    }

    /// A hyper server that answers each request by its header fields.
    pub(super) async fn hyper<A>(answer: A) -> Self
    where
        A: Fn(&HeaderMap) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
    {
        Self::requests(move |request| answer(&request.headers)).await
    }

    /// A hyper server that answers each request by all that is known of it.
    pub(super) async fn requests<A>(answer: A) -> Self
    where
        A: Fn(&Parts) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
    {
        Self::raw(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let response = answer(&request.into_parts().0);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that hangs up is part of these tests.
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }

    /// How many connections were accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads a request up to its end; requests of these tests have no body. False when the peer hung up before.
pub(super) async fn end_of_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}
