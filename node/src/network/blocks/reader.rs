//! Reads what a peer says on one stream. A payload is put together here; what it is worth, the exchange knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use cidra_content::exchange::message::Message;
use cidra_content::exchange::wire::native::{Decoder, Frame, Lane, WireError};
use futures::{AsyncRead, AsyncReadExt};
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::{Heard, LinkId, Report};

/// Reads one stream to its end.
pub(super) struct Reader<S> {
    pub(super) peer: PeerId,
    pub(super) link: LinkId,
    pub(super) stream: S,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) budget: Arc<Semaphore>,
}

/// A whole payload, which counts against the budget as long as this lives.
#[derive(Debug)]
pub(in crate::network) struct Payload {
    pub(super) cid: Cid,
    pub(super) data: Bytes,
    pub(super) budget: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Ends when the peer ends the stream or breaks its rules, which is reported, or when nobody takes reports.
    pub(super) async fn run(mut self) {
        let why = match self.read().await {
            Ok(()) => "the peer closed its stream".to_owned(),
            Err(error) => error.to_string(),
        };
        self.tell(Heard::Ended { why }).await;
    }

    async fn read(&mut self) -> Result<(), ReadError> {
        let mut decoder = Decoder::default();
        let mut lanes = Lanes::default();
        let mut buffer = BytesMut::new();
        let mut size = SMALLEST_READ;
        loop {
            let held = buffer.len();
            buffer.resize(held + size, 0);
            let read = match timeout(STALL, self.stream.read(&mut buffer[held..])).await {
                Ok(read) => read?,
                Err(_) if held > 0 => return Err(ReadError::Stalled),
                Err(_) => {
                    // What was begun was abandoned, or may as well have been; frames of it that come yet are skipped.
                    lanes = Lanes::default();
                    buffer.clear();
                    continue;
                }
            };
            buffer.truncate(held + read);
            if read == 0 {
                return Ok(());
            }
            self.decode(&mut decoder, &mut buffer, &mut lanes).await?;
            size =
                if read == size { (size * 4).min(LARGEST_READ) } else { read.next_power_of_two().max(SMALLEST_READ) };
            if buffer.is_empty() {
                // Its memory may be shared with payloads, and an idle stream keeps none.
                buffer = BytesMut::new();
            }
        }
    }

    async fn decode(
        &mut self,
        decoder: &mut Decoder,
        buffer: &mut BytesMut,
        lanes: &mut Lanes,
    ) -> Result<(), ReadError> {
        let mut progress = 0;
        while let Some(frame) = decoder.decode(buffer)? {
            match frame {
                Frame::Data { lane, data, last } => {
                    progress += data.len();
                    lanes.push(lane, &data);
                    if !last {
                        continue;
                    }
                    self.tell(Heard::Progress(std::mem::take(&mut progress))).await;
                    if let Some((cid, data)) = lanes.take(lane) {
                        let budget = self.reserve(data.len()).await;
                        self.tell(Heard::Payload(Payload { cid, data, budget })).await;
                    }
                }
                Frame::Message(message) => {
                    if let Message::BlockHeader { cid, len, .. } = &message {
                        lanes.begin(*cid, *len as usize);
                    }
                    self.tell(Heard::Message(message)).await;
                }
                Frame::Refer { root, peers } => self.tell(Heard::Refer { root, peers }).await,
            }
        }
        if progress > 0 {
            self.tell(Heard::Progress(progress)).await;
        }
        Ok(())
    }

    async fn reserve(&mut self, len: usize) -> OwnedSemaphorePermit {
        let permits = (len / BUDGET_UNIT + 1) as u32;
        let permit = self.budget.clone().acquire_many_owned(permits).await;
        permit.expect("the budget is never closed")
    }

    async fn tell(&mut self, heard: Heard) {
        let _ = self.reports.send(Report { peer: self.peer, link: self.link, heard }).await; // the network has ended
    }
}

/// Read at a time while a peer is quiet, in bytes.
const SMALLEST_READ: usize = 2 * 1024;
/// Read at a time while blocks come, in bytes.
const LARGEST_READ: usize = 256 * 1024;
/// After so long without a byte, a block that was begun is given up, and a stream within a frame is ended.
const STALL: Duration = Duration::from_secs(60);
/// Bytes of payloads that are counted together.
pub(super) const BUDGET_UNIT: usize = 1024;

/// The blocks that are under way on a stream: one in each lane.
#[derive(Default)]
struct Lanes {
    bulk: Option<Assembly>,
    urgent: Option<Assembly>,
}

struct Assembly {
    cid: Cid,
    len: usize,
    data: BytesMut,
}

impl Lanes {
    fn begin(&mut self, cid: Cid, len: usize) {
        *self.of(Lane::of(&cid)) = Some(Assembly { cid, len, data: BytesMut::new() });
    }

    /// Memory grows with what has come, not with what was announced.
    fn push(&mut self, lane: Lane, data: &[u8]) {
        let Some(assembly) = self.of(lane) else { return };
        if assembly.data.capacity() - assembly.data.len() < data.len() {
            let room = (assembly.data.len() * 2).max(data.len()).min(assembly.len - assembly.data.len());
            assembly.data.reserve(room.max(data.len()));
        }
        assembly.data.extend_from_slice(data);
    }

    fn take(&mut self, lane: Lane) -> Option<(Cid, Bytes)> {
        self.of(lane).take().map(|assembly| (assembly.cid, assembly.data.freeze()))
    }

    fn of(&mut self, lane: Lane) -> &mut Option<Assembly> {
        match lane {
            Lane::Bulk => &mut self.bulk,
            Lane::Urgent => &mut self.urgent,
        }
    }
}

/// Why reading ended before the peer ended it.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("its stream broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("it sent nothing for {} s in the middle of a frame", STALL.as_secs())]
    Stalled,
    #[error("it broke the protocol: {0}")]
    Wire(#[from] WireError),
}
