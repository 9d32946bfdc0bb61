//! Handing wants out: whom to ask for what, and how much at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::partner::Partner;
use crate::exchange::message::{Credit, Kind, Message, RequestId, Want};
use crate::exchange::{Peer, SessionId};

impl<P: Peer> Client<P> {
    /// Asks peers for what nobody was asked for, as far as their windows go.
    pub(super) fn hand_out(&mut self, now: Instant) {
        let stirred = std::mem::take(&mut self.stirred);
        let concerned = if std::mem::take(&mut self.dirty) { None } else { Some(&stirred) };
        let mut ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        let first = self.random.below(ids.len());
        ids.rotate_left(first);
        for id in ids {
            self.hand_out_for(id, concerned, now);
        }
    }

    fn hand_out_for(&mut self, id: SessionId, concerned: Option<&BTreeSet<P>>, now: Instant) {
        if self.sessions[&id].wants.is_empty() {
            return;
        }
        let peers = self.fastest_first(id, concerned);
        for peer in &peers {
            let session = &self.sessions[&id];
            let native = self.partners[peer].protocol.native;
            match session.members[peer].partial {
                true if native => self.ask_neighbour(id, peer, now),
                false if native && session.may_be_crowded(now) => self.give_credit(id, peer, now),
                _ => self.ask_by_name(id, peer, now),
            }
        }
        if self.sessions[&id].unasked.is_empty() {
            self.end_game(id, &peers, now);
        }
    }

    /// Members that are connected and not doubted, of those concerned (`None`: all). One that has not been measured comes first: it gets only two blocks.
    fn fastest_first(&self, id: SessionId, concerned: Option<&BTreeSet<P>>) -> Vec<P> {
        let members = self.sessions[&id].members.keys();
        let members = members.filter(|peer| concerned.is_none_or(|concerned| concerned.contains(*peer)));
        let known = members.filter_map(|peer| Some((peer, self.partners.get(peer)?)));
        let mut known: Vec<_> = known.filter(|(_, partner)| partner.doubted.is_none()).collect();
        let speed = |partner: &Partner| partner.rate.get().unwrap_or(f64::MAX);
        known.sort_by(|one, other| speed(other.1).total_cmp(&speed(one.1)));
        known.into_iter().map(|(peer, _)| peer.clone()).collect()
    }

    /// Plain asking: the next blocks in order, as many as fit the peer's window.
    fn ask_by_name(&mut self, id: SessionId, peer: &P, now: Instant) {
        loop {
            let picked = self.pick(id, peer, now);
            if picked.is_empty() {
                return;
            }
            self.request(id, peer, &picked, now);
        }
    }

    fn pick(&self, id: SessionId, peer: &P, now: Instant) -> Vec<Cid> {
        let session = &self.sessions[&id];
        let Some((_, first)) = session.unasked.first_key_value() else { return Vec::new() };
        let block = session.expected(first);
        let room = self.room(peer, block);
        let few = self.partners[peer].window(block) / block / 4;
        let least = few.clamp(1, LEAST_NAMES) * block;
        let owes = !self.partners[peer].owed().is_empty();
        if owes && room < least && room < session.unasked.len().saturating_mul(block) {
            return Vec::new();
        }
        let mut room = room;
        let mut picked = Vec::new();
        for cid in session.unasked.values().take(MOST_LOOKED_AT) {
            let expected = session.expected(cid);
            if room < expected || picked.len() == NAMES_PER_REQUEST {
                break;
            }
            if self.may_ask(id, peer, cid, now) {
                room -= expected;
                picked.push(*cid);
            }
        }
        picked
    }

    /// How many bytes more the peer may be asked for; at least one block from a peer that owes nothing.
    pub(super) fn room(&self, peer: &P, block: usize) -> usize {
        let partner = &self.partners[peer];
        let in_flight = self.in_flight();
        let all = self.config.window_total.saturating_sub(in_flight);
        let room = partner.window(block).saturating_sub(partner.in_flight()).min(all);
        if in_flight == 0 { room.max(block) } else { room }
    }

    /// Bytes asked for and not stored.
    pub(super) fn in_flight(&self) -> usize {
        self.partners.values().map(Partner::in_flight).sum()
    }

    /// Whether the peer may be asked for this block: it is no asker yet, has not refused it, and, where it is itself a
    /// getter or has refused much, says it has it.
    pub(super) fn may_ask(&self, id: SessionId, peer: &P, cid: &Cid, now: Instant) -> bool {
        let (Some(session), Some(want)) = (self.sessions.get(&id), self.wants.get(cid)) else { return false };
        let Some(member) = session.members.get(peer) else { return false };
        let by_word_only = member.partial || member.is_dry(now);
        want.may_ask(peer) && (!by_word_only || member.has.contains(cid))
    }

    /// Asks the peer for these blocks, all of them.
    pub(super) fn request(&mut self, id: SessionId, peer: &P, cids: &[Cid], now: Instant) {
        let Some(partner) = self.partners.get_mut(peer) else { return };
        let request = partner.request_id();
        let mut priority = i32::MIN;
        for cid in cids {
            let Some(session) = self.sessions.get(&id) else { return };
            partner.owe(*cid, request, id, session.expected(cid), now);
            let Some(want) = self.wants.get_mut(cid) else { continue };
            want.askers.insert(peer.clone(), now);
            let place = want.sessions.get(&id).copied().unwrap_or_default();
            priority = priority.max(session.priority(place));
            for (other, place) in &want.sessions {
                if let Some(session) = self.sessions.get_mut(other) {
                    session.unasked.remove(place);
                }
            }
        }
        if self.sessions[&id].members.values().any(|member| !member.credits.is_empty()) {
            cids.iter().for_each(|cid| self.strike_from_credits(cid, None));
        }
        self.say_want(id, peer, request, cids.to_vec(), Credit::All, Kind::Block, priority);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a Want")]
    pub(super) fn say_want(
        &mut self,
        id: SessionId,
        peer: &P,
        request: RequestId,
        cids: Vec<Cid>,
        credit: Credit,
        kind: Kind,
        priority: i32,
    ) {
        let root = Some(self.sessions[&id].root);
        self.send(peer, Message::Want(Want { request, root, cids, credit, kind, priority }));
    }

    /// Nothing is left to ask for: who is free takes the block that is expected last, where it would have it in less
    /// than half of the time; in a crowd, where many are free for the same few blocks, in less than a quarter.
    fn end_game(&mut self, id: SessionId, peers: &[P], now: Instant) {
        for peer in peers {
            for _ in 0..MOST_TAKEN_OVER {
                let Some(cid) = self.latest_expected(id, peer, now) else { break };
                self.request(id, peer, &[cid], now);
            }
        }
    }

    fn latest_expected(&self, id: SessionId, peer: &P, now: Instant) -> Option<Cid> {
        let mut latest: Option<(Duration, Cid)> = None;
        let sooner = if self.sessions[&id].crowd { SOONER_IN_A_CROWD } else { SOONER };
        let partner = &self.partners[peer];
        for (other, theirs) in self.sessions[&id].members.keys().filter_map(|p| Some((p, self.partners.get(p)?))) {
            if other == peer || theirs.doubted.is_some() {
                continue;
            }
            let mut theirs_last = theirs.latest_first();
            let found = theirs_last.find(|(cid, _, _)| self.may_double(id, peer, cid, now));
            let Some((cid, owed, bytes)) = found else { continue };
            let Some(expected) = theirs.expected_arrival(bytes) else { continue };
            let Some(own) = partner.expected_arrival(partner.owed_bytes() + owed.expected) else { continue };
            let enough_room = self.room(peer, owed.expected) >= owed.expected;
            if enough_room && own * sooner < expected && latest.is_none_or(|(before, _)| before < expected) {
                latest = Some((expected, *cid));
            }
        }
        latest.map(|(_, cid)| cid)
    }

    fn may_double(&self, id: SessionId, peer: &P, cid: &Cid, now: Instant) -> bool {
        let few = self.wants.get(cid).is_some_and(|want| want.askers.len() < ASKERS_IN_END_GAME);
        few && self.may_ask(id, peer, cid, now)
    }
}

/// Most names in a request, so that answers begin while more is being asked for.
pub(in crate::exchange::client) const NAMES_PER_REQUEST: usize = 64;
/// A peer that still owes something is asked again when there is room for so many names (or a quarter of its window).
const LEAST_NAMES: usize = 32;
/// Most wants looked at to find some that a peer has not refused.
const MOST_LOOKED_AT: usize = 4096;
/// So many times sooner than its own peer, somebody else must have a block to be asked for it too.
const SOONER: u32 = 2;
const SOONER_IN_A_CROWD: u32 = 4;
const ASKERS_IN_END_GAME: usize = 2;
/// Most blocks that a peer takes over at a time.
const MOST_TAKEN_OVER: usize = 4;
