//! Peers that break the rules.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::house::{House, PATIENCE, TCP, config, until};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_the_connection() {
    let alice = House::with(config(TCP)).await;
    let stranger = Stranger::connect(alice.address().await).await;
    let mut stream = stranger.open().await;

    stream.write_all(&[0x7f; 1000]).await.unwrap();
    stream.flush().await.unwrap();

    stranger.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_announced_with_100_mb_ends_the_connection_before_its_bytes() {
    let alice = House::with(config(TCP)).await;
    let stranger = Stranger::connect(alice.address().await).await;
    let mut stream = stranger.open().await;

    let want = [&[2u8][..], &100_000_000u32.to_be_bytes()].concat();
    stream.write_all(&want).await.unwrap();
    stream.flush().await.unwrap();

    stranger.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limit_are_reset_and_the_others_live() {
    let alice = House::with(config(TCP)).await;
    let stranger = Stranger::connect(alice.address().await).await;
    let mut streams = vec![];
    for _ in 0..3 {
        streams.push(stranger.open().await);
    }

    let mut third = streams.pop().unwrap();
    let mut byte = [0];
    let read = timeout(PATIENCE, third.read(&mut byte)).await.expect("reset in time");
    assert!(!matches!(read, Ok(1..)), "the third stream carries nothing");
    for stream in &mut streams {
        let waits = timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
        assert!(!matches!(waits, Ok(Ok(0) | Err(_))), "the first two are open");
    }
    assert_eq!(alice.network.peers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_nobody_asked_for_are_not_kept() {
    let alice = House::with(config(TCP)).await;
    let block = cidra_content::Block::new(0x55, vec![1; 100].into());
    let stranger = Stranger::connect(alice.address().await).await;
    let mut stream = stranger.open().await;

    let cid = block.cid().to_bytes();
    let header = [&[1, 100, cid.len() as u8][..], &cid].concat();
    let header = [&[6][..], &(header.len() as u32).to_be_bytes(), &header].concat();
    let data = [&[0][..], &100u32.to_be_bytes(), block.data()].concat();
    stream.write_all(&[header, data].concat()).await.unwrap();
    stream.flush().await.unwrap();

    until(&alice.network, "it came", || async { alice.network.stats().await.exchange.bytes_wasted >= 100 }).await;
    assert_eq!(alice.store.locate(vec![*block.cid()]).await.unwrap(), [None]);
}

/// A peer that speaks the protocol's name, and no more of it than it is told to.
struct Stranger {
    streams: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Stranger {
    async fn connect(address: Multiaddr) -> Self {
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
        Self { streams, connection: tokio::spawn(keep(StreamMuxerBox::new(muxer), wanted)) }
    }

    /// A stream on which the protocol for blocks was negotiated.
    async fn open(&self) -> SubstreamBox {
        let (sender, stream) = oneshot::channel();
        self.streams.send(sender).await.unwrap();
        let mut stream = stream.await.unwrap();
        let hello = b"\x13/multistream/1.0.0\n\x14/cidra/blocks/1.0.0\n";
        stream.write_all(hello).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = vec![0; hello.len()];
        let _ = stream.read_exact(&mut answer).await; // a stream that is reset says nothing
        stream
    }

    async fn until_closed(self) {
        timeout(PATIENCE, self.connection).await.expect("closed in time").unwrap();
    }
}

/// Takes a stream for blocks and listens to nothing on it; speaks no other protocol.
async fn answer(mut stream: SubstreamBox) -> std::io::Result<()> {
    stream.write_all(b"\x13/multistream/1.0.0\n").await?;
    stream.flush().await?;
    loop {
        let mut length = [0];
        stream.read_exact(&mut length).await?;
        let mut name = vec![0; usize::from(length[0])];
        stream.read_exact(&mut name).await?;
        match &name[..] {
            b"/multistream/1.0.0\n" => {}
            b"/cidra/blocks/1.0.0\n" => {
                stream.write_all(b"\x14/cidra/blocks/1.0.0\n").await?;
                stream.flush().await?;
                return std::future::pending().await;
            }
            _ => {
                stream.write_all(b"\x03na\n").await?;
                stream.flush().await?;
            }
        }
    }
}

/// Opens streams when asked, answers those of the other side, ends with the connection.
async fn keep(mut muxer: StreamMuxerBox, mut wanted: mpsc::Receiver<oneshot::Sender<SubstreamBox>>) {
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
