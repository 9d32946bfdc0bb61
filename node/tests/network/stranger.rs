//! The other end of a connection, as far down as a test has to go.

use std::future::poll_fn;
use std::task::Poll;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::house::PATIENCE;

/// A peer that speaks the name of one protocol, and no more of it than it is told to.
pub(crate) struct Stranger {
    speaks: &'static str,
    streams: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    /// What the other side opened for that protocol.
    pub(crate) accepted: mpsc::Receiver<SubstreamBox>,
    connection: tokio::task::JoinHandle<()>,
}

pub(crate) const NATIVE: &str = "/cidra/blocks/1.0.0";
pub(crate) const BITSWAP: &str = "/ipfs/bitswap/1.2.0";

impl Stranger {
    pub(crate) async fn connect(address: Multiaddr, speaks: &'static str) -> Self {
        let keypair = Keypair::generate_ed25519();
        let mut transport = tcp::tokio::Transport::default()
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&keypair).unwrap())
            .multiplex(yamux::Config::default());
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let mut address = address;
        address.pop();
        let (_, muxer) = transport.dial(address, options).unwrap().await.unwrap();
        let (streams, wanted) = mpsc::channel(1);
        let (sender, accepted) = mpsc::channel(64);
        let answer = move |stream| answer(stream, speaks, sender.clone());
        let connection = tokio::spawn(keep(StreamMuxerBox::new(muxer), wanted, answer));
        Self { speaks, streams, accepted, connection }
    }

    /// A stream on which the protocol for blocks was negotiated.
    pub(crate) async fn open(&self) -> SubstreamBox {
        let (sender, stream) = oneshot::channel();
        self.streams.send(sender).await.unwrap();
        let mut stream = stream.await.unwrap();
        let hello = [said("/multistream/1.0.0"), said(self.speaks)].concat();
        stream.write_all(&hello).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = vec![0; hello.len()];
        let _ = stream.read_exact(&mut answer).await; // a stream that is reset says nothing
        stream
    }

    pub(crate) async fn until_closed(self) {
        timeout(PATIENCE, self.connection).await.expect("closed in time").unwrap();
    }
}

/// Takes a stream for that protocol; speaks no other.
async fn answer(
    mut stream: SubstreamBox,
    speaks: &'static str,
    accepted: mpsc::Sender<SubstreamBox>,
) -> std::io::Result<()> {
    stream.write_all(&said("/multistream/1.0.0")).await?;
    stream.flush().await?;
    loop {
        let mut length = [0];
        stream.read_exact(&mut length).await?;
        let mut name = vec![0; usize::from(length[0])];
        stream.read_exact(&mut name).await?;
        match &name[..] {
            b"/multistream/1.0.0\n" => {}
            name if name.strip_suffix(b"\n") == Some(speaks.as_bytes()) => {
                stream.write_all(&said(speaks)).await?;
                stream.flush().await?;
                let _ = accepted.send(stream).await; // the test is over
                return Ok(());
            }
            _ => {
                stream.write_all(b"\x03na\n").await?;
                stream.flush().await?;
            }
        }
    }
}

/// A line of multistream-select.
fn said(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len() + 1).expect("names are short");
    [&[length][..], name.as_bytes(), b"\n"].concat()
}

/// Opens streams when asked, answers those of the other side, ends with the connection.
async fn keep<A>(
    mut muxer: StreamMuxerBox,
    mut wanted: mpsc::Receiver<oneshot::Sender<SubstreamBox>>,
    answer: impl Fn(SubstreamBox) -> A,
) where
    A: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let mut pending: Option<oneshot::Sender<SubstreamBox>> = None;
    poll_fn(|cx| {
        loop {
            if pending.is_none()
                && let Poll::Ready(Some(sender)) = wanted.poll_recv(cx)
            {
                pending = Some(sender);
            }
            if pending.is_some()
                && let Poll::Ready(Ok(stream)) = muxer.poll_outbound_unpin(cx)
            {
                let _ = pending.take().unwrap().send(stream);
                continue;
            }
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    tokio::spawn(answer(stream));
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            return match muxer.poll_unpin(cx) {
                Poll::Ready(Err(_)) => Poll::Ready(()),
                Poll::Ready(Ok(_)) => continue,
                Poll::Pending => Poll::Pending,
            };
        }
    })
    .await;
}
