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
use super::super::{Network, ProvideError};
use super::LAN;

/// Tells the peers nearest to the block; gives how many took the record.
pub(in crate::network) async fn provide(network: &Network, cid: &Cid) -> Result<usize, ProvideError> {
    let key = cid.hash().to_bytes();
    let closest = network.ask(|reply| Command::Closest { key: key.clone(), reply }).await;
    let closest = closest.unwrap_or(Err(ProvideError::Ended))?;
    let message = announcement(key, network.peer_id(), &network.announced_addresses().await);
    let told = stream::iter(closest).map(|peer| tell(network, peer, &message)).buffer_unordered(AT_A_TIME);
    Ok(told.filter(|told| std::future::ready(*told)).count().await)
}

/// Records of one block under way at a time.
const AT_A_TIME: usize = 20;

async fn tell(network: &Network, Provider { peer, addresses }: Provider, message: &[u8]) -> bool {
    let tell = async {
        network.dial(Some(peer), addresses).await.ok()?;
        let open = network.ask(|reply| Command::OpenStream { peer, protocol: LAN, reply }).await?;
        send(open.ok()?, message).await.ok()
    };
    let told = matches!(timeout(PATIENCE, tell).await, Ok(Some(())));
    if !told {
        tracing::debug!(%peer, "did not take a provider record");
    }
    told
}

/// For a connection, a stream and the record.
const PATIENCE: Duration = Duration::from_secs(15);

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
