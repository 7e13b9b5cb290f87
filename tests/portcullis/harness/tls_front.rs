//! TLS in front of a server that speaks none.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Identity};

/// The running front. It ends when it is dropped, and so do its connections.
pub struct TlsFront {
    pub address: SocketAddr,
    config: watch::Sender<Arc<ServerConfig>>,
    handshakes: Arc<AtomicU64>,
    task: AbortHandle,
}

impl TlsFront {
    /// Shows this certificate. With `clients`, only those are let in whom it certified.
    pub async fn start(behind: SocketAddr, server: &Identity, clients: Option<&Authority>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = watch::Sender::new(config(server, clients));
        let handshakes = Arc::new(AtomicU64::new(0));
        let (configs, counter) = (config.subscribe(), Arc::clone(&handshakes));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behind, configs.clone(), Arc::clone(&counter)));
            }
        });
        Self { address, config, handshakes, task: task.abort_handle() }
    }

    /// Shows another certificate from now on, and cuts the connections that were made with the one before.
    pub fn show(&self, server: &Identity, clients: Option<&Authority>) {
        self.config.send_replace(config(server, clients));
    }

    /// How many clients came in.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::SeqCst)
    }

    /// Its URL by this name.
    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, behind: SocketAddr, mut configs: watch::Receiver<Arc<ServerConfig>>, handshakes: Arc<AtomicU64>) {
    let config = Arc::clone(&configs.borrow_and_update());
    let work = async {
        let Ok(mut near) = TlsAcceptor::from(config).accept(stream).await else { return };
        handshakes.fetch_add(1, Ordering::SeqCst);
        let Ok(mut far) = TcpStream::connect(behind).await else { return };
        let _ = copy_bidirectional(&mut near, &mut far).await;
    };
    tokio::select! {
        () = work => {}
        _ = configs.changed() => {}
    }
}

fn config(server: &Identity, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(server.key.serialize_der().into());
    Arc::new(builder.with_single_cert(vec![server.certificate.clone()], key).expect("a certificate"))
}
