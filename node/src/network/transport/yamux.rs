//! Yamux with the settings that libp2p's wrapper hides: larger frames, and many streams accepted.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::iter::{Once, once};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite, ready};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use yamux::{Connection, ConnectionError, Mode, Stream};

/// Upgrades an encrypted connection to one of many streams.
#[derive(Clone, Debug)]
pub(super) struct Yamux(yamux::Config);

impl Yamux {
    pub(super) fn new() -> Self {
        let mut config = yamux::Config::default();
        config.set_max_connection_receive_window(Some(RECEIVE_WINDOW));
        config.set_max_num_streams(MAX_STREAMS);
        config.set_split_send_size(SPLIT_SEND_SIZE);
        Self(config)
    }
}

/// Either side opening one more ends the whole connection, and Kubo opens one for each message; our own code opens few, and
/// its handlers reset what is too many.
const MAX_STREAMS: usize = 512;
/// Frames are cut at this size, so that one stream does not hold up the others for long. Larger than a frame of the block
/// protocol with its head, so that it goes in one. The default of 16 KiB costs a fifth of the throughput.
const SPLIT_SEND_SIZE: usize = 128 * 1024;
/// Cap of what a peer may send on all streams of a connection before we read it; nothing is allocated ahead. The library promises
/// 256 KiB to each stream, and lets those grow that are read as fast as they come: by what is here beyond that promise. Without any, a
/// stream brings 256 KiB a round trip; this fills 1 Gbit/s over 60 ms.
const RECEIVE_WINDOW: usize = MAX_STREAMS * 256 * 1024 + GROWTH;
const GROWTH: usize = 16 * 1024 * 1024;

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Muxer<C>, io::Error>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(Connection::new(connection, self.0, Mode::Server))))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Muxer<C>, io::Error>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(Connection::new(connection, self.0, Mode::Client))))
    }
}

/// A connection of many streams.
pub(super) struct Muxer<C> {
    connection: Connection<C>,
    /// Yamux moves only while it is asked for inbound streams: those that came while nobody wanted one wait here.
    inbound: VecDeque<Stream>,
    waiting: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn new(connection: Connection<C>) -> Self {
        Self { connection, inbound: VecDeque::new(), waiting: None }
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match ready!(self.connection.poll_next_inbound(cx)) {
            Some(stream) => Poll::Ready(stream.map_err(to_io)),
            None => Poll::Ready(Err(to_io(ConnectionError::Closed))),
        }
    }
}

/// Inbound streams that wait to be taken; more are reset. The library itself opens at most as many unanswered ones.
const MAX_WAITING: usize = 256;

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        if let Some(stream) = self.inbound.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(result) = self.poll_connection(cx) {
            return Poll::Ready(result);
        }
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        self.connection.poll_new_outbound(cx).map_err(to_io)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(to_io)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = ready!(self.poll_connection(cx))?;
        if self.inbound.len() < MAX_WAITING {
            self.inbound.push_back(stream);
            if let Some(waker) = self.waiting.take() {
                waker.wake();
            }
        }
        // Asked again after others had their turn: more may be ready.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn to_io(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt};
    use libp2p::tcp::tokio::TcpStream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
    use tokio::net::{self, TcpListener};
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep_until};

    use super::*;

    const ONE_WAY: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn one_stream_fills_a_long_path() {
        let most = Arc::new(AtomicUsize::new(0));
        let (near, here) = pair().await;
        let (there, far) = pair().await;
        let ((near_in, near_out), (far_in, far_out)) = (here.into_split(), there.into_split());
        relay(near_in, far_out, most.clone());
        relay(far_in, near_out, Arc::default());
        let mut server = Yamux::new().upgrade_inbound(TcpStream(far), "").await.unwrap();
        let mut client = Yamux::new().upgrade_outbound(TcpStream(near), "").await.unwrap();
        let reading = tokio::spawn(async move {
            let mut stream = poll_fn(|cx| Pin::new(&mut server).poll_inbound(cx)).await.unwrap();
            tokio::spawn(async move { while poll_fn(|cx| Pin::new(&mut server).poll(cx)).await.is_ok() {} });
            let mut bytes = vec![0; 256 * 1024];
            let mut read = 0;
            while read < ALL {
                read += stream.read(&mut bytes).await.unwrap();
            }
        });
        let mut stream = poll_fn(|cx| Pin::new(&mut client).poll_outbound(cx)).await.unwrap();
        tokio::spawn(async move { while poll_fn(|cx| Pin::new(&mut client).poll(cx)).await.is_ok() {} });

        stream.write_all(&vec![7; ALL]).await.unwrap();
        stream.flush().await.unwrap();
        reading.await.unwrap();

        let most = most.load(Ordering::Relaxed);
        assert!(most > 1024 * 1024, "never more than {most} bytes were under way");
    }

    const ALL: usize = 8 * 1024 * 1024;

    async fn pair() -> (net::TcpStream, net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (one, listener.accept().await.unwrap().0)
    }

    /// Carries bytes over, each later by the delay, and notes how many were under way at most.
    fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, most: Arc<AtomicUsize>) {
        let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(64 * 1024);
        let under_way = Arc::new(AtomicUsize::new(0));
        let arrived = under_way.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                most.fetch_max(under_way.fetch_add(read, Ordering::Relaxed) + read, Ordering::Relaxed);
                let _ = sender.send((Instant::now() + ONE_WAY, buffer[..read].to_vec())).await; // the other end is gone
            }
        });
        tokio::spawn(async move {
            while let Some((at, bytes)) = receiver.recv().await {
                sleep_until(at).await;
                arrived.fetch_sub(bytes.len(), Ordering::Relaxed);
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
    }
}
