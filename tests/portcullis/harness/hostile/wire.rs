//! Answers byte by byte, well-formed or not.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a large body consists of.
const PIECE: usize = 64 * 1024;

/// A connection.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The head of a request.
pub struct Request(String);

impl Request {
    fn target(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// A number of the query.
    pub fn number(&self, name: &str) -> Option<u64> {
        let (_, query) = self.target().split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// TLS with a certificate that nobody trusts, for the right name.
pub fn untrusted() -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_string()]).expect("a name").self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a server configuration");
    TlsAcceptor::from(Arc::new(config))
}

impl Wire {
    pub async fn accept(stream: TcpStream, tls: Option<TlsAcceptor>) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        Some(match tls {
            Some(tls) => Self::Tls(Box::new(tls.accept(stream).await.ok()?)),
            None => Self::Plain(stream),
        })
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// The next request; none when the client has gone.
    pub async fn request(&mut self) -> Option<Request> {
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length = self.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
            head.extend_from_slice(&buffer[..length]);
            // A GET has no body, and clients do not send the next one before they are answered.
            if head.ends_with(b"\r\n\r\n") {
                return Some(Request(String::from_utf8_lossy(&head).into_owned()));
            }
        }
    }

    /// Waits until the client has enough of it.
    pub async fn until_closed(&mut self) {
        let mut buffer = [0; 64];
        while self.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    }

    async fn counted(&mut self, bytes: &[u8], sent: &AtomicU64) -> io::Result<()> {
        self.write(bytes).await?;
        sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }

    pub async fn status(&mut self, status: u16, fields: &str) -> io::Result<()> {
        self.write(format!("HTTP/1.1 {status} Whatever\r\n{fields}content-length: 0\r\n\r\n").as_bytes()).await
    }

    pub async fn json(&mut self, body: &[u8], etag: Option<&str>, sent: &AtomicU64) -> io::Result<()> {
        let etag = etag.map_or_else(String::new, |etag| format!("etag: {etag}\r\n"));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{etag}content-length: {}\r\n\r\n", body.len());
        self.write(head.as_bytes()).await?;
        self.counted(body, sent).await
    }

    pub async fn body(&mut self, kind: &str, body: &[u8], sent: &AtomicU64) -> io::Result<()> {
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        self.counted(body, sent).await
    }

    pub async fn trickle(&mut self, body: &[u8], sent: &AtomicU64) -> io::Result<()> {
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())
            .await?;
        for byte in body {
            self.counted(&[*byte], sent).await?;
            let mut nothing = [0; 1];
            // Whoever has gone is noticed at once.
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = self.read(&mut nothing) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        Ok(())
    }

    pub async fn truncated(&mut self, body: &[u8], sent: &AtomicU64) -> io::Result<()> {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len() * 2);
        self.write(head.as_bytes()).await?;
        self.counted(body, sent).await
    }

    pub async fn cut_chunks(&mut self, body: &[u8], sent: &AtomicU64) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        self.write(format!("{head}{:x}\r\n", body.len()).as_bytes()).await?;
        self.counted(body, sent).await?;
        // Everything is there but the last chunk, which says so.
        self.write(b"\r\n").await
    }

    pub async fn reset(&mut self, body: &[u8]) -> io::Result<()> {
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())
            .await?;
        self.write(body.get(..body.len() / 2).unwrap_or_default()).await?;
        let stream = match self {
            Self::Plain(stream) => &*stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
    }

    pub async fn gzip_bomb(&mut self, sent: &AtomicU64) -> io::Result<()> {
        static PART: OnceLock<Vec<u8>> = OnceLock::new();
        // A megabyte of spaces in one kilobyte. After a full flush it can be said again, as often as anybody listens.
        let part = PART.get_or_init(|| {
            let mut part = Vec::with_capacity(PIECE);
            let spaces = vec![b' '; 1 << 20];
            Compress::new(Compression::best(), false).compress_vec(&spaces, &mut part, FlushCompress::Full).expect("deflate");
            part
        });
        self.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        // RFC 1952 section 2.3: a member's head with no flags, no time and an unknown system.
        self.write(b"a\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\r\n").await?;
        loop {
            self.write(format!("{:x}\r\n", part.len()).as_bytes()).await?;
            self.counted(part, sent).await?;
            self.write(b"\r\n").await?;
        }
    }

    pub async fn large(&mut self, megabytes: usize, sent: &AtomicU64) -> io::Result<()> {
        let length = megabytes << 20;
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await?;
        let piece = vec![b' '; PIECE];
        for _ in 0..length / PIECE {
            self.counted(&piece, sent).await?;
        }
        Ok(())
    }

    pub async fn endless(&mut self, sent: &AtomicU64) -> io::Result<()> {
        self.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        let piece = vec![b' '; PIECE];
        loop {
            self.write(format!("{PIECE:x}\r\n").as_bytes()).await?;
            self.counted(&piece, sent).await?;
            self.write(b"\r\n").await?;
        }
    }

    pub async fn endless_head(&mut self) -> io::Result<()> {
        self.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n").await?;
        for number in 0_u64.. {
            self.write(format!("x-{number}: {number}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}
