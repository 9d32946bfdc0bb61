//! The servers of the API: the socket in the repository, and a TCP port.
//!
//! Connections are counted and bounded. A server that is shut down takes no more, lets the requests under way end within a
//! bounded time, then cuts them; one that is dropped cuts them at once.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use futures::FutureExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::doors::Doors;
use super::handover::{Handover, Socket, Wish, carry_out};
use super::routed;
use super::trailing::Trailing;
use crate::config;
use crate::node::Node;

/// A server that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Server {
    address: Multiaddr,
    stop: watch::Sender<bool>,
    guests: Arc<watch::Sender<usize>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens, with the port that it got.
    pub fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        *self.guests.borrow()
    }

    /// Serves until no connection is open, then ends.
    pub async fn until_idle(self) {
        let mut guests = self.guests.subscribe();
        // This server holds the sender.
        let _ = guests.wait_for(|guests| *guests == 0).await;
        self.shutdown(LAST_GUEST).await;
    }

    /// Takes no more requests, gives those under way `grace` to end, and cuts the rest.
    pub async fn shutdown(mut self, grace: Duration) {
        // Nobody listens when the task has ended already.
        let _ = self.stop.send(true);
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            tracing::info!(address = %self.address, "requests were cut at shutdown");
            self.task.abort();
            // It was told to end and its end is waited for; that it was cancelled is no news.
            let _ = (&mut self.task).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

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
    Ok(Server::start(Listener::Unix { socket, node, wishes }, address, router))
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
    let listener = TcpListener::bind(wanted).await.map_err(taken)?;
    let local = listener.local_addr().map_err(taken)?;
    let doors = Doors::port(local.port(), api, node.tokens());
    let address = Multiaddr::from(local.ip()).with(Protocol::Tcp(local.port()));
    Ok(Server::start(Listener::Tcp(listener), address, routed(node, doors)))
}

/// Serves the figures of `node` for Prometheus, and nothing else, at an address as [`serve_tcp`] takes it.
pub async fn serve_metrics(node: Node, address: &Multiaddr) -> Result<Server, ServeError> {
    let wanted = config::http_address(address).ok_or_else(|| ServeError::Address { address: address.clone() })?;
    let taken = |source| ServeError::Metrics { address: address.clone(), source };
    let listener = TcpListener::bind(wanted).await.map_err(taken)?;
    let local = listener.local_addr().map_err(taken)?;
    let address = Multiaddr::from(local.ip()).with(Protocol::Tcp(local.port()));
    Ok(Server::start(Listener::Tcp(listener), address, super::metrics::routes().with_state(node)))
}

impl Server {
    fn start(listener: Listener, address: Multiaddr, router: Router) -> Self {
        let (stop, stopped) = watch::channel(false);
        let guests = Arc::new(watch::Sender::new(0));
        let task = tokio::spawn(accept(listener, router, stopped, guests.clone()));
        Self { address, stop, guests, task }
    }
}

/// Somebody may come in just when the last guest left, and is served, too.
const LAST_GUEST: Duration = Duration::from_secs(60);

enum Listener {
    Tcp(TcpListener),
    Unix {
        socket: Socket,
        node: Node,
        wishes: mpsc::Receiver<Wish>,
    },
    /// Nothing is listened on any more.
    Deaf,
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What comes to a listener.
enum Coming {
    Connection(io::Result<Box<dyn Stream>>),
    Wish(Wish),
}

impl Listener {
    async fn next(&mut self) -> Coming {
        let stream = match self {
            Self::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            }),
            Self::Unix { socket, wishes, .. } => tokio::select! {
                accepted = socket.listener.accept() => accepted.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
                Some(wish) = wishes.recv() => return Coming::Wish(wish),
            },
            Self::Deaf => std::future::pending().await,
        };
        Coming::Connection(stream)
    }

    /// Does what somebody wants who asks for the repository.
    async fn grant(self, wish: Wish) -> Self {
        let Self::Unix { socket, node, wishes } = self else { return self };
        match carry_out(&node, wish, socket).await {
            Some(socket) => Self::Unix { socket, node, wishes },
            None => Self::Deaf,
        }
    }
}

async fn accept(
    mut listener: Listener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    guests: Arc<watch::Sender<usize>>,
) {
    let head_timeout = match listener {
        Listener::Tcp(_) => Some(HEAD_TIMEOUT),
        // Only this user gets here, and a command may think between two calls.
        Listener::Unix { .. } | Listener::Deaf => None,
    };
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stop(&mut stopped) => break,
            place = room.clone().acquire_owned() => place.expect("nobody closes it"),
        };
        let coming = tokio::select! {
            () = stop(&mut stopped) => break,
            coming = listener.next() => coming,
        };
        while connections.try_join_next().is_some() {}
        let stream = match coming {
            Coming::Connection(Ok(stream)) => stream,
            Coming::Connection(Err(error)) => {
                tracing::debug!(%error, "no connection to the API was accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
            Coming::Wish(wish) => {
                let granted = std::mem::replace(&mut listener, Listener::Deaf).grant(wish);
                listener = tokio::select! {
                    () = stop(&mut stopped) => break,
                    listener = granted => listener,
                };
                continue;
            }
        };
        let guest = Guest::enter(guests.clone());
        let connection = serve(stream, router.clone(), head_timeout, stopped.clone());
        connections.spawn(async move {
            connection.await;
            drop((place, guest));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Counted as long as it lives, however its connection ends.
struct Guest(Arc<watch::Sender<usize>>);

impl Guest {
    fn enter(guests: Arc<watch::Sender<usize>>) -> Self {
        guests.send_modify(|guests| *guests += 1);
        Self(guests)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.send_modify(|guests| *guests -= 1);
    }
}

/// Ends when the server is told to stop, or is gone.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // The server being gone is as good as its word.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// At most so many connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 512;
/// Accepting fails when file descriptors run out, and at once again when it is tried at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn serve(
    stream: Box<dyn Stream>,
    router: Router,
    head_timeout: Option<Duration>,
    mut stopped: watch::Receiver<bool>,
) {
    let (stream, turns) = Trailing::new(stream);
    let service = service_fn(move |request| turns.clone().answer(router.clone(), request).map(Ok::<_, Infallible>));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended");
    }
}

/// A connection on which no request begins, or whose head does not end, is closed after this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of the head of a request, and of what waits to be written: the arguments are in it.
const MAX_HEAD: usize = 256 * 1024;

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
