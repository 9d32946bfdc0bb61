//! A network in virtual time. Blocks are names with a length; nothing is hashed. After every step of a checked network no
//! want may be without somebody at work on it.

mod drive;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cid::Cid;
use multihash::Multihash;

use self::node::{Node, Packet};
use super::start;
use crate::block::{DAG_PB, Links, RAW};
use crate::exchange::message::RequestId;
use crate::exchange::{Config, Exchange, Order, SessionId};

pub(super) type Name = &'static str;

pub(super) struct Net {
    pub(super) now: Instant,
    began: Instant,
    pub(super) nodes: BTreeMap<Name, Node>,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    links: BTreeMap<Cid, Links>,
    sizes: BTreeMap<Cid, usize>,
    next_block: u64,
    /// What a search finds.
    records: BTreeMap<Cid, BTreeSet<Name>>,
    delays: BTreeMap<(Name, Name), Duration>,
    cut: BTreeSet<(Name, Name)>,
    /// What was sent into a cut link: the transport sends it again.
    held: Vec<(Name, Name, Packet)>,
    pub(super) search_time: Duration,
    /// Looks for forgotten wants after every so many steps; 0: never.
    pub(super) checked_every: usize,
    steps: usize,
    /// Every action of every node, when asked for.
    pub(super) log: Option<Vec<String>>,
}

pub(super) enum Event {
    Packet {
        from: Name,
        to: Name,
        packet: Packet,
    },
    /// A packet has left the line of its receiver, and is read.
    Read {
        from: Name,
        to: Name,
        packet: Packet,
    },
    UplinkFree {
        node: Name,
    },
    Dialled {
        from: Name,
        to: Name,
    },
    Gone {
        node: Name,
        peer: Name,
    },
    Searched {
        node: Name,
        cid: Cid,
    },
    Located {
        node: Name,
        peer: Name,
        request: RequestId,
        cids: Vec<Cid>,
    },
    Verified {
        node: Name,
        from: Name,
        cid: Cid,
    },
    Stored {
        node: Name,
        cid: Cid,
    },
    Wake {
        node: Name,
    },
}

impl Net {
    pub(super) fn of<const N: usize>(names: [Name; N]) -> Self {
        Self::with(&names, Config::default())
    }

    /// So many nodes, named p000, p001, …
    pub(super) fn crowd(count: usize) -> (Self, Vec<Name>) {
        let names: Vec<Name> = (0..count).map(|n| &*Box::leak(format!("p{n:03}").into_boxed_str())).collect();
        let mut net = Self::with(&names, Config::default());
        net.checked_every = 0;
        (net, names)
    }

    pub(super) fn with(names: &[Name], config: Config) -> Self {
        let now = start();
        let node = |(seed, name): (usize, &Name)| (*name, Node::new(Exchange::new(config.clone(), seed as u64)));
        Self {
            now,
            began: now,
            nodes: names.iter().enumerate().map(node).collect(),
            events: BTreeMap::new(),
            next_event: 0,
            links: BTreeMap::new(),
            sizes: BTreeMap::new(),
            next_block: 0,
            records: BTreeMap::new(),
            delays: BTreeMap::new(),
            cut: BTreeSet::new(),
            held: Vec::new(),
            search_time: Duration::from_millis(200),
            checked_every: 1,
            steps: 0,
            log: None,
        }
    }

    pub(super) fn leaf(&mut self, len: usize) -> Cid {
        self.block(RAW, len, &[])
    }

    pub(super) fn node(&mut self, children: &[Cid]) -> Cid {
        self.block(DAG_PB, 100 + 44 * children.len(), children)
    }

    /// A file of so many leaves: its root.
    pub(super) fn file(&mut self, leaves: usize, len: usize) -> Cid {
        let leaves: Vec<Cid> = (0..leaves).map(|_| self.leaf(len)).collect();
        self.node(&leaves)
    }

    fn block(&mut self, codec: u64, len: usize, children: &[Cid]) -> Cid {
        self.next_block += 1;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.next_block.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let cid = Cid::new_v1(codec, Multihash::wrap(0x12, &digest).expect("32 bytes fit"));
        self.links.insert(cid, children.into());
        self.sizes.insert(cid, len);
        cid
    }

    pub(super) fn children(&self, cid: &Cid) -> Links {
        self.links[cid].clone()
    }

    /// Puts one block into the store of a node.
    pub(super) fn store(&mut self, node: Name, cid: &Cid) {
        let len = self.sizes[cid];
        self.nodes.get_mut(node).unwrap().store.insert(*cid, len);
    }

    /// Puts a block and all under it into the store of a node.
    pub(super) fn store_all(&mut self, node: Name, cid: &Cid) {
        self.store(node, cid);
        for child in self.children(cid).iter() {
            self.store_all(node, child);
        }
    }

    /// A search for any block finds it from here on.
    pub(super) fn announce_all(&mut self, node: Name) {
        let blocks: Vec<Cid> = self.links.keys().copied().collect();
        blocks.iter().for_each(|cid| self.announce(node, cid));
    }

    pub(super) fn announce(&mut self, node: Name, cid: &Cid) {
        self.records.entry(*cid).or_default().insert(node);
    }

    pub(super) fn set_delay(&mut self, one: Name, other: Name, delay: Duration) {
        self.delays.insert((one, other), delay);
        self.delays.insert((other, one), delay);
    }

    pub(super) fn connect(&mut self, one: Name, other: Name) {
        let protocol = self.nodes[one].common_protocol(&self.nodes[other]);
        let round_trip = self.delay(one, other) * 2;
        for (node, peer) in [(one, other), (other, one)] {
            let now = self.now;
            let this = self.nodes.get_mut(node).unwrap();
            this.set_line_window(peer, round_trip / 2);
            if this.connections.insert(peer) {
                this.exchange.handle_connected(peer, protocol, Some(round_trip), now);
            }
            self.carry_out(node);
        }
    }

    /// Wants a block and, as they become known, all under it.
    pub(super) fn get(&mut self, node: Name, root: Cid) -> SessionId {
        self.get_from(node, root, &[], Order::Any)
    }

    pub(super) fn get_from(&mut self, node: Name, root: Cid, holders: &[Name], order: Order) -> SessionId {
        let now = self.now;
        let this = self.nodes.get_mut(node).unwrap();
        let session = this.exchange.open(root, order, now);
        if !holders.is_empty() {
            this.exchange.add_holders(session, holders.to_vec(), now);
        }
        this.wanted.insert(root);
        this.exchange.want(session, root, 0, now);
        self.carry_out(node);
        session
    }

    pub(super) fn close(&mut self, node: Name, session: SessionId) {
        let now = self.now;
        self.nodes.get_mut(node).unwrap().exchange.close(session, now);
        self.carry_out(node);
    }

    /// The process ends: its connections are closed.
    pub(super) fn kill(&mut self, node: Name) {
        let this = self.nodes.get_mut(node).unwrap();
        this.dead = true;
        let peers: Vec<Name> = std::mem::take(&mut this.connections).into_iter().collect();
        for peer in peers {
            let at = self.now + self.delay(node, peer);
            self.at(at, Event::Gone { node: peer, peer: node });
        }
    }

    /// A process that ended before it met anybody is started.
    pub(super) fn start(&mut self, node: Name) {
        self.nodes.get_mut(node).unwrap().dead = false;
    }

    /// Nothing comes through any more, and nobody is told.
    pub(super) fn cut(&mut self, one: Name, other: Name) {
        self.cut.extend([(one, other), (other, one)]);
    }

    pub(super) fn mend(&mut self, one: Name, other: Name) {
        self.cut.remove(&(one, other));
        self.cut.remove(&(other, one));
        for (from, to, packet) in std::mem::take(&mut self.held) {
            self.after(self.delay(from, to), Event::Packet { from, to, packet });
        }
    }

    pub(super) fn delivered(&self, node: Name) -> &[Cid] {
        &self.nodes[node].delivered
    }

    pub(super) fn has_all(&self, node: Name) -> bool {
        self.nodes[node].wanted.is_empty()
    }

    /// When the node had all that it wanted.
    pub(super) fn finished(&self, node: Name) -> Option<Duration> {
        self.nodes[node].finished.map(|at| at - self.began)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Lets time pass until all these have what they want. Gives the time of the last, counted from the beginning.
    pub(super) fn run_until_done(&mut self, getters: &[Name], limit: Duration) -> Duration {
        let until = self.now + limit;
        while !getters.iter().all(|getter| self.has_all(getter)) {
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            let waiting: Vec<_> = getters.iter().filter(|getter| !self.has_all(getter)).take(3).collect();
            assert!(next.is_some_and(|at| at <= until), "{waiting:?} of {} not done in {limit:?}", getters.len());
            self.step();
        }
        getters.iter().filter_map(|getter| self.finished(getter)).max().unwrap_or_default()
    }

    fn step(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else { return };
        self.now = self.now.max(at);
        let node = self.happen(event);
        if let Some(node) = node {
            self.carry_out(node);
        }
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(super) fn delay(&self, one: Name, other: Name) -> Duration {
        self.delays.get(&(one, other)).copied().unwrap_or(Duration::from_micros(125))
    }

    pub(super) fn hold(&mut self, from: Name, to: Name, packet: Packet) {
        self.held.push((from, to, packet));
    }

    pub(super) fn is_cut(&self, one: Name, other: Name) -> bool {
        self.cut.contains(&(one, other))
    }
}
