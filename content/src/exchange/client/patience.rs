//! Time: peers that fall silent, blocks that take too long.

use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::want::{Said, Stage};
use crate::exchange::{Peer, SessionId};

impl<P: Peer> Client<P> {
    /// A peer that owes and is silent is asked for nothing until it is heard, and what it owes counts as not asked.
    /// It is not hung up on: if it was only slow, its bytes still count.
    pub(super) fn doubt_the_silent(&mut self, now: Instant) {
        let trusted = self.partners.iter().filter(|(_, partner)| partner.doubted.is_none());
        let silent = trusted.filter(|(peer, partner)| partner.too_silent(self.has_credit(peer), now));
        let silent: Vec<P> = silent.map(|(peer, _)| peer.clone()).collect();
        for peer in silent {
            let Some(partner) = self.partners.get_mut(&peer) else { continue };
            partner.doubted = Some(now);
            let owed: Vec<Cid> = partner.owed().keys().copied().collect();
            for cid in owed {
                if let Some(want) = self.wants.get_mut(&cid) {
                    want.say(peer.clone(), Said::Silent);
                    for id in want.sessions.keys() {
                        let member = self.sessions.get_mut(id).and_then(|session| session.members.get_mut(&peer));
                        if let Some(member) = member {
                            member.spotless = false;
                        }
                    }
                }
                self.forget_asker(&cid, &peer);
            }
            self.forget_credits(&peer);
            self.dirty = true;
        }
        self.give_up_on_the_lost(now);
    }

    /// A doubted peer was heard: what it owes counts as asked again.
    pub(super) fn trust_again(&mut self, peer: &P, now: Instant) {
        let Some(partner) = self.partners.get_mut(peer) else { return };
        partner.doubted = None;
        let owed: Vec<(Cid, Instant)> = partner.owed().iter().map(|(cid, owed)| (*cid, owed.at)).collect();
        for (cid, at) in owed {
            if let Some(want) = self.wants.get_mut(&cid).filter(|want| want.stage == Stage::Open) {
                want.said.remove(peer);
                want.askers.insert(peer.clone(), at);
            }
            self.index(&cid);
        }
        for want in self.wants.values_mut() {
            if want.said.get(peer) == Some(&Said::Silent) {
                want.said.remove(peer);
            }
        }
        self.wake(now);
    }

    /// What a peer has owed for very long without a byte of it, it does not owe any more.
    fn give_up_on_the_lost(&mut self, now: Instant) {
        let mut lost: Vec<(P, Cid)> = Vec::new();
        for (peer, partner) in &self.partners {
            let limit = if partner.doubted.is_some() { LOST_WHEN_DOUBTED } else { LOST };
            let late = partner
                .owed()
                .iter()
                .filter(|(_, owed)| now.duration_since(owed.at) > limit && !(owed.begun && partner.doubted.is_none()));
            lost.extend(late.map(|(cid, _)| (peer.clone(), *cid)));
        }
        for (peer, cid) in lost {
            let Some(owed) = self.partners.get_mut(&peer).and_then(|partner| partner.settle(&cid, now)) else {
                continue;
            };
            self.say_cancel(&peer, owed.request, vec![cid]);
            if let Some(want) = self.wants.get_mut(&cid) {
                want.say(peer.clone(), Said::Late);
            }
            if let Some(member) = self.sessions.get_mut(&owed.session).and_then(|s| s.members.get_mut(&peer)) {
                member.spotless = false;
            }
            self.forget_asker(&cid, &peer);
            self.dirty = true;
        }
    }

    /// A block that was asked for long ago may be asked of one peer more.
    pub(super) fn lose_patience(&mut self, now: Instant) {
        let mut again: Vec<(SessionId, P, Cid)> = Vec::new();
        for (cid, want) in &self.wants {
            let Some(latest) = want.askers.values().max() else { continue };
            if want.stage != Stage::Open || want.askers.len() >= MOST_ASKERS {
                continue;
            }
            let waited = now.duration_since(*latest);
            let impatient = want.sessions.keys().filter(|id| waited >= self.sessions[*id].patience());
            let free = impatient.filter_map(|id| Some((*id, self.free_member(*id, cid, now)?, *cid)));
            again.extend(free.take(1));
        }
        for (id, peer, cid) in again {
            let expected = self.sessions[&id].expected(&cid);
            if self.room(&peer, expected) >= expected {
                self.request(id, &peer, &[cid], now);
            }
        }
    }

    /// A member with room that may be asked for the block: the one that would have it first.
    fn free_member(&self, id: SessionId, cid: &Cid, now: Instant) -> Option<P> {
        let session = &self.sessions[&id];
        let expected = session.expected(cid);
        let connected = session.members.keys().filter_map(|peer| Some((peer, self.partners.get(peer)?)));
        let able = connected.filter(|(peer, partner)| {
            partner.doubted.is_none() && self.may_ask(id, peer, cid, now) && self.room(peer, expected) >= expected
        });
        let soonest = able.min_by_key(|(_, partner)| {
            partner.expected_arrival(partner.owed_bytes() + expected).unwrap_or(partner.round_trip())
        });
        soonest.map(|(peer, _)| peer.clone())
    }
}

/// Peers that owe the same block, at most.
const MOST_ASKERS: usize = 4;
/// A block that did not begin for so long is not owed any more, though its peer is alive.
const LOST: Duration = Duration::from_secs(60);
/// The same where the peer is silent.
const LOST_WHEN_DOUBTED: Duration = Duration::from_secs(10);
