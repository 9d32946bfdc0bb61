//! Nodes, lines between them, and what happens when.
//!
//! A node's uplink sends segments of at most 64 KiB (less where it is slow), one after another, out of a queue of 50 ms that all its
//! connections share; its downlink takes in one after another. Headers of frames, TLS and TCP cost 4.7 % on top. Not in the model:
//! CPU and disks beyond a fixed time a block, processes that start, addresses that cannot be reached, congestion between the links.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use cidra_content::Cid;
use cidra_content::exchange::Protocol;

use crate::library::Library;
use crate::line::Line;
use crate::node::{Link, Node};
use crate::random::Random;

/// Names a node.
pub(crate) type Id = u32;
/// Nanoseconds since the beginning.
pub(crate) type Time = u64;

pub(crate) const MILLISECOND: Time = 1_000_000;
pub(crate) const SECOND: Time = 1000 * MILLISECOND;

pub(crate) struct World {
    pub(crate) now: Time,
    began: Instant,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    scheduled: u64,
    pub(crate) library: Library,
    pub(crate) nodes: Vec<Node>,
    pub(crate) lines: Vec<Line>,
    pub(crate) random: Random,
    /// The share of packets that are lost on their way.
    pub(crate) loss: f64,
    /// Who is found as a provider.
    pub(crate) providers: BTreeMap<Cid, Vec<Id>>,
    /// Getters that are not done.
    pub(crate) open: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The uplink has sent a segment.
    Left {
        node: Id,
    },
    /// The first bit of a segment has come to its receiver.
    Landed {
        line: usize,
    },
    /// The last one.
    Read {
        line: usize,
    },
    /// An answer came for which a line waited.
    Opened {
        line: usize,
    },
    Dialled {
        from: Id,
        to: Id,
    },
    Ponged {
        node: Id,
        peer: Id,
    },
    Gone {
        node: Id,
        peer: Id,
    },
    Located {
        node: Id,
    },
    Verified {
        node: Id,
    },
    Stored {
        node: Id,
    },
    Searched {
        node: Id,
    },
    Wake {
        node: Id,
    },
    Begin {
        node: Id,
    },
    Kill {
        node: Id,
    },
    /// Nothing comes or goes any more, and nobody is told.
    Cut {
        node: Id,
    },
    Mend {
        node: Id,
    },
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            began: start(),
            events: BinaryHeap::new(),
            scheduled: 0,
            library: Library::default(),
            nodes: Vec::new(),
            lines: Vec::new(),
            random: Random(seed),
            loss: 0.0,
            providers: BTreeMap::new(),
            open: 0,
        }
    }

    pub(crate) fn add_node(&mut self, link: Link) -> Id {
        let seed = self.random.next();
        self.nodes.push(Node::new(link, seed));
        self.nodes.len() as Id - 1
    }

    /// Puts a whole file into the store of a node.
    pub(crate) fn give(&mut self, node: Id, root: &Cid) {
        let all = self.library.all_below(root);
        self.nodes[node as usize].store.extend(all);
    }

    pub(crate) fn at(&mut self, time: Time, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((time.max(self.now), self.scheduled, event)));
    }

    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn clock(&self) -> Instant {
        self.began + Duration::from_nanos(self.now)
    }

    pub(crate) fn time_of(&self, instant: Instant) -> Time {
        instant.duration_since(self.began).as_nanos() as Time
    }

    /// Lets time pass until every getter that will begin is done or gone. False: the limit came first.
    pub(crate) fn run(&mut self, limit: Time) -> bool {
        while self.open > 0 {
            let Some(Reverse((time, _, event))) = self.events.pop() else { return false };
            if time > limit {
                return false;
            }
            self.now = time;
            if let Some(node) = self.happen(event) {
                self.carry_out(node);
            }
        }
        true
    }

    /// How many things have happened: the same in runs that are the same.
    pub(crate) fn steps(&self) -> u64 {
        self.scheduled - self.events.len() as u64
    }

    /// Gives the node that has something to do because of it.
    fn happen(&mut self, event: Event) -> Option<Id> {
        let now = self.clock();
        match event {
            Event::Left { node } => return self.on_left(node),
            Event::Landed { line } => return self.on_landed(line),
            Event::Read { line } => return self.on_read(line),
            Event::Opened { line } => return self.on_opened(line),
            Event::Dialled { from, to } => self.on_dialled(from, to),
            Event::Ponged { node, peer } => {
                let round_trip = Duration::from_nanos(2 * self.delay(node, peer));
                self.nodes[node as usize].exchange.handle_round_trip(&peer, round_trip, now);
            }
            Event::Gone { node, peer } => self.hang_up(node, peer),
            Event::Located { node } => self.on_located(node),
            Event::Verified { node } => self.on_verified(node),
            Event::Stored { node } => self.on_stored(node),
            Event::Searched { node } => self.on_searched(node),
            Event::Wake { node } => {
                let this = &mut self.nodes[node as usize];
                if this.dead {
                    return None;
                }
                this.wake = None;
                this.exchange.handle_timeout(now);
            }
            Event::Begin { node } => self.begin(node),
            Event::Kill { node } => self.kill(node),
            Event::Cut { node } => self.nodes[node as usize].cut = true,
            Event::Mend { node } => self.mend(node),
        }
        match event {
            Event::Dialled { from: node, .. }
            | Event::Ponged { node, .. }
            | Event::Gone { node, .. }
            | Event::Located { node }
            | Event::Verified { node }
            | Event::Stored { node }
            | Event::Searched { node }
            | Event::Wake { node }
            | Event::Begin { node }
            | Event::Mend { node } => Some(node),
            _ => None,
        }
    }

    /// One way, without queues.
    pub(crate) fn delay(&self, one: Id, other: Id) -> Time {
        self.nodes[one as usize].link.delay + self.nodes[other as usize].link.delay
    }

    /// TCP, the handshakes above it, and the stream of the protocol.
    pub(crate) fn dial_time(&self, from: Id, to: Id) -> Time {
        8 * self.delay(from, to) + HANDSHAKE
    }

    fn on_dialled(&mut self, from: Id, to: Id) {
        let now = self.clock();
        let gone = self.nodes[to as usize].dead || self.nodes[to as usize].cut || self.nodes[from as usize].cut;
        if gone {
            self.nodes[from as usize].exchange.handle_connect_failed(&to, "connection refused".to_owned(), now);
        } else {
            self.connect(from, to);
            self.carry_out(to);
        }
    }

    fn connect(&mut self, one: Id, other: Id) {
        let (now, delay) = (self.clock(), self.delay(one, other));
        for (node, peer) in [(one, other), (other, one)] {
            let line = self.lines.len();
            if let Entry::Vacant(place) = self.nodes[node as usize].lines.entry(peer) {
                place.insert(line);
                self.lines.push(Line::new(node, peer, delay));
            }
            self.nodes[node as usize].exchange.handle_connected(peer, Protocol::NATIVE, None, now);
            self.after(2 * delay, Event::Ponged { node, peer });
        }
    }

    /// The node's side of a connection ends.
    pub(crate) fn hang_up(&mut self, node: Id, peer: Id) {
        let now = self.clock();
        if let Some(line) = self.nodes[node as usize].lines.remove(&peer) {
            self.lines[line].closed = true;
            self.nodes[node as usize].exchange.handle_disconnected(&peer, now);
        }
    }

    pub(crate) fn disconnect(&mut self, node: Id, peer: Id) {
        self.hang_up(node, peer);
        self.after(self.delay(node, peer), Event::Gone { node: peer, peer: node });
    }

    fn kill(&mut self, node: Id) {
        let peers: Vec<Id> = self.nodes[node as usize].lines.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.disconnect(node, peer));
        let this = &mut self.nodes[node as usize];
        this.dead = true;
        if this.download.as_ref().is_some_and(|download| download.finished.is_none()) {
            self.open -= 1;
        }
    }

    fn mend(&mut self, node: Id) {
        self.nodes[node as usize].cut = false;
        for line in 0..self.lines.len() {
            if self.lines[line].from == node || self.lines[line].to == node {
                self.resend(line);
            }
        }
    }
}

/// What is computed while a connection is made.
const HANDSHAKE: Time = 3 * MILLISECOND;

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to begin with")]
fn start() -> Instant {
    Instant::now()
}
