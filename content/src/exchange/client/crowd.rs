//! A crowd: others that download the same root at the same time.
//!
//! A neighbour (it asked us for our root, or was referred to us) is told what we get and is asked, one block at a time,
//! for what it says it has. A whole source is asked for "any two of these", so that it can spread its blocks among all.

use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::ask::NAMES_PER_REQUEST;
use super::session::{CreditRequest, Session};
use super::want::Stage;
use crate::block::RAW;
use crate::exchange::message::{Credit, Kind, MAX_CIDS, Message, RequestId};
use crate::exchange::{Order, Peer, SessionId};

impl<P: Peer> Client<P> {
    /// A peer asks us for something under `root`.
    pub(in crate::exchange) fn handle_asker(&mut self, peer: &P, root: &Cid, now: Instant) {
        if !self.partners.get(peer).is_some_and(|partner| partner.protocol.native) {
            return;
        }
        let ids: Vec<SessionId> = self.sessions_of(root);
        for id in ids {
            self.add_neighbour(id, peer, now);
        }
    }

    pub(in crate::exchange) fn handle_referred(&mut self, _by: &P, root: &Cid, others: Vec<P>, now: Instant) {
        if !self.config.referrals || others.is_empty() {
            return;
        }
        for id in self.sessions_of(root) {
            let others = self.random.draw(&others, DIALS_PER_LIST);
            for other in others {
                if self.partners.contains_key(&other) {
                    self.add_neighbour(id, &other, now);
                    continue;
                }
                let Some(session) = self.sessions.get_mut(&id) else { continue };
                session.crowd = true;
                if session.referral_dials < MOST_REFERRAL_DIALS {
                    session.referral_dials += 1;
                    self.meet(id, vec![other], true, now);
                }
            }
        }
        self.wake(now);
    }

    fn sessions_of(&self, root: &Cid) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, session)| session.root == *root).map(|(id, _)| *id).collect()
    }

    fn add_neighbour(&mut self, id: SessionId, peer: &P, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let neighbours = session.members.values().filter(|member| member.partial).count();
        if neighbours >= MOST_NEIGHBOURS && !session.members.contains_key(peer) {
            return;
        }
        let Some(member) = session.admit(peer, true) else { return };
        member.partial = true;
        session.crowd = true;
        self.greet(id, peer);
        self.wake(now);
    }

    /// Tells a neighbour once that we are in the crowd too, and what we have.
    pub(super) fn greet(&mut self, id: SessionId, peer: &P) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(partner) = self.partners.get_mut(peer).filter(|partner| partner.protocol.native) else { return };
        let Some(member) = session.members.get_mut(peer).filter(|member| member.partial && !member.greeted) else {
            return;
        };
        member.greeted = true;
        let request = partner.request_id();
        let (root, held): (Cid, Vec<Cid>) = (session.root, session.held.iter().copied().collect());
        self.say_want(id, peer, request, vec![root], Credit::All, Kind::Have, 0);
        for cids in held.chunks(MAX_CIDS) {
            self.send(peer, Message::Have { cids: cids.to_vec() });
        }
    }

    /// A block was delivered: neighbours that lack it are told, at once when it is large, else at the next tick.
    pub(super) fn make_news(&mut self, id: SessionId, cid: &Cid, len: usize) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.crowd) else { return };
        let mut ready: Vec<(P, Vec<Cid>)> = Vec::new();
        for (peer, member) in &mut session.members {
            if member.has.remove(cid) || !member.greeted {
                continue;
            }
            member.news.push(*cid);
            if len >= LARGE || member.news.len() >= MOST_NEWS {
                ready.push((peer.clone(), std::mem::take(&mut member.news)));
            }
        }
        for (peer, cids) in ready {
            self.send(&peer, Message::Have { cids });
        }
    }

    pub(super) fn tell_news(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let full = session.members.iter_mut().filter(|(_, member)| !member.news.is_empty());
        let full: Vec<_> = full.map(|(peer, member)| (peer.clone(), std::mem::take(&mut member.news))).collect();
        for (peer, cids) in full {
            self.send(&peer, Message::Have { cids });
        }
    }

    pub(super) fn tell_all_news(&mut self) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.tell_news(id);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        let mut members = self.sessions.values().flat_map(|session| session.members.values());
        members.any(|member| !member.news.is_empty())
    }

    /// A neighbour has a block that is not wanted, or not yet: its name may only be known later.
    pub(super) fn note_unwanted(&mut self, peer: &P, cid: Cid) {
        for session in self.sessions.values_mut().filter(|session| !session.held.contains(&cid)) {
            if let Some(member) = session.members.get_mut(peer).filter(|member| member.partial) {
                member.note(cid);
            }
        }
    }

    /// One block by name (or a turn's worth of small ones), of those that the neighbour is known to have and nobody was
    /// asked for.
    pub(super) fn ask_neighbour(&mut self, id: SessionId, peer: &P, now: Instant) {
        if !self.partners[peer].owed().is_empty() {
            return;
        }
        let session = &self.sessions[&id];
        let has = &session.members[peer].has;
        let unasked = session.unasked.values().filter(|cid| has.contains(*cid) && self.may_ask(id, peer, cid, now));
        let unasked: Vec<Cid> = unasked.take(MOST_CHOSEN_FROM).copied().collect();
        let block = unasked.first().map_or(SMALL_CREDIT, |first| session.expected(first));
        let count = (SMALL_CREDIT / block).clamp(1, NAMES_PER_REQUEST);
        let chosen = match session.order {
            Order::Priority => unasked.into_iter().take(count).collect(),
            Order::Any => self.random.draw(&unasked, count),
        };
        let chosen =
            if chosen.is_empty() { self.queued_elsewhere(id, peer, now).into_iter().collect() } else { chosen };
        if !chosen.is_empty() {
            self.request(id, peer, &chosen, now);
        }
    }

    /// A block that another peer has queued and not begun: whoever begins first sends it, the other is cancelled.
    fn queued_elsewhere(&self, id: SessionId, peer: &P, now: Instant) -> Option<Cid> {
        if self.partners[peer].round_trip() > NEAR {
            return None;
        }
        let session = &self.sessions[&id];
        let queued = |cid: &&Cid| {
            let Some(want) = self.wants.get(*cid) else { return false };
            let waits =
                |other: &P| self.partners.get(other).and_then(|p| p.owed().get(*cid)).is_some_and(|owed| !owed.begun);
            want.stage == Stage::Open
                && want.askers.len() < MOST_QUEUES
                && want.askers.keys().all(waits)
                && self.may_ask(id, peer, cid, now)
        };
        session.members[peer].has.iter().find(queued).copied()
    }

    /// Asks a whole source for any two of what nobody was asked for, or more where the link is long; blocks with
    /// children by name.
    pub(super) fn give_credit(&mut self, id: SessionId, peer: &P, now: Instant) {
        let session = &self.sessions[&id];
        let open: u32 = session.members[peer].credits.values().map(|credit| credit.left).sum();
        let Some((_, first)) = session.unasked.first_key_value() else { return };
        let able = session.unasked.values().filter(|cid| self.may_ask(id, peer, cid, now));
        if first.codec() != RAW {
            let nodes: Vec<Cid> = able.take_while(|cid| cid.codec() != RAW).take(MOST_NODES).copied().collect();
            if self.partners[peer].owed().len() < MOST_NODES && !nodes.is_empty() {
                self.request(id, peer, &nodes, now);
            }
            return;
        }
        let partner = &self.partners[peer];
        let block = session.expected(first);
        let least = LEAST_CREDIT.max(SMALL_CREDIT / block);
        let allowed = if partner.round_trip() > NEAR { least.max(partner.window(block) / block) } else { least } as u32;
        let used = partner.owed().len() as u32 + open;
        if used >= allowed || self.room(peer, block) < block {
            return;
        }
        let mut cids: Vec<Cid> = able.take(MOST_CHOSEN_FROM).copied().collect();
        // As many as it may send already are as good as asked for: the last one would come twice.
        let count = (allowed - used).min((cids.len() as u32).saturating_sub(open));
        if count == 0 {
            return;
        }
        // Of one who asks alone a source takes what is listed first; several must not all take the same.
        let sources = session.members.values().filter(|member| !member.partial).count();
        if session.crowd || sources > 1 {
            cids = self.random.draw(&cids, MOST_LISTED);
        }
        cids.truncate(MOST_LISTED);
        self.ask_for_any(id, peer, count, cids, now);
    }

    fn ask_for_any(&mut self, id: SessionId, peer: &P, count: u32, cids: Vec<Cid>, now: Instant) {
        let Some(partner) = self.partners.get_mut(peer) else { return };
        if partner.owed().is_empty() {
            partner.heard(now);
        }
        let request = partner.request_id();
        let credit = CreditRequest { left: count, cids: cids.iter().copied().collect(), at: now };
        if let Some(member) = self.sessions.get_mut(&id).and_then(|session| session.members.get_mut(peer)) {
            member.credits.insert(request, credit);
        }
        self.say_want(id, peer, request, cids, Credit::Any(count), Kind::Block, 0);
    }

    /// A header came: where the peer chose the block itself, it is asked of this peer from here on.
    pub(super) fn credit_used(&mut self, peer: &P, request: RequestId, cid: &Cid, len: u32, now: Instant) {
        for (id, session) in &mut self.sessions {
            let Some(member) = session.members.get_mut(peer) else { continue };
            let Some(credit) = member.credits.get_mut(&request) else { continue };
            // One that was struck off while it was on its way costs the credit too.
            credit.left -= 1;
            let (asked_at, listed) = (credit.at, credit.cids.remove(cid));
            member.drop_used_credits();
            self.stirred.insert(peer.clone());
            if !listed {
                break;
            }
            let (Some(want), Some(partner)) = (self.wants.get_mut(cid), self.partners.get_mut(peer)) else { return };
            if want.stage == Stage::Open {
                partner.owe(*cid, request, *id, len as usize, now);
                want.askers.insert(peer.clone(), asked_at);
            }
            self.index(cid);
            break;
        }
        self.strike_from_credits(cid, Some(peer));
    }

    /// In a crowd who begins first sends the block: others that have it queued are told to forget it.
    pub(super) fn cancel_queued(&mut self, cid: &Cid, beginner: &P, now: Instant) {
        let crowd = self.sessions.values().any(|session| session.crowd && session.wants.contains(cid));
        let Some(want) = self.wants.get_mut(cid).filter(|want| crowd && want.askers.len() > 1) else { return };
        let others: Vec<P> = want.askers.keys().filter(|peer| *peer != beginner).cloned().collect();
        for other in others {
            let Some(partner) = self.partners.get_mut(&other) else { continue };
            if partner.owed().get(cid).is_none_or(|owed| owed.begun) {
                continue;
            }
            let Some(owed) = partner.settle(cid, now) else { continue };
            want.askers.remove(&other);
            self.stirred.insert(other.clone());
            let message = Message::Cancel { request: owed.request, cids: vec![*cid] };
            self.actions.push_back(crate::exchange::Action::Send { peer: other, message });
        }
    }

    /// The peer lacks a block of its list. False: it stood on none.
    pub(super) fn credit_refused(&mut self, peer: &P, request: RequestId, cid: &Cid) -> bool {
        let mut members = self.sessions.values_mut().filter_map(|session| session.members.get_mut(peer));
        let Some(member) = members.find(|member| member.credits.contains_key(&request)) else { return false };
        let listed = member.credits.get_mut(&request).is_some_and(|credit| credit.cids.remove(cid));
        member.drop_used_credits();
        listed
    }

    /// Nothing more comes of a request.
    pub(super) fn close_credit(&mut self, peer: &P, request: RequestId) {
        for member in self.sessions.values_mut().filter_map(|session| session.members.get_mut(peer)) {
            member.credits.remove(&request);
        }
    }

    /// The block is asked for by name, or here: it is taken off the lists from which peers choose.
    pub(super) fn strike_from_credits(&mut self, cid: &Cid, but: Option<&P>) {
        let mut struck: Vec<(P, RequestId)> = Vec::new();
        for session in self.sessions.values_mut() {
            for (peer, member) in session.members.iter_mut().filter(|(peer, _)| Some(*peer) != but) {
                for (request, credit) in &mut member.credits {
                    if credit.cids.remove(cid) {
                        self.stirred.insert(peer.clone());
                        struck.push((peer.clone(), *request));
                    }
                }
                member.drop_used_credits();
            }
        }
        for (peer, request) in struck {
            self.say_cancel(&peer, request, vec![*cid]);
        }
    }

    /// The peer is doubted: its credits are taken back.
    pub(super) fn forget_credits(&mut self, peer: &P) {
        let members = self.sessions.values_mut().filter_map(|session| session.members.get_mut(peer));
        let requests: Vec<RequestId> =
            members.flat_map(|member| std::mem::take(&mut member.credits)).map(|c| c.0).collect();
        for request in requests {
            self.say_cancel(peer, request, Vec::new());
        }
    }

    /// The session ends: its credits are taken back.
    pub(super) fn drop_credits(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let members = session.members.iter_mut();
        let open: Vec<(P, RequestId)> = members
            .flat_map(|(peer, member)| std::mem::take(&mut member.credits).into_keys().map(|r| (peer.clone(), r)))
            .collect();
        for (peer, request) in open {
            self.say_cancel(&peer, request, Vec::new());
        }
    }

    pub(super) fn has_credit(&self, peer: &P) -> bool {
        let mut members = self.sessions.values().filter_map(|session: &Session<P>| session.members.get(peer));
        members.any(|member| !member.credits.is_empty())
    }
}

impl super::session::Member {
    /// Requests that are answered, or of which nothing is left to send.
    fn drop_used_credits(&mut self) {
        self.credits.retain(|_, credit| credit.left > 0 && !credit.cids.is_empty());
    }
}

/// Credits at a whole source; 1 to 4 make no difference (facts), more do where the link is long.
const LEAST_CREDIT: usize = 2;
/// Small blocks are counted together up to this.
const SMALL_CREDIT: usize = 256 * 1024;
/// Blocks with children asked of a whole source at a time.
const MOST_NODES: usize = 64;
/// Names in a list to choose from: enough to spread, and small against a block.
const MOST_LISTED: usize = 256;
/// Wants looked at to choose from.
const MOST_CHOSEN_FROM: usize = 1024;
/// Where a block takes some 80 ms, a second queue pays only below a quarter of that.
const NEAR: Duration = Duration::from_millis(20);
const MOST_QUEUES: usize = 2;
/// Neighbours of one download; those that come beyond it are served and not asked.
const MOST_NEIGHBOURS: usize = 32;
/// Dials because of one list, and of all lists: a source cannot make us dial the world.
const DIALS_PER_LIST: usize = 8;
const MOST_REFERRAL_DIALS: usize = 16;
/// A block of this size is news by itself.
const LARGE: usize = 64 * 1024;
const MOST_NEWS: usize = 64;
