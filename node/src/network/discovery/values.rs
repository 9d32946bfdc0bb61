//! Values of a DHT that are not providers: records of names, told to the peers nearest to their keys and asked of them.
//!
//! libp2p's Kademlia reports on such a query when it has ended. Here each peer has a stream of its own, and each answer counts
//! when it comes.

use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Stream, StreamExt, stream};
use libp2p::PeerId;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::command::{Command, Provider};
use super::super::{ConnectError, Network, OpenStreamError};
use super::message::{GET_VALUE, Message, PUT_VALUE, Record};
use super::{Closest, Side};

impl Network {
    /// Tells a value to the peers nearest to its key; gives how many took it when enough did, or all were asked. The others are
    /// told after that.
    pub async fn put_value(&self, key: Vec<u8>, value: Bytes) -> usize {
        let record = Record { key: key.clone(), value: value.to_vec() };
        let message = Message { kind: PUT_VALUE, key: key.clone(), record: Some(record), ..Message::default() };
        let message = Bytes::from(message.encode_length_delimited_to_vec());
        let network = self.clone();
        let (sink, mut took) = mpsc::channel(ENOUGH);
        tokio::spawn(async move {
            let mut asked = network.ask_nearest(key, message);
            while let Some(answer) = asked.next().await {
                if answer.record.is_some_and(|record| record.value == value) {
                    let _ = sink.try_send(()); // enough took it
                }
            }
        });
        let mut count = 0;
        while count < ENOUGH && took.recv().await.is_some() {
            count += 1;
        }
        count
    }

    /// Asks the peers nearest to a key for its value; what comes is what they say, and nobody has proven it.
    pub fn get_values(&self, key: Vec<u8>) -> impl Stream<Item = Bytes> + Send + 'static {
        let message = Message { kind: GET_VALUE, key: key.clone(), ..Message::default() };
        let message = Bytes::from(message.encode_length_delimited_to_vec());
        let answers = self.ask_nearest(key.clone(), message);
        answers.filter_map(move |answer| {
            let value = answer.record.filter(|record| record.key == key).map(|record| Bytes::from(record.value));
            std::future::ready(value)
        })
    }

    /// Sends a message to the peers of each DHT that are nearest to a key, and gives their answers as they come.
    fn ask_nearest(&self, key: Vec<u8>, message: Bytes) -> impl Stream<Item = Message> + Send + Unpin + 'static {
        let network = self.clone();
        let (reply, nearest) = mpsc::channel(SIDES);
        let begin = {
            let network = network.clone();
            async move {
                let _ = network.commands.send(Command::Nearest { key, reply }).await; // the network ended: nobody answers
                stream::unfold(nearest, async |mut nearest: mpsc::Receiver<Closest>| {
                    Some((nearest.recv().await?, nearest))
                })
            }
        };
        let answers =
            stream::once(begin).flatten().flat_map_unordered(SIDES, move |Closest { side, peers, .. }| {
                let (network, message) = (network.clone(), message.clone());
                let ask = move |peer| ask(network.clone(), side, peer, message.clone());
                Box::pin(stream::iter(peers).map(ask).buffer_unordered(AT_A_TIME).filter_map(std::future::ready))
            });
        Box::pin(answers)
    }
}

/// Peers that took a value, of the 20 that are told: those who ask for it ask as many.
const ENOUGH: usize = 8;
/// The public DHT and the local one.
const SIDES: usize = 2;
/// Peers of one DHT that are asked at a time.
const AT_A_TIME: usize = 20;

/// Tries twice, as a connection may be closed for being idle just then.
async fn ask(network: Network, side: Side, provider: Provider, message: Bytes) -> Option<Message> {
    for _ in 0..2 {
        match try_to_ask(&network, side, &provider, &message).await {
            Ok(answer) => return Some(answer),
            Err(error) => tracing::debug!(peer = %provider.peer, %error, "no answer about a value"),
        }
    }
    None
}

async fn try_to_ask(network: &Network, side: Side, provider: &Provider, message: &[u8]) -> Result<Message, AskError> {
    let peer: PeerId = provider.peer;
    network.dial(Some(peer), provider.addresses.clone()).await?;
    let open = network.ask(|reply| Command::OpenStream { peer, protocol: side.protocol(), reply }).await;
    let stream = open.ok_or(ConnectError::Ended)??;
    timeout(PATIENCE, exchange(stream, message)).await.map_err(|_| AskError::Timeout)?
}

/// For an answer; a connection and a stream have their own limits.
const PATIENCE: Duration = Duration::from_secs(5);

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, message: &[u8]) -> Result<Message, AskError> {
    stream.write_all(message).await?;
    stream.flush().await?;
    let length = read_length(&mut stream).await?;
    if length > MAX_ANSWER {
        return Err(AskError::TooLong);
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(Message::decode(&bytes[..])?)
}

async fn read_length(stream: &mut (impl AsyncRead + Unpin)) -> Result<usize, AskError> {
    let mut length = 0;
    for shift in (0..28).step_by(7) {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(AskError::TooLong)
}

/// Bytes of an answer: a record, and 20 peers with more addresses than any has.
const MAX_ANSWER: usize = 256 * 1024;

/// Why a peer said nothing.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("its stream broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("its answer cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error(transparent)]
    Open(#[from] OpenStreamError),
    #[error("it did not answer in time")]
    Timeout,
    #[error("its answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
}
