//! Reads what a peer says on one stream. A payload is put together here; what it is worth, the exchange knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use cidra_content::exchange::message::Message;
use cidra_content::exchange::wire::native::{Decoder, Frame, Lane, WireError};
use cidra_content::hash::Expect;
use futures::{AsyncRead, AsyncReadExt};
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep_until, timeout};

use super::super::throttle::{Intake, Throttle};
use super::assembly::Assembly;
use super::{Heard, LinkId, Report};

/// Reads one stream to its end.
pub(super) struct Reader<S> {
    pub(super) peer: PeerId,
    pub(super) link: LinkId,
    pub(super) stream: S,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) budget: Arc<Semaphore>,
    pub(super) intake: Intake,
}

/// A whole payload, which counts against the budget as long as this lives.
#[derive(Debug)]
pub(in crate::network) struct Payload {
    pub(super) expect: Expect,
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
            let most = lanes.slice().into_iter().chain(self.intake.all.as_ref().map(Throttle::slice)).min();
            let room = buffer.room();
            let most = most.unwrap_or(room.len()).min(room.len());
            let read = match timeout(STALL, self.stream.read(&mut room[..most])).await {
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
            let now = Instant::now();
            let of_all = self.intake.all.as_ref().map(|limit| limit.take(read, now));
            if let Some(due) = lanes.pay(now).into_iter().chain(of_all).max() {
                sleep_until(due.into()).await;
            }
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
                        self.tell(Heard::Payload(Payload { expect: Expect::Cid(cid), data, budget })).await;
                    }
                }
                Frame::Message(message) => {
                    if let Message::BlockHeader { cid, len, .. } = &message {
                        lanes.begin(*cid, *len as usize, self.intake.of(cid));
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
        reserve(&self.budget, len).await
    }

    async fn tell(&mut self, heard: Heard) {
        let _ = self.reports.send(Report { peer: self.peer, link: self.link, heard }).await; // the network has ended
    }
}

/// Waits until so many bytes may come in.
pub(super) async fn reserve(budget: &Arc<Semaphore>, len: usize) -> OwnedSemaphorePermit {
    let permits = (len / BUDGET_UNIT + 1) as u32;
    let permit = budget.clone().acquire_many_owned(permits).await;
    permit.expect("the budget is never closed")
}

/// What was read and not decoded yet, and the room behind it. It grows while reads fill it, and the same memory is read into
/// again and again, so that it stays in the cache of the CPU. It goes after a read that brings little, or after [`STALL`].
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    pub(super) held: usize,
}

impl Buffer {
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() < self.held + SMALLEST_READ {
            self.bytes.resize(self.held + SMALLEST_READ, 0);
        }
        &mut self.bytes[self.held..]
    }

    pub(super) fn held(&self) -> &[u8] {
        &self.bytes[..self.held]
    }

    /// The last `left` bytes are the beginning of a frame; `read` were read the last time.
    pub(super) fn consume_all_but(&mut self, left: usize, read: usize) {
        let full = self.held == self.bytes.len();
        self.bytes.copy_within(self.held - left..self.held, 0);
        self.held = left;
        if full && self.bytes.len() < LARGEST_READ {
            self.bytes.resize((self.bytes.len() * 4).min(LARGEST_READ), 0);
        } else if left == 0 && read < SMALLEST_READ {
            self.bytes = Vec::new();
        }
    }
}

/// Read at a time while a peer is quiet, in bytes.
const SMALLEST_READ: usize = 2 * 1024;
/// Read at a time while blocks come, in bytes.
const LARGEST_READ: usize = 256 * 1024;
/// After so long without a byte, a block that was begun is given up, and a stream within a frame is ended.
pub(super) const STALL: Duration = Duration::from_secs(60);
/// Bytes of payloads that are counted together.
pub(super) const BUDGET_UNIT: usize = 1024;

/// The blocks that are under way on a stream: one in each lane.
#[derive(Default)]
struct Lanes {
    bulk: Option<UnderWay>,
    urgent: Option<UnderWay>,
    /// Bytes that came and are limited.
    owed: Vec<(Throttle, usize)>,
}

struct UnderWay {
    cid: Cid,
    block: Assembly,
    /// Of the download that wants it.
    limit: Option<Throttle>,
}

impl Lanes {
    fn begin(&mut self, cid: Cid, len: usize, limit: Option<Throttle>) {
        *self.of(Lane::of(&cid)) = Some(UnderWay { cid, block: Assembly::new(len), limit });
    }

    /// How many bytes to read at a time, where a limit says so.
    fn slice(&self) -> Option<usize> {
        let limits = [&self.bulk, &self.urgent].into_iter().flatten().filter_map(|under_way| under_way.limit.as_ref());
        limits.map(Throttle::slice).min()
    }

    /// Takes what came out of the buckets of those who want it; when reading may go on.
    fn pay(&mut self, now: Instant) -> Option<Instant> {
        self.owed.drain(..).map(|(limit, bytes)| limit.take(bytes, now)).max()
    }

    fn push(&mut self, lane: Lane, data: &[u8]) {
        let Some(under_way) = self.of(lane) else { return };
        under_way.block.push(data);
        if let Some(limit) = under_way.limit.clone() {
            self.owed.push((limit, data.len()));
        }
    }

    fn take(&mut self, lane: Lane) -> Option<(Cid, Bytes)> {
        self.of(lane).take().map(|under_way| (under_way.cid, under_way.block.into_bytes()))
    }

    fn of(&mut self, lane: Lane) -> &mut Option<UnderWay> {
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

#[cfg(test)]
mod tests {
    use cidra_content::block::{Block, MAX_BLOCK_SIZE, RAW};

    use super::super::assembly::FIRST_ROOM;
    use super::*;
    use crate::store::PAGE;

    #[test]
    fn room_for_a_block_grows_with_what_has_come() {
        let cid = *Block::new(RAW, Bytes::new()).cid();
        let mut lanes = Lanes::default();
        lanes.begin(cid, MAX_BLOCK_SIZE, None);
        let (mut rooms, mut came) = (vec![], 0);

        while came < MAX_BLOCK_SIZE {
            let data = vec![came as u8; 10_000.min(MAX_BLOCK_SIZE - came)];
            lanes.push(Lane::Bulk, &data);
            came += data.len();
            let room = lanes.bulk.as_ref().unwrap().block.room();
            assert!(room <= PAGE + FIRST_ROOM.max(8 * came), "room for {room} when {came} had come");
            if rooms.last() != Some(&room) {
                rooms.push(room);
            }
        }

        assert_eq!(rooms, [FIRST_ROOM + PAGE, MAX_BLOCK_SIZE + PAGE]);
        let (_, block) = lanes.take(Lane::Bulk).unwrap();
        assert!(block.chunks(10_000).zip(0..).all(|(part, at)| part.iter().all(|byte| *byte == (at * 10_000) as u8)));
        assert_eq!((block.len(), block.as_ptr().align_offset(PAGE)), (MAX_BLOCK_SIZE, 0));
    }

    #[test]
    fn a_short_block_has_no_more_room_than_it_needs() {
        let cid = *Block::new(RAW, Bytes::new()).cid();
        let mut lanes = Lanes::default();
        lanes.begin(cid, 5, None);

        lanes.push(Lane::Bulk, b"he");
        lanes.push(Lane::Urgent, b"not begun");
        assert_eq!(lanes.bulk.as_ref().unwrap().block.room(), 5);
        lanes.push(Lane::Bulk, b"llo");

        assert_eq!(lanes.take(Lane::Bulk), Some((cid, Bytes::from_static(b"hello"))));
        assert_eq!(lanes.take(Lane::Bulk), None);
    }

    /// Reads so much at once, of which so much is left, and gives the room for the next read.
    fn read(buffer: &mut Buffer, read: usize, left: usize) -> usize {
        buffer.room()[..read].fill(read as u8);
        buffer.held += read;
        buffer.consume_all_but(left, read);
        buffer.bytes.len()
    }

    #[test]
    fn what_is_read_at_once_grows_while_it_is_filled_and_goes_when_it_is_quiet() {
        let mut buffer = Buffer::default();
        let mut rooms = vec![];
        for _ in 0..6 {
            let all = buffer.room().len();
            rooms.push(read(&mut buffer, all, 0));
        }
        assert_eq!(rooms[..2], [4 * SMALLEST_READ, 16 * SMALLEST_READ]);
        assert_eq!(rooms[4..], [LARGEST_READ; 2], "and no more");

        assert_eq!(read(&mut buffer, SMALLEST_READ, 0), LARGEST_READ);
        assert_eq!(read(&mut buffer, SMALLEST_READ - 1, 1), LARGEST_READ, "a frame has begun");
        assert_eq!(read(&mut buffer, 1, 0), 0);
    }

    #[test]
    fn the_beginning_of_a_frame_is_kept_for_the_next_read() {
        let mut buffer = Buffer::default();
        buffer.room()[..7].copy_from_slice(b"onetwo3");
        buffer.held += 7;

        buffer.consume_all_but(4, 7);

        assert_eq!(buffer.held(), b"two3");
        assert!(buffer.room().len() >= SMALLEST_READ);
        assert_eq!(buffer.held(), b"two3");
    }
}
