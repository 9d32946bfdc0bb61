//! Finding peers: who joins a download, whom to dial, and what to look for when nobody has a block.
//!
//! Every want is at each moment owed by a peer, on its way into the store, wanted of a member that will have room, looked
//! for, or resting until a known time (`unattended` names those that are not; tests call it after every step). The root is
//! searched once, then again with growing pauses while something is missing; a block that no member has is also searched
//! by its own CID, few at a time.

use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::session::{Dial, Member, RootSearch};
use super::want::{Said, Seek, Want};
use crate::exchange::message::{Credit, Kind, MAX_CIDS};
use crate::exchange::{Action, Peer, Report, SessionId};

impl<P: Peer> Client<P> {
    pub(in crate::exchange) fn handle_search_end(&mut self, cid: &Cid, now: Instant) {
        if self.searches.remove(cid).is_none() {
            return;
        }
        for session in self.sessions.values_mut().filter(|session| session.root == *cid) {
            if session.root_search == RootSearch::Running {
                session.root_search = RootSearch::Resting(now + pause(session.rounds));
            }
        }
        if let Some(want) = self.wants.get_mut(cid).filter(|want| want.seek == Seek::Searching) {
            want.seek = Seek::Searched;
        }
        self.wake(now);
    }

    pub(in crate::exchange) fn handle_have(&mut self, peer: &P, cids: Vec<Cid>) {
        if !self.partners.contains_key(peer) {
            return;
        }
        self.stirred.insert(peer.clone());
        for cid in cids.into_iter().take(MAX_CIDS) {
            let Some(want) = self.wants.get_mut(&cid) else {
                self.note_unwanted(peer, cid);
                continue;
            };
            want.say(peer.clone(), Said::Has);
            let ids: Vec<SessionId> = want.sessions.keys().copied().collect();
            for id in ids {
                self.admit(id, peer, false);
                let session = self.sessions.get_mut(&id);
                if let Some(member) = session.and_then(|session| session.members.get_mut(peer)) {
                    member.note(cid);
                }
            }
        }
    }

    /// Looks after wants that nobody can be asked for. Called when something changed, and at every tick.
    pub(super) fn seek(&mut self, now: Instant) {
        self.stop_long_searches(now);
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.end_rests(id, now);
            self.dial_named(id, now);
            let hungry = self.hungry(id, now);
            self.dial(id, !hungry.is_empty(), now);
            let new = hungry.iter().any(|cid| self.wants[cid].seek == Seek::Idle);
            self.search_root(id, new, now);
            for cid in hungry {
                self.seek_one(id, &cid, now);
            }
        }
    }

    fn seek_one(&mut self, id: SessionId, cid: &Cid, now: Instant) {
        let session = &self.sessions[&id];
        let (is_root, resting) = (session.root == *cid, matches!(session.root_search, RootSearch::Resting(_)));
        match self.wants[cid].seek {
            Seek::Idle if is_root || !resting || self.own_searches() >= MOST_SEARCHES => {}
            Seek::Idle => {
                self.ask_around(id, cid, now);
                self.start_search(cid, now);
            }
            Seek::Searched if !self.is_expecting(id) && !self.wants[cid].is_queried(now) => self.conclude(cid, now),
            Seek::Searched | Seek::Searching | Seek::Resting(_) => {}
        }
    }

    /// Tells people that nobody has the block, and lets it rest.
    fn conclude(&mut self, cid: &Cid, now: Instant) {
        let Some(want) = self.wants.get_mut(cid) else { return };
        want.rounds += 1;
        want.seek = Seek::Resting(now + pause(want.rounds));
        let want = &self.wants[cid];
        for id in want.sessions.keys() {
            let report = self.report(*id, want);
            self.actions.push_back(Action::Missing { session: *id, cid: *cid, report });
        }
    }

    fn report(&self, id: SessionId, want: &Want<P>) -> Report<P> {
        let session = &self.sessions[&id];
        let said = want.said.iter().map(|(peer, said)| (peer.clone(), said.words().to_owned()));
        let failed = session.candidates.iter().filter(|(peer, _)| !want.said.contains_key(*peer));
        let failed = failed.filter_map(|(peer, candidate)| match &candidate.state {
            Dial::Failed(why) => Some((peer.clone(), format!("could not be reached: {why}"))),
            Dial::Untried | Dial::Dialling(_) => None,
        });
        let again = session.named_in_vain().filter(|(peer, _)| {
            let dialled = session.candidates.get(*peer).is_some_and(|c| !matches!(c.state, Dial::Failed(_)));
            dialled && !want.said.contains_key(*peer) && !self.partners.contains_key(*peer)
        });
        let again = again.map(|(peer, why)| (peer.clone(), format!("could not be reached: {why}")));
        let searches = want.rounds.max(session.rounds);
        Report { asked: said.chain(failed).chain(again).take(MOST_REPORTED).collect(), searches }
    }

    fn search_root(&mut self, id: SessionId, hungry: bool, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let due = match session.root_search {
            RootSearch::Due(at) => {
                let dialling = session.dialling() > 0 || !session.queue.is_empty();
                (now >= at && !session.wants.is_empty()) || (hungry && !dialling)
            }
            RootSearch::Resting(until) => hungry && now >= until,
            RootSearch::Running => false,
        };
        if !due {
            return;
        }
        session.rounds += 1;
        session.root_search = RootSearch::Running;
        let root = session.root;
        self.ask_around(id, &root, now);
        self.start_search(&root, now);
    }

    fn start_search(&mut self, cid: &Cid, now: Instant) {
        if let Some(want) = self.wants.get_mut(cid).filter(|want| matches!(want.seek, Seek::Idle)) {
            want.seek = Seek::Searching;
        }
        if self.searches.insert(*cid, now).is_none() {
            self.counters.searches += 1;
            self.actions.push_back(Action::Search { cid: *cid });
        }
    }

    /// Asks connected peers whether they have the block, those that gave us something first, else others each time. Where none of the members can be asked, one is asked for the
    /// block itself: it may well have it, and that saves a round trip.
    fn ask_around(&mut self, id: SessionId, cid: &Cid, now: Instant) {
        let Some(want) = self.wants.get(cid) else { return };
        let unasked = want.is_unasked();
        let strangers = self
            .partners
            .iter()
            .filter(|(peer, partner)| partner.doubted.is_none() && !want.said.contains_key(peer) && want.may_ask(peer));
        let members = &self.sessions[&id].members;
        let strangers = strangers.filter(|(peer, _)| !members.get(peer).is_some_and(|m| !m.partial && !m.is_dry(now)));
        let strangers: Vec<(P, u64)> = strangers.map(|(peer, p)| (peer.clone(), p.bytes_received)).collect();
        let mut strangers = self.random.draw(&strangers, usize::MAX);
        strangers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let nobody = unasked && !members.keys().any(|peer| self.may_ask_later(id, peer, cid, now));
        for (index, (peer, _)) in strangers.into_iter().take(MOST_ASKED_AROUND).enumerate() {
            if nobody && index == 0 {
                self.request(id, &peer, &[*cid], now);
            } else {
                self.ask_whether(id, &peer, &[*cid], now);
            }
        }
    }

    /// Asks a peer whether it has these; one that cannot answer that is asked for them.
    pub(super) fn ask_whether(&mut self, id: SessionId, peer: &P, cids: &[Cid], now: Instant) {
        let Some(partner) = self.partners.get_mut(peer).filter(|_| !cids.is_empty()) else { return };
        if !partner.protocol.presence {
            return self.request(id, peer, cids, now);
        }
        let request = partner.request_id();
        for cid in cids {
            if let Some(want) = self.wants.get_mut(cid) {
                want.say(peer.clone(), Said::Queried(now));
            }
        }
        self.say_want(id, peer, request, cids.to_vec(), Credit::All, Kind::Have, 0);
    }

    /// What a peer that has just come is asked for: what is being looked for, and the root.
    pub(super) fn sought(&self, id: SessionId) -> Vec<Cid> {
        let session = &self.sessions[&id];
        let looked_for = |cid: &&Cid| **cid == session.root || self.wants[*cid].seek != Seek::Idle;
        session.unasked.values().filter(looked_for).take(MOST_SOUGHT).copied().collect()
    }

    /// Unasked wants that no connected member will be asked for, those at rest left out; at most `MOST_SOUGHT`.
    pub(super) fn hungry(&self, id: SessionId, now: Instant) -> Vec<Cid> {
        let session = &self.sessions[&id];
        let sure = |(peer, member): (&P, &Member)| {
            let trusted = self.partners.get(peer).is_some_and(|partner| partner.doubted.is_none());
            trusted && member.spotless && !member.partial
        };
        if session.members.iter().any(sure) {
            return Vec::new();
        }
        let awake = |cid: &&Cid| !matches!(self.wants[*cid].seek, Seek::Resting(_));
        let alone = |cid: &&Cid| !session.members.keys().any(|peer| self.may_ask_later(id, peer, cid, now));
        session.unasked.values().filter(awake).filter(alone).take(MOST_SOUGHT).copied().collect()
    }

    pub(super) fn may_ask_later(&self, id: SessionId, peer: &P, cid: &Cid, now: Instant) -> bool {
        self.partners.get(peer).is_some_and(|partner| partner.doubted.is_none()) && self.may_ask(id, peer, cid, now)
    }

    /// Somebody is being dialled who may have what is missing.
    fn is_expecting(&self, id: SessionId) -> bool {
        let session = &self.sessions[&id];
        session.root_search == RootSearch::Running || session.dialling() > 0 || !session.queue.is_empty()
    }

    /// A rest is over: everybody may be asked anew, also who was silent, and who could not be reached.
    fn end_rests(&mut self, id: SessionId, now: Instant) {
        let over = |cid: &&Cid| matches!(self.wants[*cid].seek, Seek::Resting(until) if until <= now);
        let rested: Vec<Cid> = self.sessions[&id].unasked.values().filter(over).copied().collect();
        if rested.is_empty() {
            return;
        }
        for cid in &rested {
            if let Some(want) = self.wants.get_mut(cid) {
                want.forget();
            }
        }
        for partner in self.partners.values_mut().filter(|partner| partner.owed().is_empty()) {
            partner.doubted = None;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            let away = session.members.keys().filter(|peer| !self.partners.contains_key(*peer)).cloned();
            let away: Vec<P> = away.collect();
            session.try_again(away);
        }
        self.dirty = true;
    }

    fn own_searches(&self) -> usize {
        self.searches.keys().filter(|cid| !self.sessions.values().any(|session| session.root == **cid)).count()
    }

    fn stop_long_searches(&mut self, now: Instant) {
        let long = self.searches.iter().filter(|(_, since)| now.duration_since(**since) > LONGEST_SEARCH);
        let long: Vec<Cid> = long.map(|(cid, _)| *cid).collect();
        for cid in long {
            self.actions.push_back(Action::StopSearch { cid });
            self.handle_search_end(&cid, now);
        }
    }

    pub(super) fn stop_search_unless_needed(&mut self, cid: &Cid) {
        let root = self.sessions.values().any(|s| s.root == *cid && s.root_search == RootSearch::Running);
        let own = self.wants.get(cid).is_some_and(|want| want.seek == Seek::Searching);
        if !root && !own && self.searches.remove(cid).is_some() {
            self.actions.push_back(Action::StopSearch { cid: *cid });
        }
    }
}

/// The pause after so many rounds: 1 s, doubled each time, at most a minute.
fn pause(rounds: u32) -> Duration {
    Duration::from_secs(1 << rounds.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
}

const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_SEARCH: Duration = Duration::from_secs(60);
/// Searches for blocks by their own CID at a time.
const MOST_SEARCHES: usize = 4;
/// Connected peers asked for one block in one round.
const MOST_ASKED_AROUND: usize = 32;
/// Wants looked after at a time.
const MOST_SOUGHT: usize = 64;
const MOST_REPORTED: usize = 64;
