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

    /// Whether more than one asks for it.
    pub(super) fn is_crowd(&self, root: &Cid) -> bool {
        self.crowds.get(root).is_some_and(|crowd| crowd.askers.len() > 1)
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
const MAX_CROWDS: usize = 256;
/// Roots for which one peer is counted.
const MOST_ROOTS_PER_PEER: usize = 8;
/// Blocks counted in all crowds; beyond it a crowd's counts begin anew.
const MAX_COUNTED: usize = 65_536;

#[cfg(test)]
mod tests {
    use multihash::Multihash;

    use super::*;
    use crate::exchange::tests::start;

    #[test]
    fn one_root_more_makes_a_crowd_of_one_forgotten_and_never_one_of_two() {
        let now = start();
        let mut crowds = Crowds::new();
        for peer in 0..MAX_CROWDS {
            crowds.asked(&cid(peer), &peer, now);
        }
        crowds.asked(&cid(MAX_CROWDS), &MAX_CROWDS, now);
        assert_eq!(crowds.crowds.len(), MAX_CROWDS);
        assert!(crowds.crowds.contains_key(&cid(MAX_CROWDS)));

        for root in crowds.crowds.keys().copied().collect::<Vec<_>>() {
            crowds.asked(&root, &10_000, now);
            crowds.asked(&root, &10_001, now);
        }
        crowds.asked(&cid(5000), &5000, now);
        assert_eq!(crowds.crowds.len(), MAX_CROWDS);
        assert!(!crowds.crowds.contains_key(&cid(5000)));
    }

    #[test]
    fn a_peer_is_counted_for_8_roots_and_not_for_9() {
        let mut crowds = Crowds::new();
        (0..9).for_each(|root| crowds.asked(&cid(root), &1, start()));
        assert_eq!(crowds.crowds.len(), MOST_ROOTS_PER_PEER);
    }

    #[test]
    fn one_count_too_many_begins_the_counts_anew() {
        let mut crowds = Crowds::new();
        crowds.asked(&cid(0), &1, start());
        (0..=MAX_COUNTED).for_each(|block| crowds.sent(&cid(0), &cid(block)));
        assert_eq!(crowds.counted, 1);
        assert_eq!(crowds.sent_count(&cid(0), &cid(MAX_COUNTED)), 1);
    }

    #[test]
    fn a_crowd_is_forgotten_when_all_have_left() {
        let mut crowds = Crowds::new();
        crowds.asked(&cid(0), &1, start());
        crowds.sent(&cid(0), &cid(1));
        crowds.left(&1);
        assert_eq!((crowds.crowds.len(), crowds.counted), (0, 0));
    }

    fn cid(seed: usize) -> Cid {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(seed as u64).to_be_bytes());
        Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).expect("32 bytes fit"))
    }
}
