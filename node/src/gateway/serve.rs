//! The server of the gateway: a TCP port that anybody may come to.
//!
//! Connections are bounded in number, the heads of requests in size and time, and a visitor who takes nothing of an answer for
//! long is let go. A server that is shut down takes no more, lets the requests under way end within a bounded time, then
//! cuts them; one that is dropped cuts them at once.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Sleep, sleep};

use super::Gateway;
use crate::config::http_address;
use crate::node::Node;

/// A server that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Server {
    address: Multiaddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens, with the port that it got.
    pub fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// Takes no more requests, gives those under way `grace` to end, and cuts the rest.
    pub async fn shutdown(mut self, grace: Duration) {
        let _ = self.stop.send(true); // nobody listens when the task has ended already
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            tracing::info!(address = %self.address, "requests were cut at shutdown");
            self.task.abort();
            let _ = (&mut self.task).await; // it was told to end: that it was cancelled is no news
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the gateway of `node` at `/ip4/…/tcp/…` or `/ip6/…/tcp/…`; port 0 takes a free one. Fails where the port is taken.
pub async fn serve(node: Node, address: &Multiaddr) -> Result<Server, ServeError> {
    let wanted = http_address(address).ok_or_else(|| ServeError::Address { address: address.clone() })?;
    let taken = |source| ServeError::Tcp { address: address.clone(), source };
    let listener = TcpListener::bind(wanted).await.map_err(taken)?;
    let local = listener.local_addr().map_err(taken)?;
    let address = Multiaddr::from(local.ip()).with(Protocol::Tcp(local.port()));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, Arc::new(Gateway::new(node)), stopped));
    Ok(Server { address, stop, task })
}

async fn accept(listener: TcpListener, gateway: Arc<Gateway>, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stop(&mut stopped) => break,
            place = room.clone().acquire_owned() => place.expect("nobody closes it"),
        };
        let accepted = tokio::select! {
            () = stop(&mut stopped) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "no connection to the gateway was accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = converse(stream, gateway.clone(), stopped.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// At most so many connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Accepting fails when file descriptors run out, and at once again when it is tried at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ends when the server is told to stop, or is gone.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await; // the server being gone is as good as its word
}

/// All requests of a connection. One that asks for a tunnel (`CONNECT` to a proxy) finds this gateway at its end, whatever
/// the host; in a tunnel there is no other.
async fn converse(stream: TcpStream, gateway: Arc<Gateway>, mut stopped: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the gateway sends small answers late");
    }
    let io = TokioIo::new(Patient::new(stream));
    let Some(tunnel) = hear(io, &gateway, true, &mut stopped).await else { return };
    match tunnel.await {
        Ok(io) => drop(hear(io, &gateway, false, &mut stopped).await),
        Err(error) => tracing::debug!(%error, "a tunnel to the gateway was not begun"),
    }
}

/// Answers requests until the connection ends, or becomes a tunnel.
async fn hear<I>(
    io: I,
    gateway: &Arc<Gateway>,
    may_tunnel: bool,
    stopped: &mut watch::Receiver<bool>,
) -> Option<OnUpgrade>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let tunnel = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        if may_tunnel && request.method() == Method::CONNECT {
            *tunnel.lock().expect("nobody panics with it") = Some(hyper::upgrade::on(&mut request));
        }
        let tunnel = &tunnel;
        async move {
            let begins = request.method() == Method::CONNECT && tunnel.lock().expect("nobody panics with it").is_some();
            Ok::<_, Infallible>(if begins { Response::new(Body::empty()) } else { gateway.answer(&request).await })
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    let mut connection = std::pin::pin!(http.serve_connection(io, service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop(stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the gateway ended");
    }
    tunnel.lock().expect("nobody panics with it").take()
}

/// A connection on which no request begins, or whose head does not end, is closed after this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of the head of a request, and of what waits to be written.
const MAX_HEAD: usize = 64 * 1024;

/// A connection that is cut when its visitor takes nothing for long.
struct Patient {
    stream: TcpStream,
    /// Runs while there is something to write that nobody takes.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self { stream, waiting: None }
    }

    fn patiently<T>(&mut self, taken: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if taken.is_ready() {
            self.waiting = None;
            return taken;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Whoever takes no byte of an answer for so long is gone, or keeps us from others.
const PATIENCE: Duration = Duration::from_secs(120);

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patiently(taken, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patiently(taken, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Why the gateway cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It is not an address to serve HTTP at.
    #[error(
        "cannot serve the gateway at {address}: give an address such as /ip4/127.0.0.1/tcp/8080 (gateway.listen, --gateway-listen)"
    )]
    Address {
        /// The address.
        address: Multiaddr,
    },
    /// The port cannot be listened on.
    #[error(
        "cannot serve the gateway at {address}: is another program there? Choose another port with --gateway-listen, or none"
    )]
    Tcp {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        source: io::Error,
    },
}
