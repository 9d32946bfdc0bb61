//! A peer with which blocks are exchanged: its streams, and the tasks that read and write them.

use std::time::Instant;

use cid::Cid;
use cidra_content::exchange::Protocol;
use cidra_content::exchange::message::{Message, RequestId};
use cidra_content::exchange::wire::bitswap as wire;
use cidra_content::exchange::wire::native::{PROTOCOL, Referral};
use cidra_content::reach::Allowance;
use futures::AsyncWrite;
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, StreamProtocol};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn};

use super::super::streams::{Slot, StreamRequest};
use super::super::throttle::Throttle;
use super::bitswap;
use super::reader::Payload;
use super::writer::{Outgoing, Queues, Said, Writer};

/// A peer with which blocks are exchanged, or that is asked whether it does.
pub(in crate::network) struct Partner {
    pub(in crate::network) link: LinkId,
    /// Where our stream is.
    pub(in crate::network) connection: ConnectionId,
    pub(in crate::network) state: PartnerState,
    /// It is behind a relay, which carries no more than this.
    pub(super) allowance: Option<Allowance>,
    pub(super) readers: Vec<(ConnectionId, Task)>,
    /// When something was last heard from it or sent to it.
    pub(in crate::network) active: Instant,
}

/// How far it is with a partner.
pub(in crate::network) enum PartnerState {
    /// It speaks no protocol for blocks.
    Mute,
    Open(Speaker),
    /// Our stream is being opened; its streams wait.
    Opening {
        request: StreamRequest,
        waiting: Vec<Inbound>,
    },
}

/// A stream that a partner opened.
pub(in crate::network) struct Inbound {
    pub(in crate::network) connection: ConnectionId,
    pub(in crate::network) protocol: StreamProtocol,
    pub(in crate::network) stream: libp2p::Stream,
    pub(in crate::network) slot: Slot,
}

/// Names the time with a partner from its first connection to its last: what comes late of one before is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) struct LinkId(pub(super) u64);

/// Feeds the task that writes to a partner.
pub(in crate::network) enum Speaker {
    Bitswap(bitswap::Speaker),
    Native(Native),
}

impl Speaker {
    /// What the partner understands.
    pub(in crate::network) fn protocol(&self) -> Protocol {
        match self {
            Self::Bitswap(speaker) => speaker.protocol(),
            Self::Native(_) => Protocol::NATIVE,
        }
    }

    /// What was agreed on.
    pub(in crate::network) fn name(&self) -> &str {
        match self {
            Self::Bitswap(speaker) => speaker.name(),
            Self::Native(_) => PROTOCOL,
        }
    }

    /// False: the peer takes nothing any more.
    pub(super) fn say(&mut self, said: Said) -> bool {
        match self {
            Self::Bitswap(speaker) => speaker.say(said),
            Self::Native(native) => native.said.try_send(said).is_ok(),
        }
    }

    /// The same for a block.
    pub(super) fn send(&self, block: Outgoing) -> bool {
        match self {
            Self::Bitswap(speaker) => speaker.send(block),
            Self::Native(native) => native.blocks.try_send(block).is_ok(),
        }
    }
}

/// Feeds the task that writes the native protocol.
pub(in crate::network) struct Native {
    said: mpsc::Sender<Said>,
    blocks: mpsc::Sender<Outgoing>,
    _task: Task,
}

/// A spawned task, ended when this is dropped.
pub(in crate::network) struct Task(AbortHandle);

impl Task {
    pub(super) fn new(task: AbortHandle) -> Self {
        Self(task)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the tasks of streams report.
#[derive(Debug)]
pub(in crate::network) struct Report {
    pub(in crate::network) peer: PeerId,
    pub(in crate::network) link: LinkId,
    pub(in crate::network) heard: Heard,
}

/// See [`Report`].
#[derive(Debug)]
pub(in crate::network) enum Heard {
    /// The stream is over.
    Ended {
        why: String,
    },
    /// What is said in Bitswap.
    List(wire::Message),
    Message(Message),
    Payload(Payload),
    Progress(usize),
    Refer {
        root: Cid,
        peers: Vec<Referral>,
    },
    Sent {
        request: RequestId,
        cid: Cid,
        bytes: usize,
        last: bool,
    },
}

pub(super) fn speak<S>(
    peer: PeerId,
    link: LinkId,
    stream: S,
    reports: mpsc::Sender<Report>,
    limit: Option<Throttle>,
) -> Native
where
    S: AsyncWrite + Send + Unpin + 'static,
{
    let (said_sender, said) = mpsc::channel(SAID);
    let (blocks_sender, blocks) = mpsc::channel(OUTGOING);
    let queues = Queues::limited_to(limit);
    let writer = Writer { peer, link, stream, said, blocks, reports, queues };
    let task = Task(spawn(writer.run()).abort_handle());
    Native { said: said_sender, blocks: blocks_sender, _task: task }
}

/// Reads a stream in a task, which counts against the limit of streams.
pub(super) fn listen(reader: impl Future<Output = ()> + Send + 'static, slot: Slot) -> Task {
    let run = async move {
        reader.await;
        drop(slot);
    };
    Task(spawn(run).abort_handle())
}

/// Messages that wait to be written to one peer; one that has more does not read, and is dropped.
pub(super) const SAID: usize = 1024;
/// Blocks that wait to be written to one peer; the machine bounds their bytes, and loads no more than so many tiny ones.
pub(super) const OUTGOING: usize = 16 * 1024;
