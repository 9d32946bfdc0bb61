//! Telling peers of a DHT that a block is here.
//!
//! libp2p's Kademlia calls a record sent before it is. Here each peer gets it on a stream of its own, and counts when it has
//! read the stream to its end.

use std::time::Duration;

use cid::Cid;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt, stream};
use libp2p::{Multiaddr, PeerId};
use prost::Message as _;
use tokio::time::timeout;

use super::super::command::{Command, Provider};
use super::super::{ConnectError, Network, OpenStreamError, ProvideError};
use super::{Closest, Side};

/// Tells the peers nearest to the block; gives how many took the record.
pub(in crate::network) async fn provide(network: &Network, cid: &Cid) -> Result<usize, ProvideError> {
    let key = cid.hash().to_bytes();
    let closest = network.ask(|reply| Command::Closest { key: key.clone(), reply }).await;
    let Closest { side, peers, here } = closest.unwrap_or(Err(ProvideError::Ended))?;
    let message = announcement(key, network.peer_id(), &here);
    let told = stream::iter(peers).map(|peer| tell(network, side, peer, &message)).buffer_unordered(AT_A_TIME);
    Ok(told.filter(|told| std::future::ready(*told)).count().await)
}

/// Records of one block under way at a time.
const AT_A_TIME: usize = 20;

/// Tries twice, as a connection may be closed for being idle just then.
async fn tell(network: &Network, side: Side, provider: Provider, message: &[u8]) -> bool {
    for _ in 0..2 {
        match try_to_tell(network, side, &provider, message).await {
            Ok(()) => return true,
            Err(error) => tracing::debug!(peer = %provider.peer, %error, "did not take a provider record"),
        }
    }
    false
}

async fn try_to_tell(network: &Network, side: Side, provider: &Provider, message: &[u8]) -> Result<(), TellError> {
    let peer = provider.peer;
    network.dial(Some(peer), provider.addresses.clone()).await?;
    let open = network.ask(|reply| Command::OpenStream { peer, protocol: side.protocol(), reply }).await;
    let stream = open.ok_or(ConnectError::Ended)??;
    timeout(PATIENCE, send(stream, message)).await.map_err(|_| TellError::Timeout)??;
    Ok(())
}

/// For the record to be read; a connection and a stream have their own limits.
const PATIENCE: Duration = Duration::from_secs(5);

/// There is no answer to an announcement: that the peer has ended its side says that it has read ours.
async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(message).await?;
    stream.close().await?;
    stream.read(&mut [0]).await.map(drop)
}

/// `ADD_PROVIDER` for this node, framed.
fn announcement(key: Vec<u8>, here: PeerId, addresses: &[Multiaddr]) -> Vec<u8> {
    let addresses = addresses.iter().map(Multiaddr::to_vec).collect();
    let peer = Peer { id: here.to_bytes(), addresses, connection: CONNECTED };
    Message { kind: ADD_PROVIDER, key, providers: vec![peer] }.encode_length_delimited_to_vec()
}

const ADD_PROVIDER: i32 = 2;
const CONNECTED: i32 = 1;

/// What of a message of Kademlia stands in an announcement.
#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(message, repeated, tag = "9")]
    providers: Vec<Peer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Peer {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
    #[prost(int32, tag = "3")]
    connection: i32,
}

/// Why a peer was not told.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("its stream broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Open(#[from] OpenStreamError),
    #[error("it did not read the record in time")]
    Timeout,
}
