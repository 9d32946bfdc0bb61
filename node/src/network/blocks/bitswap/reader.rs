//! Reads one stream of Bitswap to its end. A peer opens as many as it likes, and the end of one means nothing.

use std::sync::Arc;
use std::time::Instant;

use cidra_content::exchange::wire::bitswap::{Decoder, Frame, WireError};
use cidra_content::hash::Expect;
use futures::{AsyncRead, AsyncReadExt};
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep_until, timeout};

use super::super::super::throttle::Throttle;
use super::super::assembly::Assembly;
use super::super::reader::{Buffer, Payload, STALL, reserve};
use super::super::{Heard, LinkId, Report};

/// Reads one stream to its end.
pub(in crate::network::blocks) struct Reader<S> {
    pub(in crate::network::blocks) peer: PeerId,
    pub(in crate::network::blocks) link: LinkId,
    pub(in crate::network::blocks) stream: S,
    pub(in crate::network::blocks) reports: mpsc::Sender<Report>,
    /// Of payloads that are whole, from all peers.
    pub(in crate::network::blocks) budget: Arc<Semaphore>,
    /// Of messages that are not, from this one.
    pub(in crate::network::blocks) begun: Arc<Semaphore>,
    /// Of all that comes to this node. That of a download does not hold here: whose block it is, is known when it is whole.
    pub(in crate::network::blocks) limit: Option<Throttle>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Ends when the peer ends the stream or breaks the rules: then it is reset.
    pub(in crate::network::blocks) async fn run(mut self) {
        if let Err(error) = self.read().await {
            tracing::debug!(peer = %self.peer, %error, "reset a stream of Bitswap");
        }
    }

    async fn read(&mut self) -> Result<(), ReadError> {
        let (mut decoder, mut block, mut buffer) = (Decoder::default(), None, Buffer::default());
        let mut room: Option<OwnedSemaphorePermit> = None;
        loop {
            let bytes = buffer.room();
            let most = self.limit.as_ref().map_or(bytes.len(), |limit| limit.slice().min(bytes.len()));
            let read = match timeout(STALL, self.stream.read(&mut bytes[..most])).await {
                Ok(read) => read?,
                Err(_) if buffer.held > 0 || decoder.is_within_message() => return Err(ReadError::Stalled),
                Err(_) => {
                    buffer = Buffer::default();
                    continue;
                }
            };
            if read == 0 {
                return if decoder.is_within_message() { Err(ReadError::Cut) } else { Ok(()) };
            }
            buffer.held += read;
            let mut rest = buffer.held();
            self.decode(&mut decoder, &mut rest, &mut block).await?;
            let left = rest.len();
            buffer.consume_all_but(left, read);
            if let Some(limit) = &self.limit {
                sleep_until(limit.take(read, Instant::now()).into()).await;
            }
            match decoder.announced() {
                None => room = None,
                Some(len) if room.is_none() => room = Some(reserve(&self.begun, len).await),
                Some(_) => {}
            }
        }
    }

    async fn decode(
        &mut self,
        decoder: &mut Decoder,
        input: &mut &[u8],
        block: &mut Option<Assembly>,
    ) -> Result<(), ReadError> {
        let mut progress = 0;
        while let Some(frame) = decoder.decode(input)? {
            match frame {
                Frame::Data { len, data } => {
                    progress += data.len();
                    block.get_or_insert_with(|| Assembly::new(len)).push(data);
                }
                Frame::Block(prefix) => {
                    self.tell(Heard::Progress(std::mem::take(&mut progress))).await;
                    let data = block.take().map(Assembly::into_bytes).unwrap_or_default();
                    let budget = reserve(&self.budget, data.len()).await;
                    self.tell(Heard::Payload(Payload { expect: Expect::Prefix(prefix), data, budget })).await;
                }
                Frame::Message(message) => self.tell(Heard::List(message)).await,
            }
        }
        if progress > 0 {
            self.tell(Heard::Progress(progress)).await;
        }
        Ok(())
    }

    async fn tell(&mut self, heard: Heard) {
        let _ = self.reports.send(Report { peer: self.peer, link: self.link, heard }).await; // the network has ended
    }
}

/// Why reading ended before the peer ended it.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("its stream broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("it ended in the middle of a message")]
    Cut,
    #[error("nothing came for {} s in the middle of a message", STALL.as_secs())]
    Stalled,
    #[error("it broke the protocol: {0}")]
    Wire(#[from] WireError),
}
