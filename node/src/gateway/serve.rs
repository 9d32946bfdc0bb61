//! The server of the gateway: a TCP port that anybody may come to. A visitor who takes nothing of an answer for long is let go.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use libp2p::Multiaddr;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::Gateway;
use crate::config::http_address;
use crate::http::{self, Heads, Server, Stopping};
use crate::node::Node;

/// Serves the gateway of `node` at `/ip4/…/tcp/…` or `/ip6/…/tcp/…`; port 0 takes a free one. Fails where the port is taken.
pub async fn serve(node: Node, address: &Multiaddr) -> Result<Server, ServeError> {
    let wanted = http_address(address).ok_or_else(|| ServeError::Address { address: address.clone() })?;
    let taken = |source| ServeError::Tcp { address: address.clone(), source };
    let (listener, address) = http::listen(wanted).await.map_err(taken)?;
    let gateway = Arc::new(Gateway::new(node));
    let converse = move |stream, stopping| converse(stream, gateway.clone(), stopping);
    Ok(Server::start(listener, address, MAX_CONNECTIONS, converse))
}

/// At most so many connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 4096;

/// The system keeps megabytes for a reader who does not read, and has some gigabytes for all connections of the machine: in a crowd
/// a connection has this much.
const CROWD_BUFFER: usize = 128 << 10;

/// All requests of a connection. One that asks for a tunnel (`CONNECT` to a proxy) finds this gateway at its end, whatever
/// the host; in a tunnel there is no other.
async fn converse(stream: TcpStream, gateway: Arc<Gateway>, stopping: Stopping) {
    if gateway.node.is_crowded() {
        // What fails leaves the buffer as the system has it.
        let _ = set_socket_send_buffer_size(&stream, CROWD_BUFFER);
    }
    let io = TokioIo::new(Patient::new(stream));
    let Some(tunnel) = hear(io, &gateway, true, stopping.clone()).await else { return };
    match tunnel.await {
        Ok(io) => drop(hear(io, &gateway, false, stopping).await),
        Err(error) => tracing::debug!(%error, "a tunnel to the gateway was not begun"),
    }
}

/// Answers requests until the connection ends, or becomes a tunnel.
async fn hear<I>(io: I, gateway: &Arc<Gateway>, may_tunnel: bool, stopping: Stopping) -> Option<OnUpgrade>
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
    HEADS.hear(io, service, stopping).await;
    tunnel.into_inner().expect("nobody panics with it")
}

const HEADS: Heads = Heads { timeout: Some(Duration::from_secs(30)), bytes: 64 * 1024 };

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
