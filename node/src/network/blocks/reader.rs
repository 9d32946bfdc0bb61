//! Reads what a peer says on one stream. A payload is put together here; what it is worth, the exchange knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use cidra_content::exchange::message::Message;
use cidra_content::exchange::wire::native::{Decoder, Frame, Lane, WireError};
use futures::{AsyncRead, AsyncReadExt};
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::{Heard, LinkId, Report};
use crate::store::{LARGE, PAGE};

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
        let mut buffer = Buffer::default();
        loop {
            let read = match timeout(STALL, self.stream.read(buffer.room())).await {
                Ok(read) => read?,
                Err(_) if buffer.held > 0 || decoder.is_within_data() => return Err(ReadError::Stalled),
                Err(_) => {
                    // What was begun was abandoned, or may as well have been; frames of it that come yet are skipped.
                    lanes = Lanes::default();
                    buffer = Buffer::default();
                    continue;
                }
            };
            if read == 0 {
                return Ok(());
            }
            buffer.held += read;
            let mut rest = buffer.held();
            self.decode(&mut decoder, &mut rest, &mut lanes).await?;
            let left = rest.len();
            buffer.consume_all_but(left, read);
        }
    }

    async fn decode(&mut self, decoder: &mut Decoder, input: &mut &[u8], lanes: &mut Lanes) -> Result<(), ReadError> {
        let mut progress = 0;
        while let Some(frame) = decoder.decode(input)? {
            match frame {
                Frame::Data { lane, data, last } => {
                    progress += data.len();
                    lanes.push(lane, data);
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

/// What was read and not decoded yet, and the room behind it. It grows while reads fill it, and the same memory is read into
/// again and again, so that it stays in the cache of the CPU.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    held: usize,
}

impl Buffer {
    fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() < self.held + SMALLEST_READ {
            self.bytes.resize(self.held + SMALLEST_READ, 0);
        }
        &mut self.bytes[self.held..]
    }

    fn held(&self) -> &[u8] {
        &self.bytes[..self.held]
    }

    /// The last `left` bytes are the beginning of a frame; `read` were read the last time.
    fn consume_all_but(&mut self, left: usize, read: usize) {
        let full = self.held == self.bytes.len();
        self.bytes.copy_within(self.held - left..self.held, 0);
        self.held = left;
        if full && self.bytes.len() < LARGEST_READ {
            self.bytes.resize((self.bytes.len() * 4).min(LARGEST_READ), 0);
        } else if left == 0 && read < SMALLEST_READ {
            // A quiet stream keeps little memory.
            self.bytes = Vec::new();
        }
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
    /// The block behind what is left of a page, so that it begins with one and can go to a disk as it is.
    data: Vec<u8>,
    begin: usize,
}

impl Assembly {
    fn make_room(&mut self) {
        if self.len < LARGE {
            return self.data.reserve_exact(self.len);
        }
        self.data.reserve_exact(self.len + PAGE);
        self.begin = self.data.as_ptr().align_offset(PAGE);
        self.data.resize(self.begin, 0);
    }
}

impl Lanes {
    fn begin(&mut self, cid: Cid, len: usize) {
        *self.of(Lane::of(&cid)) = Some(Assembly { cid, len, data: Vec::new(), begin: 0 });
    }

    /// Room is taken for the whole block at its first byte. What it is taken from is not resident before it is written, so
    /// memory grows with what has come, not with what was announced.
    fn push(&mut self, lane: Lane, data: &[u8]) {
        let Some(assembly) = self.of(lane) else { return };
        if assembly.data.is_empty() {
            assembly.make_room();
        }
        assembly.data.extend_from_slice(data);
    }

    fn take(&mut self, lane: Lane) -> Option<(Cid, Bytes)> {
        self.of(lane).take().map(|assembly| (assembly.cid, Bytes::from(assembly.data).slice(assembly.begin..)))
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
