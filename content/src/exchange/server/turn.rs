//! Whose turn it is.
//!
//! A few receivers at a time (`Config::slots`), the one served longest ago next, each with one block (or a quarter of a
//! MiB of small ones) at a time when there are more receivers than slots: sending to all at once makes all finish late.
//! A receiver that takes much longer than our uplink would need is slow and holds no slot.

use std::time::{Duration, Instant};

use cid::Cid;

use super::Server;
use super::receiver::{Receiver, Sending};
use crate::block::RAW;
use crate::exchange::message::RequestId;
use crate::exchange::{Action, Peer};

impl<P: Peer> Server<P> {
    /// Loads what may be loaded.
    pub(super) fn serve(&mut self, now: Instant) {
        self.mark_slow(now);
        while self.unsent < self.config.serving_total {
            let crowded = self.receivers.values().filter(|r| r.has_work() || !r.sending.is_empty()).count();
            let crowded = crowded > self.config.slots;
            let Some(peer) = self.next_receiver(crowded) else { return };
            self.turn += 1;
            self.give_turn(&peer, crowded, now);
        }
    }

    fn next_receiver(&self, crowded: bool) -> Option<P> {
        let busy = self.receivers.values().filter(|receiver| !receiver.sending.is_empty());
        let (slow, held): (Vec<&Receiver>, Vec<&Receiver>) = busy.partition(|receiver| receiver.slow);
        let free_slot = held.len() < self.config.slots;
        let free_ride = slow.len() < MOST_RIDERS;
        let may_go = |receiver: &Receiver| {
            if !receiver.has_work() || receiver.unsent >= self.config.serving_per_peer {
                return false;
            }
            if !receiver.sending.is_empty() {
                return !crowded || (receiver.next_is_urgent() && receiver.unsent < TURN + URGENT_AHEAD);
            }
            if receiver.slow { free_ride } else { free_slot }
        };
        let able = self.receivers.iter().filter(|(_, receiver)| may_go(receiver));
        able.min_by_key(|(_, receiver)| receiver.served).map(|(peer, _)| peer.clone())
    }

    fn give_turn(&mut self, peer: &P, crowded: bool, now: Instant) {
        let mut loaded = 0;
        loop {
            let (crowds, random) = (&self.crowds, &mut self.random);
            let Some(receiver) = self.receivers.get_mut(peer) else { return };
            receiver.served = self.turn;
            let rank = |root: Option<Cid>, cid: &Cid, order: u64| match root.filter(|root| crowds.is_crowd(root)) {
                Some(root) => (crowds.sent_count(&root, cid), random.next()),
                None => (0, order),
            };
            let Some(next) = receiver.take_next(rank) else { return };
            let len = next.len as usize;
            if receiver.sending.is_empty() {
                receiver.turn_since = Some(now);
                receiver.turn_bytes = 0;
            }
            receiver.turn_bytes += len;
            let charge = len.max(LEAST_CHARGE);
            receiver.unsent += charge;
            receiver
                .sending
                .insert((next.request, next.cid), Sending { unsent: charge, chosen: next.chosen, root: next.root });
            self.unsent += charge;
            self.uplink.resume(now);
            if let Some(root) = &next.root {
                self.crowds.sent(root, &next.cid);
            }
            let urgent = next.cid.codec() != RAW;
            let (request, cid, root) = (next.request, next.cid, next.root);
            self.actions.push_back(Action::Load { peer: peer.clone(), request, cid, root, urgent });
            loaded += len;
            if !crowded || loaded >= TURN {
                return;
            }
        }
    }

    pub(super) fn stop_sending(&mut self, peer: &P, request: RequestId, cid: &Cid) -> Option<Sending> {
        let sending = self.receivers.get_mut(peer)?.stop(request, cid)?;
        self.unsent -= sending.unsent;
        self.dirty = true;
        Some(sending)
    }

    pub(super) fn end_of_block(&mut self, peer: &P, request: RequestId, cid: &Cid, now: Instant) {
        let patience = self.uplink.patience(self.config.slots);
        if let Some(receiver) = self.receivers.get_mut(peer) {
            receiver.slow = receiver.sending.len() == 1 && receiver.is_slow(patience, now);
        }
        self.stop_sending(peer, request, cid);
        if self.unsent == 0 {
            self.uplink.pause(now);
        }
    }

    fn mark_slow(&mut self, now: Instant) {
        let patience = self.uplink.patience(self.config.slots);
        for receiver in self.receivers.values_mut().filter(|receiver| !receiver.slow) {
            receiver.slow = receiver.is_slow(patience, now);
        }
    }
}

impl Receiver {
    /// Whether what is being sent has taken more than the patience, in seconds a byte.
    fn is_slow(&self, patience: Option<f64>, now: Instant) -> bool {
        let (Some(patience), Some(since)) = (patience, self.turn_since) else { return false };
        now.duration_since(since).as_secs_f64() > patience * self.turn_bytes as f64
    }
}

/// How fast our uplink is, as seen: the best of the last spans.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    best: Option<f64>,
    bytes: usize,
    busy: Duration,
    since: Option<Instant>,
}

impl Uplink {
    fn resume(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.busy += now.duration_since(since);
        }
    }

    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes;
        self.close_span(now);
    }

    fn close_span(&mut self, now: Instant) {
        let span = self.busy + self.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        if span < SPAN {
            return;
        }
        let seen = self.bytes as f64 / span.as_secs_f64();
        self.best = Some(self.best.map_or(seen, |best| seen.max(best * KEPT)));
        self.bytes = 0;
        self.busy = Duration::ZERO;
        self.since = self.since.map(|_| now);
    }

    /// Longer than so many seconds a byte is slow, with so many sharing the uplink.
    fn patience(&self, slots: usize) -> Option<f64> {
        self.best.map(|best| SLOW * slots as f64 / best.max(1.0))
    }
}

/// What the smallest block counts for, so that a peer that reads nothing cannot make us load millions of tiny ones.
const LEAST_CHARGE: usize = 4096;
/// What a turn brings at least, where blocks are small.
const TURN: usize = 256 * 1024;
/// Blocks with children go along with a leaf that is being sent.
const URGENT_AHEAD: usize = 4 * 1024 * 1024;
/// Slow receivers served at a time, beside the slots.
const MOST_RIDERS: usize = 32;
/// A receiver is slow beyond three times its share of the uplink (facts, rule 8).
const SLOW: f64 = 3.0;
/// Long enough that what the socket buffers swallow at first does not count for much.
const SPAN: Duration = Duration::from_millis(500);
const KEPT: f64 = 0.9;
