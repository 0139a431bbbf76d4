//! A wire between two parties that can be cut, made deaf in one direction, or cut
//! at the moment when certain bytes pass.
//!
//! Knows nothing of what it carries. Its address stays while the other side moves.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes taken at once. A text that is looked for lies within one of them: these
/// protocols send a command in one piece.
const PIECE: usize = 16 * 1024;

/// What happens to the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// They pass.
    Open,
    /// Those for the client vanish; those for the server pass.
    DeafClient,
    /// Those for the server vanish; those for the client pass.
    DeafServer,
    /// None pass, and new connections are refused.
    Cut,
    /// They pass until the client sends this; then that piece reaches the server,
    /// the answer does not reach the client, and the connection is cut. Once.
    CutAfter(&'static [u8]),
    /// As before, but the piece does not reach the server either.
    CutBefore(&'static [u8]),
}

/// A running proxy. Gone when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Accepts, and carries; all of it ends with this.
    _accepting: JoinSet<()>,
}

struct Shared {
    wire: watch::Sender<Wire>,
    /// Times that a `CutAfter` or `CutBefore` has cut.
    cuts: watch::Sender<u32>,
    /// Bytes that vanished.
    swallowed: watch::Sender<u64>,
}

impl Shared {
    fn swallow(&self, length: usize) {
        self.swallowed.send_modify(|bytes| *bytes += length as u64);
    }
}

impl Proxy {
    /// A wire to this port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            wire: watch::Sender::new(Wire::Open),
            cuts: watch::Sender::new(0),
            swallowed: watch::Sender::new(0),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, port, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _accepting: accepting,
        }
    }

    /// Where clients go.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes what happens to the bytes, also on connections that stand.
    pub fn set(&self, wire: Wire) {
        self.shared.wire.send_replace(wire);
    }

    /// Waits until it has cut so often at the bytes that it looked for.
    pub async fn has_cut(&self, times: u32) {
        let mut cuts = self.shared.cuts.subscribe();
        let enough = cuts.wait_for(|cuts| *cuts >= times).await;
        drop(enough.expect("the proxy is there"));
    }

    /// Waits until this many bytes more have vanished.
    pub async fn has_swallowed(&self, more: u64) {
        let mut bytes = self.shared.swallowed.subscribe();
        let wanted = *bytes.borrow() + more;
        let enough = bytes.wait_for(|bytes| *bytes >= wanted).await;
        drop(enough.expect("the proxy is there"));
    }
}

async fn accept(listener: TcpListener, port: u16, shared: Arc<Shared>) {
    let mut carriers = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        if *shared.wire.borrow() == Wire::Cut {
            continue; // Dropped: the client sees it closed.
        }
        if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
            carriers.spawn(carry(client, server, Arc::clone(&shared)));
        }
    }
}

async fn carry(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut wire = shared.wire.subscribe();
    let cut = async { wire.wait_for(|wire| *wire == Wire::Cut).await.map(drop) };
    tokio::select! {
        () = forth(from_client, to_server, &shared) => {}
        () = back(from_server, to_client, &shared) => {}
        _ = cut => {}
    }
}

/// From the client to the server.
async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let bytes = &piece[..length];
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        let wire = shared.wire.borrow().clone();
        let (passes, cuts) = match wire {
            Wire::CutAfter(text) if holds(text) => (true, true),
            Wire::CutBefore(text) if holds(text) => (false, true),
            Wire::Open | Wire::DeafClient | Wire::CutAfter(_) | Wire::CutBefore(_) => (true, false),
            Wire::DeafServer => {
                shared.swallow(length);
                continue;
            }
            Wire::Cut => return,
        };
        if cuts {
            shared.wire.send_replace(Wire::Open);
        }
        if passes && to.write_all(bytes).await.is_err() {
            return;
        }
        if cuts {
            shared.cuts.send_modify(|cuts| *cuts += 1);
            return to.shutdown().await.unwrap_or_default();
        }
    }
}

/// From the server to the client.
async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if *shared.wire.borrow() == Wire::DeafClient {
            shared.swallow(length);
            continue;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
