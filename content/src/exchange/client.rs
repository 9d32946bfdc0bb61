//! The asking half: sessions, their wants, and who owes them.
//!
//! Cut by conversation: `ask` hands wants out to peers, `arrive` takes what comes, `patience` doubts the silent,
//! `again` repeats what a Bitswap peer may have lost, `search` finds peers, `members` lets them in, `crowd` deals with others that download the same. Here are the state and
//! the verbs.

mod again;
mod arrive;
mod ask;
mod crowd;
mod members;
mod named;
mod partner;
mod patience;
mod rate;
mod search;
mod session;
mod want;
#[cfg(test)]
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use cid::Cid;

use self::arrive::Arriving;
use self::partner::Partner;
use self::session::{Dial, Member, RootSearch, Session};
use self::want::{Said, Stage, Want};
use super::message::{Message, RequestId};
use super::random::Random;
use super::{Action, Config, Counters, Ledger, Order, Peer, PeerReport, PeerState, Protocol, SessionId, SessionReport};

/// The asking half of an `Exchange`.
#[derive(Debug)]
pub(super) struct Client<P> {
    config: Config,
    random: Random,
    partners: BTreeMap<P, Partner>,
    sessions: BTreeMap<SessionId, Session<P>>,
    wants: BTreeMap<Cid, Want<P>>,
    /// Copies that are being verified or stored.
    arriving: BTreeMap<Cid, Arriving<P>>,
    /// Searches that run, and since when.
    searches: BTreeMap<Cid, Instant>,
    actions: VecDeque<Action<P>>,
    /// Something changed for all peers since wants were last handed out, or for these only.
    dirty: bool,
    stirred: BTreeSet<P>,
    /// Something changed that may leave a want with nobody to ask.
    unsettled: bool,
    tick: Option<Instant>,
    next_session: u64,
    next_sequence: u64,
    counters: Counters,
}

impl<P: Peer> Client<P> {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            partners: BTreeMap::new(),
            sessions: BTreeMap::new(),
            wants: BTreeMap::new(),
            arriving: BTreeMap::new(),
            searches: BTreeMap::new(),
            actions: VecDeque::new(),
            dirty: false,
            stirred: BTreeSet::new(),
            unsettled: false,
            tick: None,
            next_session: 0,
            next_sequence: 0,
            counters: Counters::default(),
        }
    }

    pub(super) fn open(&mut self, root: Cid, order: Order, now: Instant) -> SessionId {
        self.next_session += 1;
        let id = SessionId(self.next_session);
        self.sessions.insert(id, Session::new(root, order, now));
        self.wake(now);
        id
    }

    pub(super) fn want(&mut self, id: SessionId, cid: Cid, priority: i32, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.next_sequence += 1;
        let place = session.place(&cid, priority, self.next_sequence);
        session.wants.insert(cid);
        let want = self.wants.entry(cid).or_insert_with(Want::new);
        if let Some(before) = want.sessions.insert(id, place) {
            session.unasked.remove(&before);
        }
        if self.arriving.contains_key(&cid) {
            want.stage = Stage::Here;
        }
        self.index(&cid);
        self.wake(now);
    }

    pub(super) fn unwant(&mut self, id: SessionId, cid: &Cid, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.wants.remove(cid);
        let Some(want) = self.wants.get_mut(cid) else { return };
        if let Some(place) = want.sessions.remove(&id) {
            session.unasked.remove(&place);
        }
        if want.sessions.is_empty() {
            self.cancel_all(cid, None, now);
            self.cancel_refused(cid);
            self.wants.remove(cid);
            self.stop_search_unless_needed(cid);
        }
        self.wake(now);
    }

    pub(super) fn close(&mut self, id: SessionId, now: Instant) {
        self.tell_news(id);
        let Some(session) = self.sessions.get(&id) else { return };
        for cid in session.wants.clone() {
            self.unwant(id, &cid, now);
        }
        self.drop_credits(id);
        if let Some(session) = self.sessions.remove(&id) {
            self.stop_search_unless_needed(&session.root);
        }
    }

    pub(super) fn handle_connected(&mut self, peer: P, protocol: Protocol, round_trip: Option<Duration>, now: Instant) {
        match self.partners.get_mut(&peer) {
            Some(partner) => partner.protocol = protocol,
            None => {
                self.partners.insert(peer.clone(), Partner::new(protocol, round_trip, now));
                for want in self.wants.values_mut() {
                    if !matches!(want.said.get(&peer), Some(Said::Lied)) {
                        want.said.remove(&peer);
                    }
                }
                self.welcome(&peer, now);
            }
        }
        self.wake(now);
    }

    pub(super) fn handle_disconnected(&mut self, peer: &P, now: Instant) {
        self.lose(peer, Said::Left, now);
    }

    pub(super) fn handle_round_trip(&mut self, peer: &P, round_trip: Duration, now: Instant) {
        if let Some(partner) = self.partners.get_mut(peer) {
            partner.pinged(round_trip);
        }
        self.handle_heard(peer, now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.tick.is_none_or(|tick| now < tick) {
            return;
        }
        self.doubt_the_silent(now);
        self.ask_again(now);
        self.reopen_paused(now);
        self.lose_patience(now);
        self.tell_all_news();
        self.seek(now);
        self.tick = self.is_busy().then(|| now + TICK);
        self.dirty = true;
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Action<P>> {
        if self.actions.is_empty() && (self.dirty || !self.stirred.is_empty()) {
            if std::mem::take(&mut self.unsettled) {
                self.seek(now);
            }
            self.hand_out(now);
        }
        self.actions.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.tick
    }

    pub(super) fn received(&self, peer: &P) -> Option<Ledger> {
        let partner = self.partners.get(peer)?;
        let (bytes_received, blocks_received) = (partner.bytes_received, partner.blocks_received);
        Some(Ledger { bytes_received, blocks_received, ..Ledger::default() })
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn session_report(&self, id: SessionId) -> Option<SessionReport<P>> {
        let session = self.sessions.get(&id)?;
        let known = session.members.iter().map(|(peer, member)| self.peer_report(peer, Some(member), None));
        let in_vain = |peer: &P| session.named.get(peer).and_then(|named| named.why.clone()).map(PeerState::Failed);
        let dialled = session.candidates.iter().filter(|(peer, _)| !session.members.contains_key(peer));
        let dialled = dialled.map(|(peer, candidate)| self.peer_report(peer, None, Some(&candidate.state)));
        let searching = session.root_search == RootSearch::Running
            || session.wants.iter().any(|cid| self.searches.contains_key(cid));
        Some(SessionReport {
            peers: known
                .chain(dialled)
                .map(|report| match in_vain(&report.peer) {
                    // It is dialled again and again.
                    Some(state) if !self.partners.contains_key(&report.peer) => PeerReport { state, ..report },
                    _ => report,
                })
                .collect(),
            wants: session.wants.len(),
            asked: session.wants.len() - session.unasked.len(),
            blocks: session.blocks,
            bytes: session.bytes,
            searching,
        })
    }

    fn peer_report(&self, peer: &P, member: Option<&Member>, dial: Option<&Dial>) -> PeerReport<P> {
        let partner = self.partners.get(peer);
        let state = match (partner, dial) {
            (Some(partner), _) if partner.doubted.is_some() => PeerState::Doubted,
            (Some(partner), _) if partner.owed().is_empty() => PeerState::Idle,
            (Some(partner), _) => PeerState::Owing(partner.owed().len()),
            (None, Some(Dial::Dialling(_))) => PeerState::Dialling,
            (None, Some(Dial::Failed(why))) => PeerState::Failed(why.clone()),
            (None, _) => PeerState::Away,
        };
        PeerReport {
            peer: peer.clone(),
            state,
            bytes: member.map_or(0, |member| member.bytes),
            rate: partner.and_then(|partner| partner.rate.get()).map(|rate| rate as u64),
            round_trip: partner.and_then(Partner::known_round_trip),
        }
    }

    /// Takes the peer out: what it owed is to be asked of others, and only that.
    fn lose(&mut self, peer: &P, said: Said, now: Instant) {
        let Some(partner) = self.partners.remove(peer) else { return };
        for cid in partner.owed().keys() {
            if let Some(want) = self.wants.get_mut(cid) {
                want.say(peer.clone(), said);
            }
            self.forget_asker(cid, peer);
        }
        for session in self.sessions.values_mut() {
            if let Some(member) = session.members.get_mut(peer) {
                member.credits.clear();
                member.greeted = false;
                member.news.clear();
            }
        }
        self.wake(now);
    }

    /// Takes back what peers owe of this block, except from `but`.
    fn cancel_all(&mut self, cid: &Cid, but: Option<&P>, now: Instant) {
        let owing =
            self.partners.iter_mut().filter(|(peer, partner)| Some(*peer) != but && partner.owed().contains_key(cid));
        for (peer, partner) in owing {
            let Some(owed) = partner.settle(cid, now) else { continue };
            self.stirred.insert(peer.clone());
            let message = Message::Cancel { request: owed.request, cids: vec![*cid] };
            self.actions.push_back(Action::Send { peer: peer.clone(), message });
        }
        self.strike_from_credits(cid, None);
        if let Some(want) = self.wants.get_mut(cid) {
            want.askers.clear();
        }
        self.index(cid);
    }

    /// A Bitswap peer that refused a block sends it still when it comes by it, unless it is told not to.
    fn cancel_refused(&mut self, cid: &Cid) {
        let Some(want) = self.wants.get(cid) else { return };
        let heard = want.said.iter().filter(|(_, said)| matches!(said, Said::Lacks | Said::Silent));
        let heard = heard.filter(|(peer, _)| self.partners.get(*peer).is_some_and(|p| !p.protocol.native));
        let peers: Vec<P> = heard.map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            self.say_cancel(&peer, RequestId(0), vec![*cid]);
        }
    }

    fn forget_asker(&mut self, cid: &Cid, peer: &P) {
        if let Some(want) = self.wants.get_mut(cid) {
            want.askers.remove(peer);
        }
        self.index(cid);
    }

    /// Puts the want on the lists of the unasked, or takes it off, as it stands.
    fn index(&mut self, cid: &Cid) {
        let Some(want) = self.wants.get(cid) else { return };
        for (id, place) in &want.sessions {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            if want.is_unasked() {
                session.unasked.insert(*place, *cid);
            } else {
                session.unasked.remove(place);
            }
        }
    }

    /// A block that was paused because the store refused it is open again.
    fn reopen_paused(&mut self, now: Instant) {
        let over = |want: &Want<P>| matches!(want.stage, Stage::Paused(until) if until <= now);
        let paused: Vec<Cid> = self.wants.iter().filter(|(_, want)| over(want)).map(|(cid, _)| *cid).collect();
        for cid in paused {
            if let Some(want) = self.wants.get_mut(&cid) {
                want.stage = Stage::Open;
            }
            self.index(&cid);
        }
    }

    fn is_busy(&self) -> bool {
        !self.wants.is_empty() || self.partners.values().any(|partner| !partner.owed().is_empty()) || self.has_news()
    }

    fn wake(&mut self, now: Instant) {
        self.dirty = true;
        self.unsettled = true;
        if self.is_busy() || !self.sessions.is_empty() {
            self.tick.get_or_insert(now + TICK);
        }
    }

    fn send(&mut self, peer: &P, message: Message) {
        self.actions.push_back(Action::Send { peer: peer.clone(), message });
    }

    fn say_cancel(&mut self, peer: &P, request: RequestId, cids: Vec<Cid>) {
        self.send(peer, Message::Cancel { request, cids });
    }
}

/// How often patience, silence, searches and pauses are looked at.
const TICK: Duration = Duration::from_millis(100);
