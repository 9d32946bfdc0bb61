//! Writes what this node says to one peer: messages first, then blocks that may have children, then leaves, a frame at a time.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use cidra_content::exchange::message::{Message, RequestId};
use cidra_content::exchange::wire::native::{self, Lane, MAX_DATA, Referral};
use futures::AsyncWrite;
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::super::throttle::Throttle;
use super::sending::{WriteError, flush, put};
use super::{Heard, LinkId, Report};

/// Writes one stream until nobody has anything to say on it.
pub(super) struct Writer<S> {
    pub(super) peer: PeerId,
    pub(super) link: LinkId,
    pub(super) stream: S,
    pub(super) said: mpsc::Receiver<Said>,
    pub(super) blocks: mpsc::Receiver<Outgoing>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) queues: Queues,
}

/// What goes ahead of blocks.
#[derive(Debug)]
pub(super) enum Said {
    /// Stop sending this block, also in the middle of it.
    Abort {
        request: RequestId,
        cid: Cid,
    },
    Message(Message),
    Refer {
        root: Cid,
        peers: Vec<Referral>,
    },
}

/// A block to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) request: RequestId,
    pub(super) cid: Cid,
    pub(super) data: Bytes,
    /// Of what it belongs to, beside that of all.
    pub(super) limit: Option<Throttle>,
}

impl<S: AsyncWrite + Unpin> Writer<S> {
    /// Ends with the handles that feed it, or when the peer takes no more, which is reported.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.write().await {
            let heard = Heard::Ended { why: error.to_string() };
            let _ = self.reports.send(Report { peer: self.peer, link: self.link, heard }).await; // the network has ended
        }
    }

    async fn write(&mut self) -> Result<(), WriteError> {
        let mut buffer = BytesMut::new();
        loop {
            if self.queues.are_empty() && self.said.is_empty() && self.blocks.is_empty() {
                flush(&mut self.stream).await?;
                buffer = BytesMut::new();
                if !self.wait(&mut buffer).await {
                    return Ok(());
                }
            }
            while let Ok(said) = self.said.try_recv() {
                self.say(said, &mut buffer);
            }
            while let Ok(block) = self.blocks.try_recv() {
                self.queues.push(block);
            }
            let turn = self.queues.turn(Instant::now());
            let sent = match turn {
                Turn::Now { most } => self.queues.next_frame(most, &mut buffer),
                Turn::At(_) => None,
            };
            put(&mut self.stream, &buffer).await?;
            buffer.clear();
            if let Some(sent) = sent {
                self.report(sent).await;
            }
            if let Turn::At(due) = turn {
                flush(&mut self.stream).await?;
                // The handles are gone or the time has come; messages do not wait for it.
                let _ = timeout_at(due.into(), self.wait(&mut buffer)).await;
            }
        }
    }

    /// Sleeps until there is something to write; false: there will be nothing more.
    async fn wait(&mut self, buffer: &mut BytesMut) -> bool {
        tokio::select! {
            said = self.said.recv() => {
                let Some(said) = said else { return false };
                self.say(said, buffer);
            }
            block = self.blocks.recv() => {
                let Some(block) = block else { return false };
                self.queues.push(block);
            }
        }
        true
    }

    fn say(&mut self, said: Said, buffer: &mut BytesMut) {
        match said {
            Said::Message(message) => native::encode(&message, buffer),
            Said::Refer { root, peers } => native::encode_refer(&root, &peers, buffer),
            Said::Abort { request, cid } => {
                // What was handed over before the abort may still be on its way here.
                while let Ok(block) = self.blocks.try_recv() {
                    self.queues.push(block);
                }
                self.queues.remove(request, &cid);
            }
        }
    }

    async fn report(&mut self, Sent { request, cid, bytes, last }: Sent) {
        let heard = Heard::Sent { request, cid, bytes, last };
        let _ = self.reports.send(Report { peer: self.peer, link: self.link, heard }).await; // the network has ended
    }
}

/// Bytes of a block that are reported as sent together.
const REPORTED: usize = 4 * MAX_DATA;

/// The blocks to be sent, by lane.
#[derive(Default)]
pub(super) struct Queues {
    bulk: VecDeque<Sending>,
    urgent: VecDeque<Sending>,
    limit: Option<Throttle>,
    /// When what was taken out of the buckets may go.
    due: Option<Instant>,
}

/// When the next frame of data may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Now {
        /// Bytes of data in it, at most.
        most: usize,
    },
    At(Instant),
}

struct Sending {
    block: Outgoing,
    begun: bool,
    unreported: usize,
}

/// So many bytes of a block have left since the last report.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    request: RequestId,
    cid: Cid,
    bytes: usize,
    last: bool,
}

impl Queues {
    pub(super) fn limited_to(limit: Option<Throttle>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Takes a slice out of the buckets that bound what comes next, unless one was taken that has not gone yet.
    fn turn(&mut self, now: Instant) -> Turn {
        let queue = if self.urgent.is_empty() { &self.bulk } else { &self.urgent };
        let Some(Sending { block: Outgoing { data, limit, .. }, .. }) = queue.front() else {
            return Turn::Now { most: MAX_DATA };
        };
        let limits = || [&self.limit, limit].into_iter().flatten();
        let most = limits().map(Throttle::slice).min().unwrap_or(MAX_DATA).min(MAX_DATA);
        let due = self.due.or_else(|| limits().map(|limit| limit.take(most.min(data.len()), now)).max());
        self.due = due.filter(|due| *due > now);
        self.due.map_or(Turn::Now { most }, Turn::At)
    }

    fn push(&mut self, block: Outgoing) {
        let queue = match Lane::of(&block.cid) {
            Lane::Bulk => &mut self.bulk,
            Lane::Urgent => &mut self.urgent,
        };
        queue.push_back(Sending { block, begun: false, unreported: 0 });
    }

    /// A block that was begun is abandoned: the next header in its lane says so to the peer.
    fn remove(&mut self, request: RequestId, cid: &Cid) {
        for queue in [&mut self.bulk, &mut self.urgent] {
            queue.retain(|sending| sending.block.request != request || sending.block.cid != *cid);
        }
    }

    fn are_empty(&self) -> bool {
        self.bulk.is_empty() && self.urgent.is_empty()
    }

    /// Appends one frame of so many bytes of data at most, its block's header before the first one.
    fn next_frame(&mut self, most: usize, buffer: &mut BytesMut) -> Option<Sent> {
        let (lane, queue) = match self.urgent.is_empty() {
            false => (Lane::Urgent, &mut self.urgent),
            true => (Lane::Bulk, &mut self.bulk),
        };
        let sending = queue.front_mut()?;
        let Outgoing { request, cid, data, .. } = &mut sending.block;
        if !sending.begun {
            sending.begun = true;
            let header = Message::BlockHeader { request: *request, cid: *cid, len: data.len() as u32 };
            native::encode(&header, buffer);
        }
        let frame = data.split_to(data.len().min(most));
        if !frame.is_empty() {
            buffer.extend_from_slice(&native::data_frame_head(lane, frame.len()));
            buffer.extend_from_slice(&frame);
        }
        sending.unreported += frame.len();
        let last = data.is_empty();
        if !last && sending.unreported < REPORTED {
            return None;
        }
        let bytes = std::mem::take(&mut sending.unreported);
        let sent = Sent { request: *request, cid: *cid, bytes, last };
        if last {
            queue.pop_front();
        }
        Some(sent)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;
    use cidra_content::Block;
    use cidra_content::block::{DAG_PB, RAW};
    use cidra_content::exchange::wire::native::{Decoder, Frame};

    fn outgoing(request: u64, codec: u64, len: usize) -> Outgoing {
        let block = Block::new(codec, vec![7; len].into());
        Outgoing { request: RequestId(request), cid: *block.cid(), data: block.into_data(), limit: None }
    }

    fn written(queues: &mut Queues, most: usize) -> BytesMut {
        let mut buffer = BytesMut::new();
        for _ in 0..most {
            queues.next_frame(MAX_DATA, &mut buffer);
        }
        buffer
    }

    fn frames<'a>(decoder: &mut Decoder, mut input: &'a [u8]) -> Vec<Frame<'a>> {
        std::iter::from_fn(|| decoder.decode(&mut input).unwrap()).collect()
    }

    #[test]
    fn a_block_with_children_goes_before_the_rest_of_a_leaf() {
        let (mut queues, mut decoder) = (Queues::default(), Decoder::default());
        queues.push(outgoing(1, RAW, 3 * MAX_DATA));
        assert_eq!(frames(&mut decoder, &written(&mut queues, 1)).len(), 2);
        queues.push(outgoing(2, DAG_PB, 10));

        let written = written(&mut queues, 2);
        let frames = frames(&mut decoder, &written);

        assert!(matches!(frames[0], Frame::Message(Message::BlockHeader { request: RequestId(2), .. })));
        assert!(matches!(frames[1], Frame::Data { lane: Lane::Urgent, last: true, .. }));
        assert!(matches!(frames[2], Frame::Data { lane: Lane::Bulk, last: false, .. }));
    }

    #[test]
    fn an_aborted_block_ends_in_the_middle() {
        let mut queues = Queues::default();
        let block = outgoing(1, RAW, 3 * MAX_DATA);
        let cid = block.cid;
        queues.push(block);
        written(&mut queues, 1);

        queues.remove(RequestId(1), &cid);

        assert!(queues.are_empty());
    }

    #[test]
    fn an_empty_block_is_its_header_alone_and_is_reported() {
        let mut queues = Queues::default();
        queues.push(outgoing(1, RAW, 0));

        let mut buffer = BytesMut::new();
        let sent = queues.next_frame(MAX_DATA, &mut buffer).unwrap();

        assert!(sent.last && sent.bytes == 0 && queues.are_empty());
    }

    #[test]
    fn what_is_limited_goes_in_slices_when_their_time_has_come() {
        let now = Instant::now();
        let per_second = |rate| Some(Throttle::new(NonZeroU64::new(rate).unwrap()));
        let mut queues = Queues::limited_to(per_second(1_000_000));
        queues.push(Outgoing { limit: per_second(160_000), ..outgoing(1, RAW, MAX_DATA) });

        let (mut at, mut frames) = (now, vec![]);
        while !queues.are_empty() {
            match queues.turn(at) {
                Turn::At(due) => at = due,
                Turn::Now { most } => {
                    queues.next_frame(most, &mut BytesMut::new());
                    frames.push((at - now, most));
                }
            }
        }

        // A sixteenth of what its own limit gives a second; the last of them so long after the first, less a tenth of a second.
        assert_eq!((frames.len(), frames[0]), (7, (Duration::ZERO, 10_000)));
        let took = frames.last().unwrap().0.as_secs_f64();
        assert!((took - (60_000.0 / 160_000.0 - 0.1)).abs() < 0.001, "{took} s");
    }

    #[test]
    fn all_bytes_of_a_block_are_reported_once() {
        let mut queues = Queues::default();
        queues.push(outgoing(1, RAW, REPORTED * 2 + 5));
        let mut buffer = BytesMut::new();

        let mut reported = vec![];
        while !queues.are_empty() {
            reported.extend(queues.next_frame(MAX_DATA, &mut buffer));
        }

        assert_eq!(reported.iter().map(|sent| sent.bytes).collect::<Vec<_>>(), [REPORTED, REPORTED, 5]);
        assert_eq!(reported.iter().filter(|sent| sent.last).count(), 1);
    }
}
