//! The line between the sidecar and the identity service, which can be broken in several ways.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What the line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It carries everything.
    Whole,
    /// It carries nothing, and tells nobody; later it goes on.
    Hung,
    /// Whatever is asked is answered with bytes that mean nothing.
    Garbled,
    /// Connections end as soon as they begin.
    Cut,
}

/// The line. It ends when it is dropped.
pub struct Line {
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    connections: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Line {
    /// A line to this address.
    pub async fn to(there: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, connections) = (Arc::new(watch::Sender::new(State::Whole)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn({
            let (state, connections) = (Arc::clone(&state), Arc::clone(&connections));
            async move {
                while let Ok((here, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(carry(here, there, state.subscribe()));
                }
            }
        });
        Self { address, state, connections, task: task.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it does this, to open connections as well.
    pub fn turn(&self, state: State) {
        self.state.send_replace(state);
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the line does, once it does not hang.
async fn unhung(state: &mut watch::Receiver<State>) -> State {
    loop {
        let now = *state.borrow_and_update();
        if now != State::Hung || state.changed().await.is_err() {
            return now;
        }
    }
}

/// One connection.
async fn carry(mut here: TcpStream, there: SocketAddr, mut state: watch::Receiver<State>) {
    match unhung(&mut state).await {
        State::Whole => {}
        State::Garbled => return garble(&mut here).await,
        State::Hung | State::Cut => return,
    }
    let Ok(mut there) = TcpStream::connect(there).await else { return };
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            biased;
            _ = state.changed() => match unhung(&mut state).await {
                State::Whole => {}
                State::Garbled => return garble(&mut here).await,
                State::Hung | State::Cut => return,
            },
            read = here.read(&mut asked) => match read {
                Ok(length) if length > 0 && there.write_all(&asked[..length]).await.is_ok() => {}
                _ => return,
            },
            read = there.read(&mut answered) => match read {
                Ok(length) if length > 0 && here.write_all(&answered[..length]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}

async fn garble(here: &mut TcpStream) {
    let bytes: Vec<u8> = (0..4096).map(|_| fastrand::u8(..)).collect();
    let _ = here.write_all(&bytes).await;
    let _ = here.shutdown().await;
}
