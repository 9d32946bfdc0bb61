//! Writes what this node says to one peer that speaks Bitswap: lists of wants and words on blocks on a stream of their own, blocks
//! on the others, whichever is free.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;
use cid::Cid;
use cidra_content::exchange::message::RequestId;
use cidra_content::exchange::wire::bitswap::{self, Dialect, Message};
use cidra_content::exchange::wire::native::Lane;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{AsyncWrite, FutureExt, StreamExt};
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::super::super::throttle::Throttle;
use super::super::sending::{WriteError, flush, put};
use super::super::writer::Outgoing;
use super::super::{Heard, LinkId, Report};

/// Writes until nobody has anything to say.
pub(super) struct Writer<S> {
    dialect: Dialect,
    line: Line,
    queue: Queue,
    /// The stream for lists, while nothing is being written on it, and what is to be.
    lists: Option<S>,
    list: BytesMut,
    /// The streams for blocks on which nothing is being written.
    idle: Vec<S>,
    writing: FuturesUnordered<BoxFuture<'static, Result<Written<S>, WriteError>>>,
}

/// To whom it writes, how fast at most, and where it reports.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) peer: PeerId,
    pub(super) link: LinkId,
    pub(super) reports: mpsc::Sender<Report>,
    /// Of all that goes out.
    pub(super) limit: Option<Throttle>,
}

impl Line {
    async fn report(&self, heard: Heard) {
        let _ = self.reports.send(Report { peer: self.peer, link: self.link, heard }).await; // the network has ended
    }

    /// Waits until so many bytes may go.
    async fn wait(&self, of_root: Option<&Throttle>, bytes: usize) {
        let due = [self.limit.as_ref(), of_root].into_iter().flatten().map(|limit| limit.take(bytes, Instant::now()));
        if let Some(due) = due.max() {
            sleep_until(due.into()).await;
        }
    }
}

/// What does not wait behind blocks.
#[derive(Debug)]
pub(super) enum Said {
    /// Do not send this block, unless it has begun: a message cannot be ended in the middle.
    Abort {
        request: RequestId,
        cid: Cid,
    },
    List(Message),
}

/// A stream, all of a message written on it.
enum Written<S> {
    Blocks(S),
    Lists(S),
}

impl<S: AsyncWrite + Send + Unpin + 'static> Writer<S> {
    pub(super) fn new(dialect: Dialect, stream: S, line: Line) -> Self {
        let mut list = BytesMut::new();
        // The peer forgets what was wanted before. It also learns that there is somebody: Kubo asks only those who spoke.
        bitswap::encode(&Message { full: true, ..Message::default() }, dialect, &mut list);
        let (queue, idle, writing) = (Queue::default(), vec![], FuturesUnordered::new());
        Self { dialect, line, queue, lists: Some(stream), list, idle, writing }
    }

    /// Ends with the handles that feed it, or when the peer takes no more, which is reported.
    pub(super) async fn run(
        mut self,
        said: mpsc::Receiver<Said>,
        blocks: mpsc::Receiver<Outgoing>,
        streams: mpsc::Receiver<S>,
    ) {
        if let Err(error) = self.write(said, blocks, streams).await {
            self.line.report(Heard::Ended { why: error.to_string() }).await;
        }
    }

    async fn write(
        &mut self,
        mut said: mpsc::Receiver<Said>,
        mut blocks: mpsc::Receiver<Outgoing>,
        mut streams: mpsc::Receiver<S>,
    ) -> Result<(), WriteError> {
        loop {
            self.begin();
            tokio::select! {
                said = said.recv(), if self.list.len() < MAX_LIST => match said {
                    Some(Said::Abort { request, cid }) => {
                        // What was handed over before the abort may still be on its way here.
                        while let Ok(block) = blocks.try_recv() {
                            self.queue.push(block);
                        }
                        self.queue.remove(request, &cid);
                    }
                    Some(Said::List(message)) => bitswap::encode(&message, self.dialect, &mut self.list),
                    None => return Ok(()),
                },
                Some(block) = blocks.recv() => {
                    self.queue.push(block);
                    // Small ones that are there already go together.
                    while let Ok(block) = blocks.try_recv() {
                        self.queue.push(block);
                    }
                }
                Some(stream) = streams.recv() => self.idle.push(stream),
                Some(written) = self.writing.next() => match written? {
                    Written::Blocks(stream) => self.idle.push(stream),
                    Written::Lists(stream) => self.lists = Some(stream),
                },
            }
        }
    }

    /// Begins what can be written.
    fn begin(&mut self) {
        if !self.list.is_empty()
            && let Some(stream) = self.lists.take()
        {
            let list = std::mem::take(&mut self.list);
            self.writing.push(write_list(stream, list).boxed());
        }
        while !self.queue.is_empty()
            && let Some(stream) = self.idle.pop()
        {
            let (blocks, pending) = self.queue.next_message();
            self.writing.push(write_blocks(stream, blocks, pending, self.dialect, self.line.clone()).boxed());
        }
    }
}

async fn write_list<S: AsyncWrite + Unpin>(mut stream: S, list: BytesMut) -> Result<Written<S>, WriteError> {
    put(&mut stream, &list).await?;
    flush(&mut stream).await?;
    Ok(Written::Lists(stream))
}

/// Writes one message of blocks, and reports what has left.
async fn write_blocks<S: AsyncWrite + Unpin>(
    mut stream: S,
    blocks: Vec<Outgoing>,
    pending: u64,
    dialect: Dialect,
    line: Line,
) -> Result<Written<S>, WriteError> {
    let lengths: Vec<(Cid, usize)> = blocks.iter().map(|block| (block.cid, block.data.len())).collect();
    let heads = bitswap::heads(&lengths, pending, dialect);
    let mut buffer = BytesMut::new();
    for (head, Outgoing { request, cid, mut data, limit }) in heads.into_iter().zip(blocks) {
        let slices = [line.limit.as_ref(), limit.as_ref()].into_iter().flatten().map(Throttle::slice);
        let slice = slices.min().unwrap_or(PIECE).min(PIECE);
        buffer.extend_from_slice(&head);
        let mut bytes = 0;
        loop {
            let piece = data.split_to(data.len().min(slice));
            line.wait(limit.as_ref(), piece.len()).await;
            bytes += piece.len();
            let last = data.is_empty();
            if piece.len() < PIECE {
                buffer.extend_from_slice(&piece);
            } else {
                put(&mut stream, &buffer.split()).await?;
                put(&mut stream, &piece).await?;
            }
            if buffer.len() >= PIECE {
                put(&mut stream, &buffer.split()).await?;
            }
            if last || bytes >= REPORTED {
                let heard = Heard::Sent { request, cid, bytes: std::mem::take(&mut bytes), last };
                line.report(heard).await;
            }
            if last {
                break;
            }
        }
    }
    put(&mut stream, &buffer).await?;
    flush(&mut stream).await?;
    Ok(Written::Blocks(stream))
}

/// The blocks to be sent: those that may have children first.
#[derive(Debug, Default)]
struct Queue {
    bulk: VecDeque<Outgoing>,
    urgent: VecDeque<Outgoing>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, block: Outgoing) {
        self.bytes += block.data.len();
        match Lane::of(&block.cid) {
            Lane::Bulk => self.bulk.push_back(block),
            Lane::Urgent => self.urgent.push_back(block),
        }
    }

    fn remove(&mut self, request: RequestId, cid: &Cid) {
        for queue in [&mut self.bulk, &mut self.urgent] {
            queue.retain(|block| {
                let goes = block.request == request && block.cid == *cid;
                self.bytes -= if goes { block.data.len() } else { 0 };
                !goes
            });
        }
    }

    fn is_empty(&self) -> bool {
        self.bulk.is_empty() && self.urgent.is_empty()
    }

    /// One block, or small ones together; and the bytes that wait behind them.
    fn next_message(&mut self) -> (Vec<Outgoing>, u64) {
        let (mut blocks, mut bytes) = (vec![], 0);
        loop {
            let queue = if self.urgent.is_empty() { &mut self.bulk } else { &mut self.urgent };
            let Some(next) = queue.front() else { break };
            if !blocks.is_empty() && (bytes + next.data.len() > TOGETHER || blocks.len() == MOST_TOGETHER) {
                break;
            }
            bytes += next.data.len();
            blocks.extend(queue.pop_front());
        }
        self.bytes -= bytes;
        (blocks, self.bytes as u64)
    }
}

/// Written at a time, in bytes.
const PIECE: usize = 64 * 1024;
/// Bytes of a block that are reported as sent together.
const REPORTED: usize = 4 * PIECE;
/// Small blocks of so many bytes go in one message, and no more of them than this.
const TOGETHER: usize = 16 * 1024;
const MOST_TOGETHER: usize = 256;
/// While so many bytes of lists wait for the stream, no more are taken; then their channel fills, and the peer is dropped.
const MAX_LIST: usize = 256 * 1024;

#[cfg(test)]
mod tests;
