//! Who asks for the same root now, to refer them to each other, and what was sent of it how often.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cid::Cid;

use crate::exchange::Peer;
use crate::exchange::message::MAX_REFERRALS;
use crate::exchange::random::Random;

/// The crowds of all roots, at most `MAX_CROWDS`.
#[derive(Debug)]
pub(super) struct Crowds<P> {
    crowds: BTreeMap<Cid, Crowd<P>>,
    counted: usize,
}

#[derive(Debug)]
struct Crowd<P> {
    askers: BTreeMap<P, Asker>,
    sent: BTreeMap<Cid, u32>,
}

#[derive(Debug)]
struct Asker {
    last: Instant,
    /// When it is to be told of the others; not before there are some.
    due: Option<Instant>,
    lists: u32,
    /// How many there were when it was told last.
    told_of: usize,
}

/// Tell `peer` of `others`, who ask for `root` too.
pub(super) struct Referral<P> {
    pub(super) peer: P,
    pub(super) root: Cid,
    pub(super) others: Vec<P>,
}

impl<P: Peer> Crowds<P> {
    pub(super) fn new() -> Self {
        Self { crowds: BTreeMap::new(), counted: 0 }
    }

    pub(super) fn asked(&mut self, root: &Cid, peer: &P, now: Instant) {
        if !self.crowds.contains_key(root) && !self.make_room(peer) {
            return;
        }
        let empty = || Crowd { askers: BTreeMap::new(), sent: BTreeMap::new() };
        let crowd = self.crowds.entry(*root).or_insert_with(empty);
        let asker = crowd.askers.entry(peer.clone()).or_insert_with(|| Asker {
            last: now,
            due: Some(now + FIRST_LIST),
            lists: 0,
            told_of: 0,
        });
        asker.last = now;
        let size = crowd.askers.len();
        for asker in crowd.askers.values_mut() {
            if asker.due.is_none() && asker.lists < MOST_LISTS && size >= 2 * asker.told_of {
                asker.due = Some(now + FIRST_LIST);
            }
        }
    }

    /// A root more may be counted: a crowd of one makes room, or nobody.
    fn make_room(&mut self, peer: &P) -> bool {
        if self.crowds.values().filter(|crowd| crowd.askers.contains_key(peer)).count() >= MOST_ROOTS_PER_PEER {
            return false;
        }
        if self.crowds.len() < MAX_CROWDS {
            return true;
        }
        let lonely = self.crowds.iter().filter(|(_, crowd)| crowd.askers.len() < 2);
        let Some(root) = lonely.map(|(root, _)| *root).next() else { return false };
        self.drop_crowd(&root);
        true
    }

    pub(super) fn sent_count(&self, root: &Cid, cid: &Cid) -> u32 {
        self.crowds.get(root).and_then(|crowd| crowd.sent.get(cid)).copied().unwrap_or(0)
    }

    pub(super) fn sent(&mut self, root: &Cid, cid: &Cid) {
        let Some(crowd) = self.crowds.get_mut(root) else { return };
        if self.counted >= MAX_COUNTED && !crowd.sent.contains_key(cid) {
            self.counted -= crowd.sent.len();
            crowd.sent.clear();
        }
        if self.counted < MAX_COUNTED || crowd.sent.contains_key(cid) {
            let count = crowd.sent.entry(*cid).or_insert(0);
            self.counted += usize::from(*count == 0);
            *count += 1;
        }
    }

    pub(super) fn left(&mut self, peer: &P) {
        for crowd in self.crowds.values_mut() {
            crowd.askers.remove(peer);
        }
        self.drop_empty();
    }

    /// Lists that are due: a sample of the whole crowd each.
    pub(super) fn due(&mut self, random: &mut Random, now: Instant) -> Vec<Referral<P>> {
        let mut referrals = Vec::new();
        for (root, crowd) in &mut self.crowds {
            crowd.askers.retain(|_, asker| now.duration_since(asker.last) < ASKS_NO_MORE);
            let all: Vec<P> = crowd.askers.keys().cloned().collect();
            for (peer, asker) in &mut crowd.askers {
                if asker.due.is_none_or(|due| due > now) || all.len() < 2 {
                    continue;
                }
                asker.due = None;
                asker.lists += 1;
                asker.told_of = all.len();
                let others: Vec<P> = all.iter().filter(|other| *other != peer).cloned().collect();
                let others = random.draw(&others, MAX_REFERRALS);
                referrals.push(Referral { peer: peer.clone(), root: *root, others });
            }
        }
        self.drop_empty();
        referrals
    }

    /// When to look again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let crowds = self.crowds.values().filter(|crowd| crowd.askers.len() > 1);
        crowds.flat_map(|crowd| crowd.askers.values()).filter_map(|asker| asker.due).min()
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.crowds.len(), self.counted)
    }

    fn drop_empty(&mut self) {
        let empty = self.crowds.iter().filter(|(_, crowd)| crowd.askers.is_empty());
        let empty: Vec<Cid> = empty.map(|(root, _)| *root).collect();
        for root in empty {
            self.drop_crowd(&root);
        }
    }

    fn drop_crowd(&mut self, root: &Cid) {
        if let Some(crowd) = self.crowds.remove(root) {
            self.counted -= crowd.sent.len();
        }
    }
}

/// A list at arrival only makes a chain of neighbours; one somewhat later is a sample of the crowd (facts, rule 10).
const FIRST_LIST: Duration = Duration::from_millis(50);
/// Lists told to one peer about one root: one more each time the crowd has doubled.
const MOST_LISTS: u32 = 8;
/// Who has asked for nothing for so long is no longer named to others.
const ASKS_NO_MORE: Duration = Duration::from_secs(10);
/// Roots with askers. Beyond it crowds of one are forgotten first, and further roots are not counted.
pub(super) const MAX_CROWDS: usize = 256;
/// Roots for which one peer is counted.
pub(super) const MOST_ROOTS_PER_PEER: usize = 8;
/// Blocks counted in all crowds; beyond it a crowd's counts begin anew.
pub(super) const MAX_COUNTED: usize = 65_536;
