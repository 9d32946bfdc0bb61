//! The answering half: look up, send, forget. Whose turn it is stands in `turn`.

mod audience;
mod crowd;
mod receiver;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use cid::Cid;

use self::audience::Audience;
use self::crowd::Crowds;
use self::receiver::{Receiver, sends_instead};
use self::turn::Uplink;
use super::message::{Kind, Message, RequestId, Want};
use super::random::Random;
use super::{Action, Config, Peer, Protocol};
use crate::block::MAX_BLOCK_SIZE;

/// The answering half of an `Exchange`.
#[derive(Debug)]
pub(super) struct Server<P> {
    config: Config,
    random: Random,
    receivers: BTreeMap<P, Receiver>,
    crowds: Crowds<P>,
    pub(super) audience: Audience<P>,
    actions: VecDeque<Action<P>>,
    /// Bytes loading or unsent, of all receivers.
    unsent: usize,
    turn: u64,
    uplink: Uplink,
    tick: Option<Instant>,
    dirty: bool,
    bytes_sent: u64,
    blocks_sent: u64,
}

impl<P: Peer> Server<P> {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            receivers: BTreeMap::new(),
            crowds: Crowds::new(),
            audience: Audience::new(),
            actions: VecDeque::new(),
            unsent: 0,
            turn: 0,
            uplink: Uplink::default(),
            tick: None,
            dirty: false,
            bytes_sent: 0,
            blocks_sent: 0,
        }
    }

    /// False: there are too many peers, this one is left out.
    pub(super) fn handle_connected(&mut self, peer: P, protocol: Protocol, _now: Instant) -> bool {
        if let Some(receiver) = self.receivers.get_mut(&peer) {
            receiver.protocol = protocol;
            return true;
        }
        if self.receivers.len() >= MAX_PEERS {
            return false;
        }
        self.receivers.insert(peer, Receiver::new(protocol, self.turn));
        true
    }

    pub(super) fn handle_disconnected(&mut self, peer: &P, _now: Instant) {
        let Some(receiver) = self.receivers.remove(peer) else { return };
        self.unsent -= receiver.unsent;
        self.crowds.left(peer);
        self.dirty = true;
    }

    pub(super) fn handle_want(&mut self, peer: &P, want: Want, now: Instant) {
        let Some(receiver) = self.receivers.get_mut(peer) else { return };
        let (cids, refused) = receiver.admit(&want);
        for (request, cid) in refused {
            self.say_dont_have(peer, request, vec![cid]);
        }
        if let (Some(root), Kind::Block) = (&want.root, want.kind) {
            self.audience.asked(root, peer);
        }
        if let Some(root) = want.root.filter(|_| self.config.referrals) {
            self.crowds.asked(&root, peer, now);
            self.wake(now);
        }
        if !cids.is_empty() {
            self.actions.push_back(Action::Locate { peer: peer.clone(), request: want.request, cids });
        }
    }

    pub(super) fn handle_cancel(&mut self, peer: &P, request: RequestId, cids: &[Cid], _now: Instant) {
        let Some(receiver) = self.receivers.get_mut(peer) else { return };
        let aborted = receiver.cancel(request, cids);
        for (request, cid) in aborted {
            receiver.abort(request, &cid);
            self.actions.push_back(Action::Abort { peer: peer.clone(), request, cid });
        }
        self.dirty = true;
    }

    pub(super) fn handle_aborted(&mut self, peer: &P, request: RequestId, cid: &Cid, _now: Instant) {
        let Some(receiver) = self.receivers.get_mut(peer) else { return };
        self.unsent -= receiver.aborted(request, cid);
        self.dirty = true;
    }

    pub(super) fn handle_located(
        &mut self,
        peer: &P,
        request: RequestId,
        found: Vec<(Cid, Option<u32>)>,
        now: Instant,
    ) {
        let Some(receiver) = self.receivers.get_mut(peer) else { return };
        receiver.looked_up(request);
        let Some(kind) = receiver.requests.get(&request).map(|request| request.kind) else { return };
        let mut here = Vec::new();
        for (cid, len) in found {
            if let Some(len) = len.filter(|len| *len as usize <= MAX_BLOCK_SIZE)
                && receiver.located(request, &cid, len)
                && kind == Kind::Have
                && !sends_instead(receiver.protocol, len)
            {
                here.push(cid);
            }
        }
        let mut missing = receiver.locating(request);
        missing.retain(|cid| receiver.not_located(request, cid));
        if !here.is_empty() {
            self.send(peer, Message::Have { cids: here });
        }
        if !missing.is_empty() {
            self.say_dont_have(peer, request, missing);
        }
        self.wake(now);
    }

    /// A block came into the store: peers that asked for it before and cannot be told otherwise get it.
    pub(super) fn handle_available(&mut self, cid: &Cid, len: usize, now: Instant) {
        let Ok(len) = u32::try_from(len) else { return };
        let mut news = Vec::new();
        for (peer, receiver) in &mut self.receivers {
            for request in receiver.waiting_for(cid) {
                let kind = receiver.requests[&request].kind;
                if receiver.located(request, cid, len) && kind == Kind::Have && !sends_instead(receiver.protocol, len) {
                    news.push(peer.clone());
                }
                self.dirty = true;
            }
        }
        for peer in news {
            self.send(&peer, Message::Have { cids: vec![*cid] });
        }
        if self.dirty {
            self.wake(now);
        }
    }

    pub(super) fn handle_load_failed(&mut self, peer: &P, request: RequestId, cid: &Cid, _now: Instant) {
        let Some(sending) = self.stop_sending(peer, request, cid) else { return };
        self.say_dont_have(peer, request, vec![*cid]);
        // The peer cannot tell how much of a credit is left, so it is closed; it will give another.
        let receiver = self.receivers.get_mut(peer).filter(|_| sending.chosen);
        if let Some(receiver) = receiver {
            receiver.cancel(request, &[]);
            self.say_dont_have(peer, request, Vec::new());
        }
    }

    pub(super) fn handle_sent(
        &mut self,
        peer: &P,
        request: RequestId,
        cid: &Cid,
        bytes: usize,
        last: bool,
        now: Instant,
    ) {
        let Some(receiver) = self.receivers.get_mut(peer) else { return };
        let Some(sending) = receiver.sending.get_mut(&(request, *cid)) else { return };
        let freed = bytes.min(sending.unsent);
        sending.unsent -= freed;
        receiver.unsent -= freed;
        receiver.bytes_sent += bytes as u64;
        self.unsent -= freed;
        self.bytes_sent += bytes as u64;
        self.uplink.sent(bytes, now);
        if let Some(root) = sending.root {
            self.audience.sent(&root, peer, cid, bytes, last);
        }
        if last {
            receiver.blocks_sent += 1;
            self.blocks_sent += 1;
            self.end_of_block(peer, request, cid, now);
        }
        self.dirty = true;
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.tick.is_none_or(|tick| now < tick) {
            return;
        }
        for referral in self.crowds.due(&mut self.random, now) {
            let (peer, root, others) = (referral.peer, referral.root, referral.others);
            if self.receivers.get(&peer).is_some_and(|receiver| receiver.protocol.native) {
                self.actions.push_back(Action::Refer { peer, root, others });
            }
        }
        self.comfort_the_waiting(now);
        self.tick = None;
        self.wake(now);
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Action<P>> {
        if self.actions.is_empty() && std::mem::take(&mut self.dirty) {
            self.serve(now);
        }
        self.actions.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.tick
    }

    pub(super) fn sent(&self, peer: &P) -> Option<(u64, u64)> {
        self.receivers.get(peer).map(|receiver| (receiver.bytes_sent, receiver.blocks_sent))
    }

    pub(super) fn counters(&self) -> (u64, u64) {
        (self.bytes_sent, self.blocks_sent)
    }

    /// A peer that waits for its turn hears now and then that it is not forgotten.
    fn comfort_the_waiting(&mut self, now: Instant) {
        let mut waiting = Vec::new();
        for (peer, receiver) in &mut self.receivers {
            let told = receiver.pending_told.is_some_and(|at| now.duration_since(at) < COMFORT);
            if receiver.protocol.native && receiver.sending.is_empty() && receiver.has_work() && !told {
                receiver.pending_told = Some(now);
                waiting.push((peer.clone(), receiver.queued_bytes()));
            }
        }
        for (peer, bytes) in waiting {
            self.send(&peer, Message::Pending { bytes });
        }
    }

    fn wake(&mut self, now: Instant) {
        self.dirty = true;
        let busy = self.receivers.values().any(|receiver| receiver.has_work() || !receiver.sending.is_empty());
        let tick = busy.then(|| now + TICK);
        let due = self.crowds.next_due().map(|due| due.max(now));
        self.tick = [self.tick, tick, due].into_iter().flatten().min();
    }

    fn say_dont_have(&mut self, peer: &P, request: RequestId, cids: Vec<Cid>) {
        if self.receivers.get(peer).is_some_and(|receiver| receiver.protocol.presence) {
            self.send(peer, Message::DontHave { request, cids });
        }
    }

    fn send(&mut self, peer: &P, message: Message) {
        self.actions.push_back(Action::Send { peer: peer.clone(), message });
    }
}

const TICK: Duration = Duration::from_millis(100);
/// How often a waiting peer hears that its blocks are queued: well below the silence after which it doubts us.
const COMFORT: Duration = Duration::from_millis(400);
/// Connected peers whose state is kept; the driver's connection limits stand far below. One more is not served.
pub(super) const MAX_PEERS: usize = 4096;
