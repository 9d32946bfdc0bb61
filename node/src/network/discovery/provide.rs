//! Telling peers of a DHT that blocks are here.
//!
//! libp2p's Kademlia can send a record to nobody of our choice, and calls one sent before it is. Here each peer gets its records on one
//! stream, one behind the other, and counts when it has read the stream to its end.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use cid::Cid;
use cidra_content::dht::{Exploration, Key, nearest};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt, stream};
use libp2p::{Multiaddr, PeerId};
use prost::Message as _;
use tokio::time::timeout;

use super::super::command::{Command, Provider};
use super::super::{ConnectError, Network, OpenStreamError, ProvideError};
use super::message::{ADD_PROVIDER, CONNECTED, Message, Peer};
use super::{Closest, Side};

/// Tells the peers nearest to the block; gives how many took the record. With `patience` a look-up that lasts longer ends with
/// what it has found, and says so.
pub(in crate::network) async fn provide(
    network: &Network,
    cid: &Cid,
    patience: Option<Duration>,
) -> Result<Told, ProvideError> {
    let name = cid.hash().to_bytes();
    let closest = look_up(network, name.clone(), KEPT_BY, patience).await?;
    let Closest { side, peers, here, is_whole, .. } = closest;
    let records = Records { here: network.peer_id(), addresses: &here, names: std::slice::from_ref(&name) };
    network.keep_own(side, vec![name.clone()]).await;
    let told = stream::iter(peers).map(|peer| tell(network, side, peer, &records, vec![0])).buffer_unordered(AT_A_TIME);
    let peers = told.filter(|told| std::future::ready(*told)).count().await;
    Ok(Told { peers, is_whole })
}

/// What came of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) struct Told {
    /// How many took the record.
    pub(in crate::network) peers: usize,
    /// Whether the look-up came to its end.
    pub(in crate::network) is_whole: bool,
}

/// What was done for a region of the key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) struct Swept {
    /// How far the keys are done: the last place.
    pub(in crate::network) last: u64,
    pub(in crate::network) keys: usize,
    pub(in crate::network) requests: u32,
    pub(in crate::network) records: usize,
    pub(in crate::network) peers: usize,
}

/// Announces the keys of the region around the first of `keys`, which are in order: a few look-ups, then to each of its peers all its
/// records.
/// The keys beyond the region are left.
pub(in crate::network) async fn sweep(network: &Network, keys: &[(Key, Vec<u8>)]) -> Result<Swept, ProvideError> {
    let (target, name) = keys.first().ok_or(ProvideError::Alone)?;
    let mut exploration = Exploration::new(*target, KEPT_BY.get());
    let mut closest = look_up(network, name.clone(), KEPT_BY, None).await?;
    let mut known: BTreeMap<Key, Provider> = BTreeMap::new();
    let mut look = *target;
    loop {
        let found: Vec<(Key, Provider)> =
            closest.peers.drain(..).map(|peer| (Key::of(&peer.peer.to_bytes()), peer)).collect();
        exploration.handle_found(&look, &found.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        known.extend(found);
        // Which name lies there is found by trying.
        let next = exploration.next().map(|place| tokio::task::spawn_blocking(move || place.name()));
        let Some(name) = (match next {
            Some(name) => name.await.ok().flatten(),
            None => None,
        }) else {
            break;
        };
        look = Key::of(&name);
        let more = look_up(network, name, KEPT_BY, None).await?;
        closest = Closest { requests: closest.requests + more.requests, ..more };
    }
    let region = exploration.region();
    let within = keys.iter().take_while(|(key, _)| key.place() <= region.last).count();
    let keys = &keys[..within];

    let (places, peers): (Vec<Key>, Vec<Provider>) = known.into_iter().unzip();
    let here = places.len();
    let mut candidates = places;
    candidates.push(Key::of(&network.peer_id().to_bytes()));
    let mut plan: Vec<Vec<usize>> = vec![vec![]; candidates.len()];
    for (number, (key, _)) in keys.iter().enumerate() {
        nearest(key, &candidates, KEPT_BY.get()).into_iter().for_each(|peer| plan[peer].push(number));
    }
    let names: Vec<Vec<u8>> = keys.iter().map(|(_, name)| name.clone()).collect();
    network.keep_own(closest.side, plan[here].iter().map(|number| names[*number].clone()).collect()).await;
    let records = Records { here: network.peer_id(), addresses: &closest.here, names: &names };
    let tell = |(peer, numbers): (Provider, Vec<usize>)| {
        let (records, side) = (&records, closest.side);
        async move {
            let count = numbers.len();
            if tell(network, side, peer, records, numbers).await { count } else { 0 }
        }
    };
    let work = peers.into_iter().zip(plan).filter(|(_, numbers)| !numbers.is_empty());
    let told: Vec<usize> = stream::iter(work).map(tell).buffer_unordered(AT_A_TIME).collect().await;
    let peers = told.iter().filter(|count| **count > 0).count();
    if peers == 0 {
        return Err(ProvideError::Alone);
    }
    Ok(Swept { last: region.last, keys: within, requests: closest.requests, records: told.iter().sum(), peers })
}

/// Peers that keep a record.
const KEPT_BY: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not 0");
/// Peers that are told at a time.
const AT_A_TIME: usize = 20;

/// The peers that are to keep what has this name.
pub(in crate::network) async fn closest(network: &Network, name: Vec<u8>) -> Result<Closest, ProvideError> {
    look_up(network, name, KEPT_BY, None).await
}

async fn look_up(
    network: &Network,
    key: Vec<u8>,
    count: NonZeroUsize,
    patience: Option<Duration>,
) -> Result<Closest, ProvideError> {
    network.ask(|reply| Command::Closest { key, count, patience, reply }).await.unwrap_or(Err(ProvideError::Ended))
}

/// What there is to tell.
struct Records<'a> {
    here: PeerId,
    addresses: &'a [Multiaddr],
    names: &'a [Vec<u8>],
}

/// Tries twice, as a connection may be closed for being idle just then.
async fn tell(network: &Network, side: Side, provider: Provider, records: &Records<'_>, numbers: Vec<usize>) -> bool {
    for _ in 0..2 {
        match try_to_tell(network, side, &provider, records, &numbers).await {
            Ok(()) => return true,
            Err(error) => tracing::debug!(peer = %provider.peer, %error, "did not take provider records"),
        }
    }
    false
}

async fn try_to_tell(
    network: &Network,
    side: Side,
    provider: &Provider,
    records: &Records<'_>,
    numbers: &[usize],
) -> Result<(), TellError> {
    let peer = provider.peer;
    network.dial(Some(peer), provider.addresses.clone()).await?;
    let open = network.ask(|reply| Command::OpenStream { peer, protocol: side.protocol(), reply }).await;
    send(open.ok_or(ConnectError::Ended)??, records, numbers).await
}

/// For a piece to be taken, and for all to be read; a connection and a stream have their own limits.
const PATIENCE: Duration = Duration::from_secs(5);

/// There is no answer to an announcement: that the peer has ended its side says that it has read ours.
async fn send(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    records: &Records<'_>,
    numbers: &[usize],
) -> Result<(), TellError> {
    let mut piece = vec![];
    for (count, number) in numbers.iter().enumerate() {
        piece.extend(announcement(records, &records.names[*number]));
        if piece.len() >= PIECE || count + 1 == numbers.len() {
            timeout(PATIENCE, stream.write_all(&piece)).await.map_err(|_| TellError::Timeout)??;
            piece.clear();
        }
    }
    let read = async {
        stream.close().await?;
        stream.read(&mut [0]).await.map(drop)
    };
    timeout(PATIENCE, read).await.map_err(|_| TellError::Timeout)??;
    Ok(())
}

/// Records are written together in pieces of some bytes.
const PIECE: usize = 16 * 1024;

/// `ADD_PROVIDER` for this node, framed.
fn announcement(records: &Records<'_>, name: &[u8]) -> Vec<u8> {
    let addresses = records.addresses.iter().map(Multiaddr::to_vec).collect();
    let peer = Peer { id: records.here.to_bytes(), addresses, connection: CONNECTED };
    let message = Message { kind: ADD_PROVIDER, key: name.to_vec(), providers: vec![peer], ..Message::default() };
    message.encode_length_delimited_to_vec()
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
    #[error("it did not read the records in time")]
    Timeout,
}
