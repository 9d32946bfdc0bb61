//! Who takes part in a download: peers named, found, referred or just connected; dialled few at a time.

use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::session::{Candidate, Dial, Member, RootSearch, Session};
use crate::exchange::{Action, Peer, SessionId};

impl<P: Peer> Client<P> {
    pub(in crate::exchange) fn add_holders(&mut self, id: SessionId, peers: Vec<P>, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.name(&peers);
        }
        self.meet(id, peers, false, now);
        if let Some(session) = self.sessions.get_mut(&id)
            && matches!(session.root_search, RootSearch::Due(_))
            && session.rounds == 0
        {
            session.root_search = RootSearch::Due(now + SEARCH_DELAY);
        }
    }

    pub(in crate::exchange) fn handle_providers(&mut self, cid: &Cid, peers: Vec<P>, now: Instant) {
        let concerned = |session: &Session<P>| session.root == *cid || session.wants.contains(cid);
        let ids: Vec<SessionId> = self.sessions.iter().filter(|(_, s)| concerned(s)).map(|(id, _)| *id).collect();
        for id in ids {
            self.meet(id, peers.clone(), false, now);
        }
    }

    pub(in crate::exchange) fn handle_connect_failed(&mut self, peer: &P, why: String, now: Instant) {
        for session in self.sessions.values_mut() {
            if let Some(candidate) = session.candidates.get_mut(peer) {
                candidate.state = Dial::Failed(why.clone());
            }
            if let Some(named) = session.named.get_mut(peer) {
                named.why = Some(why.clone());
            }
        }
        self.wake(now);
    }

    /// A peer has connected: it joins the downloads that were to ask it; the others ask it for what they miss.
    pub(super) fn welcome(&mut self, peer: &P, now: Instant) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            match session.candidates.remove(peer) {
                Some(candidate) => self.admit(id, peer, candidate.referred),
                None if session.members.contains_key(peer) => {}
                None => self.ask_whether(id, peer, &self.sought(id), now),
            }
            self.greet(id, peer);
        }
    }

    /// Peers said to hold something of this download: connected ones join, others are dialled.
    pub(super) fn meet(&mut self, id: SessionId, peers: Vec<P>, referred: bool, now: Instant) {
        for peer in peers {
            if self.partners.contains_key(&peer) {
                self.admit(id, &peer, referred);
            } else if let Some(session) = self.sessions.get_mut(&id) {
                session.hear_of(peer, referred);
            }
        }
        self.wake(now);
    }

    /// The peer takes part from here on. It may have been asked before, when it was just connected, and have refused.
    pub(super) fn admit(&mut self, id: SessionId, peer: &P, partial: bool) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.members.contains_key(peer)) else {
            return;
        };
        let refused = session.wants.iter().any(|cid| self.wants.get(cid).is_some_and(|want| want.was_refused(peer)));
        if let Some(member) = session.admit(peer, partial) {
            member.spotless &= !refused;
        }
    }

    pub(super) fn dial(&mut self, id: SessionId, hungry: bool, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let connected = session.members.keys().filter(|peer| self.partners.contains_key(*peer)).count();
        session.give_up_dials(now);
        while session.dialling() < MOST_DIALS && (connected + session.dialling() < ENOUGH_MEMBERS || hungry) {
            let Some(peer) = session.queue.pop_front() else { return };
            let Some(candidate) = session.candidates.get_mut(&peer) else { continue };
            candidate.state = Dial::Dialling(now);
            self.counters.dials += 1;
            self.actions.push_back(Action::Connect { peer });
        }
    }
}

impl<P: Peer> Session<P> {
    /// The peer takes part. `None` when there are too many, or it lied.
    pub(super) fn admit(&mut self, peer: &P, partial: bool) -> Option<&mut Member> {
        if self.is_banned(peer) || (self.members.len() >= MOST_MEMBERS && !self.members.contains_key(peer)) {
            return None;
        }
        self.candidates.remove(peer);
        let member = self.members.entry(peer.clone()).or_insert_with(|| Member::new(partial));
        Some(member)
    }

    /// A peer to dial when there is room. Those beyond the limit are dropped: the next search finds them again.
    fn hear_of(&mut self, peer: P, referred: bool) {
        if self.is_banned(&peer) || self.candidates.contains_key(&peer) || self.candidates.len() >= MOST_CANDIDATES {
            return;
        }
        self.candidates.insert(peer.clone(), Candidate { state: Dial::Untried, referred });
        self.queue.push_back(peer);
    }

    /// Those that could not be reached, and members that have left, are dialled once more.
    pub(super) fn try_again(&mut self, away: Vec<P>) {
        let failed = self.candidates.iter().filter(|(_, candidate)| matches!(candidate.state, Dial::Failed(_)));
        let failed: Vec<P> = failed.map(|(peer, _)| peer.clone()).collect();
        failed.into_iter().chain(away).for_each(|peer| self.try_again_one(peer));
    }

    pub(super) fn try_again_one(&mut self, peer: P) {
        self.candidates.remove(&peer);
        let partial = self.members.remove(&peer).is_some_and(|member| member.partial);
        self.hear_of(peer, partial);
    }

    fn give_up_dials(&mut self, now: Instant) {
        for candidate in self.candidates.values_mut() {
            if matches!(candidate.state, Dial::Dialling(at) if now.duration_since(at) > LONGEST_DIAL) {
                candidate.state = Dial::Failed("the dial did not end".to_owned());
            }
        }
    }
}

/// A small file from a holder that was named costs no search.
const SEARCH_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DIAL: Duration = Duration::from_secs(30);
/// Dials under way for one download.
const MOST_DIALS: usize = 8;
/// More connected members gain nothing (facts: 16).
const ENOUGH_MEMBERS: usize = 16;
/// Members of one download; further peers are not asked.
const MOST_MEMBERS: usize = 128;
/// Peers known and not connected of one download.
const MOST_CANDIDATES: usize = 256;
