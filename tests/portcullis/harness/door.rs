//! How a client comes in: in plain text or over TLS, with HTTP/1.1 or HTTP/2, and by which host.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::authority::{Authority, Identity};
use super::http::{Answer, Connection, Request};

/// One way to come in.
#[derive(Clone, Default)]
pub struct Door {
    tls: Option<Arc<ClientConfig>>,
    http2: bool,
    /// What the client calls the service by; without it, by its address.
    host: Option<String>,
}

impl Door {
    /// In plain text, by this host.
    pub fn plain(host: &str) -> Self {
        Self { tls: None, http2: false, host: Some(host.into()) }
    }

    /// Over TLS, by this host. The server has to be certified by the authority, and the client shows what it has.
    pub fn tls(host: &str, authority: &Authority, client: Option<&Identity>) -> Self {
        Self::tls_with(host, authority, client, rustls::ALL_VERSIONS)
    }

    /// The same with these versions of TLS alone.
    pub fn tls_with(host: &str, authority: &Authority, client: Option<&Identity>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        let builder = builder.with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
                builder.with_client_auth_cert(vec![certificate.clone()], key).expect("a client certificate")
            }
        };
        Self { tls: Some(Arc::new(config)), http2: false, host: Some(host.into()) }
    }

    /// With HTTP/2: over TLS by ALPN, in plain text by knowing it.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        if let Some(config) = &mut self.tls {
            Arc::make_mut(config).alpn_protocols = vec![b"h2".to_vec()];
        }
        self
    }

    /// A connection of its own.
    pub async fn connect(&self, address: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        self.over(stream).await
    }

    /// The same over a connection that somebody opened, and may have said something on.
    pub async fn over(&self, stream: TcpStream) -> Result<Connection, String> {
        let address = stream.peer_addr().map_err(|error| error.to_string())?;
        let host = self.host.clone().unwrap_or_else(|| address.to_string());
        let Some(config) = &self.tls else {
            return if self.http2 { Connection::over_http2(stream, "http", host).await } else { Connection::over(stream, host).await };
        };
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
        if self.http2 {
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err("the server does not speak HTTP/2".into());
            }
            return Connection::over_http2(stream, "https", host).await;
        }
        Connection::over(stream, host).await
    }

    /// Sends one request over a connection of its own.
    pub async fn try_send(&self, address: SocketAddr, request: &Request) -> Result<Answer, String> {
        self.connect(address).await?.send(request).await
    }
}
