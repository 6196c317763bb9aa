//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// The two ends of the connection that a request came in on.
///
/// [`TableServer::serve`](crate::TableServer::serve) puts it into the extensions of each request. Where the server is mounted in another
/// one, a layer may put it there; without it nothing that a proxy says is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    remote: SocketAddr,
    local: SocketAddr,
    tls: bool,
}

impl Peer {
    /// A connection from `remote` to `local`.
    pub fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            remote,
            local,
            tls: false,
        }
    }

    /// The same connection, under TLS.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Where the other side is.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Where this side was reached.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether nobody between the two can read along.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the other side is on the same machine.
    pub fn is_local(&self) -> bool {
        self.remote.ip().to_canonical().is_loopback()
    }
}
