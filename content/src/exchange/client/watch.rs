//! The watchdog, for tests: no want may be outstanding without somebody at work on it.

use cid::Cid;

use super::session::RootSearch;
use super::want::{Seek, Stage, Want};
use super::{Client, TICK};
use crate::exchange::{Peer, SessionId};

impl<P: Peer> Client<P> {
    /// Wants that nothing will ever happen to, each with its state. To be called when `poll` has given `None`.
    pub(in crate::exchange) fn unattended(&self, now: std::time::Instant) -> Vec<String> {
        let mut found = Vec::new();
        for (cid, want) in &self.wants {
            let attended = match want.stage {
                Stage::Here => self.arriving.contains_key(cid),
                Stage::Paused(_) => self.tick.is_some(),
                Stage::Open if !want.askers.is_empty() => want.askers.keys().all(|peer| self.is_owed_by(peer, cid)),
                Stage::Open => want.sessions.keys().any(|id| self.is_sought(*id, cid, want, now)),
            };
            if !attended || self.tick.is_none() {
                found.push(format!("{cid}: {want:?}"));
            }
        }
        found
    }

    fn is_owed_by(&self, peer: &P, cid: &Cid) -> bool {
        let partner = self.partners.get(peer);
        partner.is_some_and(|partner| partner.owed().contains_key(cid) && partner.doubted.is_none())
    }

    fn is_sought(&self, id: SessionId, cid: &Cid, want: &Want<P>, now: std::time::Instant) -> bool {
        let session = &self.sessions[&id];
        if session.members.keys().any(|peer| self.may_ask_later(id, peer, cid, now)) {
            // It has room at once, or owes something that will make room.
            return true;
        }
        match want.seek {
            Seek::Searching => self.searches.contains_key(cid),
            Seek::Resting(until) => now <= until + 2 * TICK,
            // The next tick concludes, or asks those who are still being dialled.
            Seek::Searched => !self.hungry(id, now).is_empty(),
            Seek::Idle => match session.root_search {
                RootSearch::Running => self.searches.contains_key(&session.root),
                // The next tick looks after it.
                RootSearch::Due(_) | RootSearch::Resting(_) => !self.hungry(id, now).is_empty(),
            },
        }
    }
}
