//! The other end of a connection, as far down as a test has to go.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, noise, tcp, yamux};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::house::PATIENCE;

/// A peer that speaks the name of one protocol, and no more of it than it is told to.
pub(crate) struct Stranger {
    speaks: &'static str,
    says: Arc<Says>,
    streams: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    /// What the other side opened for that protocol.
    pub(crate) accepted: mpsc::Receiver<SubstreamBox>,
    connection: tokio::task::JoinHandle<()>,
}

/// Whether it speaks that protocol by now, and what it says of itself if it is one that does so.
struct Says {
    speaks: AtomicBool,
    identity: Option<Identity>,
    refused: Notify,
}

/// A name, as bytes, and where it listens.
struct Identity {
    public_key: Vec<u8>,
    listens: Multiaddr,
}

const IDENTIFY: &str = "/ipfs/id/1.0.0";
const IDENTIFY_PUSH: &str = "/ipfs/id/push/1.0.0";
pub(crate) const NATIVE: &str = "/cidra/blocks/1.0.0";
pub(crate) const BITSWAP: &str = "/ipfs/bitswap/1.2.0";

impl Stranger {
    pub(crate) async fn connect(address: Multiaddr, speaks: &'static str) -> Self {
        Self::with(address, Keypair::generate_ed25519(), speaks, None).await
    }

    /// One that says of itself where it listens, and does not speak the protocol before it is told to.
    pub(crate) async fn late(address: Multiaddr, speaks: &'static str, listens: Multiaddr) -> Self {
        let keypair = Keypair::generate_ed25519();
        let identity = Identity { public_key: keypair.public().encode_protobuf(), listens };
        Self::with(address, keypair, speaks, Some(identity)).await
    }

    async fn with(address: Multiaddr, keypair: Keypair, speaks: &'static str, identity: Option<Identity>) -> Self {
        let says = Says { speaks: AtomicBool::new(identity.is_none()), identity, refused: Notify::new() };
        let says = Arc::new(says);
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
        let shared = says.clone();
        let answer = move |stream| answer(stream, speaks, shared.clone(), sender.clone());
        let connection = tokio::spawn(keep(StreamMuxerBox::new(muxer), wanted, answer));
        Self { speaks, says, streams, accepted, connection }
    }

    /// A stream on which the protocol for blocks was negotiated.
    pub(crate) async fn open(&self) -> SubstreamBox {
        self.open_as(self.speaks).await
    }

    /// Once it was asked whether it speaks the protocol, and said no.
    pub(crate) async fn until_refused(&self) {
        timeout(PATIENCE, self.says.refused.notified()).await.expect("asked in time");
    }

    /// Speaks the protocol from here on, and says so.
    pub(crate) async fn begin(&self) {
        self.says.speaks.store(true, Ordering::SeqCst);
        self.push(&[self.speaks]).await;
    }

    /// Says that it speaks these.
    pub(crate) async fn push(&self, speaks: &[&str]) {
        let mut stream = self.open_as(IDENTIFY_PUSH).await;
        let identity = self.says.identity.as_ref().expect("it says who it is");
        stream.write_all(&identity.message(speaks)).await.unwrap();
        stream.close().await.unwrap();
    }

    async fn open_as(&self, name: &str) -> SubstreamBox {
        let (sender, stream) = oneshot::channel();
        self.streams.send(sender).await.unwrap();
        let mut stream = stream.await.unwrap();
        let hello = [said("/multistream/1.0.0"), said(name)].concat();
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

impl Identity {
    /// Short enough for lengths of one byte each.
    fn message(&self, speaks: &[&str]) -> Vec<u8> {
        let listens = self.listens.to_vec();
        let fields = [(1, &self.public_key[..]), (2, &listens)].into_iter();
        let fields = fields.chain(speaks.iter().map(|name| (3, name.as_bytes())));
        let body: Vec<u8> =
            fields.flat_map(|(tag, value)| [&[tag << 3 | 2, value.len() as u8], value].concat()).collect();
        assert!(body.len() < 128);
        [&[body.len() as u8], &body[..]].concat()
    }
}

/// Takes a stream for that protocol, if it speaks it; says who it is, if it does so; speaks no other.
async fn answer(
    mut stream: SubstreamBox,
    speaks: &'static str,
    says: Arc<Says>,
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
            name if says.identity.is_some() && name.strip_suffix(b"\n") == Some(IDENTIFY.as_bytes()) => {
                stream.write_all(&said(IDENTIFY)).await?;
                let spoken = [speaks].into_iter().filter(|_| says.speaks.load(Ordering::SeqCst));
                let names: Vec<&str> = [IDENTIFY].into_iter().chain(spoken).collect();
                let identity = says.identity.as_ref().expect("just looked at");
                stream.write_all(&identity.message(&names)).await?;
                return stream.close().await;
            }
            name if name.strip_suffix(b"\n") == Some(speaks.as_bytes()) => {
                if !says.speaks.load(Ordering::SeqCst) {
                    stream.write_all(b"\x03na\n").await?;
                    stream.flush().await?;
                    says.refused.notify_one();
                    continue;
                }
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
