//! A partner that speaks Bitswap: wants go to it on one stream, kept; blocks on a few others, opened when there are any, so
//! that neither waits for the other and the peer can take several at once. What it says comes on as many as it opens.

mod reader;
mod writer;

use std::sync::Arc;

use cid::Cid;
use cidra_content::exchange::Protocol;
use cidra_content::exchange::wire::bitswap::{Dialect, Message, PROTOCOLS, Taken, Wants};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn;

pub(super) use self::reader::Reader;
use self::writer::{Line, Said, Writer};
use super::super::streams::StreamRequest;
use super::super::throttle::Throttle;
use super::partner::{OUTGOING, SAID, Task};
use super::reader::BUDGET_UNIT;
use super::writer::Outgoing;
use super::{LinkId, Report, writer as native};

/// Its names, the best first, with how many streams of each a peer may have open on a connection.
pub(super) fn protocols() -> impl Iterator<Item = (StreamProtocol, usize)> {
    PROTOCOLS.into_iter().map(|name| (StreamProtocol::new(name), MAX_INBOUND))
}

/// What is said to one such partner.
pub(in crate::network) struct Speaker {
    name: StreamProtocol,
    dialect: Dialect,
    wants: Wants,
    said: mpsc::Sender<Said>,
    blocks: mpsc::Sender<Outgoing>,
    streams: mpsc::Sender<Stream>,
    opening: Vec<StreamRequest>,
    open: usize,
    is_answering: bool,
    /// Bytes of messages that have begun to come, on all streams of the peer.
    begun: Arc<Semaphore>,
    _task: Task,
}

impl Speaker {
    /// Begins to speak on a stream, where this is what one of the names of Bitswap was agreed on for it.
    pub(super) fn new(
        (peer, link): (PeerId, LinkId),
        (name, dialect): (StreamProtocol, Dialect),
        stream: Stream,
        reports: mpsc::Sender<Report>,
        limit: Option<Throttle>,
    ) -> Self {
        let (said_sender, said) = mpsc::channel(SAID);
        let (blocks_sender, blocks) = mpsc::channel(OUTGOING);
        let (streams_sender, streams) = mpsc::channel(ANSWER_STREAMS);
        let writer = Writer::new(dialect, stream, Line { peer, link, reports, limit });
        let task = Task::new(spawn(writer.run(said, blocks, streams)).abort_handle());
        Self {
            name,
            dialect,
            wants: Wants::default(),
            said: said_sender,
            blocks: blocks_sender,
            streams: streams_sender,
            opening: vec![],
            open: 0,
            is_answering: false,
            begun: Arc::new(Semaphore::new(MAX_BEGUN / BUDGET_UNIT)),
            _task: task,
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.dialect.protocol()
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_ref()
    }

    pub(super) fn begun(&self) -> Arc<Semaphore> {
        self.begun.clone()
    }

    /// False: the peer takes nothing any more.
    pub(super) fn say(&mut self, said: native::Said) -> bool {
        match said {
            native::Said::Abort { request, cid } => self.said.try_send(Said::Abort { request, cid }).is_ok(),
            native::Said::Message(message) => match self.wants.translate(message) {
                Some(message) => self.said.try_send(Said::List(message)).is_ok(),
                None => true,
            },
            // It has no word for it.
            native::Said::Refer { .. } => true,
        }
    }

    pub(super) fn send(&self, block: Outgoing) -> bool {
        self.blocks.try_send(block).is_ok()
    }

    /// What the peer said. Gives what of it concerns the machine.
    pub(super) fn handle_message(&mut self, message: Message) -> Vec<cidra_content::exchange::message::Message> {
        let Taken { said, answer } = self.wants.handle_message(message);
        if let Some(answer) = answer {
            let _ = self.said.try_send(Said::List(answer)); // who asks for so much and reads nothing is not answered
        }
        said
    }

    /// All of a block has gone out.
    pub(super) fn handle_sent(&mut self, cid: &Cid) {
        self.wants.handle_sent(cid);
    }

    /// How many streams of which protocol are to be opened for blocks, which are there for the first time.
    pub(super) fn lacks_streams(&mut self) -> Option<(StreamProtocol, usize)> {
        (!std::mem::replace(&mut self.is_answering, true)).then(|| (self.name.clone(), ANSWER_STREAMS))
    }

    pub(super) fn expect_stream(&mut self, request: StreamRequest) {
        self.opening.push(request);
    }

    pub(super) fn awaits(&self, request: StreamRequest) -> bool {
        self.opening.contains(&request)
    }

    /// Takes a stream for blocks; `None`: it cannot be opened. False: none of them can.
    pub(super) fn on_stream(&mut self, request: StreamRequest, stream: Option<Stream>) -> bool {
        self.opening.retain(|awaited| *awaited != request);
        if let Some(stream) = stream {
            self.open += 1;
            let _ = self.streams.try_send(stream); // the task has ended, which it reports
        }
        self.open > 0 || !self.opening.is_empty()
    }
}

/// Streams that a peer may have open on a connection, of each name. Kubo opens one for each message, and as our window lets it
/// write them without being read, some hundred may be there at once.
const MAX_INBOUND: usize = 512;
/// Streams that are opened to a peer for blocks: it puts those of one into its store one after the other.
const ANSWER_STREAMS: usize = 4;
/// Bytes of messages that one peer may have begun and not ended, as announced; then its other streams are not read.
const MAX_BEGUN: usize = 8 * 1024 * 1024;
