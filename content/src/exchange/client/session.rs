//! One download: its peers, what it wants, what it has got.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use cid::Cid;

use super::named::Named;
use crate::block::RAW;
use crate::exchange::Order;
use crate::exchange::message::RequestId;

/// Where a want stands in the order of its session: the least is asked for first.
pub(super) type Place = (i64, i64, u64);

/// One download.
#[derive(Debug)]
pub(super) struct Session<P> {
    pub(super) root: Cid,
    pub(super) order: Order,
    pub(super) members: BTreeMap<P, Member>,
    pub(super) candidates: BTreeMap<P, Candidate>,
    /// Those that people named, whether they are there or not.
    pub(super) named: BTreeMap<P, Named>,
    /// Candidates to dial, the first first.
    pub(super) queue: VecDeque<P>,
    pub(super) wants: BTreeSet<Cid>,
    /// Wants that nobody owes and that are not on their way into the store.
    pub(super) unasked: BTreeMap<Place, Cid>,
    pub(super) root_search: RootSearch,
    pub(super) rounds: u32,
    /// Others that are not whole are known to ask for the same root.
    pub(super) crowd: bool,
    /// What was delivered, for news to neighbours; at most `MAX_HELD`.
    pub(super) held: BTreeSet<Cid>,
    pub(super) referral_dials: usize,
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    /// The usual time from asking to whole.
    pub(super) usual: Option<Duration>,
    /// When the first block came.
    first_block: Option<Instant>,
    leaf_size: Option<usize>,
    node_size: Option<usize>,
    banned: BTreeSet<P>,
}

/// A peer of a download, connected or away for a while.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Itself a getter of the same root: asked only for what it is known to have.
    pub(super) partial: bool,
    pub(super) has: BTreeSet<Cid>,
    /// In a row.
    pub(super) refusals: u32,
    /// Has never refused anything, nor been late or silent: surely it may be asked for whatever nobody was asked for.
    pub(super) spotless: bool,
    /// Refused so much that it is asked only for what it says it has, until then.
    pub(super) dry_until: Option<Instant>,
    pub(super) bytes: u64,
    /// Requests of which the peer chooses the blocks.
    pub(super) credits: BTreeMap<RequestId, CreditRequest>,
    /// Blocks that it has not been told we have.
    pub(super) news: Vec<Cid>,
    pub(super) greeted: bool,
}

/// "Any so many of these", as far as it is not answered.
#[derive(Debug)]
pub(super) struct CreditRequest {
    pub(super) left: u32,
    pub(super) cids: BTreeSet<Cid>,
    pub(super) at: Instant,
}

/// A peer that may become a member when it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) state: Dial,
    /// By a peer of the crowd, and so in it.
    pub(super) referred: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    Untried,
    Dialling(Instant),
    Failed(String),
}

/// The search for providers of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootSearch {
    /// Begins then.
    Due(Instant),
    Running,
    /// Begins again when something is missing, not before this.
    Resting(Instant),
}

impl<P: Ord> Session<P> {
    pub(super) fn new(root: Cid, order: Order, now: Instant) -> Self {
        Self {
            root,
            order,
            members: BTreeMap::new(),
            candidates: BTreeMap::new(),
            named: BTreeMap::new(),
            queue: VecDeque::new(),
            wants: BTreeSet::new(),
            unasked: BTreeMap::new(),
            root_search: RootSearch::Due(now),
            rounds: 0,
            crowd: false,
            held: BTreeSet::new(),
            referral_dials: 0,
            blocks: 0,
            bytes: 0,
            usual: None,
            first_block: None,
            leaf_size: None,
            node_size: None,
            banned: BTreeSet::new(),
        }
    }

    pub(super) fn place(&self, cid: &Cid, priority: i32, sequence: u64) -> Place {
        let (leaf, late) = (i64::from(cid.codec() == RAW), -i64::from(priority));
        match self.order {
            Order::Any => (leaf, late, sequence),
            Order::Priority => (late, leaf, sequence),
        }
    }

    /// The priority that led to a place.
    pub(super) fn priority(&self, place: Place) -> i32 {
        let late = match self.order {
            Order::Any => place.1,
            Order::Priority => place.0,
        };
        i32::try_from(-late).unwrap_or(i32::MAX)
    }

    /// How long a block is, as far as one can guess.
    pub(super) fn expected(&self, cid: &Cid) -> usize {
        let (seen, guess) =
            if cid.codec() == RAW { (self.leaf_size, LEAF_GUESS) } else { (self.node_size, NODE_GUESS) };
        seen.unwrap_or(guess)
    }

    /// A block came whole, so long after it was asked for.
    pub(super) fn learn(&mut self, cid: &Cid, len: usize, took: Option<Duration>, now: Instant) {
        self.first_block.get_or_insert(now);
        let mean = if cid.codec() == RAW { &mut self.leaf_size } else { &mut self.node_size };
        *mean = Some(mean.map_or(len, |mean| (mean * 7 + len) / 8).max(1));
        if let Some(took) = took {
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
    }

    /// Whether sources should choose what they send: others ask for the same, or nobody could have told us yet. In a
    /// crowd that asks for the same first blocks by name the source sends them to each.
    pub(super) fn may_be_crowded(&self, now: Instant) -> bool {
        let early = self.first_block.is_none_or(|first| now.duration_since(first) < NEWS_OF_A_CROWD);
        let large = self.leaf_size.is_none_or(|size| size >= SMALL);
        self.crowd || (early && large && self.order == Order::Any)
    }

    /// How long to wait for a block before one more peer is asked for it.
    pub(super) fn patience(&self) -> Duration {
        let (least, times) = if self.crowd { (LEAST_IN_A_CROWD, 6) } else { (LEAST_PATIENCE, 3) };
        self.usual.map_or(least, |usual| least.max(times * usual))
    }

    pub(super) fn dialling(&self) -> usize {
        self.candidates.values().filter(|candidate| matches!(candidate.state, Dial::Dialling(_))).count()
    }

    /// Never again for this download. Beyond the limit the driver's ban has to do.
    pub(super) fn ban(&mut self, peer: P) {
        if self.banned.len() < MAX_BANNED {
            self.banned.insert(peer);
        }
    }

    pub(super) fn is_banned(&self, peer: &P) -> bool {
        self.banned.contains(peer)
    }

    /// Remembers that a block is here. Beyond the limit nobody is told of more, which costs a crowd speed only.
    pub(super) fn hold(&mut self, cid: Cid) {
        if self.held.len() < MAX_HELD {
            self.held.insert(cid);
        }
    }
}

impl Member {
    pub(super) fn new(partial: bool) -> Self {
        Self { partial, spotless: true, ..Self::default() }
    }

    /// Notes that it has a block, as far as it may say so.
    pub(super) fn note(&mut self, cid: Cid) {
        if self.has.len() < MAX_HAS {
            self.has.insert(cid);
        }
    }

    pub(super) fn is_dry(&self, now: Instant) -> bool {
        self.dry_until.is_some_and(|until| now < until)
    }

    /// Told that it lacks a block; many in a row, and it is left in peace for a while.
    pub(super) fn refused(&mut self, cid: &Cid, now: Instant) {
        self.has.remove(cid);
        self.spotless = false;
        self.refusals += 1;
        if self.refusals >= DRY_AFTER {
            let doublings = ((self.refusals - DRY_AFTER) / DRY_AFTER).min(5);
            self.dry_until = Some(now + DRY_PAUSE * (1 << doublings));
        }
    }
}

/// Before a leaf was seen: between the usual sizes, so that a first request names two.
const LEAF_GUESS: usize = 256 * 1024;
const NODE_GUESS: usize = 16 * 1024;
/// Who is in a crowd hears of it by then.
const NEWS_OF_A_CROWD: Duration = Duration::from_millis(150);
/// Smaller leaves are asked for by name until a crowd is known: they cost a source little.
const SMALL: usize = 64 * 1024;
const LEAST_PATIENCE: Duration = Duration::from_millis(300);
/// In a crowd blocks wait for their turn, and who is asked once more is most often the source that all depend on.
const LEAST_IN_A_CROWD: Duration = Duration::from_secs(1);
/// Most blocks of one download that news are made of: 64 GiB in the largest leaves, some 6 MB of memory.
const MAX_HELD: usize = 65_536;
/// Each cost its peer an identity and us one block.
const MAX_BANNED: usize = 1024;
/// Most blocks that one peer may say it has and that are not here; beyond it its news are dropped.
pub(super) const MAX_HAS: usize = 8192;
/// So many refusals in a row happen to a peer with a third of the blocks once in six hundred times.
const DRY_AFTER: u32 = 16;
const DRY_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use multihash::Multihash;

    use super::*;

    #[test]
    fn one_block_more_than_may_be_noted_is_dropped() {
        let mut member = Member::new(true);
        (0..=MAX_HAS as u64).for_each(|seed| member.note(cid(seed)));
        assert_eq!(member.has.len(), MAX_HAS);
    }

    #[test]
    fn one_block_more_than_news_are_made_of_is_dropped() {
        let mut session = session();
        (0..=MAX_HELD as u64).for_each(|seed| session.hold(cid(seed)));
        assert_eq!(session.held.len(), MAX_HELD);
    }

    #[test]
    fn one_liar_more_than_are_remembered_is_left_to_the_driver() {
        let mut session = session();
        (0..=MAX_BANNED).for_each(|peer| session.ban(peer));
        assert!(session.is_banned(&0) && !session.is_banned(&MAX_BANNED));
    }

    #[test]
    fn who_refuses_16_times_in_a_row_is_left_in_peace_for_a_while() {
        let now = crate::exchange::tests::start();
        let mut member = Member::new(false);
        (0..15).for_each(|seed| member.refused(&cid(seed), now));
        assert!(!member.is_dry(now));
        member.refused(&cid(15), now);
        assert!(member.is_dry(now) && !member.is_dry(now + DRY_PAUSE));
    }

    fn session() -> Session<usize> {
        Session::new(cid(0), Order::Any, crate::exchange::tests::start())
    }

    fn cid(seed: u64) -> Cid {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&seed.to_be_bytes());
        Cid::new_v1(RAW, Multihash::wrap(0x12, &digest).expect("32 bytes fit"))
    }
}
