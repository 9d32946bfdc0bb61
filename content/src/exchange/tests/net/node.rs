//! One node: its driver, its lines to others, its uplink and downlink.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use cid::Cid;

use super::drive::as_bitswap;
use super::{Event, Name, Net};
use crate::exchange::message::{Message, RequestId};
use crate::exchange::{Exchange, Protocol, Report};

pub(in crate::exchange::tests) struct Node {
    pub(in crate::exchange::tests) exchange: Exchange<Name>,
    pub(in crate::exchange::tests) store: BTreeMap<Cid, usize>,
    pub(in crate::exchange::tests) protocol: Protocol,
    /// Bytes a second.
    pub(in crate::exchange::tests) up: f64,
    pub(in crate::exchange::tests) down: f64,
    pub(in crate::exchange::tests) lies: bool,
    /// Takes messages and answers none.
    pub(in crate::exchange::tests) mute: bool,
    pub(in crate::exchange::tests) store_time: Duration,
    pub(super) dead: bool,
    pub(super) connections: BTreeSet<Name>,
    pub(super) lines: BTreeMap<Name, Line>,
    pub(super) wake: Option<Instant>,
    pub(super) wanted: BTreeSet<Cid>,
    pub(super) finished: Option<Instant>,
    pub(in crate::exchange::tests) delivered: Vec<Cid>,
    pub(in crate::exchange::tests) missing: Vec<(Cid, Report<Name>)>,
    pub(in crate::exchange::tests) dialled: Vec<Name>,
    pub(in crate::exchange::tests) searched: Vec<Cid>,
    pub(in crate::exchange::tests) banned: Vec<Name>,
    /// Messages said, by kind.
    pub(in crate::exchange::tests) said: BTreeMap<&'static str, usize>,
    /// When blocks' bytes came in, and how many.
    pub(in crate::exchange::tests) came: Vec<(Instant, Name, usize)>,
    uplink_busy: bool,
    downlink_free: Option<Instant>,
    last_line: Option<Name>,
}

/// What waits to be sent to one peer.
#[derive(Default)]
pub(super) struct Line {
    pub(super) said: VecDeque<Packet>,
    blocks: VecDeque<Outgoing>,
    /// Bytes that have left and were not read, and how many may be.
    under_way: usize,
    window: usize,
}

struct Outgoing {
    request: RequestId,
    cid: Cid,
    len: usize,
    sent: usize,
}

pub(in crate::exchange::tests) enum Packet {
    Message(Message),
    Refer { root: Cid, others: Vec<Name> },
    Piece { request: RequestId, cid: Cid, len: usize, bytes: usize, first: bool, last: bool },
}

impl Packet {
    fn size(&self) -> usize {
        match self {
            Self::Message(Message::Want(want)) => 40 + 40 * want.cids.len(),
            Self::Message(Message::Cancel { cids, .. } | Message::Have { cids } | Message::DontHave { cids, .. }) => {
                20 + 40 * cids.len()
            }
            Self::Message(_) => 50,
            Self::Refer { others, .. } => 40 + 250 * others.len(),
            Self::Piece { bytes, .. } => *bytes + 60,
        }
    }
}

impl Node {
    pub(super) fn new(exchange: Exchange<Name>) -> Self {
        Self {
            exchange,
            store: BTreeMap::new(),
            protocol: Protocol::NATIVE,
            up: 125e6,
            down: 125e6,
            lies: false,
            mute: false,
            store_time: Duration::from_millis(1),
            dead: false,
            connections: BTreeSet::new(),
            lines: BTreeMap::new(),
            wake: None,
            wanted: BTreeSet::new(),
            finished: None,
            delivered: Vec::new(),
            missing: Vec::new(),
            dialled: Vec::new(),
            searched: Vec::new(),
            banned: Vec::new(),
            said: BTreeMap::new(),
            came: Vec::new(),
            uplink_busy: false,
            downlink_free: None,
            last_line: None,
        }
    }

    pub(super) fn common_protocol(&self, other: &Self) -> Protocol {
        Protocol {
            native: self.protocol.native && other.protocol.native,
            presence: self.protocol.presence && other.protocol.presence,
        }
    }

    pub(super) fn is_native(&self, _peer: Name) -> bool {
        self.protocol.native
    }

    pub(super) fn line(&mut self, peer: Name) -> &mut Line {
        self.lines.entry(peer).or_default()
    }

    pub(super) fn say(&mut self, peer: Name, message: Message) {
        *self.said.entry(kind(&message)).or_default() += 1;
        self.line(peer).said.push_back(Packet::Message(message));
    }

    pub(super) fn set_line_window(&mut self, peer: Name, delay: Duration) {
        let window = (4.0 * self.up * delay.as_secs_f64()) as usize;
        self.line(peer).window = window;
    }

    pub(super) fn load(&mut self, peer: Name, request: RequestId, cid: Cid, urgent: bool, len: usize) {
        let blocks = &mut self.line(peer).blocks;
        let outgoing = Outgoing { request, cid, len, sent: 0 };
        if urgent { blocks.push_front(outgoing) } else { blocks.push_back(outgoing) }
    }

    pub(super) fn abort(&mut self, peer: Name, request: RequestId, cid: &Cid) {
        self.line(peer).blocks.retain(|block| block.request != request || block.cid != *cid);
    }

    /// What the uplink sends next: what is said before blocks, blocks of all lines in turn.
    fn next_packet(&mut self) -> Option<(Name, Packet)> {
        for (peer, line) in &mut self.lines {
            if let Some(packet) = line.said.pop_front() {
                return Some((peer, packet));
            }
        }
        let able = |line: &Line| !line.blocks.is_empty() && line.under_way < line.window.max(LINE_WINDOW);
        let able: Vec<Name> = self.lines.iter().filter(|(_, line)| able(line)).map(|(peer, _)| *peer).collect();
        let next = able.iter().find(|peer| self.last_line.is_none_or(|last| **peer > last));
        let peer = *next.or(able.first())?;
        self.last_line = Some(peer);
        let line = self.lines.get_mut(peer)?;
        let block = line.blocks.front_mut()?;
        let bytes = (block.len - block.sent).min(PIECE);
        let first = block.sent == 0;
        block.sent += bytes;
        let last = block.sent == block.len;
        let packet = Packet::Piece { request: block.request, cid: block.cid, len: block.len, bytes, first, last };
        line.under_way += bytes;
        if last {
            line.blocks.pop_front();
        }
        Some((peer, packet))
    }
}

impl Net {
    /// Sends what waits, as fast as the uplink goes.
    pub(super) fn send_on(&mut self, name: Name) {
        let this = self.nodes.get_mut(name).expect("known");
        if this.uplink_busy || this.dead {
            return;
        }
        let Some((peer, packet)) = this.next_packet() else { return };
        this.uplink_busy = true;
        let takes = Duration::from_secs_f64(packet.size() as f64 / this.up);
        if let Packet::Piece { request, cid, bytes, last, .. } = &packet {
            this.exchange.handle_sent(&peer, *request, cid, *bytes, *last, self.now);
        }
        let arrives = takes + self.delay(name, peer);
        self.after(takes, Event::UplinkFree { node: name });
        self.after(arrives, Event::Packet { from: name, to: peer, packet });
    }

    pub(super) fn uplink_free(&mut self, name: Name) -> Option<Name> {
        self.nodes.get_mut(name)?.uplink_busy = false;
        Some(name)
    }

    /// A packet has come through the net: it waits for the downlink.
    pub(super) fn take_in(&mut self, from: Name, to: Name, packet: Packet) -> Option<Name> {
        if self.is_cut(from, to) {
            self.hold(from, to, packet);
            return None;
        }
        if self.nodes[from].dead {
            return None;
        }
        let now = self.now;
        let this = self.nodes.get_mut(to)?;
        if this.dead || !this.connections.contains(from) {
            return None;
        }
        let free = this.downlink_free.map_or(now, |free| free.max(now));
        let read = free + Duration::from_secs_f64(packet.size() as f64 / this.down);
        this.downlink_free = Some(read);
        self.at(read, Event::Read { from, to, packet });
        None
    }

    pub(super) fn read(&mut self, from: Name, to: Name, packet: Packet) -> Option<Name> {
        let now = self.now;
        let native = self.nodes[from].common_protocol(&self.nodes[to]).native;
        if let Packet::Piece { bytes, .. } = &packet {
            let sender = self.nodes.get_mut(from)?;
            let line = sender.line(to);
            line.under_way = line.under_way.saturating_sub(*bytes);
            self.send_on(from);
        }
        let this = self.nodes.get_mut(to)?;
        if this.mute || this.dead || !this.connections.contains(from) {
            return None;
        }
        match packet {
            Packet::Message(message) => {
                let message = if native { Some(message) } else { as_bitswap(message) };
                this.exchange.handle_message(&from, message?, now);
            }
            Packet::Refer { root, others } => {
                let others = others.into_iter().filter(|other| *other != to).collect();
                this.exchange.handle_referred(&from, &root, others, now);
            }
            Packet::Piece { request, cid, len, bytes, first, last } => {
                if first && native {
                    let header = Message::BlockHeader { request, cid, len: len as u32 };
                    this.exchange.handle_message(&from, header, now);
                }
                this.came.push((now, from, bytes));
                this.exchange.handle_progress(&from, bytes, now);
                if last && this.exchange.handle_arrived(&from, native.then_some(&cid), len, now) {
                    self.after(Duration::from_millis(1), Event::Verified { node: to, from, cid });
                }
            }
        }
        Some(to)
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Want(_) => "want",
        Message::Cancel { .. } => "cancel",
        Message::Have { .. } => "have",
        Message::DontHave { .. } => "dont-have",
        Message::BlockHeader { .. } => "header",
        Message::Pending { .. } => "pending",
    }
}

const PIECE: usize = 64 * 1024;
/// What a connection holds under way, or twice what its rate and delay need.
const LINE_WINDOW: usize = 256 * 1024;
