//! The servers of the API: the socket in the repository, and a TCP port.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::{Extension, Router};
use futures::FutureExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::doors::Doors;
use super::handover::{Handover, Socket, Wish, carry_out};
use super::routed;
use super::trailing::Trailing;
use crate::config;
use crate::http::{self, Door, Heads, Server};
use crate::node::Node;

/// Serves the API of `node` on a Unix socket at `path`, which only this user may open. Whatever socket stood there is replaced:
/// the caller holds the repository's lock, so nobody serves it.
///
/// Where `node` is no daemon, the server hands the repository over when one asks for it: then it listens no more, and serves
/// the connections that are open.
pub async fn serve_socket(node: Node, path: &Path) -> Result<Server, ServeError> {
    let socket = Socket::bind(path.to_owned());
    let socket = socket.map_err(|source| ServeError::Socket { path: path.to_owned(), source })?;
    let address = Multiaddr::empty().with(Protocol::Unix(path.to_string_lossy().into_owned().into()));
    let (handover, wishes) = Handover::new();
    let router = routed(node.clone(), Doors::local()).layer(Extension(handover));
    let door = SocketDoor { node, socket: Some(socket), wishes };
    Ok(start(door, address, router, HEADS_OF_SOCKET))
}

/// Serves the API of `node` at `/ip4/…/tcp/…` or `/ip6/…/tcp/…`; port 0 takes a free one.
///
/// Fails where the port is taken, and beyond loopback unless callers must show a token (`api.auth`, `api.tokens`).
pub async fn serve_tcp(node: Node, address: &Multiaddr) -> Result<Server, ServeError> {
    let wanted = config::http_address(address).ok_or_else(|| ServeError::Address { address: address.clone() })?;
    let api = &node.config().api;
    let guarded = api.auth == config::Auth::Required && !api.tokens.is_empty();
    if !wanted.ip().is_loopback() && !guarded {
        return Err(ServeError::Unguarded { address: address.clone() });
    }
    let taken = |source| ServeError::Tcp { address: address.clone(), source };
    if api.auth == config::Auth::Required && api.tokens.is_empty() {
        tracing::warn!(%address, "nobody is let in: tokens are required and there is none; `cidra config add api.tokens --generate` makes one");
    }
    let (listener, address) = http::listen(wanted).await.map_err(taken)?;
    let port = listener.local_addr().map_err(taken)?.port();
    let doors = Doors::port(port, api, node.tokens());
    Ok(start(listener, address, routed(node, doors), HEADS))
}

/// Serves the figures of `node` for Prometheus, and nothing else, at an address as [`serve_tcp`] takes it.
pub async fn serve_metrics(node: Node, address: &Multiaddr) -> Result<Server, ServeError> {
    let wanted = config::http_address(address).ok_or_else(|| ServeError::Address { address: address.clone() })?;
    let taken = |source| ServeError::Metrics { address: address.clone(), source };
    let (listener, address) = http::listen(wanted).await.map_err(taken)?;
    Ok(start(listener, address, super::metrics::routes().with_state(node), HEADS))
}

fn start<D>(door: D, address: Multiaddr, router: Router, heads: Heads) -> Server
where
    D: Door<Stream: AsyncRead + AsyncWrite + Unpin>,
{
    Server::start(door, address, MAX_CONNECTIONS, move |stream, stopping| {
        let (stream, turns) = Trailing::new(stream);
        let router = router.clone();
        let service = service_fn(move |request| turns.clone().answer(router.clone(), request).map(Ok::<_, Infallible>));
        heads.hear(TokioIo::new(stream), service, stopping)
    })
}

/// At most so many connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 512;
/// The arguments of a command stand in its head.
const HEADS: Heads = Heads { timeout: Some(Duration::from_secs(60)), bytes: 256 * 1024 };
/// Only this user gets to the socket, and a command may think between two calls.
const HEADS_OF_SOCKET: Heads = Heads { timeout: None, ..HEADS };

/// The socket of a repository. When somebody asks for the repository and gets it, nothing comes in any more.
struct SocketDoor {
    node: Node,
    socket: Option<Socket>,
    wishes: mpsc::Receiver<Wish>,
}

impl Door for SocketDoor {
    type Stream = UnixStream;

    async fn next(&mut self) -> io::Result<UnixStream> {
        loop {
            let Some(socket) = &self.socket else { return std::future::pending().await };
            let wish = tokio::select! {
                accepted = socket.listener.accept() => return accepted.map(|(stream, _)| stream),
                Some(wish) = self.wishes.recv() => wish,
            };
            let socket = self.socket.take().expect("it was listened on");
            self.socket = carry_out(&self.node, wish, socket).await;
        }
    }
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It is not an address to serve HTTP at.
    #[error(
        "cannot serve the API at {address}: give an address such as /ip4/127.0.0.1/tcp/5001 (api.listen, --api-listen)"
    )]
    Address {
        /// The address.
        address: Multiaddr,
    },
    /// The socket cannot be made.
    #[error("cannot serve the API on {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The port cannot be listened on.
    #[error(
        "cannot serve the API at {address}: is another program there? Choose another port with --api-listen, or none"
    )]
    Tcp {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        source: io::Error,
    },
    /// The port cannot be listened on.
    #[error(
        "cannot serve metrics at {address}: is another program there? Choose another port with --metrics-listen, or none"
    )]
    Metrics {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        source: io::Error,
    },
    /// Anyone who reaches it could use it.
    #[error(
        "will not serve the API at {address}, which others than this machine can reach, without tokens: run `cidra config api.auth required` and `cidra config add api.tokens --generate` first"
    )]
    Unguarded {
        /// The address.
        address: Multiaddr,
    },
}
