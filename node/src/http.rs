//! Servers of HTTP/1.1, for the API and the gateway alike.
//!
//! Connections are bounded in number, the heads of requests in size and time. A server that is shut down takes no more, lets
//! the requests under way end within a bounded time, then cuts them; one that is dropped cuts them at once.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response, rt};
use hyper_util::rt::TokioTimer;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// A server that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Server {
    address: Multiaddr,
    stop: watch::Sender<bool>,
    guests: Arc<watch::Sender<usize>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes connections from a door, at most `most` at a time (more wait in the system's queue), and does `converse` with each.
    pub(crate) fn start<D, C, F>(door: D, address: Multiaddr, most: usize, converse: C) -> Self
    where
        D: Door,
        C: Fn(D::Stream, Stopping) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let guests = Arc::new(watch::Sender::new(0));
        let task = tokio::spawn(accept(door, most, converse, Stopping(stopped), guests.clone()));
        Self { address, stop, guests, task }
    }

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
        let _ = guests.wait_for(|guests| *guests == 0).await; // this server holds the sender
        self.shutdown(LAST_GUEST).await;
    }

    /// Takes no more requests, gives those under way `grace` to end, and cuts the rest.
    pub async fn shutdown(mut self, grace: Duration) {
        let _ = self.stop.send(true); // nobody listens when the task has ended already
        if timeout(grace, &mut self.task).await.is_err() {
            tracing::info!(address = %self.address, "requests were cut at shutdown");
            self.task.abort();
            let _ = (&mut self.task).await; // it was told to end: that it was cancelled is no news
        }
    }
}

/// Somebody may come in just when the last guest left, and is served, too.
const LAST_GUEST: Duration = Duration::from_secs(60);

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where connections come in.
pub(crate) trait Door: Send + 'static {
    /// A connection.
    type Stream: Send + 'static;

    /// The next connection. Dropped only when the server ends.
    fn next(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Else small answers go late.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Listens on a TCP port, where 0 is any free one; and says where that is.
pub(crate) async fn listen(wanted: SocketAddr) -> io::Result<(TcpListener, Multiaddr)> {
    let listener = TcpListener::bind(wanted).await?;
    let local = listener.local_addr()?;
    Ok((listener, Multiaddr::from(local.ip()).with(Protocol::Tcp(local.port()))))
}

/// Knows when the server is told to stop.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Ends when the server is told to stop, or is gone.
    async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await; // the server being gone is as good as its word
    }
}

async fn accept<D, C, F>(
    mut door: D,
    most: usize,
    converse: C,
    mut stopping: Stopping,
    guests: Arc<watch::Sender<usize>>,
) where
    D: Door,
    C: Fn(D::Stream, Stopping) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stopping.wait() => break,
            place = room.clone().acquire_owned() => place.expect("nobody closes it"),
        };
        let accepted = tokio::select! {
            () = stopping.wait() => break,
            accepted = door.next() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "no connection was accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let guest = Guest::enter(guests.clone());
        let conversation = converse(stream, stopping.clone());
        connections.spawn(async move {
            conversation.await;
            drop((place, guest));
        });
    }
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// Accepting fails when file descriptors run out, and at once again when it is tried at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// How much a request may take before it is heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// A connection on which no request begins, or whose head does not end, is closed after this long.
    pub(crate) timeout: Option<Duration>,
    /// The most bytes of the head of a request, and of what waits to be written.
    pub(crate) bytes: usize,
}

impl Heads {
    /// Answers the requests of a connection one after the other until it ends, becomes something else, or the server stops.
    pub(crate) async fn hear<I, S, B>(self, io: I, service: S, mut stopping: Stopping)
    where
        I: rt::Read + rt::Write + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.timeout).max_buf_size(self.bytes);
        let mut connection = std::pin::pin!(http.serve_connection(io, service).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection of HTTP ended");
        }
    }
}

/// A body with something that is kept until it is read or given up; what the body works with goes first.
pub(crate) struct Keeping<B, K> {
    body: B,
    _kept: K,
}

impl<B, K> Keeping<B, K> {
    pub(crate) fn new(body: B, kept: K) -> Self {
        Self { body, _kept: kept }
    }
}

impl<B: Body + Unpin, K: Unpin> Body for Keeping<B, K> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An error and what it stems from, on one line.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
