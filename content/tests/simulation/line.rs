//! One direction of a connection: what waits to be written, the socket's buffer, the window of TCP.
//!
//! A writer takes messages before blocks and blocks with children before leaves, a frame at a time, as the node's does; what has
//! gone into the socket cannot be taken back. The window doubles each round trip until the path is full, and shrinks when something
//! is lost or the receiver's link has a queue.

use std::collections::VecDeque;

use cidra_content::Cid;
use cidra_content::block::RAW;
use cidra_content::exchange::message::{Message, RequestId};

use crate::world::{Id, Time};

pub(crate) struct Line {
    pub(crate) from: Id,
    pub(crate) to: Id,
    /// One way, without queues.
    pub(crate) delay: Time,
    pub(crate) closed: bool,
    said: VecDeque<Packet>,
    urgent: VecDeque<Outgoing>,
    bulk: VecDeque<Outgoing>,
    socket: VecDeque<Packet>,
    unsent: usize,
    window: f64,
    threshold: f64,
    flying: usize,
    acks: VecDeque<(Time, usize)>,
    /// It waits for an answer before more can go.
    pub(crate) is_blocked: bool,
    pub(crate) in_ring: bool,
    pub(crate) air: VecDeque<Segment>,
    pub(crate) landed: VecDeque<Segment>,
    /// Lost in a cut.
    pub(crate) stuck: VecDeque<Segment>,
    pub(crate) last_landing: Time,
    pub(crate) last_read: Time,
    shrunk: Time,
}

pub(crate) struct Outgoing {
    request: RequestId,
    cid: Cid,
    len: usize,
    sent: usize,
    unreported: usize,
}

/// So much of a block went into the socket.
pub(crate) struct Sent {
    pub(crate) request: RequestId,
    pub(crate) cid: Cid,
    pub(crate) bytes: usize,
    pub(crate) last: bool,
}

pub(crate) enum Packet {
    Said(Message),
    Refer { root: Cid, others: Vec<Id> },
    Piece { request: RequestId, cid: Cid, len: usize, bytes: usize, first: bool, last: bool },
}

/// What goes over a link at a time.
pub(crate) struct Segment {
    pub(crate) packets: Vec<Packet>,
    pub(crate) bytes: usize,
    /// When its last bit has left the sender.
    pub(crate) left: Time,
}

impl Line {
    pub(crate) fn new(from: Id, to: Id, delay: Time) -> Self {
        Self {
            from,
            to,
            delay,
            closed: false,
            said: VecDeque::new(),
            urgent: VecDeque::new(),
            bulk: VecDeque::new(),
            socket: VecDeque::new(),
            unsent: 0,
            window: FIRST_WINDOW,
            threshold: f64::MAX,
            flying: 0,
            acks: VecDeque::new(),
            is_blocked: false,
            in_ring: false,
            air: VecDeque::new(),
            landed: VecDeque::new(),
            stuck: VecDeque::new(),
            last_landing: 0,
            last_read: 0,
            shrunk: 0,
        }
    }

    pub(crate) fn say(&mut self, packet: Packet) {
        self.said.push_back(packet);
    }

    pub(crate) fn load(&mut self, request: RequestId, cid: Cid, len: usize) {
        let queue = if cid.codec() == RAW { &mut self.bulk } else { &mut self.urgent };
        queue.push_back(Outgoing { request, cid, len, sent: 0, unreported: 0 });
    }

    pub(crate) fn abort(&mut self, request: RequestId, cid: &Cid) {
        for queue in [&mut self.urgent, &mut self.bulk] {
            queue.retain(|block| block.request != request || block.cid != *cid);
        }
    }

    /// Writes into the socket what it takes.
    pub(crate) fn write(&mut self) -> Vec<Sent> {
        let mut reports = Vec::new();
        while self.unsent < SOCKET {
            if let Some(packet) = self.said.pop_front() {
                self.unsent += packet.bytes();
                self.socket.push_back(packet);
                continue;
            }
            let queue = if self.urgent.is_empty() { &mut self.bulk } else { &mut self.urgent };
            let Some(block) = queue.front_mut() else { break };
            let (packet, sent) = block.next_frame();
            if sent.as_ref().is_some_and(|sent| sent.last) {
                queue.pop_front();
            }
            self.unsent += packet.bytes();
            self.socket.push_back(packet);
            reports.extend(sent);
        }
        reports
    }

    /// Whether something could leave the socket.
    pub(crate) fn can_go(&mut self, now: Time) -> bool {
        self.hear_answers(now);
        let open = self.flying < self.window as usize;
        if !open && !self.socket.is_empty() {
            self.is_blocked = true;
        }
        open && !self.socket.is_empty()
    }

    /// Takes out of the socket what the window allows, at most `most` bytes.
    pub(crate) fn take(&mut self, most: usize) -> Segment {
        let room = (self.window as usize).saturating_sub(self.flying).clamp(PACKET, most);
        let mut segment = Segment { packets: Vec::new(), bytes: 0, left: 0 };
        while let Some(packet) = self.socket.front_mut() {
            let rest = room.saturating_sub(segment.bytes);
            if rest == 0 || (segment.bytes > 0 && packet.bytes() > rest && !matches!(packet, Packet::Piece { .. })) {
                break;
            }
            let packet = match packet.cut(rest) {
                Some(part) => part,
                None => self.socket.pop_front().expect("looked at above"),
            };
            segment.bytes += packet.bytes();
            segment.packets.push(packet);
        }
        self.unsent = self.unsent.saturating_sub(segment.bytes);
        self.flying += segment.bytes;
        segment
    }

    /// The answer to so many bytes comes then.
    pub(crate) fn acknowledge(&mut self, bytes: usize, at: Time) {
        self.acks.push_back((at, bytes));
    }

    pub(crate) fn next_answer(&self) -> Option<Time> {
        self.acks.front().map(|(at, _)| *at)
    }

    /// Something was lost, or is late because of a queue: at most once a round trip.
    pub(crate) fn shrink(&mut self, now: Time) {
        if now >= self.shrunk {
            self.shrunk = now + 2 * self.delay + QUEUE_TIME;
            self.window = (self.window * 0.7).max(FIRST_WINDOW);
            self.threshold = self.window;
        }
    }

    fn hear_answers(&mut self, now: Time) {
        while self.acks.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, bytes)) = self.acks.pop_front() else { return };
            let used = 2 * self.flying > self.window as usize;
            self.flying = self.flying.saturating_sub(bytes);
            if !used {
                continue;
            }
            let growth = if self.window < self.threshold { bytes as f64 } else { RISE * bytes as f64 / self.window };
            self.window = (self.window + growth).min(MOST_WINDOW);
        }
    }
}

impl Outgoing {
    fn next_frame(&mut self) -> (Packet, Option<Sent>) {
        let bytes = (self.len - self.sent).min(FRAME);
        let first = self.sent == 0;
        self.sent += bytes;
        self.unreported += bytes;
        let last = self.sent == self.len;
        let (request, cid, len) = (self.request, self.cid, self.len);
        let packet = Packet::Piece { request, cid, len, bytes, first, last };
        let report = last || self.unreported >= REPORTED;
        let sent = report.then(|| Sent { request, cid, bytes: std::mem::take(&mut self.unreported), last });
        (packet, sent)
    }
}

impl Packet {
    /// On the wire.
    pub(crate) fn bytes(&self) -> usize {
        let named = |cids: usize| 15 + 37 * cids;
        match self {
            Self::Said(Message::Want(want)) => 55 + named(want.cids.len()),
            Self::Said(Message::Cancel { cids, .. } | Message::Have { cids } | Message::DontHave { cids, .. }) => {
                named(cids.len())
            }
            Self::Said(Message::BlockHeader { .. } | Message::Pending { .. }) => 20,
            Self::Refer { others, .. } => 50 + 250 * others.len(),
            Self::Piece { bytes, first, .. } => bytes + if *first { 60 } else { 5 },
        }
    }

    /// The first so many bytes of a piece that is longer.
    fn cut(&mut self, most: usize) -> Option<Packet> {
        let Self::Piece { request, cid, len, bytes, first, .. } = self else { return None };
        let head = most.saturating_sub(60).max(1);
        if *bytes <= head {
            return None;
        }
        let part = Self::Piece { request: *request, cid: *cid, len: *len, bytes: head, first: *first, last: false };
        *bytes -= head;
        *first = false;
        Some(part)
    }
}

/// Ten packets, as RFC 6928 has it.
const FIRST_WINDOW: f64 = 14_480.0;
const PACKET: usize = 1448;
/// What the systems' buffers allow.
const MOST_WINDOW: f64 = 4e6;
/// How much the window grows a round trip when it has been shrunk.
const RISE: f64 = 2.0 * PACKET as f64;
/// Unsent bytes that the system takes off the writer's hands.
const SOCKET: usize = 256 * 1024;
const FRAME: usize = 64 * 1024;
/// The node's writer reports so many bytes together.
const REPORTED: usize = 256 * 1024;
/// How long a queue before a link may be.
pub(crate) const QUEUE_TIME: Time = 50_000_000;
