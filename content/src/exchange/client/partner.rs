//! What a connected peer owes us, and how much it may be asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cid::Cid;

use super::rate::Rate;
use crate::exchange::message::RequestId;
use crate::exchange::{Protocol, SessionId};

/// The client's view of a connected peer.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) protocol: Protocol,
    pub(super) rate: Rate,
    /// Owes something and is silent: what it owes counts as not asked.
    pub(super) doubted: Option<Instant>,
    /// Bytes that arrived and are not stored.
    pub(super) storing_bytes: usize,
    pub(super) bytes_received: u64,
    pub(super) blocks_received: u64,
    pinged: Option<Duration>,
    answered: Option<Duration>,
    heard: Instant,
    owed: BTreeMap<Cid, Owed>,
    /// The owed ones as they were asked.
    order: BTreeMap<u64, Cid>,
    owed_bytes: usize,
    /// Bytes since the last whole block.
    partial: usize,
    begun: usize,
    next_request: u64,
    next_order: u64,
}

/// One block that a peer was asked for and has not sent whole.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) request: RequestId,
    pub(super) session: SessionId,
    pub(super) at: Instant,
    /// When it was asked last, where it was asked again.
    pub(super) again: Instant,
    /// As announced by its header, or a guess.
    pub(super) expected: usize,
    /// Its header came.
    pub(super) begun: bool,
    order: u64,
}

impl Partner {
    pub(super) fn new(protocol: Protocol, round_trip: Option<Duration>, now: Instant) -> Self {
        Self {
            protocol,
            rate: Rate::default(),
            doubted: None,
            storing_bytes: 0,
            bytes_received: 0,
            blocks_received: 0,
            pinged: round_trip,
            answered: None,
            heard: now,
            owed: BTreeMap::new(),
            order: BTreeMap::new(),
            owed_bytes: 0,
            partial: 0,
            begun: 0,
            next_request: 0,
            next_order: 0,
        }
    }

    pub(super) fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    pub(super) fn owe(&mut self, cid: Cid, request: RequestId, session: SessionId, expected: usize, now: Instant) {
        self.settle(&cid, now);
        if self.owed.is_empty() {
            self.heard = self.heard.max(now);
            self.rate.resume(now);
        }
        self.next_order += 1;
        self.order.insert(self.next_order, cid);
        self.owed_bytes += expected;
        let owed = Owed { request, session, at: now, again: now, expected, begun: false, order: self.next_order };
        self.owed.insert(cid, owed);
    }

    /// It owes this one no longer: it came, it is refused, or it is cancelled.
    pub(super) fn settle(&mut self, cid: &Cid, now: Instant) -> Option<Owed> {
        let owed = self.owed.remove(cid)?;
        self.order.remove(&owed.order);
        self.owed_bytes -= owed.expected;
        self.begun -= usize::from(owed.begun);
        if self.owed.is_empty() {
            self.rate.pause(now);
            self.partial = 0;
        }
        Some(owed)
    }

    /// The header of an owed block came. False when it is not owed.
    pub(super) fn begin(&mut self, cid: &Cid, len: usize) -> bool {
        let Some(owed) = self.owed.get_mut(cid) else { return false };
        self.owed_bytes = self.owed_bytes - owed.expected + len;
        owed.expected = len;
        self.begun += usize::from(!owed.begun);
        owed.begun = true;
        true
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn progress(&mut self, bytes: usize, now: Instant) {
        self.heard = now;
        self.partial += bytes;
        self.bytes_received += bytes as u64;
        let round_trip = self.round_trip();
        self.rate.add(bytes, round_trip, now);
    }

    pub(super) fn arrived(&mut self) {
        self.partial = 0;
        self.blocks_received += 1;
    }

    pub(super) fn pinged(&mut self, round_trip: Duration) {
        self.pinged = Some(round_trip);
    }

    /// The first word of an answer came so long after the request.
    pub(super) fn answered(&mut self, after: Duration) {
        self.answered = Some(self.answered.map_or(after, |least| least.min(after)));
    }

    pub(super) fn known_round_trip(&self) -> Option<Duration> {
        self.pinged.or(self.answered)
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.known_round_trip().unwrap_or(ROUND_TRIP_GUESS)
    }

    pub(super) fn owed(&self) -> &BTreeMap<Cid, Owed> {
        &self.owed
    }

    /// Blocks owed, those asked last first, each with the bytes owed up to its end.
    pub(super) fn latest_first(&self) -> impl Iterator<Item = (&Cid, &Owed, usize)> {
        let mut bytes = self.owed_bytes.saturating_sub(self.partial);
        self.order.values().rev().map(move |cid| {
            let owed = &self.owed[cid];
            let upto = bytes;
            bytes = bytes.saturating_sub(owed.expected);
            (cid, owed, upto)
        })
    }

    /// Bytes asked for and not stored.
    pub(super) fn in_flight(&self) -> usize {
        self.storing_bytes + if self.doubted.is_some() { 0 } else { self.owed_bytes }
    }

    pub(super) fn owed_bytes(&self) -> usize {
        self.owed_bytes
    }

    /// How many bytes may be asked for and not stored, where blocks are about `block` long.
    pub(super) fn window(&self, block: usize) -> usize {
        let rate = self.rate.get().unwrap_or(0.0);
        let round_trip = self.round_trip().as_secs_f64();
        let trips = if self.rate.is_rising() { 2.0 } else { 1.0 };
        let blocks = (rate * (round_trip * trips + AHEAD.as_secs_f64()) / block as f64).ceil() as usize + 1;
        let large = blocks.clamp(LEAST_BLOCKS, MOST_BLOCKS) * block;
        if block >= SMALL {
            return large;
        }
        let small = (4.0 * rate * round_trip) as usize + SMALL_FLOOR;
        large.max(small).min(MOST_NAMES * block)
    }

    /// The expected time until a block of so many bytes, asked for here and now, is whole.
    pub(super) fn expected_arrival(&self, bytes: usize) -> Option<Duration> {
        let rate = self.rate.get()?;
        Some(self.round_trip() + Duration::from_secs_f64(bytes as f64 / rate))
    }

    /// Since when it is silent, and how much silence is too much.
    pub(super) fn too_silent(&self, has_credit: bool, now: Instant) -> bool {
        if self.owed.is_empty() && !has_credit {
            return false;
        }
        let piece = self.rate.get().map_or(PIECE_GUESS, |rate| Duration::from_secs_f64(PIECE as f64 / rate));
        let least = if self.begun > 0 { SILENCE } else { SILENCE_IN_QUEUE };
        now.duration_since(self.heard) > least.max(4 * (self.round_trip() + piece))
    }

    /// How long nothing was heard.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.duration_since(self.heard)
    }

    /// It was asked once more for what it owes.
    pub(super) fn asked_again(&mut self, cid: &Cid, now: Instant) {
        if let Some(owed) = self.owed.get_mut(cid) {
            owed.again = now;
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun > 0
    }
}

/// The round trip of a peer that has answered nothing yet.
const ROUND_TRIP_GUESS: Duration = Duration::from_millis(50);
/// Blocks are asked for so long before they are needed to keep the link busy.
const AHEAD: Duration = Duration::from_millis(20);
const LEAST_BLOCKS: usize = 2;
const MOST_BLOCKS: usize = 64;
/// Below this size, blocks are asked for by the window of small ones.
const SMALL: usize = 64 * 1024;
const SMALL_FLOOR: usize = 256 * 1024;
/// Most blocks owed by one peer: 16 requests of 64 names, what any server queues for one peer.
const MOST_NAMES: usize = 1024;
/// Silence in the middle of a block.
const SILENCE: Duration = Duration::from_millis(300);
/// Silence where nothing has begun: the peer may only have put us in its queue; patience asks others before.
const SILENCE_IN_QUEUE: Duration = Duration::from_secs(1);
/// What a connection brings at a time.
const PIECE: usize = 64 * 1024;
const PIECE_GUESS: Duration = Duration::from_millis(100);
