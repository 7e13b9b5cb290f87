//! Binding and serving listeners.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Error, Server};
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::config::GrpcAddress;
use crate::ext_authz::AuthorizationServer;

/// Who may connect to a socket: its owner and its group, which a pod's `fsGroup` shares with Envoy.
const SOCKET_MODE: u32 = 0o660;
/// The most checks that one connection has in flight. Envoy keeps one connection per worker.
const MAX_STREAMS: u32 = 1024;
/// Flow-control windows, in bytes: a check and its answer fit many times over.
const WINDOW: u32 = 1024 * 1024;

/// A bound listener for checks.
pub(super) enum GrpcListener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes a socket's file at the end, unless another process has put its own there meanwhile.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: Option<u64>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), inode: inode(path) }
    }
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds all addresses or none.
pub(super) async fn grpc(addresses: &[GrpcAddress]) -> Result<Vec<GrpcListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(match address {
            GrpcAddress::Tcp(address) => GrpcListener::Tcp(tcp(*address).await?),
            GrpcAddress::Unix(path) => unix(path).await?,
        });
    }
    Ok(listeners)
}

/// Binds a TCP address.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            format!("cannot listen on {address}: another process does already; stop it or change the address under 'listen'")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// The address that a listener has got, for logs: with port 0 it is only known now.
pub(super) fn address_of(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

async fn unix(path: &Path) -> Result<GrpcListener, String> {
    let fail = |what: String| format!("cannot listen on unix:{}: {what}", path.display());
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error.to_string())),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(fail("there is something else that is no socket".into())),
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(fail("another process does already; stop it or change the address under 'listen'".into()));
        }
        // A process that was killed left it behind.
        Ok(_) => std::fs::remove_file(path).map_err(|error| fail(format!("the socket of a dead process cannot be removed: {error}")))?,
    }
    let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => fail("the folder does not exist; create it first".into()),
        _ => fail(error.to_string()),
    })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE)).map_err(|error| fail(error.to_string()))?;
    Ok(GrpcListener::Unix(listener, SocketFile::new(path)))
}

impl GrpcListener {
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => address_of(listener),
            Self::Unix(_, file) => format!("unix:{}", file.path.display()),
        }
    }

    /// Serves checks and health until `drain`, then finishes what is in flight.
    pub(super) async fn serve<H: Health>(
        self,
        checks: AuthorizationServer,
        health: HealthServer<H>,
        drain: CancellationToken,
    ) -> Result<(), Error> {
        let router: Router = Server::builder()
            .max_concurrent_streams(Some(MAX_STREAMS))
            .initial_stream_window_size(Some(WINDOW))
            .initial_connection_window_size(Some(WINDOW))
            .http2_keepalive_interval(Some(Duration::from_secs(60)))
            .add_service(checks)
            .add_service(health);
        match self {
            Self::Tcp(listener) => {
                // The end of an answer is a packet of its own. Without this it would wait for the client to confirm the first one,
                // which clients put off for 40 ms.
                let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
                router.serve_with_incoming_shutdown(connections, drain.cancelled_owned()).await
            }
            Self::Unix(listener, _file) => {
                router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), drain.cancelled_owned()).await
            }
        }
    }
}
