//! Binding listeners: at once, or beside a sidecar whose place is taken over.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::accept::Listener;
use crate::config::{GrpcAddress, MAX_SOCKET_PATH};

/// Connections that can wait to be accepted.
pub(super) const BACKLOG: u16 = 1024;

/// What is appended to the name of a socket that waits, for the one whose place it takes.
const BEFORE: &str = ".before";

/// Who may connect to our Unix sockets, as their permissions say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SocketMode {
    /// Their owner: an Envoy that runs as the same user.
    #[value(name = "600", alias = "0600")]
    Owner,
    /// Their owner and group, such as the group that a pod's fsGroup gives to its containers.
    #[default]
    #[value(name = "660", alias = "0660")]
    Group,
    /// Whoever can reach them: in a pod, those containers that mount the volume.
    #[value(name = "666", alias = "0666")]
    Everyone,
}

impl SocketMode {
    fn bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
            Self::Everyone => 0o666,
        }
    }
}

/// Whether somebody else may be listening already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody may.
    Alone,
    /// Another sidecar does, and goes on until this one is ready.
    TakeOver,
}

/// A bound listener which nobody reaches yet if another sidecar's place is taken.
pub(super) enum Bound {
    Tcp(Socket),
    /// A listener with its file, and the path where that belongs.
    Unix(UnixListener, SocketFile, PathBuf),
}

/// Removes a socket's file at the end, unless another process has put its own there meanwhile.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: Option<u64>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), inode: inode(path) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is needed to see later whether the file is still ours.
    pub fn claim(&self) -> Claim {
        Claim { path: self.path.clone(), inode: self.inode }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_none() || inode(&self.path) != self.inode {
            return;
        }
        // Aside first: another process may put its own there between a look and a removal, and nobody would find that one any more.
        let mut aside = self.path.clone().into_os_string();
        aside.push(format!(".{}.gone", std::process::id()));
        if std::fs::rename(&self.path, &aside).is_err() {
            return;
        }
        if inode(Path::new(&aside)) != self.inode {
            let _ = std::fs::hard_link(&aside, &self.path);
        }
        let _ = std::fs::remove_file(&aside);
    }
}

/// A path where a socket of ours is, or was.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub path: PathBuf,
    inode: Option<u64>,
}

impl Claim {
    /// Whether another process has put a socket of its own there.
    pub fn is_lost(&self) -> bool {
        inode(&self.path).is_some_and(|found| Some(found) != self.inode)
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

/// Binds all addresses or none.
pub(super) async fn all(addresses: &[GrpcAddress], arrival: Arrival, mode: SocketMode) -> Result<Vec<Bound>, String> {
    let mut bound = Vec::new();
    for address in addresses {
        bound.push(match address {
            GrpcAddress::Tcp(address) => Bound::Tcp(tcp(*address, arrival)?),
            GrpcAddress::Unix(path) => unix(path, arrival, mode).await?,
        });
    }
    Ok(bound)
}

/// Binds a TCP address. Two sidecars can have it at once, so that one can take over from the other; whoever comes alone makes sure
/// first that there is nobody.
pub(super) fn tcp(address: SocketAddr, arrival: Arrival) -> Result<Socket, String> {
    let bind = |shared| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        // Connections that ended a moment ago are nobody.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    // What the system chooses, nobody else has. Sockets that are not shared cannot be bound where somebody listens, shared or not.
    let bound = match arrival {
        _ if address.port() == 0 => bind(false),
        Arrival::TakeOver => bind(true),
        Arrival::Alone => bind(false).and_then(|probe| {
            // Bound alone and listening, this is where it shows that two come at once.
            probe.listen(1)?;
            drop(probe);
            let socket = bind(true)?;
            // From here on nobody else can come alone. Whoever connects before we accept waits.
            socket.listen(BACKLOG.into())?;
            Ok(socket)
        }),
    };
    bound.map_err(|error| match (error.kind(), arrival) {
        (ErrorKind::AddrInUse, Arrival::Alone) => format!(
            "cannot listen on {address}: another process does already; stop it, take over from it with 'run --takeover', or change the address under 'listen'"
        ),
        (ErrorKind::AddrInUse, Arrival::TakeOver) => format!(
            "cannot listen on {address}: another process does already, and it is no sidecar of the same user; stop it or change the address under 'listen'"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// Begins to listen on what is bound.
pub(super) fn listen(socket: Socket) -> Result<TcpListener, String> {
    let listener = socket.listen(BACKLOG.into()).and_then(|()| TcpListener::from_std(socket.into()));
    listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => "cannot listen: another process took the address meanwhile".into(),
        _ => format!("cannot listen: {error}"),
    })
}

/// The address that a listener has got, for logs: with port 0 it is only known now.
pub(super) fn address_of(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// Begins to listen where everybody looks, everywhere or nowhere; says of each listener what its address was for. Whoever listened at these paths before is not found any more.
///
/// # Errors
/// When an address or a path cannot be had. Then everybody who was found before is found again.
pub(super) fn open<T>(bound: Vec<(Bound, T)>) -> Result<Vec<(Listener, T)>, String> {
    let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
    for (bound, of) in bound {
        match bound {
            Bound::Tcp(socket) => listeners.push((Listener::Tcp(listen(socket)?), of)),
            Bound::Unix(listener, file, path) => sockets.push((listener, file, path, of)),
        }
    }
    // These come last: from here on another sidecar can be out of its place.
    let mut replaced = Vec::new();
    for (listener, mut file, path, of) in sockets {
        if file.path != path {
            let before = Replaced::keep(&path);
            // What was replaced so far is put back when this returns.
            std::fs::rename(&file.path, &path).map_err(|error| format!("cannot take over unix:{}: {error}", path.display()))?;
            replaced.extend(before);
            file.path = path;
        }
        listeners.push((Listener::Unix(listener, file), of));
    }
    replaced.iter_mut().for_each(Replaced::forget);
    Ok(listeners)
}

/// Another process's socket, under another name, until it is sure that its place is taken. Dropped before, it gets that back.
struct Replaced {
    path: PathBuf,
    kept: Option<PathBuf>,
}

impl Replaced {
    /// `None`: there is nobody, or the file system has no second names; then it cannot be put back.
    fn keep(path: &Path) -> Option<Self> {
        let mut name = beside(path).into_os_string();
        name.push(BEFORE);
        let kept = PathBuf::from(name);
        std::fs::hard_link(path, &kept).ok()?;
        Some(Self { path: path.to_path_buf(), kept: Some(kept) })
    }

    fn forget(&mut self) {
        if let Some(kept) = self.kept.take() {
            let _ = std::fs::remove_file(kept);
        }
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        // Where nothing was replaced, both names are of one file, and the system leaves both.
        let Some(kept) = &self.kept else { return };
        match std::fs::rename(kept, &self.path) {
            Ok(()) => self.forget(),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the other sidecar's socket cannot be put back in its place")
            }
        }
    }
}

async fn unix(path: &Path, arrival: Arrival, mode: SocketMode) -> Result<Bound, String> {
    let fail = |what: &str| format!("cannot listen on unix:{}: {what}", path.display());
    remove_leftovers(path).await;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(fail(&error.to_string())),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(fail("there is something else that is no socket")),
        // It stays until this one takes its place.
        Ok(_) if arrival == Arrival::TakeOver => {}
        Ok(_) if !is_dead(path).await => {
            return Err(fail(
                "another process does already; stop it, take over from it with 'run --takeover', or change the address under 'listen'",
            ));
        }
        // A process that was killed left it behind.
        Ok(_) => std::fs::remove_file(path).map_err(|error| fail(&format!("the socket of a dead process cannot be removed: {error}")))?,
    }
    let at = match arrival {
        Arrival::Alone => path.to_path_buf(),
        Arrival::TakeOver => beside(path),
    };
    if at.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(fail("the path is too long for --takeover, which appends its process id for a while"));
    }
    let listener = bind_unix(&at, mode).map_err(|error| match error.kind() {
        ErrorKind::NotFound => fail("the folder does not exist; create it first"),
        _ => fail(&error.to_string()),
    })?;
    let file = SocketFile::new(&at);
    // Whatever the umask took away.
    std::fs::set_permissions(&at, Permissions::from_mode(mode.bits())).map_err(|error| fail(&error.to_string()))?;
    Ok(Bound::Unix(listener, file, path.to_path_buf()))
}

/// A listening socket that nobody else can connect to from its first moment on, whatever the umask lets pass.
fn bind_unix(at: &Path, mode: SocketMode) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // Linux gives the permissions of a socket without a name to its file. Where the system does not, they come a moment later.
    let unnamed = File::from(OwnedFd::from(socket));
    let _ = unnamed.set_permissions(Permissions::from_mode(mode.bits()));
    let socket = Socket::from(OwnedFd::from(unnamed));
    socket.bind(&SockAddr::unix(at)?)?;
    socket.listen(BACKLOG.into())?;
    UnixListener::from_std(socket.into())
}

/// Where a socket waits to be put in the place of the one at this path.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

/// Removes sockets that waited beside this path for their place when their processes died.
async fn remove_leftovers(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let other = entry.file_name();
        let number = other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
        let number = number.map(|number| number.strip_suffix(BEFORE).unwrap_or(number));
        let is_ours = number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_socket()) && is_dead(&entry.path()).await {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether nobody listens on a socket any more. Whoever is only too busy to accept is not dead.
async fn is_dead(path: &Path) -> bool {
    UnixStream::connect(path).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests;
