//! What comes from peers: headers, bytes, whole blocks, refusals; and what became of a block here.

use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::want::{Said, Seek, Stage};
use crate::block::Links;
use crate::exchange::message::{MAX_CIDS, RequestId};
use crate::exchange::{Action, Peer, SessionId};

/// A copy of a wanted block on its way into the store.
#[derive(Debug)]
pub(super) struct Arriving<P> {
    peer: P,
    len: usize,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Verifying,
    Storing(Links),
}

impl<P: Peer> Client<P> {
    /// The peer said something: it is alive. One that fell silent before it began may be asked again.
    pub(in crate::exchange) fn handle_heard(&mut self, peer: &P, now: Instant) {
        let Some(partner) = self.partners.get_mut(peer) else { return };
        partner.heard(now);
        if partner.doubted.is_some() && !partner.has_begun() {
            self.trust_again(peer, now);
        }
    }

    pub(in crate::exchange) fn handle_header(
        &mut self,
        peer: &P,
        request: RequestId,
        cid: &Cid,
        len: u32,
        now: Instant,
    ) {
        self.credit_used(peer, request, cid, len, now);
        let Some(partner) = self.partners.get_mut(peer) else { return };
        if let Some(owed) = partner.owed().get(cid) {
            let after = now.duration_since(owed.at);
            partner.answered(after);
            self.counters.answers.count(after);
        }
        if partner.begin(cid, len as usize) {
            self.cancel_queued(cid, peer, now);
        } else {
            self.say_cancel(peer, request, vec![*cid]);
        }
    }

    pub(in crate::exchange) fn handle_progress(&mut self, peer: &P, bytes: usize, now: Instant) {
        self.counters.bytes_received += bytes as u64;
        let Some(partner) = self.partners.get_mut(peer) else { return };
        partner.progress(bytes, now);
        if partner.doubted.is_some() {
            self.trust_again(peer, now);
        }
    }

    pub(in crate::exchange) fn handle_arrived(
        &mut self,
        peer: &P,
        cid: Option<&Cid>,
        len: usize,
        now: Instant,
    ) -> bool {
        let Some(partner) = self.partners.get_mut(peer) else { return false };
        partner.arrived();
        let Some(cid) = cid else {
            // A Bitswap peer may send later what it refused at first.
            let may_be_wanted = !partner.owed().is_empty() || self.was_asked(peer);
            self.counters.bytes_wasted += if may_be_wanted { 0 } else { len as u64 };
            return may_be_wanted;
        };
        self.take(peer, cid, len, Step::Verifying, now)
    }

    pub(in crate::exchange) fn handle_verified(
        &mut self,
        peer: &P,
        cid: &Cid,
        len: usize,
        links: Links,
        now: Instant,
    ) -> bool {
        if let Some(arriving) = self.arriving.get_mut(cid) {
            if arriving.peer != *peer || matches!(arriving.step, Step::Storing(_)) {
                self.counters.bytes_wasted += len as u64;
                return false;
            }
            arriving.step = Step::Storing(links);
        } else if !self.take(peer, cid, len, Step::Storing(links), now) {
            return false;
        }
        if !self.wants.contains_key(cid) {
            self.release(cid);
            self.counters.bytes_wasted += len as u64;
            return false;
        }
        self.counters.blocks_received += 1;
        let concerned = self.sessions.iter().filter(|(_, session)| session.wants.contains(cid));
        let concerned: Vec<SessionId> = concerned.map(|(id, _)| *id).collect();
        for id in concerned {
            self.admit(id, peer, false);
            let session = self.sessions.get_mut(&id);
            let Some(member) = session.and_then(|session| session.members.get_mut(peer)) else { continue };
            member.bytes += len as u64;
            member.refusals = 0;
            member.dry_until = None;
        }
        true
    }

    pub(in crate::exchange) fn handle_bad(&mut self, peer: &P, cid: &Cid, now: Instant) {
        let its_copy = self.arriving.get(cid).is_some_and(|arriving| arriving.peer == *peer);
        if its_copy {
            self.release(cid);
        }
        if let Some(want) = self.wants.get_mut(cid) {
            want.say(peer.clone(), Said::Lied);
            want.stage = if its_copy { Stage::Open } else { want.stage };
        }
        self.index(cid);
        self.lose(peer, Said::Left, now);
        for session in self.sessions.values_mut() {
            session.members.remove(peer);
            session.ban(peer.clone());
        }
        let why = format!("sent bytes that do not match {cid}");
        self.actions.push_back(Action::Ban { peer: peer.clone(), lasting: BAN, why });
        self.wake(now);
    }

    /// Gives the length of the block when it is one that came from a peer.
    pub(in crate::exchange) fn handle_stored(&mut self, cid: &Cid) -> Option<usize> {
        let (len, links) = match self.release(cid)? {
            Arriving { len, step: Step::Storing(links), .. } => (len, links),
            Arriving { len, step: Step::Verifying, .. } => (len, Links::default()),
        };
        self.deliver(cid, len, &links);
        Some(len)
    }

    pub(in crate::exchange) fn handle_added(&mut self, cid: &Cid, len: usize, links: Links, now: Instant) {
        if self.wants.contains_key(cid) {
            self.cancel_all(cid, None, now);
            self.deliver(cid, len, &links);
        }
    }

    pub(in crate::exchange) fn handle_store_failed(&mut self, cid: &Cid, now: Instant) {
        self.release(cid);
        if let Some(want) = self.wants.get_mut(cid) {
            want.stage = Stage::Paused(now + STORE_PAUSE);
        }
        self.index(cid);
        self.wake(now);
    }

    pub(in crate::exchange) fn handle_dont_have(&mut self, peer: &P, request: RequestId, cids: &[Cid], now: Instant) {
        let Some(partner) = self.partners.get(peer) else { return };
        let of_request = partner.owed().iter().filter(|(_, owed)| cids.is_empty() && owed.request == request);
        let all: Vec<Cid> = of_request.map(|(cid, _)| *cid).chain(cids.iter().take(MAX_CIDS).copied()).collect();
        if cids.is_empty() {
            self.close_credit(peer, request);
        }
        for cid in &all {
            let Some(partner) = self.partners.get_mut(peer) else { return };
            let owed = partner.settle(cid, now);
            if let Some(owed) = &owed {
                partner.answered(now.duration_since(owed.at));
            }
            let listed = self.credit_refused(peer, request, cid);
            let Some(want) = self.wants.get_mut(cid) else { continue };
            let asked = listed || owed.is_some() || want.said.contains_key(peer);
            want.say(peer.clone(), Said::Lacks);
            for id in want.sessions.keys() {
                let member = self.sessions.get_mut(id).and_then(|session| session.members.get_mut(peer));
                match member {
                    Some(member) if asked => member.refused(cid, now),
                    // Said without being asked, or late: no reason to leave it in peace.
                    Some(member) => member.spotless = false,
                    None => {}
                }
            }
            self.forget_asker(cid, peer);
        }
        self.wake(now);
    }

    /// A whole copy of `cid` came from `peer`. True when it is of use: then others need not send theirs.
    fn take(&mut self, peer: &P, cid: &Cid, len: usize, step: Step, now: Instant) -> bool {
        let Some(partner) = self.partners.get_mut(peer) else { return false };
        let owed = partner.settle(cid, now);
        let wanted = self.wants.get_mut(cid).filter(|want| want.stage == Stage::Open);
        let Some(want) = wanted else {
            self.counters.bytes_wasted += len as u64;
            self.forget_asker(cid, peer);
            self.stirred.insert(peer.clone());
            return false;
        };
        want.stage = Stage::Here;
        want.seek = Seek::Idle;
        partner.storing_bytes += len;
        let took = owed.as_ref().map(|owed| now.duration_since(owed.at));
        for session in want.sessions.keys() {
            if let Some(session) = self.sessions.get_mut(session) {
                session.learn(cid, len, took, now);
            }
        }
        self.arriving.insert(*cid, Arriving { peer: peer.clone(), len, step });
        self.cancel_all(cid, Some(peer), now);
        self.stop_search_unless_needed(cid);
        self.stirred.insert(peer.clone());
        true
    }

    /// The copy is stored or given up: its bytes count no longer.
    fn release(&mut self, cid: &Cid) -> Option<Arriving<P>> {
        let arriving = self.arriving.remove(cid)?;
        if let Some(partner) = self.partners.get_mut(&arriving.peer) {
            partner.storing_bytes = partner.storing_bytes.saturating_sub(arriving.len);
        }
        self.stirred.insert(arriving.peer.clone());
        self.dirty |= self.in_flight() > self.config.window_total / 2;
        Some(arriving)
    }

    fn was_asked(&self, peer: &P) -> bool {
        self.wants.values().any(|want| want.stage == Stage::Open && want.said.contains_key(peer))
    }

    fn deliver(&mut self, cid: &Cid, len: usize, links: &Links) {
        self.cancel_refused(cid);
        let Some(want) = self.wants.remove(cid) else { return };
        self.stop_search_unless_needed(cid);
        for (id, place) in want.sessions {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.unasked.remove(&place);
            session.wants.remove(cid);
            session.blocks += 1;
            session.bytes += len as u64;
            session.hold(*cid);
            self.actions.push_back(Action::Delivered { session: id, cid: *cid, links: links.clone() });
            self.make_news(id, cid, len);
        }
    }
}

/// How long a peer that sent wrong bytes is kept out.
const BAN: Duration = Duration::from_secs(3600);
/// Before a block that the store refused is asked for again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
